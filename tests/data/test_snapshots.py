"""Snapshots of sources that are read on: nothing lost, nothing doubled, and the same rows make the same version."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from modelyard.adapters.delta import DeltaLake
from modelyard.core import Problem
from modelyard.data import Column, quality
from modelyard.data.service import change_checks
from modelyard.data.snapshots import READ, read_on
from modelyard.data.sources import Ask, Plain, Reading, Undecoded, wanted
from tests.data.place import START, Place, flights, made

URL = "stream://there/flights"


@dataclass
class Stream:
    """A source in memory: rows that come one after the other, and things among them that are none."""

    rows: pl.DataFrame
    most: int = 1_000_000
    poison: dict[int, bytes] = field(default_factory=dict)  # by the row before which it lies
    meanwhile: Callable[[], object] = lambda: None  # happens while somebody reads
    reads_on: bool = True
    repeats: bool = False
    hollow: bool = False  # nothing in it is a row
    asked: list[Ask] = field(default_factory=list)

    @contextmanager
    def read(self, ask: Ask) -> Iterator[Reading]:
        self.asked.append(ask)
        start = int(ask.after or 0)
        stop = min(start + self.most, self.rows.height)
        found = [Undecoded(raw, f"flights/{at}", "no JSON") for at, raw in self.poison.items() if start <= at < stop]
        self.meanwhile()
        rows = wanted(self.rows[start : start if self.hollow else stop].lazy(), ask)
        yield Plain(rows, bookmark=str(stop), undecoded=found, waiting=self.rows.height - stop)


def streaming(place: Place, stream: Stream, **rest: Any) -> Stream:
    """Let the place read the stream; its dataset has no key unless one is said."""
    known = place.ports.source
    object.__setattr__(place.ports, "source", lambda url: stream if url == URL else known(url))
    place.dataset(source=URL, **{"key": (), **rest})
    return stream


def bookmark(place: Place) -> str:
    with place.ports.transaction() as tx:
        [found] = tx.datasets.find(place.project)
        return found.bookmark


def test_it_is_told_how_many_rows_are_read_and_the_share_where_it_is_known(place: Place) -> None:
    files = place.folder / "in"
    files.mkdir()
    for number in range(2):
        flights(10 * number, 10 * number + 10).write_csv(files / f"{number}.csv")
    place.dataset(source=str(files / "*.csv"))
    told: list[tuple[float, str]] = []
    place.snapshot(progress=lambda fraction, message: told.append((fraction, message)))
    assert told == [(0, "10 rows read"), (READ / 2, "20 rows read"), (READ, "20 rows read, now looked at")]


def test_who_follows_takes_a_portion_of_a_source_that_reads_on_and_of_no_other(place: Place) -> None:
    stream = streaming(place, Stream(flights(0, 25), most=10))
    told = [read_on(place.ports, place.actor, place.project, "flights") for _ in range(3)]
    assert [(made(one).rows, one.waiting) for one in told] == [(10, 15), (20, 5), (25, 0)]
    stream.reads_on = False
    with pytest.raises(Problem) as caught:
        read_on(place.ports, place.actor, place.project, "flights")
    assert caught.value.code == "portion.refused"


def test_a_stream_is_read_on_in_portions_from_where_the_last_version_ended(place: Place) -> None:
    stream = streaming(place, Stream(flights(0, 25), most=10))
    told = [place.snapshot() for _ in range(4)]
    assert [one.admitted for one in told] == [10, 10, 5, 0]
    assert [one.waiting for one in told] == [15, 5, 0, 0]
    assert place.rows("flights").equals(flights(0, 25))
    assert [ask.after for ask in stream.asked] == ["", "10", "20", "25"]
    assert bookmark(place) == "25"


def test_rows_that_came_late_in_a_stream_enter_though_later_ones_are_held(place: Place) -> None:
    streaming(place, Stream(pl.concat([flights(10, 20), flights(0, 10)]), most=10))
    place.snapshot()
    assert made(place.snapshot()).rows == 20


def test_a_row_that_is_sent_again_enters_once_by_its_key(place: Place) -> None:
    streaming(place, Stream(pl.concat([flights(0, 10), flights(5, 15)]), most=10), key=("flight_id",))
    place.snapshot()
    again = place.snapshot()
    assert (made(again).rows, again.quarantined) == (15, 0)


def test_a_row_that_changed_stands_in_for_the_one_held_or_is_passed_over_as_is_asked_for(place: Place) -> None:
    changed = flights(5, 15).with_columns(delay=pl.col("delay") + 1)
    for name, replacing in (("flights", True), ("others", False)):
        stream = Stream(pl.concat([flights(0, 10), changed]), most=10)
        if name == "flights":
            streaming(place, stream, key=("flight_id",))
        else:
            object.__setattr__(place.ports, "source", lambda _: stream)  # noqa: B023 - it is asked at once
            place.dataset(name, source=URL)
        place.snapshot(name, replacing=replacing)
        assert made(place.snapshot(name, replacing=replacing)).replaced == (5 if replacing else 0)
    assert place.rows("flights").sort("departs_at").equals(pl.concat([flights(0, 5), changed]))


def test_a_stretch_is_read_from_the_beginning_and_moves_no_bookmark(place: Place) -> None:
    stream = streaming(place, Stream(flights(0, 20), most=10), key=("flight_id",))
    place.snapshot()
    stream.most = 20
    assert place.snapshot(since=START + timedelta(hours=15)).admitted == 5
    assert (stream.asked[-1].after, bookmark(place)) == ("", "10")
    assert place.snapshot().admitted == 5
    assert made(place.snapshot()).rows == 20


def test_a_stopped_batch_is_read_again_once_its_checks_were_mended(place: Place) -> None:
    stream = streaming(place, Stream(flights(0, 20), most=10, poison={3: b"{"}))
    change = [quality.between("delay", 0, 1)]
    change_checks(place.ports, place.actor, place.project, "flights", checks=change, stop_share=0.05)
    assert place.snapshot().version is None
    assert bookmark(place) == ""
    stream.most = 20
    assert place.snapshot().version is None
    assert place.quarantine().height == 10  # the second try of the same begins where the first did, and adds nothing
    change_checks(place.ports, place.actor, place.project, "flights", checks=[], stop_share=0.05)
    told = place.snapshot()
    assert (told.admitted, told.quarantined, bookmark(place)) == (20, 1, "20")


def test_what_is_no_row_goes_to_quarantine_as_it_came(place: Place) -> None:
    streaming(place, Stream(flights(0, 3), poison={0: b"{", 1: b"\xff\x00", 2: b"\\x7b"}))
    told = place.snapshot()
    assert (told.rows, told.admitted, told.quarantined) == (6, 3, 3)
    kept = place.quarantine().select("_content", "_place", "_reasons").rows()
    assert kept == [
        ("{", "flights/0", ["no JSON"]),
        ("\\xff00", "flights/1", ["no JSON"]),
        ("\\x5c783762", "flights/2", ["no JSON"]),  # one that looks like hexadecimal digits is told in them
    ]


def test_a_batch_of_nothing_but_poison_makes_no_version_and_is_not_read_again(place: Place) -> None:
    stream = streaming(place, Stream(flights(0, 4), most=2, hollow=True, poison={0: b"{", 1: b""}))
    told = place.snapshot()
    assert (told.version, told.quarantined, bookmark(place)) == (None, 2, "2")
    with pytest.raises(Problem, match="has no rows"):
        place.snapshot()
    assert (bookmark(place), place.quarantine().height) == ("4", 2)
    stream.rows, stream.hollow = flights(0, 6), False
    assert made(place.snapshot()).rows == 2


def test_poison_alone_moves_the_bookmark(place: Place) -> None:
    rows = pl.concat([flights(0, 2), flights(0, 2)])
    streaming(place, Stream(rows, most=2, poison={2: b"x"}), key=("flight_id",))
    first = made(place.snapshot())
    told = place.snapshot()
    assert (told.version, told.quarantined, bookmark(place)) == (first, 1, "4")
    assert place.quarantine().height == 1
    assert place.snapshot().quarantined == 0


def test_of_two_that_read_on_at_once_the_slower_one_reads_anew(place: Place) -> None:
    stream = streaming(place, Stream(flights(0, 20), most=10, poison={3: b"{", 13: b"{"}))

    def overtake() -> None:
        stream.meanwhile = lambda: None
        place.snapshot()

    stream.meanwhile = overtake
    told = place.snapshot()
    assert (told.admitted, made(told).rows) == (10, 20)
    assert place.rows("flights").equals(flights(0, 20))
    assert [ask.after for ask in stream.asked] == ["", "", "10"]
    assert place.quarantine()["_place"].to_list() == ["flights/3", "flights/13"]


def test_whoever_is_always_overtaken_is_told(place: Place) -> None:
    stream = streaming(place, Stream(flights(0, 200), most=1))
    nested: list[int] = []

    def overtake() -> None:
        if not nested:
            nested.append(1)
            place.snapshot()
            nested.clear()

    stream.meanwhile = overtake
    with pytest.raises(Problem) as told:
        place.snapshot()
    assert told.value.code == "dataset.conflict"


def test_a_version_names_the_files_that_its_new_rows_came_from(place: Place) -> None:
    for name, rows in (("a", flights(0, 5)), ("b", flights(5, 9)), ("c", flights(3, 5))):
        rows.write_parquet(place.folder / f"{name} 1.parquet")
    place.dataset(source=f"{place.folder.as_uri()}/*.parquet", key=("flight_id",))
    (place.folder / "c 1.parquet").rename(place.folder / "later")
    assert [parent.kind for parent in made(place.snapshot()).parents] == ["source", "file", "file"]
    (place.folder / "later").rename(place.folder / "c 1.parquet")
    flights(9, 12).write_parquet(place.folder / "d.parquet")
    files = [parent for parent in made(place.snapshot()).parents if parent.kind == "file"]
    assert [(file.ref, file.told) for file in files] == [((place.folder / "d.parquet").as_uri(), "d.parquet")]


def test_what_is_no_row_stands_in_no_rows_way(place: Place) -> None:
    rows = flights(0, 6)
    stream = streaming(place, Stream(rows, most=2, poison={0: b"", 2: b"", 4: b""}), key=("flight_id",))
    stream.rows = pl.concat([rows[:2], rows[:2], rows[:2], rows[2:]])  # two portions of nothing new
    for _ in range(3):
        assert place.snapshot().quarantined == 1
    assert place.quarantine()["_place"].to_list() == ["flights/0", "flights/2", "flights/4"]
    place.snapshot()
    assert made(place.snapshot()).rows == 6


def test_rows_like_one_in_quarantine_are_judged_anew_in_a_stream(place: Place) -> None:
    stream = streaming(place, Stream(pl.concat([flights(0, 2), flights(1, 3)]), most=2), stop_share=1.0)
    change_checks(place.ports, place.actor, place.project, "flights", checks=[quality.between("delay", 0, 0)], stop_share=1.0)
    assert place.snapshot().quarantined == 1
    change_checks(place.ports, place.actor, place.project, "flights", checks=[], stop_share=1.0)
    assert (place.snapshot().admitted, stream.asked[-1].after) == (2, "2")


def test_a_row_with_a_column_that_the_quarantine_lacks_is_another_row(place: Place) -> None:
    path = place.folder / "flights.parquet"
    bad = flights(0, 3).with_columns(flight_id=pl.when(pl.col("flight_id") != "UA1").then("flight_id"))
    bad.write_parquet(path)
    place.dataset(source=str(path), stop_share=0.5)
    assert place.snapshot().quarantined == 1
    bad.with_columns(note=pl.lit("late")).write_parquet(path)
    assert place.snapshot().quarantined == 1


def test_two_snapshots_at_once_take_each_row_once(place: Place) -> None:
    stream = streaming(place, Stream(flights(0, 10), reads_on=False))

    def overtake() -> None:
        stream.meanwhile = lambda: None
        place.snapshot()

    stream.meanwhile = overtake
    assert made(place.snapshot()).rows == 10
    assert place.rows("flights").equals(flights(0, 10))


def test_a_table_with_a_watermark_needs_a_key_and_so_does_a_stretch_of_a_stream(place: Place) -> None:
    stream = Stream(flights(0, 10), repeats=True)
    with pytest.raises(Problem, match="watermark"):
        streaming(place, stream)
    stream.repeats = False
    place.dataset(source=URL, key=())
    with pytest.raises(Problem, match="no stretches"):
        place.snapshot(since=START)


def test_a_row_that_changed_is_taken_from_a_source_that_will_not_tell_it_again(place: Place) -> None:
    changed = flights(5, 15).with_columns(delay=pl.col("delay") + 1)
    streaming(place, Stream(pl.concat([flights(0, 10), changed]), most=10), key=("flight_id",))
    place.snapshot()
    version = made(place.snapshot())
    assert (version.rows, version.replaced) == (15, 5)


# The same rows


def forms(rows: pl.DataFrame, folder: Path) -> Sequence[str]:
    """Write the rows in several forms, orders and types, and return where."""
    rows.write_csv(folder / "flights.csv")
    rows.sample(fraction=1, shuffle=True, seed=1).write_parquet(folder / "flights.parquet")
    rows.reverse().select(reversed(rows.columns)).write_ndjson(folder / "flights.ndjson")
    rows.with_columns(more=1).write_ipc(folder / "flights.arrow")
    return [str(folder / f"flights.{form}") for form in ("csv", "parquet", "ndjson", "arrow")]


def test_the_same_rows_make_the_same_version_wherever_they_came_from(place: Place) -> None:
    columns = [Column(name, str(dtype)) for name, dtype in flights(0, 1).schema.items()]
    found = []
    for number, source in enumerate(forms(flights(0, 40), place.folder)):
        place.dataset(f"flights{number}", source=source, columns=columns)
        found.append(made(place.snapshot(f"flights{number}")))
    assert len({version.digest for version in found}) == 1
    assert [column.name for column in found[0].schema.columns] == flights(0, 1).columns


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ([Column("id", "Int65")], "dtype.invalid"),
        ([Column("flight_id", "String"), Column("departs_at", "Datetime[UTC]"), Column("", "Int64")], "dataset.invalid"),
        ([Column("flight_id", "String"), Column("FLIGHT_ID", "String"), Column("departs_at", "Date")], "dataset.invalid"),
        ([Column("flight_id", "String")], "dataset.invalid"),
        ([Column("flight_id", "String"), Column("departs_at", "Date"), Column("_row", "Int64")], "column.invalid"),
    ],
)
def test_columns_that_cannot_be_declared_are_refused(place: Place, columns: list[Column], code: str) -> None:
    with pytest.raises(Problem) as told:
        place.dataset(columns=columns)
    assert told.value.code == code


def test_a_source_that_cannot_be_one_is_refused_when_the_dataset_is_declared(place: Place) -> None:
    for source in ("gopher://x/y.csv", "flights.csv", "s3://ann:secret@bucket/x.csv"):
        with pytest.raises(Problem) as told:
            place.dataset(source=source)
        assert "secret" not in str(told.value)


def test_a_declared_column_that_the_source_lacks_is_told(place: Place) -> None:
    flights(0, 3).write_csv(place.folder / "x.csv")
    columns = [Column(name, str(dtype)) for name, dtype in flights(0, 1).schema.items()]
    place.dataset(source=str(place.folder / "x.csv"), columns=[*columns, Column("dely", "Float64")])
    with pytest.raises(Problem, match="delay") as told:
        place.snapshot()
    assert told.value.code == "column.missing"


@pytest.mark.services
def test_versions_in_s3_are_those_on_a_disk(place: Place, s3_url: str) -> None:
    flights(0, 40).write_csv(place.folder / "flights.csv")
    source = str(place.folder / "flights.csv")
    place.dataset("here", source=source)
    here = made(place.snapshot("here"))
    object.__setattr__(place.ports, "lake", DeltaLake.from_url(s3_url))
    place.dataset("there", source=source)
    there = made(place.snapshot("there", until=START + timedelta(hours=30)))
    assert place.rows("there@1").equals(flights(0, 30))
    place.append(flights(5, 8).with_columns(delay=0.25), "there", replacing=True)
    assert place.rows("there@1").equals(flights(0, 30))
    assert place.rows("there@2")["delay"].to_list().count(0.25) == 3
    assert (there.digest, there.rows) != (here.digest, here.rows)
    place.dataset("again", source=source)
    assert made(place.snapshot("again")).digest == here.digest
