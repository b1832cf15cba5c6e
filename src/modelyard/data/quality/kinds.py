"""The kinds of checks: what each is about, and which parameters it takes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from math import isfinite

import polars as pl

from modelyard.core import Json, Problem, canonical_json, nearest, to_text
from modelyard.core.spans import span_s
from modelyard.data.schema import STORED_NAMES
from modelyard.data.types import Check, CheckOutcome, Severity

NOW = "now"
Bound = float | date | datetime


class Scope(Enum):
    """What a check judges."""

    ROW = "row"  # each row by itself, or beside the other rows of its batch: some rows fail and others do not
    BATCH = "batch"  # the batch as a whole, by its rows alone
    DATASET = "dataset"  # the batch as a whole, beside what the dataset holds already


def told(check: Check) -> str:
    """Return what a person calls the check.

    >>> told(Check("matches", ("tailnum",), {"pattern": "N.*"}))
    "matches(tailnum, pattern='N.*')"
    """
    told_params = [f"{name}={value!r}" for name, value in sorted(check.params.items(), key=lambda item: item[0] == "high")]
    return f"{check.kind}({', '.join([*check.columns, *told_params])})"


def told_failures(outcomes: Iterable[CheckOutcome]) -> str:
    """Return what a person is told of the checks that failed and do more than warn."""
    failed = [one for one in outcomes if one.rows_failed and one.check.severity is not Severity.WARNING]
    return "; ".join(f"{told(one.check)} fails: {one.found or f'{one.rows_failed:,} rows'}" for one in failed)


def check_columns(check: Check) -> tuple[str, ...]:
    """Return every column that the check looks at: its own, and one that it compares with."""
    other = check.params.get("column")
    return check.columns if other is None else (*check.columns, str(other))


def scope_of(check: Check) -> Scope:
    """Return what the check judges; of a kind that is not known, rows."""
    return _KINDS[check.kind].scope if check.kind in _KINDS else Scope.ROW


def verify(check: Check) -> Check:
    """Return the check when it is one that can be evaluated; for those that come from outside.

    Raises
    ------
    Problem
        `check.invalid` for an unknown kind, no or too many columns, or parameters that are missing, unknown or of no use; and
        for a check of a whole batch that would quarantine single rows.
    """
    if check.kind not in _KINDS:
        near = nearest(check.kind, _KINDS)
        raise _invalid(check, f"did you mean '{near[0]}'?" if near else f"there is {', '.join(_KINDS)}")
    kind = _KINDS[check.kind]
    if kind.columns == 0 and check.columns:
        raise _invalid(check, "it names a column, and is about the batch")
    if kind.columns != 0 and (not check.columns or not all(check.columns)):
        raise _invalid(check, "it names no column")
    if kind.columns == 1 and len(check.columns) > 1:
        raise _invalid(check, "it is about one column")
    if kind.scope is not Scope.ROW and check.severity is Severity.ERROR:
        why = "it judges a batch as a whole, and so cannot quarantine single rows"
        raise _invalid(check, why, "let it block the batch (severity `block`) or warn (`warning`)")
    try:
        canonical_json(dict(check.params))
    except (TypeError, ValueError) as error:
        raise _invalid(check, f"its parameters are no JSON: {error}") from error
    kind.check(check)
    return check


def verify_alone(check: Check) -> Check:
    """Return the check when it can judge rows that no dataset stands beside, as those of a run. Raises as `verify`."""
    if scope_of(verify(check)) is Scope.DATASET:
        why = "it compares a batch with what its dataset holds, and the rows of a run are no batch"
        raise Problem("check.invalid", f"A pipeline cannot promise {told(check)}", why, "give the check to the dataset")
    return check


def plain(bound: Bound | None) -> Json:
    """Return an end of a range as JSON. A naive time stays naive: only the column knows its zone."""
    if isinstance(bound, datetime):
        return to_text(bound) if bound.tzinfo else bound.isoformat()
    return bound.isoformat() if isinstance(bound, date) else bound


def _nothing(check: Check) -> None:
    if check.params:
        raise _invalid(check, f"it takes no parameters, and has {', '.join(check.params)}")


def _range(check: Check) -> None:
    _only(check, {"low", "high"})
    ends = [check.params["low"], check.params["high"]]
    known = [end for end in ends if end is not None]
    if not known:
        raise _invalid(check, "it has neither end")
    if len({isinstance(end, str) for end in known}) > 1 or not all(_is_number(end) or isinstance(end, str) for end in known):
        raise _invalid(check, "its ends are two numbers or two times")
    if len(known) == len(ends) and known[0] > known[1]:
        raise _invalid(check, "its low end is above its high end")


def _numbers(check: Check) -> None:
    _range(check)
    if not all(end is None or _is_number(end) for end in check.params.values()):
        raise _invalid(check, "its ends are numbers")


def _counts(check: Check) -> None:
    _range(check)
    if not all(end is None or (isinstance(end, int) and end >= 0) for end in check.params.values()):
        raise _invalid(check, "its ends are whole numbers from 0")


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


def _factor(check: Check) -> None:
    _only(check, {"factor"})
    if not _is_number(check.params["factor"]) or not 1 < check.params["factor"] < float("inf"):
        raise _invalid(check, "its factor is a number above 1")


def _within(check: Check) -> None:
    _only(check, {"within"})
    try:
        span_s(str(check.params["within"]))
    except Problem as problem:
        raise _invalid(check, problem.what, problem.next_step) from problem


def _most(check: Check) -> None:
    _only(check, {"most"})
    if not _is_number(check.params["most"]) or not 0 <= check.params["most"] < 1:
        raise _invalid(check, "`most` is a share of the rows, from 0 to below 1")


def _dtype(check: Check) -> None:
    _only(check, {"dtype"})
    name = str(check.params["dtype"]).partition("(")[0]
    if name not in STORED_NAMES:
        near = nearest(name, STORED_NAMES)
        why = f"did you mean '{near[0]}'?" if near else f"there is {', '.join(STORED_NAMES)}"
        raise _invalid(check, f"a dataset has no columns of the type {name}; {why}")


def _only(check: Check, names: set[str]) -> None:
    if set(check.params) != names:
        raise _invalid(check, f"its parameters are {', '.join(sorted(names))}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _invalid(check: Check, why: str, step: str = "see modelyard.data.quality") -> Problem:
    return Problem("check.invalid", f"The check {told(check)} cannot be evaluated", why, step)


@dataclass(frozen=True)
class _Kind:
    """What a kind of check judges, of how many columns (None: one or more), and what looks at its parameters."""

    scope: Scope
    columns: int | None
    check: Callable[[Check], None]


_KINDS: Mapping[str, _Kind] = {
    "not_null": _Kind(Scope.ROW, None, _nothing),
    "unique": _Kind(Scope.ROW, None, _nothing),
    "finite": _Kind(Scope.ROW, None, _nothing),
    "between": _Kind(Scope.ROW, 1, _range),
    "length_between": _Kind(Scope.ROW, 1, _counts),
    "one_of": _Kind(Scope.ROW, 1, _values),
    "matches": _Kind(Scope.ROW, 1, _pattern),
    "not_after": _Kind(Scope.ROW, 1, _one_limit),
    "not_before": _Kind(Scope.ROW, 1, _one_limit),
    "increasing": _Kind(Scope.ROW, 1, _strictly),
    "row_count": _Kind(Scope.BATCH, 0, _counts),
    "row_count_like_history": _Kind(Scope.DATASET, 0, _factor),
    "fresh": _Kind(Scope.BATCH, 1, _within),
    "no_new_columns": _Kind(Scope.DATASET, 0, _nothing),
    "same_schema": _Kind(Scope.DATASET, 0, _nothing),
    "dtype": _Kind(Scope.BATCH, 1, _dtype),
    "share_null": _Kind(Scope.BATCH, 1, _most),
    "mean_between": _Kind(Scope.BATCH, 1, _numbers),
    "distinct_between": _Kind(Scope.BATCH, 1, _counts),
}
