"""What `--json` writes: every figure counted from the platform's records or by the traffic generator."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from modelyard.training.metrics import log_losses

SAME = 1e-6  # answers of one version that differ by less are equal


@dataclass(frozen=True)
class DecisionFigure:
    """One decision, as told to scripts."""

    action: str
    cause: str
    version: int | None
    at: str
    undone: bool


@dataclass(frozen=True)
class Figures:
    """The demo in numbers."""

    seconds: float
    rows: int
    dataset_versions: int
    quarantined: int
    trials: int
    champion_versions: list[int]
    requests: int
    rows_answered: int
    failed_requests: int
    mixed_answers: int
    parity_max_abs_diff: float
    ledger_rows: int
    labels_sent: int
    labels_joined: int
    alerts: list[dict[str, Any]]
    decisions: list[DecisionFigure]
    retrains: int
    rollbacks: int
    loss_with_loop: float
    loss_without: float
    peak_memory_mb: float
    console: str
    gateway: str
    grpc: str | None
    token: str


def weekly_loss(rows: pl.DataFrame, answer: str, start: datetime) -> float:
    """Return the mean over weeks of the mean log loss of labelled rows (`time`, `label`, `answer`), in nats."""
    return float(weekly(rows, answer, start)["loss"].to_numpy().mean())


def weekly(rows: pl.DataFrame, answer: str, start: datetime) -> pl.DataFrame:
    """Return week (from `start`), rows and mean log loss of the labelled rows."""
    known = rows.filter(pl.col("label").is_not_null())
    losses = log_losses(known["label"].cast(pl.Float64).to_numpy(), known[answer].cast(pl.Float64).to_numpy())
    weeks = ((known["time"] - start).dt.total_days() // 7).alias("week")
    return (
        pl.DataFrame({"week": weeks, "loss": losses})
        .group_by("week")
        .agg(pl.len().alias("rows"), pl.col("loss").mean())
        .sort("week")
    )


def mixed_answers(ledger: pl.DataFrame, told: pl.DataFrame, again: pl.DataFrame) -> int:
    """Return how many answers are not wholly one version's.

    `ledger`: what the platform kept; `told`: what came over the wire (`id`, `told_version`, `told`); `again`: for each id what
    the version that the ledger names answers by batch (`again`). An answer is mixed when the three do not agree.
    """
    both = told.join(ledger.select("id", "version", "answer"), on="id", how="left").join(again, on="id", how="left")
    version_differs = both["told_version"] != both["version"]
    value_differs = (both["told"] - both["answer"]).abs() > SAME
    other_value = (both["told"] - both["again"]).abs() > SAME
    return int((version_differs | value_differs | other_value).fill_null(value=True).sum())


def largest_difference(*answers: "np.ndarray[Any, np.dtype[np.float64]]") -> float:
    """Return the largest absolute difference between any two of several lists of answers to the same rows."""
    stacked = np.stack(answers)
    return float((stacked.max(axis=0) - stacked.min(axis=0)).max()) if stacked.size else 0.0
