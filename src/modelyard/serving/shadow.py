"""What shadows answered beside what callers got: joined by prediction id."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl

from modelyard.core import ProjectId
from modelyard.data import TableStore
from modelyard.serving.ledger import read_ledger, read_shadows
from modelyard.serving.service import Ports as ServingPorts
from modelyard.serving.service import get_deployment
from modelyard.tenancy import Actor

BINS = 20
_COLUMNS = ("id", "version", "answer", "latency_us")


class Ports(ServingPorts, Protocol):
    """What comparing needs of the platform besides."""

    @property
    def lake(self) -> TableStore:
        """The lake."""
        ...


@dataclass(frozen=True)
class Bin:
    """So many rows whose shadow's answer was higher than the caller's by a difference in [low, high)."""

    low: float
    high: float
    rows: int


@dataclass(frozen=True)
class ShadowDiff:
    """One shadow beside what callers got, over the rows that both answered with a single number."""

    version: int
    rows: int
    mean_answer: float  # of what callers got
    mean_shadow: float
    mean_abs: float
    max_abs: float
    latency_us: float  # median of whole requests
    shadow_latency_us: float  # median, from its turn to its answer
    bins: tuple[Bin, ...]  # of the differences, shadow less answer


def shadow_diffs(
    ports: Ports, actor: Actor, project: ProjectId, name: str, *, since: datetime | None = None, until: datetime | None = None
) -> list[ShadowDiff]:
    """Return a deployment's shadows beside its answers with event time in [since, until), by version; of an id its last row.

    Raises
    ------
    Problem
        `deployment.missing`.
    """
    deployment = get_deployment(ports, actor, project, name)
    asked = read_shadows(ports, project, deployment.name, since, until).select(_COLUMNS)
    heard = read_ledger(ports, project, deployment.name, since, until).select(_COLUMNS).drop("version")
    pairs = asked.unique(["id", "version"], keep="last").join(heard.unique("id", keep="last"), on="id", suffix="_heard")
    both = pairs.drop_nulls()
    found = both.collect().sort("version", "id").partition_by("version", as_dict=True, maintain_order=True)
    return [_diff(int(key[0]), rows) for key, rows in found.items()]


def _diff(version: int, rows: pl.DataFrame) -> ShadowDiff:
    away = rows["answer"] - rows["answer_heard"]
    told = rows.select(
        mean_answer=pl.col("answer_heard").mean(),
        mean_shadow=pl.col("answer").mean(),
        mean_abs=(pl.col("answer") - pl.col("answer_heard")).abs().mean(),
        max_abs=(pl.col("answer") - pl.col("answer_heard")).abs().max(),
        latency_us=pl.col("latency_us_heard").cast(pl.Float64).median(),
        shadow_latency_us=pl.col("latency_us").cast(pl.Float64).median(),
    ).row(0, named=True)
    return ShadowDiff(version=version, rows=rows.height, bins=_bins(away.to_list()), **told)


def _bins(values: Sequence[float]) -> tuple[Bin, ...]:
    low, high = min(values), max(values)
    width = (high - low) / BINS
    if not width:
        return (Bin(low, high, len(values)),)
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, int((value - low) / width))] += 1
    return tuple(Bin(low + width * place, low + width * (place + 1), count) for place, count in enumerate(counts))
