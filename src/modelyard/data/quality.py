"""Promises about rows: each function returns a `Check`, to give to a dataset or a pipeline.

What a row's value does in each kind of check:

- null passes every check but `not_null`: a promise about values says nothing of a value that is not known;
- NaN is no value: it fails `not_null`, `finite`, `between`, `not_after` and `not_before`, and passes `one_of` only when listed;
- of rows that are alike, `unique` lets the first one pass; rows with a null among the columns are not compared.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

import polars as pl

from modelyard.core import Json, Problem, canonical_json, nearest, to_text
from modelyard.data.types import Check, Severity

NOW = "now"
Bound = float | date | datetime


def not_null(*columns: str) -> Check:
    """Every one of `columns` has a value.

    >>> told(not_null("id", "origin"))
    'not_null(id, origin)'
    """
    return _checked(Check("not_null", columns))


def unique(*columns: str) -> Check:
    """No two rows of a batch have the same values in all of `columns`."""
    return _checked(Check("unique", columns))


def finite(*columns: str) -> Check:
    """Every value is a number, and not infinite."""
    return _checked(Check("finite", columns))


def between(column: str, low: Bound | None, high: Bound | None) -> Check:
    """Values lie from `low` to `high`, both included; None leaves an end open.

    >>> told(between("tenure", 0, 600))
    'between(tenure, low=0, high=600)'
    """
    return _checked(Check("between", (column,), {"low": _plain(low), "high": _plain(high)}))


def one_of(column: str, values: Sequence[str | int | float | bool]) -> Check:
    """Values are among `values`."""
    return _checked(Check("one_of", (column,), {"values": list(values)}))


def matches(column: str, pattern: str) -> Check:
    """Texts match the regular expression `pattern` as a whole (in the syntax of Rust's `regex`: no look-around)."""
    return _checked(Check("matches", (column,), {"pattern": pattern}))


def not_after(column: str, limit: str | Bound) -> Check:
    """Values are not above `limit`: a value, `"now"` (the platform's clock), or the name of another column.

    >>> told(not_after("dep_time", "now"))
    "not_after(dep_time, limit='now')"
    """
    return _checked(Check("not_after", (column,), _limit(limit)))


def not_before(column: str, limit: str | Bound) -> Check:
    """Values are not below `limit`: a value, `"now"` (the platform's clock), or the name of another column."""
    return _checked(Check("not_before", (column,), _limit(limit)))


def increasing(column: str, *, strictly: bool = False) -> Check:
    """No value is below the one before it in the batch (nor equal, when `strictly`)."""
    return _checked(Check("increasing", (column,), {"strictly": strictly}))


def warning(check: Check) -> Check:
    """Return the check as one that lets rows in: its outcome is kept, and that is all."""
    return replace(check, severity=Severity.WARNING)


def told(check: Check) -> str:
    """Return what a person calls the check.

    >>> told(Check("matches", ("tailnum",), {"pattern": "N.*"}))
    "matches(tailnum, pattern='N.*')"
    """
    told_params = [f"{name}={value!r}" for name, value in sorted(check.params.items(), key=lambda item: item[0] == "high")]
    return f"{check.kind}({', '.join([*check.columns, *told_params])})"


def check_columns(check: Check) -> tuple[str, ...]:
    """Return every column that the check looks at: its own, and one that it compares with."""
    other = check.params.get("column")
    return check.columns if other is None else (*check.columns, str(other))


def verify(check: Check) -> Check:
    """Return the check when it is one that can be evaluated; for those that come from outside.

    Raises
    ------
    Problem
        `check.invalid` for an unknown kind, no or too many columns, or parameters that are missing, unknown or of no use.
    """
    known = _PARAMS.get(check.kind)
    if known is None:
        near = nearest(check.kind, _PARAMS)
        raise _invalid(check, f"did you mean '{near[0]}'?" if near else f"there is {', '.join(_PARAMS)}")
    return _checked(check)


def _checked(check: Check) -> Check:
    if not check.columns or not all(check.columns):
        raise _invalid(check, "it names no column")
    if check.kind not in _SEVERAL and len(check.columns) > 1:
        raise _invalid(check, "it is about one column")
    try:
        canonical_json(dict(check.params))
    except (TypeError, ValueError) as error:
        raise _invalid(check, f"its parameters are no JSON: {error}") from error
    _PARAMS[check.kind](check)
    return check


def _nothing(check: Check) -> None:
    if check.params:
        raise _invalid(check, f"it takes no parameters, and has {', '.join(check.params)}")


def _range(check: Check) -> None:
    _only(check, {"low", "high"})
    ends = [check.params["low"], check.params["high"]]
    known = [end for end in ends if end is not None]
    if not known:
        raise _invalid(check, "it has neither end")
    if len({isinstance(end, str) for end in known}) > 1 or any(isinstance(end, bool) for end in known):
        raise _invalid(check, "its ends are two numbers or two times")
    if len(known) == len(ends) and known[0] > known[1]:
        raise _invalid(check, "its low end is above its high end")


def _values(check: Check) -> None:
    _only(check, {"values"})
    if not isinstance(check.params["values"], list | tuple) or not check.params["values"]:
        raise _invalid(check, "it lists no values")


def _pattern(check: Check) -> None:
    _only(check, {"pattern"})
    try:
        pl.Series([""]).str.contains(str(check.params["pattern"]))
    except pl.exceptions.PolarsError as error:
        raise _invalid(check, str(error).strip().splitlines()[-1]) from error


def _one_limit(check: Check) -> None:
    if len(check.params) != 1 or not set(check.params) <= {"limit", "column"}:
        raise _invalid(check, "it has one limit: a value, 'now' or a column")


def _strictly(check: Check) -> None:
    _only(check, {"strictly"})
    if not isinstance(check.params["strictly"], bool):
        raise _invalid(check, "`strictly` is true or false")


def _only(check: Check, names: set[str]) -> None:
    if set(check.params) != names:
        raise _invalid(check, f"its parameters are {', '.join(sorted(names))}")


def _limit(limit: str | Bound) -> Mapping[str, Json]:
    if isinstance(limit, str) and limit != NOW:
        return {"column": limit}
    return {"limit": limit if isinstance(limit, str) else _plain(limit)}


def _plain(bound: Bound | None) -> Json:
    if isinstance(bound, datetime):
        # A naive time stays naive: only the column knows its zone.
        return to_text(bound) if bound.tzinfo else bound.isoformat()
    return bound.isoformat() if isinstance(bound, date) else bound


def _invalid(check: Check, why: str) -> Problem:
    return Problem("check.invalid", f"The check {told(check)} cannot be evaluated", why, "see modelyard.data.quality")


_SEVERAL = ("not_null", "unique", "finite")
_PARAMS: Mapping[str, Callable[[Check], None]] = {
    "not_null": _nothing,
    "unique": _nothing,
    "finite": _nothing,
    "between": _range,
    "one_of": _values,
    "matches": _pattern,
    "not_after": _one_limit,
    "not_before": _one_limit,
    "increasing": _strictly,
}
