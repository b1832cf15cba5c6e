"""Spoil one batch of ten and examine: `python -m bench.harm FOLDER [--draws 3] [--quick]`, sets as gzipped CSV in the folder.

Prints a table: for each kind of fault and each model how often the batch was called harmful, how often it was first by
suspicion, and how many of the labels doubted most were wrong. The docs page `docs/data/harm.md` quotes it.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelyard.training.leave_out import PLACE, Found, Ground, leave_out
from modelyard.training.slices import BATCH, Roles

FITTED, HELD_OUT = 6_000, 4_000
BATCHES, SPOILED = 10, 3
SUSPECT = f"came with v{SPOILED}"
FAULTS = ("none", "flip10", "flip30", "flip50", "unit")
SETS: dict[str, Callable[[Path], pl.DataFrame]] = {
    "acs": lambda folder: (
        pl.read_csv(folder / "acs_employment_ma.csv.gz")
        .drop("id", "year", "prediction", "predicted_probability")
        .rename({"employed": "y"})
    ),
    "telco": lambda folder: (
        pl.read_csv(folder / "telco_churn.csv.gz", infer_schema_length=None)
        .with_columns(y=(pl.col("Churn") == "Yes").cast(pl.Int64))
        .drop("customerID", "Churn")
    ),
    "elec2": lambda folder: pl.read_csv(folder / "elec2.csv.gz").rename({"class": "y"}),
}
MODELS: dict[str, Callable[[], Any]] = {
    "boosting": lambda: HistGradientBoostingClassifier(max_iter=60, max_depth=4, random_state=0),
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)),
}


@dataclass(frozen=True)
class Outcome:
    """What one examination came to."""

    named: tuple[str, ...]  # slices called harmful
    first: bool  # the spoiled batch is first by suspicion
    top: float  # share of wrong labels among the fifty doubted most; NaN: none was flipped
    inside: float  # of the batch's rows, among as many doubted most as it has wrong ones


def spoil(rows: pl.DataFrame, fault: str, rng: np.random.Generator) -> tuple[pl.DataFrame, NDArray[np.bool_]]:
    """Return rows with a fault in one batch, and which labels were flipped."""
    batch = (rows[BATCH] == SPOILED).to_numpy()
    flipped = batch & (rng.random(rows.height) < (int(fault[4:]) / 100 if fault.startswith("flip") else 0))
    if fault == "unit":
        numbers = [one for one in rows.columns if rows.schema[one].is_numeric() and one not in ("y", BATCH, PLACE)]
        faulty = [one for one in numbers if rows[one].n_unique() > 20]
        rows = rows.with_columns(pl.when(pl.Series(batch)).then(pl.col(one) * 1000).otherwise(one).alias(one) for one in faulty)
    return rows.with_columns(y=pl.when(pl.Series(flipped)).then(1 - pl.col("y")).otherwise("y")), flipped


def examine(rows: pl.DataFrame, model: str, fault: str, seed: int) -> Outcome:
    """Return what an examination of one draw comes to."""
    rng = np.random.default_rng(seed)
    drawn = rows[rng.permutation(rows.height)[: FITTED + HELD_OUT]].with_row_index(PLACE)
    drawn = drawn.with_columns(pl.Series(BATCH, rng.integers(1, BATCHES + 1, drawn.height)))
    fitted, flipped = spoil(drawn.head(drawn.height - HELD_OUT), fault, rng)
    words = {
        name: [value for value, count in fitted[name].value_counts().iter_rows() if count >= 5]
        for name, dtype in fitted.schema.items()
        if dtype == pl.String
    }

    def features(part: pl.DataFrame) -> NDArray[np.float32]:
        plain = part.select(pl.exclude("y", BATCH, PLACE, *words).cast(pl.Float32))
        one_hot = part.select((pl.col(name) == word).alias(f"{name}={word}") for name, known in words.items() for word in known)
        matrix: NDArray[np.float32] = np.nan_to_num(pl.concat([plain, one_hot.cast(pl.Float32)], how="horizontal").to_numpy())
        return matrix

    def fit(part: pl.DataFrame, answered: pl.DataFrame, seed: int) -> NDArray[np.float64]:
        answers: NDArray[np.float64] = (
            MODELS[model]().fit(features(part), part["y"].to_numpy()).predict_proba(features(answered))
        )
        return answers[:, 1]

    ground = Ground(fitted, drawn.tail(HELD_OUT), features(fitted), Roles("y", (), None), "log_loss")
    found = leave_out(ground, fit, lambda done, told: None, slices=20, fits=60, now=datetime.now(UTC))
    return _outcome(found, fitted, flipped)


def _outcome(found: Found, fitted: pl.DataFrame, flipped: NDArray[np.bool_]) -> Outcome:
    most = max(found.slices, key=lambda one: one.suspicion)
    wrong = fitted.filter(pl.Series(flipped))[PLACE].implode()
    doubted = found.listed.filter(reason="relabel").with_columns(wrong=pl.col("row").is_in(wrong))
    inside = doubted.filter(pl.col("row").is_in(fitted.filter(pl.col(BATCH) == SPOILED)[PLACE].implode()))
    shares = [doubted.head(50)["wrong"].mean(), inside.head(int(flipped.sum()))["wrong"].mean()]
    top, within = (float(one) if flipped.any() and one is not None else float("nan") for one in shares)  # type: ignore[arg-type]
    return Outcome(tuple(one.slice.name for one in found.slices if one.harmful), most.slice.name == SUSPECT, top, within)


def main() -> None:
    """Run all faults, sets and models, and print one line for each fault and model."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--draws", type=int, default=3)
    asked.add_argument("--quick", action="store_true", help="one set and one draw")
    given = asked.parse_args()
    sets = {name: read(given.folder) for name, read in list(SETS.items())[: 1 if given.quick else None]}
    print(f"{'fault':8}{'model':10}{'runs':>5}{'harmful':>9}{'others':>8}{'first':>7}{'top 50':>8}{'inside':>8}")
    for fault in FAULTS:
        for model in MODELS:
            draws = range(1 if given.quick else given.draws)
            found = [examine(rows, model, fault, seed) for rows in sets.values() for seed in draws]
            hits = sum(SUSPECT in one.named for one in found)
            others = sum(bool(set(one.named) - {SUSPECT}) for one in found)
            top, inside = (np.mean([getattr(one, name) for one in found]) for name in ("top", "inside"))
            counts = f"{len(found):5}{hits:9}{others:8}{sum(one.first for one in found):7}"
            print(f"{fault:8}{model:10}{counts}{top:8.2f}{inside:8.2f}", flush=True)


if __name__ == "__main__":
    main()
