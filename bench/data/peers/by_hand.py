"""The preparation as expressions of Polars, written by hand."""

from typing import Any

import polars as pl


def features(learned: dict[str, Any]) -> list[pl.Expr]:
    """Return the features, with what was learned put in."""
    numbers = [
        ((pl.col(name).fill_null(median) - mean) / deviation).cast(pl.Float32)
        for name, (median, mean, deviation) in learned["numbers"].items()
    ]
    categories = [
        (pl.col(name) == value).cast(pl.Float32).alias(f"{name}_{value}")
        for name, values in learned["categories"].items()
        for value in values
    ]
    return [*numbers, *categories]
