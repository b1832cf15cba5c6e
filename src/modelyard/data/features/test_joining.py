from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem, ProjectId
from modelyard.data.features import Lookup, Missing, check_lookups, declare_lookup, join_features
from modelyard.data.features.joining import feature_rows
from modelyard.data.schema import schema_of
from modelyard.data.types import Column, Dataset, DatasetId, Schema

START = datetime(2013, 1, 1, tzinfo=UTC)


def hour(number: float) -> datetime:
    return START + timedelta(hours=number)


def table(name: str, key: Sequence[str] = ("origin", "at"), time: str | None = "at") -> Dataset:
    return Dataset(DatasetId(f"ds_{name}"), ProjectId("p"), name, tuple(key), time, None, (), START)


WEATHER = pl.DataFrame({"origin": ["JFK", "LGA", "JFK"], "at": [hour(1), hour(1), hour(3)], "wind": [1.0, 50.0, 3.0]})
FLIGHTS = pl.DataFrame({"origin": ["JFK", "JFK", "LGA", "EWR", None], "time": [hour(3), hour(4), hour(9), hour(9), hour(9)]})


def retyped(types: Mapping[str, str]) -> Schema:
    return Schema(tuple(Column(one.name, types.get(one.name, one.dtype)) for one in schema_of(WEATHER).columns))


def joined(missing: Any = None, max_age: str | None = None, rows: pl.DataFrame = FLIGHTS) -> list[object]:
    lookup = declare_lookup(table("weather"), ["wind"], max_age=max_age, missing=missing)
    return join_features(rows, "time", [lookup], [WEATHER])["wind"].to_list()


def test_a_row_meets_what_was_known_strictly_before_it() -> None:
    assert joined() == [1.0, 3.0, 50.0, None, None]


def test_a_value_may_be_as_old_as_declared_and_no_older() -> None:
    assert joined(max_age="2h") == [1.0, 3.0, None, None, None]
    assert joined(max_age="8h") == [1.0, 3.0, 50.0, None, None]


def test_what_is_missing_or_stale_is_as_declared() -> None:
    assert joined({"wind": -1}, "2h") == [1.0, 3.0, -1.0, -1.0, -1.0]
    with pytest.raises(Problem) as caught:
        joined("refuse", "2h")
    assert (caught.value.code, caught.value.detail["row"]) == ("row.invalid", 2)
    assert "as do 2 others" in caught.value.what
    assert joined("refuse", rows=FLIGHTS.head(3)) == [1.0, 3.0, 50.0]


def test_one_table_is_looked_up_twice_by_other_columns() -> None:
    rows = pl.DataFrame({"origin": ["JFK"], "dest": ["LGA"], "time": [hour(4)]})
    here = declare_lookup(table("weather"), ["wind"])
    there = declare_lookup(table("weather"), ["wind"], by="dest", prefix="dest_")
    found = join_features(rows, "time", [here, there], [WEATHER, WEATHER])
    assert found.select("wind", "dest_wind").row(0) == (3.0, 50.0)
    assert found.columns == ["origin", "dest", "time", "wind", "dest_wind"]


def test_whole_numbers_name_an_entity_in_any_width() -> None:
    lookup = declare_lookup(table("scores", ("customer", "at")), ["score"])
    scores = pl.DataFrame({"customer": [7, 2**40], "at": [hour(0), hour(0)], "score": [1, 2]})
    rows = pl.DataFrame({"customer": pl.Series([7, 8], dtype=pl.Int32), "time": [hour(1), hour(1)]})
    assert join_features(rows, "time", [lookup], [scores])["score"].to_list() == [1, None]


def test_an_entity_named_by_another_type_is_refused() -> None:
    with pytest.raises(Problem) as caught:
        joined(rows=FLIGHTS.with_columns(origin=pl.int_range(5)))
    assert caught.value.code == "lookup.invalid"


def test_a_column_that_the_rows_have_is_not_overwritten() -> None:
    with pytest.raises(Problem) as caught:
        joined(rows=FLIGHTS.with_columns(wind=0.0))
    assert caught.value.code == "column.exists"


def test_a_number_that_is_none_is_missing_and_a_decimal_a_float() -> None:
    rows = pl.DataFrame({"wind": [float("nan"), 1.0], "paid": pl.Series(["0.10", "2.50"]).cast(pl.Decimal(9, 2))})
    assert feature_rows(rows.lazy()).collect().rows() == [(None, 0.1), (1.0, 2.5)]


moments = st.integers(0, 12).map(hour)
observed = st.lists(
    st.fixed_dictionaries(
        {"origin": st.sampled_from("ABC"), "at": moments, "wind": st.none() | st.integers(0, 99)}
    ),
    max_size=20,
    unique_by=lambda row: (row["origin"], row["at"]),
)  # fmt: skip
asked = st.lists(
    st.fixed_dictionaries({"origin": st.none() | st.sampled_from("ABCD"), "dest": st.sampled_from("ABC"), "time": moments}),
    max_size=12,
)
SCHEMA = {"origin": pl.String(), "dest": pl.String(), "time": pl.Datetime("us", "UTC")}
TABLE = {"origin": pl.String(), "at": pl.Datetime("us", "UTC"), "wind": pl.Int64()}


def by_hand(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], lookup: Lookup) -> object:
    """Return the value that a row meets, found the slow and plain way."""
    known = [one for one in rows if one["origin"] == row[lookup.by[0]] and one["at"] < row["time"]]
    last = max(known, key=lambda one: one["at"], default=None)
    fresh = last is not None and (lookup.max_age_s is None or (row["time"] - last["at"]).total_seconds() <= lookup.max_age_s)
    value = last["wind"] if last is not None and fresh else None
    return lookup.defaults[0] if value is None and lookup.missing is Missing.DEFAULT else value


@given(
    rows=asked, first=observed, second=observed, age=st.none() | st.sampled_from(["1h", "3h"]), default=st.none() | st.just(-1)
)
def test_joins_over_many_tables_are_those_made_by_hand(
    rows: list[dict[str, Any]],
    first: list[dict[str, Any]],
    second: list[dict[str, Any]],
    age: str | None,
    default: int | None,
) -> None:
    missing = None if default is None else {"wind": default}
    lookups = [
        declare_lookup(table("weather"), ["wind"], max_age=age, missing=missing),
        declare_lookup(table("gusts"), ["wind"], by="dest", prefix="dest_"),
    ]
    tables = [pl.DataFrame(one, schema=TABLE) for one in (first, second)]
    found = join_features(pl.DataFrame(rows, schema=SCHEMA), "time", lookups, tables)
    wanted = [(by_hand(row, first, lookups[0]), by_hand(row, second, lookups[1])) for row in rows]
    assert found.select("wind", "dest_wind").rows() == wanted
    assert found.drop("wind", "dest_wind").equals(pl.DataFrame(rows, schema=SCHEMA))


@given(rows=asked, held=observed, late=observed)
def test_what_becomes_known_later_changes_no_row_of_before(
    rows: list[dict[str, Any]], held: list[dict[str, Any]], late: list[dict[str, Any]]
) -> None:
    """No leak: rows of the table from a row's time on are nothing to it, whatever they hold."""
    lookup = declare_lookup(table("weather"), ["wind"])
    frame = pl.DataFrame(rows, schema=SCHEMA)
    latest = frame["time"].max()
    future = [one for one in late if latest is None or one["at"] >= latest]
    before, after = (
        join_features(frame, "time", [lookup], [pl.DataFrame(one, schema=TABLE)]) for one in (held, [*held, *future])
    )
    assert before.equals(after)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"columns": []}, "no column"),
        ({"columns": ["wind", "wind"]}, "twice"),
        ({"columns": ["at"]}, "key or time"),
        ({"by": ["origin", "dest"]}, "named by"),
        ({"missing": "zero"}, "not known"),
        ({"missing": {"gust": 0}}, "defaults for gust"),
    ],
)
def test_a_lookup_that_says_nothing_clear_is_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(Problem, match=why) as caught:
        declare_lookup(table("weather"), **{"columns": ["wind"], **said})
    assert caught.value.code == "lookup.invalid"


@pytest.mark.parametrize("dataset", [table("plain", ("id",), None), table("times", ("at",)), table("keyless", ())])
def test_nothing_is_looked_up_where_no_time_or_no_entity_is(dataset: Dataset) -> None:
    with pytest.raises(Problem) as caught:
        declare_lookup(dataset, ["wind"])
    assert caught.value.code == "lookup.invalid"


@pytest.mark.parametrize(
    ("rows", "schema", "missing", "code"),
    [
        ({"origin": 0, "Wind": 0}, {}, None, "column.exists"),
        ({"dest": 0}, {}, None, "column.missing"),
        ({"origin": 0}, {"wind": "List(Int64)"}, None, "lookup.invalid"),
        ({"origin": 0}, {"origin": "Float64"}, None, "lookup.invalid"),
        ({"origin": 0}, {"wind": "Int64"}, {"wind": 0.5}, "lookup.invalid"),
    ],
)
def test_what_cannot_be_joined_is_told_before_anything_is_read(
    rows: dict[str, Any], schema: dict[str, str], missing: Any, code: str
) -> None:
    lookup = declare_lookup(table("weather"), ["wind"], missing=missing)
    with pytest.raises(Problem) as caught:
        check_lookups([lookup], [(table("weather"), retyped(schema))], rows)
    assert caught.value.code == code


def test_a_lookup_of_a_column_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(Problem, match="did you mean 'wind'"):
        check_lookups([declare_lookup(table("weather"), ["wnd"])], [(table("weather"), retyped({}))], {"origin": 0})


@pytest.mark.parametrize("rest", [{"columns": ()}, {"by": ()}, {"defaults": (1,)}, {"missing": Missing.DEFAULT}])
def test_a_lookup_that_was_put_together_by_hand_is_looked_at(rest: dict[str, Any]) -> None:
    lookup = replace(declare_lookup(table("weather"), ["wind"]), **rest)
    with pytest.raises(Problem) as caught:
        check_lookups([lookup], [(table("weather"), retyped({}))], {"origin": 0})
    assert caught.value.code == "lookup.invalid"


def test_a_table_whose_key_has_become_another_is_refused() -> None:
    lookup = declare_lookup(table("weather"), ["wind"])
    with pytest.raises(Problem, match="declare the lookup anew"):
        check_lookups([lookup], [(table("weather", ("station", "at")), retyped({}))], {"origin": 0})
