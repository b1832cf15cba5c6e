from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.data.asof import last_before


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2013, 1, 1, hour, minute, tzinfo=UTC)


WEATHER = pl.DataFrame(
    {
        "origin": ["JFK", "LGA", "JFK", "JFK"],
        "at": [at(7), at(5), at(5), at(6)],
        "wind": [7, 50, 5, 6],
        "note": ["d", "c", "a", "b"],
    }
)
FLIGHTS = pl.DataFrame(
    {
        "id": [1, 2, 3, 4, 5, 6, 7],
        "origin": ["JFK", "JFK", "LGA", "EWR", "JFK", None, "JFK"],
        "at": [at(23), at(6), at(5, 1), at(9), None, at(9), at(4)],
    }
)


def test_each_row_meets_the_last_one_before_it_and_the_order_is_kept() -> None:
    found = last_before(FLIGHTS, WEATHER, on="at", by="origin")
    assert found.columns == ["id", "origin", "at", "at_right", "wind", "note"]
    assert found["id"].to_list() == [1, 2, 3, 4, 5, 6, 7]
    assert found["wind"].to_list() == [7, 5, 50, None, None, None, None]
    assert found["at_right"].to_list() == [at(7), at(5), at(5), None, None, None, None]
    assert found.select(FLIGHTS.columns).equals(FLIGHTS)


def test_that_very_time_counts_only_when_asked_for() -> None:
    found = last_before(FLIGHTS, WEATHER, on="at", by="origin", strict=False)
    assert found["wind"].to_list() == [7, 6, 50, None, None, None, None]


@pytest.mark.parametrize("tolerance", ["1h", timedelta(hours=1)])
def test_a_match_may_be_too_old(tolerance: str | timedelta) -> None:
    found = last_before(FLIGHTS, WEATHER, on="at", by="origin", tolerance=tolerance)
    assert found["wind"].to_list() == [None, 5, 50, None, None, None, None]


def test_columns_of_time_may_have_names_of_their_own() -> None:
    found = last_before(FLIGHTS, WEATHER.rename({"at": "seen"}).drop("note"), on="at", right_on="seen", by=["origin"])
    assert found.columns == ["id", "origin", "at", "seen", "wind"]
    assert found["seen"].to_list()[:2] == [at(7), at(5)]


def test_names_that_both_have_get_the_suffix() -> None:
    found = last_before(FLIGHTS, WEATHER.rename({"wind": "id"}), on="at", by="origin", suffix="_seen")
    assert found.columns == ["id", "origin", "at", "at_seen", "id_seen", "note"]


def test_of_rows_with_one_time_the_last_counts() -> None:
    twice = pl.concat([WEATHER, WEATHER.with_columns(wind=pl.col("wind") * 10)])
    assert last_before(FLIGHTS, twice, on="at", by="origin")["wind"].to_list()[:3] == [70, 50, 500]


def test_zones_and_units_may_differ_and_dates_are_their_midnight() -> None:
    other = WEATHER.with_columns(pl.col("at").dt.convert_time_zone("America/New_York").dt.cast_time_unit("ms"))
    assert last_before(FLIGHTS, other, on="at", by="origin")["wind"].to_list()[:3] == [7, 5, 50]
    days = pl.DataFrame({"origin": ["JFK"], "day": [date(2013, 1, 1)], "x": [1]})
    naive = FLIGHTS.with_columns(pl.col("at").dt.replace_time_zone(None))
    assert last_before(naive, days, on="at", right_on="day", by="origin")["x"].to_list() == [1, 1, None, None, None, None, 1]


def test_no_rows_meet_no_rows() -> None:
    assert last_before(FLIGHTS.head(0), WEATHER, on="at", by="origin").height == 0
    assert last_before(FLIGHTS, WEATHER.head(0), on="at", by="origin")["wind"].to_list() == [None] * 7
    assert (
        last_before(FLIGHTS, WEATHER.with_columns(at=None).cast({"at": pl.Datetime("us", "UTC")}), on="at", by="origin")[
            "wind"
        ].null_count()
        == 7
    )


@pytest.mark.parametrize(
    ("left", "right", "code"),
    [
        (FLIGHTS.drop("origin"), WEATHER, "column.missing"),
        (FLIGHTS, WEATHER.rename({"at": "att"}), "column.missing"),
        (FLIGHTS.with_columns(pl.col("at").dt.replace_time_zone(None)), WEATHER, "column.invalid"),
        (FLIGHTS.with_columns(at=1), WEATHER, "column.invalid"),
    ],
)
def test_frames_that_do_not_fit_are_told(left: pl.DataFrame, right: pl.DataFrame, code: str) -> None:
    with pytest.raises(Problem) as told:
        last_before(left, right, on="at", by="origin")
    assert told.value.code == code


ROW = st.tuples(st.sampled_from("ab"), st.integers(0, 12))


@given(
    left=st.lists(ROW, max_size=12), right=st.lists(ROW, max_size=12), strict=st.booleans(), hours=st.sampled_from([None, 0, 3])
)
def test_it_is_what_looking_through_all_rows_finds(left: list[Any], right: list[Any], strict: bool, hours: int | None) -> None:
    schema = pl.Schema({"by": pl.String(), "at": pl.Datetime("us")})
    start = datetime(2013, 1, 1)

    def frame(rows: list[Any]) -> pl.DataFrame:
        return pl.DataFrame([(by, start + timedelta(hours=hour)) for by, hour in rows], schema=schema, orient="row")

    def naive(by: str, hour: int) -> int | None:
        found = [
            (seen, place)
            for place, (key, seen) in enumerate(right)
            if key == by and (seen < hour or (seen == hour and not strict)) and (hours is None or hour - seen <= hours)
        ]
        return max(found)[1] if found else None

    tolerance = None if hours is None else timedelta(hours=hours)
    found = last_before(frame(left), frame(right).with_row_index("n"), on="at", by="by", strict=strict, tolerance=tolerance)
    assert found["n"].to_list() == [naive(*row) for row in left]


def test_joins_follow_one_another_and_each_keeps_its_time() -> None:
    at = [datetime(2013, 1, day) for day in (3, 4)]
    flights = pl.DataFrame({"k": ["x", "x"], "at": at})
    known = [pl.DataFrame({"k": ["x"], "at": [datetime(2013, 1, day)], "seen": [day]}) for day in (1, 2)]
    found = last_before(last_before(flights, known[0], on="at", by="k"), known[1], on="at", by=["k", "k"])
    assert found.columns == ["k", "at", "at_right", "seen", "at_right_right", "seen_right"]
    assert found["seen"].to_list() == [1, 1]
    assert found["seen_right"].to_list() == [2, 2]
    with pytest.raises(Problem) as told:
        last_before(flights, known[0], on="at", by="k", suffix="")
    assert told.value.code == "column.exists"


@pytest.mark.parametrize("name", ["place", "at", "met", "known_at", "key0", "__place", "__at"])
def test_a_key_may_be_called_whatever_it_is(name: str) -> None:
    flights = pl.DataFrame({name: ["x"], "time": [datetime(2013, 1, 3)]})
    known = pl.DataFrame({name: ["x"], "time": [datetime(2013, 1, 1)], "place": ["there"], "met": [7]})
    if name in {"place", "met"}:
        known = known.drop({"place": "met", "met": "place"}[name])
        known = known.with_columns(pl.lit("x").alias(name))
    assert last_before(flights, known, on="time", by=name).height == 1
