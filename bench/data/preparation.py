"""The preparation that sides do, 15 columns → 33: medians put in, ten numbers standardised, five categories one-hot."""

from typing import Any

import numpy as np
import polars as pl

from modelyard.prepare import FittedPipeline, Pipeline, fit, prep

NUMBERS = [f"x{i}" for i in range(10)]
CATEGORIES = {"contract": 3, "payment": 4, "region": 6, "plan": 5, "device": 5}
FITTED_ROWS = 20_000


def sample(rows: int) -> pl.DataFrame:
    """Return rows of ten numbers with some missing and five categories; the same on every call."""
    generator = np.random.default_rng(2013)
    columns: dict[str, Any] = {}
    for name in NUMBERS:
        numbers = generator.normal(50, 20, rows)
        numbers[generator.random(rows) < 0.05] = np.nan
        columns[name] = numbers
    for name, count in CATEGORIES.items():
        columns[name] = generator.choice([f"{name} {i}" for i in range(count)], rows)
    return pl.DataFrame(columns)


def nullable(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows as a file has them: what is missing is null."""
    return rows.with_columns(pl.col(NUMBERS).fill_nan(None))


def wide(rows: int, first: int = 0) -> pl.DataFrame:
    """Return such rows with a number from `first` on, a time and eight whole numbers before them: 25 columns."""
    number = pl.int_range(first, first + rows, eager=True).alias("id")
    at = (number * 31_000_000).cast(pl.Datetime("us", "UTC")).alias("at")
    counts = [(number * (7 + n) % 10_007).alias(f"n{n}") for n in range(8)]
    return pl.DataFrame([number, at, *counts, *nullable(sample(rows))])


def fitted(rows: pl.DataFrame) -> FittedPipeline:
    """Return the steps, which have learned from the first `FITTED_ROWS` rows."""
    steps = (prep.fill_null(NUMBERS, strategy="median"), prep.standardise(*NUMBERS), prep.one_hot(*CATEGORIES))
    return fit(Pipeline(steps), rows.head(FITTED_ROWS))


def learned(rows: pl.DataFrame) -> dict[str, Any]:
    """Return what the same steps learn, by hand: median, mean and deviation of each number, the values of each category."""
    known = rows.head(FITTED_ROWS)
    filled = known.with_columns(pl.col(NUMBERS).fill_null(pl.col(NUMBERS).median()))
    numbers = {name: [known[name].median(), filled[name].mean(), filled[name].std(ddof=0)] for name in NUMBERS}
    return {"numbers": numbers, "categories": {name: known[name].unique().sort().to_list() for name in CATEGORIES}}
