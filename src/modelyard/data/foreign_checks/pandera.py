"""Schemas of pandera, as `to_json` and `to_yaml` write them, of pandas and of Polars frames."""

import re
from collections.abc import Callable, Iterator, Mapping
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
from modelyard.data.quality import between, dtype, length_between, matches, no_new_columns, not_null, unique, warning
from modelyard.data.types import Check

_TRUE_WITHOUT = {
    "ordered": "columns are known by name, not by place",
    "unique_column_names": "the columns of a dataset have different names anyway",
    "add_missing_columns": "a batch brings its columns, or is refused",
    "drop_invalid_rows": "rows that fail a check are quarantined, not dropped",
    "index": "datasets have no index",
    "multiindex": "datasets have no index",
    "checks": "it judges a whole frame",
    "dtype": "types are those of each column",
}
_OF_A_COLUMN = {
    "title", "description", "dtype", "nullable", "checks", "name", "unique", "coerce", "required", "regex", "default",
    "report_duplicates", "drop_invalid_rows", "metadata",
}  # fmt: skip
_OPTIONS = {"check_name", "ignore_na", "raise_warning", "n_failure_cases", "groupby", "groups", "error", "name"}


def of_schema(document: Mapping[str, Any]) -> Iterator[Translated]:
    """Translate what a schema says of its columns and of the whole."""
    for name, column in document["columns"].items():
        if not isinstance(column, dict) or column.get("regex"):
            yield LeftOut(f"Column({name})", "its name is a pattern" if column else "it says nothing")
            continue
        yield from _of_column(str(name), column)
    if document.get("unique"):
        names = [document["unique"]] if isinstance(document["unique"], str) else document["unique"]
        yield translated(f"unique({', '.join(map(str, names))})", UNIQUE, unique, *names)
    if document.get("strict") == "filter":
        yield LeftOut("strict='filter'", "no column of a batch is left out; quality.no_new_columns() stops the batch")
    elif document.get("strict"):
        yield translated("strict", "", no_new_columns)
    yield from (LeftOut(name, why) for name, why in _TRUE_WITHOUT.items() if document.get(name))


def _of_column(name: str, column: Mapping[str, Any]) -> Iterator[Translated]:
    there = "" if column.get("required", True) else "the column has to be there, and pandera lets it be absent"
    if column.get("dtype") is not None:
        yield translated(f"dtype({name})", there, _dtype, name, str(column["dtype"]))
    if not column.get("nullable"):
        yield translated(f"nullable=False({name})", there, not_null, name)
    if column.get("unique"):
        yield translated(f"unique({name})", UNIQUE, unique, name)
    if column.get("default") is not None:
        yield LeftOut(f"default({name})", "a preparation fills values in: prep.fill_null")
    if column.get("drop_invalid_rows"):
        yield LeftOut(f"drop_invalid_rows({name})", _TRUE_WITHOUT["drop_invalid_rows"])
    held = _held(str(column.get("dtype")))
    for kind, given, options in _checks_of(column):
        differs = there if options.get("ignore_na", True) else "null passes here"
        yield translated(f"{kind}({name})", differs, _of_check, name, kind, given, held, options)


def _dtype(column: str, name: str) -> Check:
    return dtype(column, type_of(name))


def _checks_of(column: Mapping[str, Any]) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Give each check of a column by name, with its value (several by name) and options, in any of pandera's three forms.

    0.20 wrote `checks` as an object by name, 0.26 as a list whose `options` name each, and 0.35 makes each check a key of the
    column.
    """
    written = column.get("checks")
    if isinstance(written, list):
        for one in written:
            stated = one if isinstance(one, dict) else {"value": one}
            options = _options(stated)
            yield str(options.get("check_name")), _value({key: one for key, one in stated.items() if key != "options"}), options
        return
    known = written if isinstance(written, dict) else {key: value for key, value in column.items() if key not in _OF_A_COLUMN}
    for kind, value in known.items():
        stated = value if isinstance(value, dict) else {"value": value}
        options = {**_options(stated), **{key: one for key, one in stated.items() if key in _OPTIONS}}
        yield kind, _value({key: one for key, one in stated.items() if key not in _OPTIONS | {"options"}}), options


def _options(stated: Mapping[str, Any]) -> Mapping[str, Any]:
    options = stated.get("options")
    return options if isinstance(options, dict) else {}


def _value(stated: Mapping[str, Any]) -> Any:
    return next(iter(stated.values())) if len(stated) == 1 else stated


def _of_check(column: str, kind: str, value: Any, held: str, options: Mapping[str, Any]) -> Check:
    if options.get("groupby"):
        raise NoCounterpart("it judges groups of rows (groupby)")
    if kind in _RANGES:
        check = between(column, *ends(_RANGES[kind](value), held))
    elif kind in _OTHERS:
        check = _OTHERS[kind](column, value)
    else:
        raise NoCounterpart("there is no such check here")
    return warning(check) if options.get("raise_warning") else check


def _held(dtype_name: str) -> str:
    """Return the type in which a dataset keeps a column; of one that is not known, the widest of numbers."""
    try:
        return type_of(dtype_name)
    except NoCounterpart:
        return "Float64"


def _in_range(value: Mapping[str, Any]) -> dict[str, Any]:
    return {**value, "strict_min": not value.get("include_min", True), "strict_max": not value.get("include_max", True)}


def _str_length(column: str, value: Any) -> Check:
    if not isinstance(value, dict):
        return length_between(column, value, value)
    exact = value.get("exact_value")
    return length_between(column, exact, exact) if exact is not None else length_between(column, *counts(value))


def _matched(regex: str) -> str:
    """Return the pattern whose whole match is a match of `regex` from the start of a text, as Python's `re.match` has it."""
    whole = re.fullmatch(r"\^?([^|^$]*[^|^$\\])\$", regex)
    return whole[1] if whole else f"(?:{regex})(?s:.*)"


_RANGES: Mapping[str, Callable[[Any], Mapping[str, Any]]] = {
    "greater_than": lambda value: {"min_value": value, "strict_min": True},
    "greater_than_or_equal_to": lambda value: {"min_value": value},
    "less_than": lambda value: {"max_value": value, "strict_max": True},
    "less_than_or_equal_to": lambda value: {"max_value": value},
    "in_range": _in_range,
}
_OTHERS: Mapping[str, Callable[[str, Any], Check]] = {
    "equal_to": lambda column, value: listed(column, [value]),
    "isin": listed,
    "str_length": _str_length,
    "str_matches": lambda column, value: matches(column, _matched(value)),
    "str_contains": lambda column, value: matches(column, searched(value)),
    "str_startswith": lambda column, value: matches(column, f"{re.escape(value)}(?s:.*)"),
    "str_endswith": lambda column, value: matches(column, f"(?s:.*){re.escape(value)}"),
}
