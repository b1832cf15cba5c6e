"""Promises about each row: what fails them is quarantined, unless the check is only to warn, or to block the whole batch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from modelyard.core import Json
from modelyard.data.quality.kinds import NOW, Bound, plain, verify
from modelyard.data.types import Check, Severity


def not_null(*columns: str) -> Check:
    """Every one of `columns` has a value.

    >>> not_null("id", "origin").columns
    ('id', 'origin')
    """
    return verify(Check("not_null", columns))


def unique(*columns: str) -> Check:
    """No two rows of a batch have the same values in all of `columns`."""
    return verify(Check("unique", columns))


def finite(*columns: str) -> Check:
    """Every value is a number, and not infinite."""
    return verify(Check("finite", columns))


def between(column: str, low: Bound | None, high: Bound | None) -> Check:
    """Values lie from `low` to `high`, both included; None leaves an end open.

    >>> between("tenure", 0, 600).params
    {'low': 0, 'high': 600}
    """
    return verify(Check("between", (column,), {"low": plain(low), "high": plain(high)}))


def length_between(column: str, low: int | None, high: int | None) -> Check:
    """Texts have from `low` to `high` characters (lists: values), both included; None leaves an end open."""
    return verify(Check("length_between", (column,), {"low": low, "high": high}))


def one_of(column: str, values: Sequence[str | int | float | bool]) -> Check:
    """Values are among `values`."""
    return verify(Check("one_of", (column,), {"values": list(values)}))


def matches(column: str, pattern: str) -> Check:
    """Texts match the regular expression `pattern` as a whole (in the syntax of Rust's `regex`: no look-around)."""
    return verify(Check("matches", (column,), {"pattern": pattern}))


def not_after(column: str, limit: str | Bound) -> Check:
    """Values are not above `limit`: a value, `"now"` (the platform's clock), or the name of another column.

    >>> not_after("dep_time", "now").params, not_after("dep_time", "arr_time").params
    ({'limit': 'now'}, {'column': 'arr_time'})
    """
    return verify(Check("not_after", (column,), _limit(limit)))


def not_before(column: str, limit: str | Bound) -> Check:
    """Values are not below `limit`: a value, `"now"` (the platform's clock), or the name of another column."""
    return verify(Check("not_before", (column,), _limit(limit)))


def increasing(column: str, *, strictly: bool = False) -> Check:
    """No value is below the one before it in the batch (nor equal, when `strictly`)."""
    return verify(Check("increasing", (column,), {"strictly": strictly}))


def warning(check: Check) -> Check:
    """Return the check as one that lets rows in: its outcome is kept, and that is all."""
    return replace(check, severity=Severity.WARNING)


def blocking(check: Check) -> Check:
    """Return the check as one that stops a whole batch where a single row fails it: all rows go to quarantine."""
    return replace(check, severity=Severity.BLOCK)


def _limit(limit: str | Bound) -> Mapping[str, Json]:
    if isinstance(limit, str) and limit != NOW:
        return {"column": limit}
    return {"limit": limit if isinstance(limit, str) else plain(limit)}
