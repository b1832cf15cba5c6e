"""What stands beside a deployment's answers: what it did not answer, and what shadows answered."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl
from markupsafe import Markup

from modelyard.console.charts import bin_chart
from modelyard.console.telling import figure
from modelyard.console.visits import Visit
from modelyard.serving.ledger import read_failures
from modelyard.serving.shadow import ShadowDiff, shadow_diffs


@dataclass(frozen=True)
class FailureRow:
    """Requests that came to one problem."""

    code: str
    status: int
    version: int | None  # None: refused before a version was asked
    requests: int
    last: datetime


@dataclass(frozen=True)
class ShadowRow:
    """One shadow, and a picture of how its answers differ."""

    diff: ShadowDiff
    picture: Markup


def failures_of(visit: Visit, deployment: str, since: datetime, until: datetime) -> tuple[FailureRow, ...]:
    """Return what was not answered in [since, until), most first."""
    rows = read_failures(visit.platform, visit.project.id, deployment, since, until)
    found = (
        rows.group_by("code", "status", "version")
        .agg(requests=pl.col("requests").sum(), last=pl.col("time").max())
        .sort("requests", "code", descending=[True, False])
        .collect()
    )
    return tuple(FailureRow(**row) for row in found.iter_rows(named=True))


def shadows_of(visit: Visit, deployment: str, since: datetime, until: datetime) -> tuple[ShadowRow, ...]:
    """Return what shadows answered in [since, until) of event time."""
    diffs = shadow_diffs(visit.platform, visit.actor, visit.project.id, deployment, since=since, until=until)
    return tuple(ShadowRow(one, _picture(one)) for one in diffs)


def _picture(diff: ShadowDiff) -> Markup:
    bins = [(f"{figure(one.low)} … {figure(one.high)}", one.rows) for one in diff.bins]
    told = f"from {figure(diff.bins[0].low)} to {figure(diff.bins[-1].high)}"
    return bin_chart(bins, f"v{diff.version} less what callers got: {told}")
