"""Expectation suites of Great Expectations, as 0.18 and 1.x write them in JSON."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from modelyard.data.foreign_checks.counterparts import (
    UNIQUE,
    LeftOut,
    NoCounterpart,
    Translated,
    counts,
    ends,
    listed,
    searched,
    translated,
    type_of,
)
from modelyard.data.quality import (
    between,
    distinct_between,
    dtype,
    increasing,
    length_between,
    matches,
    mean_between,
    not_before,
    not_null,
    row_count,
    share_null,
    unique,
    warning,
)
from modelyard.data.types import Check

_IGNORED = {"result_format", "catch_exceptions", "include_config", "batch_id", "auto", "profiler_config", "ignore_row_if"}
_ANYWAY = {
    "expect_column_to_exist": "a batch that lacks a column of its dataset is refused anyway",
    "expect_table_columns_to_match_set": "quality.same_schema() holds a batch to the dataset's own columns",
    "expect_table_columns_to_match_ordered_list": "columns are known by name; quality.same_schema() holds a batch to them",
    "expect_table_column_count_to_equal": "quality.same_schema() holds a batch to the dataset's own columns",
    "expect_table_column_count_to_be_between": "quality.no_new_columns() holds a batch to the dataset's own columns",
}
_COLUMNS = ("column", "column_A", "column_B")
_EACH_BATCH = "here it is about each batch that comes in"
_DIFFERS = {  # by what is in the name of an expectation
    "_count_": _EACH_BATCH,
    "_mean_": _EACH_BATCH,
    "_proportion_": _EACH_BATCH,
    "unique": UNIQUE,
    "pair": "a row where only one of the two is known passes here",
}


def of_suite(expectations: Sequence[Any]) -> Iterator[Translated]:
    """Translate each expectation of a suite."""
    for place, one in enumerate(expectations):
        if not isinstance(one, dict) or not isinstance(one.get("kwargs"), dict):
            yield LeftOut(f"expectation {place + 1}", "it is none: it has no kwargs")
            continue
        kind, given = str(one.get("type") or one.get("expectation_type")), one["kwargs"]
        listed_columns = given.get("column_list")
        columns = listed_columns if isinstance(listed_columns, list) else [given[key] for key in _COLUMNS if key in given]
        name = f"{kind}({', '.join(map(str, columns))})"
        differs = next((told for part, told in _DIFFERS.items() if part in kind), "")
        yield translated(name, differs, _of_expectation, kind, given, str(one.get("severity", "")))


def _of_expectation(kind: str, given: Mapping[str, Any], severity: str) -> Check:
    if kind in _ANYWAY:
        raise NoCounterpart(_ANYWAY[kind])
    if kind not in _EXPECTATIONS:
        raise NoCounterpart("there is no such check here")
    if given.get("row_condition"):
        raise NoCounterpart("it is about some of the rows only (row_condition)")
    parameter = next((key for key, value in given.items() if isinstance(value, dict) and "$PARAMETER" in value), None)
    if parameter is not None:
        raise NoCounterpart(f"its {parameter} is only known when it is run ($PARAMETER)")
    make, names = _EXPECTATIONS[kind]
    known = {key: value for key, value in given.items() if value is not None and key not in _IGNORED}
    mostly = known.pop("mostly", 1)
    if mostly != 1 and kind != "expect_column_values_to_not_be_null":
        why = f"it holds of {mostly:.4g} of the rows (mostly), and a check here of each row; see a dataset's stop_share"
        raise NoCounterpart(why)
    other = sorted(set(known) - names)
    if other:
        raise NoCounterpart(f"there is nothing here for its {', '.join(other)}")
    check = share_null(known["column"], round(1 - mostly, 9)) if mostly != 1 else make(known)
    return warning(check) if severity in ("warning", "info") else check


def _not_before(given: Mapping[str, Any]) -> Check:
    if not given.get("or_equal"):
        raise NoCounterpart("it wants the one above the other, and quality.not_before lets both be equal")
    return not_before(given["column_A"], given["column_B"])


def _share_known(given: Mapping[str, Any]) -> Check:
    if given.get("strict_min") or given.get("max_value", 1) < 1:
        raise NoCounterpart("it wants a share of nulls that is not only bounded above")
    return share_null(given["column"], round(1 - given["min_value"], 9))


_RANGE = {"column", "min_value", "max_value", "strict_min", "strict_max"}
_EXPECTATIONS: Mapping[str, tuple[Callable[[Mapping[str, Any]], Check], set[str]]] = {
    "expect_column_values_to_not_be_null": (lambda given: not_null(given["column"]), {"column"}),
    "expect_column_values_to_be_unique": (lambda given: unique(given["column"]), {"column"}),
    "expect_compound_columns_to_be_unique": (lambda given: unique(*given["column_list"]), {"column_list"}),
    "expect_column_values_to_be_between": (lambda given: between(given["column"], *ends(given)), _RANGE),
    "expect_column_values_to_be_in_set": (lambda given: listed(given["column"], given["value_set"]), {"column", "value_set"}),
    "expect_column_distinct_values_to_be_in_set": (
        lambda given: listed(given["column"], given["value_set"]),
        {"column", "value_set"},
    ),
    "expect_column_values_to_match_regex": (
        lambda given: matches(given["column"], searched(given["regex"])),
        {"column", "regex"},
    ),
    "expect_column_value_lengths_to_be_between": (lambda given: length_between(given["column"], *counts(given)), _RANGE),
    "expect_column_value_lengths_to_equal": (
        lambda given: length_between(given["column"], given["value"], given["value"]),
        {"column", "value"},
    ),
    "expect_column_values_to_be_of_type": (lambda given: dtype(given["column"], type_of(given["type_"])), {"column", "type_"}),
    "expect_column_values_to_be_increasing": (
        lambda given: increasing(given["column"], strictly=bool(given.get("strictly"))),
        {"column", "strictly"},
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": (_not_before, {"column_A", "column_B", "or_equal"}),
    "expect_table_row_count_to_be_between": (lambda given: row_count(*counts(given)), _RANGE - {"column"}),
    "expect_table_row_count_to_equal": (lambda given: row_count(given["value"], given["value"]), {"value"}),
    "expect_column_mean_to_be_between": (lambda given: mean_between(given["column"], *ends(given)), _RANGE),
    "expect_column_unique_value_count_to_be_between": (
        lambda given: distinct_between(given["column"], *counts(given)),
        _RANGE,
    ),
    "expect_column_proportion_of_non_null_values_to_be_between": (_share_known, _RANGE),
}
