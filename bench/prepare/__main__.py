"""Time prepared rows here and in scikit-learn: `python -m bench.prepare [--quick] [--json FILE]`.

Both fit the same preparation (medians put in, ten numbers standardised, five categories one-hot: 15 columns → 33 features)
on the same rows, and are checked to give the same numbers before they are timed, in turns, in one process.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bench.results import Result, show
from modelyard.prepare import Pipeline, Transform, fit, prep

NUMBERS = [f"x{i}" for i in range(10)]
CATEGORIES = {"contract": 3, "payment": 4, "region": 6, "plan": 5, "device": 5}
TOLERANCE = 1e-5


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


def ours(train: pl.DataFrame) -> Transform:
    """Return the preparation fitted here."""
    steps = (prep.fill_null(NUMBERS, strategy="median"), prep.standardise(*NUMBERS), prep.one_hot(*CATEGORIES))
    return Transform(fit(Pipeline(steps), train))


def theirs(train: pd.DataFrame) -> Any:
    """Return the same preparation fitted by scikit-learn."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    categories = OneHotEncoder(sparse_output=False, handle_unknown="ignore", dtype=np.float32)
    return ColumnTransformer([("numbers", numbers, NUMBERS), ("categories", categories, list(CATEGORIES))]).fit(train)


def in_turns(first: Callable[[], object], second: Callable[[], object], rounds: int, repeat: int) -> tuple[float, float]:
    """Return the median seconds of one call of each, timed in turns: `first` `repeat` times a round, `second` once."""
    first_s: list[float] = []
    second_s: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(repeat):
            first()
        middle = time.perf_counter()
        second()
        first_s.append((middle - start) / repeat)
        second_s.append(time.perf_counter() - middle)
    return statistics.median(first_s), statistics.median(second_s)


def measure(*, quick: bool) -> list[Result]:
    """Return the results of all works."""
    train = sample(2_000 if quick else 20_000)
    transform, peer = ours(train), theirs(pd.DataFrame(train.to_dict(as_series=False)))
    expected = peer.transform(pd.DataFrame(train.to_dict(as_series=False)))
    # scikit-learn puts numbers first, as the columns stand; one-hot columns come in the same order in both.
    if not np.allclose(transform.matrix(train), expected, atol=TOLERANCE):
        raise SystemExit("the two preparations differ: nothing was timed")
    rounds = 30 if quick else 300
    row = train.row(0, named=True)
    one = pd.DataFrame([row])
    many = sample(10_000 if quick else 200_000)
    table = pd.DataFrame(many.to_dict(as_series=False))
    single = timed(
        "one row",
        lambda: transform.rows([row]),
        lambda: peer.transform(one),
        metric="us",
        turns=(rounds, 200),
        floor=300.0,
        aim=1000.0,
    )
    batch = timed(
        f"{many.height} rows",
        lambda: transform.matrix(many),
        lambda: peer.transform(table),
        metric="ms",
        turns=(max(5, rounds // 20), 1),
        floor=1.0,
        aim=3.0,
    )
    return [single, batch]


def timed(
    work: str,
    mine: Callable[[], object],
    peer: Callable[[], object],
    *,
    metric: str,
    turns: tuple[int, int],
    floor: float,
    aim: float,
) -> Result:
    """Return the result of one work over `turns` (rounds, calls of ours a round), warmed up by one call each."""
    mine(), peer()
    ours_s, theirs_s = in_turns(mine, peer, *turns)
    scale = {"us": 1e6, "ms": 1e3}[metric]
    return Result(
        work=work,
        metric=metric,
        peer="scikit-learn",
        ours=round(ours_s * scale, 3),
        theirs=round(theirs_s * scale, 3),
        ratio=round(theirs_s / ours_s, 2),
        floor=floor,
        aim=aim,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench.prepare", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    options = parser.parse_args(arguments)
    results = measure(quick=options.quick)
    versions = {"scikit-learn": sklearn.__version__, "polars": pl.__version__}
    return show("prepare", results, versions=versions, json_file=options.json, keep=not options.quick)


if __name__ == "__main__":
    raise SystemExit(main())
