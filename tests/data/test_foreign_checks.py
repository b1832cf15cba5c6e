"""Checks from files that the real packages wrote, of one suite or schema of flights with each of them.

`checks/great_expectations-VERSION.json` is `json.dumps(suite.to_json_dict(), indent=1)` of an `ExpectationSuite` to which
0.18.22 added `ExpectationConfiguration`s, and 1.24.1 expectations of `great_expectations.expectations`.
`checks/pandera-VERSION.yaml` and `.json` are what `schema.to_yaml()` and `schema.to_json(indent=1)` gave for one pandas
`DataFrameSchema` in pandera 0.20.4, 0.26.1 and 0.35.0, the last of which wrote `-polars.json` for one of `pandera.polars`.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.data import quality
from modelyard.data.findings import find
from modelyard.data.foreign_checks import Imported, LeftOut, fitted, read_checks

FILES = Path(__file__).parent / "checks"
NOW = datetime(2013, 4, 1, tzinfo=UTC)


def imported(name: str) -> Imported:
    return read_checks((FILES / name).read_text(encoding="utf-8"))


def code(found: Imported) -> dict[str, str]:
    """Return the code of each check by the name that the other package calls it by."""
    return {one.name: quality.code_of(one.check) for one in found.taken}


def test_a_suite_of_great_expectations_0_18_is_taken_over() -> None:
    found = imported("great_expectations-0.18.22.json")
    assert [quality.code_of(check) for check in found.checks] == [
        "quality.not_null('origin')",
        "quality.share_null('dep_delay', 0.05)",
        "quality.unique('flight_id')",
        "quality.unique('carrier', 'flight', 'sched_dep_time')",
        "quality.between('distance', 0, 5000)",
        "quality.between('air_time', 5e-324, None)",
        "quality.one_of('origin', ['EWR', 'JFK', 'LGA'])",
        "quality.matches('tailnum', 'N[0-9A-Z]+')",
        "quality.matches('carrier', '(?s:.*)(?:[A-Z0-9]{2})(?s:.*)')",
        "quality.length_between('carrier', 2, 2)",
        "quality.length_between('dest', 3, 4)",
        "quality.dtype('distance', 'Int64')",
        "quality.increasing('time_hour')",
        "quality.not_before('arr_time', 'dep_time')",
        "quality.row_count(100, 100000)",
        "quality.row_count(336776, 336776)",
        "quality.mean_between('dep_delay', 5, 20)",
        "quality.distinct_between('carrier', 10, 20)",
        "quality.between('time_hour', date.fromisoformat('2013-01-01'), datetime.fromisoformat('2013-12-31T23:00:00'))",
    ]
    differing = {one.name.partition("(")[0]: one.differs for one in found.taken if one.differs}
    assert "passes here" in differing["expect_column_values_to_be_unique"]
    assert "each batch" in differing["expect_table_row_count_to_equal"]
    assert "expect_column_values_to_not_be_null" not in differing


def test_what_has_no_counterpart_is_listed_by_name_with_why() -> None:
    assert imported("great_expectations-0.18.22.json").left_out == (
        LeftOut(
            "expect_column_values_to_be_between(hour)",
            "it holds of 0.99 of the rows (mostly), and a check here of each row; see a dataset's stop_share",
        ),
        LeftOut(
            "expect_column_pair_values_a_to_be_greater_than_b(sched_arr_time, sched_dep_time)",
            "it wants the one above the other, and quality.not_before lets both be equal",
        ),
        LeftOut("expect_column_to_exist(origin)", "a batch that lacks a column of its dataset is refused anyway"),
        LeftOut("expect_table_columns_to_match_set()", "quality.same_schema() holds a batch to the dataset's own columns"),
        LeftOut("expect_column_kl_divergence_to_be_less_than(origin)", "there is no such check here"),
        LeftOut("expect_column_values_to_not_be_null(arr_time)", "it is about some of the rows only (row_condition)"),
    )


def test_a_suite_of_great_expectations_1_keeps_its_severities() -> None:
    found = imported("great_expectations-1.24.1.json")
    told = [quality.code_of(check) for check in found.checks]
    assert told[1] == "quality.warning(quality.share_null('dep_delay', 0.05))"
    assert told[4] == "quality.warning(quality.between('distance', 0.0, 5000.0))"
    assert told[-2:] == ["quality.distinct_between('carrier', 10, 20)", "quality.share_null('dep_delay', 0.1)"]
    assert len(told) == 15
    assert {one.name: one.why for one in found.left_out} == {
        "expect_column_mean_to_be_between(dep_delay)": "its min_value is only known when it is run ($PARAMETER)",
        "expect_column_median_to_be_between(dep_delay)": "there is no such check here",
        "expect_column_to_exist(origin)": "a batch that lacks a column of its dataset is refused anyway",
        "unexpected_rows_expectation()": "there is no such check here",
    }


@pytest.mark.parametrize("name", ["pandera-0.20.4.yaml", "pandera-0.26.1.yaml", "pandera-0.35.0.yaml", "pandera-0.35.0.json"])
def test_a_schema_of_pandera_is_taken_over_in_each_of_its_forms(name: str) -> None:
    found = imported(name)
    told = code(found)
    late = "quality.between('dep_delay', -120, None)"
    assert told["greater_than_or_equal_to(dep_delay)"] == (late if "0.20" in name else f"quality.warning({late})")
    assert {key: told[key] for key in told if not key.startswith(("dtype", "nullable")) and "dep_delay" not in key} == {
        "unique(flight_id)": "quality.unique('flight_id')",
        "isin(origin)": "quality.one_of('origin', ['EWR', 'JFK', 'LGA'])",
        "str_length(carrier)": "quality.length_between('carrier', 2, 2)",
        "str_length(dest)": "quality.length_between('dest', 3, None)",
        "str_matches(tailnum)": "quality.matches('tailnum', 'N[0-9A-Z]+')",
        "str_startswith(gate)": "quality.matches('gate', 'G(?s:.*)')",
        "in_range(distance)": "quality.between('distance', 0, 5000)",
        "greater_than(air_time)": "quality.between('air_time', 5e-324, None)",
        "less_than(air_time)": "quality.between('air_time', None, 999.9999999999999)",
        "greater_than_or_equal_to(hour)": "quality.between('hour', 0, None)",
        "less_than_or_equal_to(hour)": "quality.between('hour', None, 23)",
        "equal_to(status)": "quality.one_of('status', ['flown'])",
        "unique(carrier, flight_id)": "quality.unique('carrier', 'flight_id')",
        "strict": "quality.no_new_columns()",
    }
    assert told["dtype(time_hour)"] == "quality.dtype('time_hour', \"Datetime(time_unit='us', time_zone='UTC')\")"
    assert "nullable=False(seats)" in told
    assert "nullable=False(tailnum)" not in told
    assert [one.differs for one in found.taken if "gate" in one.name] == [
        "the column has to be there, and pandera lets it be absent"
    ] * 2
    assert found.left_out == (LeftOut("notin(notes)", "there is no such check here"),)


def test_a_schema_of_polars_frames_keeps_its_types_and_excluded_ends() -> None:
    told = code(imported("pandera-0.35.0-polars.json"))
    assert told["dtype(day)"] == "quality.dtype('day', 'Date')"
    assert told["in_range(distance)"] == "quality.between('distance', 0, 4999)", "5000 is left out of whole numbers"
    assert told["greater_than_or_equal_to(air_time)"] == "quality.between('air_time', 0, None)"


def test_what_does_not_fit_the_rows_held_is_left_out_with_why() -> None:
    rows = pl.DataFrame({"flight_id": ["a"], "origin": [1], "distance": ["far"], "air_time": [1.0]})
    found = fitted(imported("pandera-0.35.0-polars.json"), rows, NOW)
    assert {one.name for one in found.taken} == {
        "dtype(flight_id)", "nullable=False(flight_id)", "unique(flight_id)", "nullable=False(origin)",
        "nullable=False(distance)", "dtype(air_time)", "greater_than_or_equal_to(air_time)", "strict",
    }  # fmt: skip
    why = {one.name: one.why for one in found.left_out}
    assert why["dtype(origin)"] == "the dataset has it as Int64"
    assert why["isin(origin)"].endswith("the column's values are Int64")
    assert "There is no column 'day'" in why["dtype(day)"]
    assert len(found.taken) + len(found.left_out) == len(imported("pandera-0.35.0-polars.json").taken)


@pytest.mark.parametrize(
    ("pattern", "anywhere", "text", "passes"),
    [
        ("^N[0-9]+$", True, "N12", True),
        ("^N[0-9]+$", True, "xN12", False),
        ("N[0-9]", True, "a\nN12b", True),
        ("^a|b$", True, "xxb", True),
        ("^a|b$", True, "xba", False),
        (r"^a\\$", True, r"a$b", False),
        (r"^cost\$", True, "cost$ and more", True),
        ("a|b", False, "bc", True),
        ("a|b", False, "cb", False),
        ("N[0-9]+$", False, "N12", True),
        ("N[0-9]+$", False, "N12x", False),
    ],
)
def test_a_pattern_keeps_what_it_is_searched_in(pattern: str, anywhere: bool, text: str, passes: bool) -> None:
    check = {"str_contains" if anywhere else "str_matches": pattern}
    found = read_checks(json.dumps({"columns": {"x": {"nullable": True, **check}}}))
    failed = find(pl.DataFrame({"x": [text]}), found.checks, now=NOW).failed.height
    assert failed == (0 if passes else 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no object"),
        ("[1, 2]", "holds no object"),
        ("{", "neither JSON nor YAML"),
        ("a: b: c", "neither JSON nor YAML"),
        ('{"columns": []}', "neither `expectations` nor `columns`"),
        ("x: !!python/object:os.system {}", "neither JSON nor YAML"),
    ],
)
def test_a_file_without_checks_is_refused(text: str, told: str) -> None:
    with pytest.raises(Problem, match=told) as caught:
        read_checks(text)
    assert caught.value.code == "checks.invalid"


documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
KINDS = (
    "expect_column_values_to_be_between", "expect_column_values_to_match_regex", "expect_column_values_to_be_in_set",
    "expect_table_row_count_to_equal", "expect_compound_columns_to_be_unique", "expect_column_values_to_be_of_type",
)  # fmt: skip
KEYS = ("column", "min_value", "max_value", "regex", "value_set", "value", "column_list", "type_", "mostly", "strict_min")


@given(
    st.lists(
        st.fixed_dictionaries({"type": st.sampled_from(KINDS), "kwargs": st.dictionaries(st.sampled_from(KEYS), documents)})
    )
)
def test_whatever_an_expectation_says_it_is_taken_or_left_out(expectations: list[dict[str, object]]) -> None:
    found = read_checks(json.dumps({"expectations": expectations}))
    assert len(found.taken) + len(found.left_out) == len(expectations)
    assert [quality.verify(check) for check in found.checks] == list(found.checks)


COLUMN = ("dtype", "nullable", "checks", "in_range", "isin", "str_length", "str_matches", "greater_than", "required", "unique")


@given(
    st.dictionaries(st.text(max_size=3), st.one_of(documents, st.dictionaries(st.sampled_from(COLUMN), documents)), max_size=3)
)
def test_whatever_a_column_says_it_is_taken_or_left_out(columns: dict[str, object]) -> None:
    found = read_checks(json.dumps({"columns": columns}))
    assert [quality.verify(check) for check in found.checks] == list(found.checks)
