"""How much of the label one column tells by itself: what tells nearly all of it was often written down after the label."""

from typing import Final

import polars as pl

LEAST_ROWS: Final = 50
_BUCKETS: Final = 64
_LEAST_BUCKET: Final = 10  # rows
_CLASSES: Final = 20


def share_told(values: pl.Series, label: pl.Series) -> float:
    """Return how much of the label a column tells, from 0 to 1, each row judged by the other rows of its value.

    Numbers of many values are put in up to 64 buckets of as many rows, ten or more; missing is a value too. Of a label of words
    or of up to 20 values it is the share of the errors of always naming the commonest one that naming the commonest of a row's
    value leaves out; of others the share of the variance of their ranks that the mean of a row's value leaves out. 0 for fewer
    than 50 labelled rows, a label that does not vary, or one of lists and such.

    Parameters
    ----------
    values, label
        Of any kind, one a row.

    >>> told = share_told(pl.Series(range(100)), pl.Series([n >= 50 for n in range(100)]))
    >>> told > 0.9, share_told(pl.Series([1, 2] * 50), pl.Series([0, 0, 1, 1] * 25))
    (True, 0.0)
    """
    if label.dtype.is_nested() or label.dtype == pl.Object:
        return 0.0
    labels = label.fill_nan(None) if label.dtype.is_float() else label
    rows = pl.DataFrame({"value": _grouped(values), "label": labels}).drop_nulls("label")
    if rows.height < LEAST_ROWS or rows["label"].n_unique() == 1:
        return 0.0
    is_number = label.dtype.is_numeric() or label.dtype.is_temporal()
    of = _of_numbers if is_number and rows["label"].n_unique() > _CLASSES else _of_classes
    return max(0.0, of(rows))


def _grouped(values: pl.Series) -> pl.Series:
    numbers = values.dtype.is_numeric() or values.dtype.is_temporal()
    if not numbers or values.n_unique() <= _BUCKETS:
        return values
    present = values.fill_nan(None) if values.dtype.is_float() else values
    count = len(values) - present.null_count()
    return ((present.rank("max") - 1) * min(_BUCKETS, count // _LEAST_BUCKET) / count).floor()


def _of_classes(rows: pl.DataFrame) -> float:
    """Return the share for a label of few values."""
    counts = rows.group_by("value", "label").agg(pl.len().cast(pl.Int64).alias("rows"))
    counts = counts.sort("rows", descending=True).group_by("value").agg(pl.col("rows").head(2))
    best, second = pl.col("rows").list.get(0), pl.col("rows").list.get(1, null_on_oob=True).fill_null(0)
    # Without itself, a row of the commonest label still sees it in front only where it leads by more than one.
    right = counts.select(pl.when(best - 1 > second).then(best).otherwise(0).sum()).item()
    common = int(rows["label"].value_counts()["count"].max())  # type: ignore[arg-type]  # Polars types an extreme of any dtype
    return float((right - common) / (rows.height - common))


def _of_numbers(rows: pl.DataFrame) -> float:
    """Return the share for a label of many values: their ranks' variance that the means of the other rows leave out."""
    ranked = rows.select("value", pl.col("label").rank().alias("rank"))
    others = (pl.col("rank").sum() - pl.col("rank")) / (pl.len() - 1)
    mean = ranked["rank"].mean()
    told = ranked.with_columns(guess=pl.when(pl.len() > 1).then(others).otherwise(mean).over("value"))
    left = told.select(((pl.col("rank") - pl.col("guess")) ** 2).sum()).item()
    whole = told.select(((pl.col("rank") - mean) ** 2).sum()).item()
    return float(1.0 - left / whole)
