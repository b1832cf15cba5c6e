"""Promises about a batch as a whole. Such a check blocks the batch, or warns; it cannot quarantine single rows.

A batch that has no rows, as when a source holds nothing new, is not judged: it changes nothing.
"""

from modelyard.data.quality.kinds import verify
from modelyard.data.types import Check, Severity


def row_count(low: int | None, high: int | None) -> Check:
    """Batches have from `low` to `high` rows, both included; None leaves an end open.

    >>> row_count(1_000, None).severity
    <Severity.BLOCK: 'block'>
    """
    return _whole("row_count", low=low, high=high)


def row_count_like_history(factor: float = 2.0) -> Check:
    """Batches have between 1/`factor` and `factor` times as many rows as the median of the last 10 that entered.

    It passes until 3 batches have entered.
    """
    return _whole("row_count_like_history", factor=factor)


def fresh(column: str, within: str = "1d") -> Check:
    """No batch's newest time in `column` is older than `within` (`2d`, `12h`), by the platform's clock.

    A batch without any time fails. A naive time is taken for UTC, a date for its first moment.
    """
    return _whole("fresh", column, within=within)


def no_new_columns() -> Check:
    """Batches have no column that the dataset lacks. Without this check a new column widens the dataset."""
    return _whole("no_new_columns")


def same_schema() -> Check:
    """Batches come in the dataset's own columns and types. Without this check values are cast where that changes none."""
    return _whole("same_schema")


def dtype(column: str, name: str) -> Check:
    """Values have the type `name` in the dataset: `Int64`, `String`, `Datetime`, `Datetime(time_unit='us', time_zone='UTC')`.

    It is for the first batch, which decides the types; later ones are cast to them or refused.
    """
    return _whole("dtype", column, dtype=name)


def share_null(column: str, most: float) -> Check:
    """At most this share of the batch's rows has no value in `column`; NaN is no value."""
    return _whole("share_null", column, most=most)


def mean_between(column: str, low: float | None, high: float | None) -> Check:
    """Means of a batch's values lie from `low` to `high`; null and NaN are left out, and without a value it passes."""
    return _whole("mean_between", column, low=low, high=high)


def distinct_between(column: str, low: int | None, high: int | None) -> Check:
    """Batches have from `low` to `high` different values in `column`, null not counted."""
    return _whole("distinct_between", column, low=low, high=high)


def _whole(kind: str, *columns: str, **params: float | str | None) -> Check:
    return verify(Check(kind, columns, params, Severity.BLOCK))
