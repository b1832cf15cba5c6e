"""What every source must do. Subclass `SourceContract`, give its fixture `bench`, and run it with pytest."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

import polars as pl
import pytest

from modelyard.core import Problem
from modelyard.data import Stretch
from modelyard.data.schema import conform
from modelyard.data.sources import Ask, Source

START = datetime(2013, 1, 1, 5, tzinfo=UTC)
MIDDLE = START + timedelta(hours=10)
TYPES = pl.Schema(
    {
        "id": pl.Int64(),
        "at": pl.Datetime("us", "UTC"),
        "origin": pl.String(),
        "delay": pl.Float64(),
        "late": pl.Boolean(),
        "day": pl.Date(),
    }
)
ORIGINS = ("JFK", "Łódź ✈", None, "00501", 'NA, "x"\n')


def numbered(start: int, stop: int) -> pl.DataFrame:
    """Return rows `start` to below `stop`: one an hour, with nulls, large numbers, and texts that are easily misread."""
    numbers = range(start, stop)
    return pl.DataFrame(
        {
            "id": [n if n % 11 else n + 2**53 + 1 for n in numbers],
            "at": [START + timedelta(hours=n, microseconds=n) for n in numbers],
            "origin": [ORIGINS[n % len(ORIGINS)] for n in numbers],
            "delay": [None if n % 7 == 3 else n / 3 - 100 for n in numbers],
            "late": [None if n % 5 == 4 else n % 2 == 0 for n in numbers],
            "day": [None if n % 13 == 5 else (START + timedelta(hours=n)).date() for n in numbers],
        },
        schema=TYPES,
    )


class Bench(Protocol):
    """A place where a source reads, and what a test does there from outside."""

    @property
    def source(self) -> Source:
        """The source under test."""
        ...

    def fill(self, rows: pl.DataFrame) -> None:
        """Put rows there, after those that are there already; the first call may make the table, topic or file."""
        ...

    def empty(self) -> None:
        """Make the table, topic or file without rows."""
        ...

    def elsewhere(self) -> Source:
        """Return a source of the same kind that is not there."""
        ...


def taken(source: Source, ask: Ask | None = None) -> tuple[pl.DataFrame, str]:
    """Return all rows of a reading in the types of a dataset, by id where a source has no order, and its bookmark."""
    with source.read(Ask(types=TYPES) if ask is None else ask) as reading:
        rows = pl.concat(list(reading.frames), how="diagonal_relaxed")
        assert reading.undecoded == []
        assert reading.share is None or 0 <= reading.share <= 1
        known = pl.Schema({name: TYPES[name] for name in rows.columns if name in TYPES})
        return conform(rows, known), reading.bookmark


class SourceContract:
    """The promises of a source."""

    @pytest.fixture
    def bench(self) -> Iterator[Bench]:
        """Give the bench under test."""
        raise NotImplementedError

    def test_rows_come_back_as_they_lie_there(self, bench: Bench) -> None:
        bench.fill(numbered(0, 300))
        found, _ = taken(bench.source)
        assert found.sort("at").equals(numbered(0, 300))

    def test_a_source_can_be_read_again(self, bench: Bench) -> None:
        bench.fill(numbered(0, 30))
        first, _ = taken(bench.source)
        again, _ = taken(bench.source)
        assert again.equals(first)

    def test_a_source_without_rows_tells_its_columns(self, bench: Bench) -> None:
        bench.empty()
        found, _ = taken(bench.source)
        assert found.height == 0
        assert set(found.columns) in (set(TYPES), set())  # a stream without messages has none to tell

    def test_only_the_columns_that_are_asked_for_are_given(self, bench: Bench) -> None:
        bench.fill(numbered(0, 30))
        found, _ = taken(bench.source, Ask(columns=("delay", "at"), types=TYPES))
        assert found.columns == ["delay", "at"]
        assert found.sort("at").equals(numbered(0, 30).select("delay", "at"))

    def test_a_column_that_is_not_there_is_told(self, bench: Bench) -> None:
        bench.fill(numbered(0, 3))
        with pytest.raises(Problem) as told:
            taken(bench.source, Ask(columns=("at", "delya"), types=TYPES))
        assert told.value.code == "column.missing"
        assert "delay" in told.value.why

    @pytest.mark.parametrize(("since", "until"), [(None, None), (MIDDLE, None), (None, MIDDLE), (START, START)])
    def test_a_stretch_holds_its_beginning_and_not_its_end(
        self, bench: Bench, since: datetime | None, until: datetime | None
    ) -> None:
        rows = numbered(0, 30).with_columns(at=pl.col("at").dt.truncate("1h"))
        bench.fill(rows)
        found, _ = taken(bench.source, Ask(within=Stretch("at", since, until), types=TYPES))
        expected = rows
        expected = expected if since is None else expected.filter(pl.col("at") >= since)
        expected = expected if until is None else expected.filter(pl.col("at") < until)
        assert found.sort("at").equals(expected)

    def test_rows_without_a_time_are_in_every_stretch(self, bench: Bench) -> None:
        rows = numbered(0, 30).with_columns(at=pl.when(pl.col("id") != 7).then("at"))
        bench.fill(rows)
        found, _ = taken(bench.source, Ask(within=Stretch("at", START + timedelta(hours=28)), types=TYPES))
        assert sorted(found["id"].to_list()) == [7, 28, 29]

    def test_what_was_added_is_read_on_from_the_bookmark(self, bench: Bench) -> None:
        bench.fill(numbered(0, 30))
        _, bookmark = taken(bench.source)
        assert bool(bookmark) == bench.source.reads_on
        bench.fill(numbered(30, 50))
        found, then = taken(bench.source, Ask(after=bookmark, types=TYPES))
        if not bench.source.reads_on:
            assert found.sort("at").equals(numbered(0, 50))
            return
        new = numbered(30, 50)
        assert found.sort("at").tail(20).equals(new)
        assert found.height <= 21  # the row at the bookmark may come again
        assert then != bookmark
        found, last = taken(bench.source, Ask(after=then, types=TYPES))
        assert found.height <= 1
        assert last == then

    def test_what_is_not_there_is_told(self, bench: Bench) -> None:
        with pytest.raises(Problem) as told:
            taken(bench.elsewhere())
        assert told.value.code in {"source.missing", "source.unavailable"}
        assert told.value.next_step

    def test_of_many_rows_none_is_left_out(self, bench: Bench) -> None:
        rows = numbered(0, 40_000)
        bench.fill(rows)
        with bench.source.read(Ask(types=TYPES)) as reading:
            heights = [frame.height for frame in reading.frames]
        assert sum(heights) == 40_000

    def test_a_reading_may_be_left_in_its_midst(self, bench: Bench) -> None:
        bench.fill(numbered(0, 300))
        with bench.source.read(Ask(types=TYPES)) as reading:
            next(iter(reading.frames))
        found, _ = taken(bench.source)
        assert found.height == 300
