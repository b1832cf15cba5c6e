"""The read model of traffic: what each version answered, how fast and how well, hour by hour of event time.

It is made from ledger and labels by one scan, and kept in memory as long as neither table has grown: pages ask every few
seconds. While the tables do grow, a scan is repeated at most in a tenth of the time, so that a busy ledger costs no more.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import log, sqrt
from threading import Lock

import polars as pl

from modelyard.core import ProjectId
from modelyard.monitoring.labels import label_table, read_labels
from modelyard.serving import Deployment
from modelyard.serving.ledger import ledger_table, read_ledger
from modelyard.training.metrics import ROW_LOSSES
from modelyard.wiring import Platform

BUCKET = 1.1  # latencies are told apart when they differ by a tenth
NORMAL = 1.96  # half-width of a 95 % interval, in standard errors
LEAST_ROWS = 2  # fewer have no variance
REST = 10  # times the scan's own length that pass until the next

STAMP = pl.Datetime("us", "UTC")
CELLS = pl.Schema(
    [
        ("hour", STAMP),
        ("version", pl.Int64()),
        ("route", pl.String()),
        ("rows", pl.UInt32()),
        ("labelled", pl.UInt32()),
        ("loss", pl.Float64()),
        ("squares", pl.Float64()),
    ]
)
LATENCIES = pl.Schema(
    [("hour", STAMP), ("version", pl.Int64()), ("route", pl.String()), ("bucket", pl.Int32()), ("rows", pl.UInt32())]
)


@dataclass(frozen=True)
class Traffic:
    """Sums by hour, version and route: `cells` (`loss` and `squares` sum over labelled rows), and `latencies` by bucket."""

    cells: pl.DataFrame
    latencies: pl.DataFrame

    @property
    def rows(self) -> int:
        """All answers."""
        return int(self.cells["rows"].sum())

    @property
    def first(self) -> datetime | None:
        """The first hour with an answer."""
        found = self.cells["hour"].min()
        return found if isinstance(found, datetime) else None

    @property
    def last(self) -> datetime | None:
        """The last hour with an answer."""
        found = self.cells["hour"].max()
        return found if isinstance(found, datetime) else None

    def between(self, since: datetime, until: datetime) -> "Traffic":
        """Return the hours of [since, until]."""
        held = pl.col("hour").is_between(since, until)
        return Traffic(self.cells.filter(held), self.latencies.filter(held))


@dataclass(frozen=True)
class Layer:
    """The answers of one version in one role, for each slot of a time axis."""

    version: int
    canary: bool
    rows: tuple[int, ...]


@dataclass(frozen=True)
class LossPoint:
    """The mean loss of the labelled rows of one slot, with the half-width of its 95 % interval."""

    at: datetime
    mean: float
    half_width: float
    rows: int


@dataclass(frozen=True)
class RouteFigures:
    """What a version did by one route in a stretch of time. Latencies in µs."""

    version: int
    route: str
    rows: int
    labelled: int
    loss: float | None
    p50: float | None
    p95: float | None
    p99: float | None


EMPTY = Traffic(pl.DataFrame(schema=CELLS), pl.DataFrame(schema=LATENCIES))


def slot_width(since: datetime, until: datetime) -> timedelta:
    """Return the slot for a time axis of about a hundred to four hundred slots."""
    days = (until - since) / timedelta(days=1)
    return timedelta(hours=next((hours for most, hours in ((8, 1), (40, 6)) if days <= most), 24))


def slots(since: datetime, until: datetime, width: timedelta) -> tuple[datetime, ...]:
    """Return the starts of the slots that touch [since, until], on multiples of `width`."""
    start = _floor(since, width)
    count = int((until - start) / width) + 1
    return tuple(start + n * width for n in range(count))


def layers(traffic: Traffic, starts: tuple[datetime, ...], width: timedelta) -> tuple[Layer, ...]:
    """Return what each version answered in each slot: live by version, then canaries."""
    place = {int(start.timestamp()): n for n, start in enumerate(starts)}
    canary = (pl.col("route") == "canary").alias("canary")
    sums = traffic.cells.group_by(_slot(width), canary, "version").agg(pl.col("rows").sum())
    found: dict[tuple[bool, int], list[int]] = {}
    for slot, is_canary, version, rows in sums.rows():
        if slot in place:
            found.setdefault((is_canary, version), [0] * len(starts))[place[slot]] += rows
    return tuple(Layer(version, is_canary, tuple(rows)) for (is_canary, version), rows in sorted(found.items()))


def losses(traffic: Traffic, width: timedelta) -> tuple[LossPoint, ...]:
    """Return the mean loss of each slot that has labels."""
    sums = traffic.cells.group_by(_slot(width)).agg(pl.col("labelled", "loss", "squares").sum()).sort("slot")
    return tuple(
        LossPoint(datetime.fromtimestamp(start, UTC), total / rows, half_width(rows, total, squares), rows)
        for start, rows, total, squares in sums.rows()
        if rows
    )


def half_width(rows: int, total: float, squares: float) -> float:
    """Return the half-width of the 95 % interval of a mean, from sums; 0 for fewer than two rows."""
    if rows < LEAST_ROWS:
        return 0.0
    variance = max(0.0, squares - total * total / rows) / (rows - 1)
    return NORMAL * sqrt(variance / rows)


def by_route(traffic: Traffic) -> tuple[RouteFigures, ...]:
    """Return what each version did by each route, newest first, the route with most rows first."""
    sums = traffic.cells.group_by("version", "route").agg(pl.col("rows", "labelled", "loss").sum())
    latencies = traffic.latencies.partition_by("version", "route", as_dict=True)
    return tuple(
        RouteFigures(
            version=version,
            route=route,
            rows=rows,
            labelled=labelled,
            loss=total / labelled if labelled else None,
            p50=_quantile(latencies[version, route], 0.5),
            p95=_quantile(latencies[version, route], 0.95),
            p99=_quantile(latencies[version, route], 0.99),
        )
        for version, route, rows, labelled, total in sums.sort("version", "rows", descending=True).rows()
    )


def quantile(traffic: Traffic, of: float) -> float | None:
    """Return a quantile of the latencies, in µs, to within a tenth."""
    return _quantile(traffic.latencies, of)


def latency_series(traffic: Traffic, starts: tuple[datetime, ...], width: timedelta, of: float) -> tuple[float | None, ...]:
    """Return a quantile of the latencies of each slot, in µs."""
    slotted = traffic.latencies.with_columns(_slot(width))
    found = {int(key[0]): _quantile(part, of) for key, part in slotted.partition_by("slot", as_dict=True).items()}
    return tuple(found.get(int(start.timestamp())) for start in starts)


def _quantile(latencies: pl.DataFrame, of: float) -> float | None:
    if not latencies.height:
        return None
    buckets = latencies.group_by("bucket").agg(pl.col("rows").sum()).sort("bucket")
    reached = buckets["rows"].cum_sum()
    index = int((reached < of * int(reached[-1])).sum())
    return float(BUCKET ** (int(buckets["bucket"][min(index, buckets.height - 1)]) + 0.5))


def _slot(width: timedelta) -> pl.Expr:
    """Return the start of each hour's slot, in seconds since 1970."""
    seconds = int(width.total_seconds())
    return (pl.col("hour").dt.epoch("s") // seconds * seconds).alias("slot")


def _floor(at: datetime, width: timedelta) -> datetime:
    seconds = width.total_seconds()
    return datetime.fromtimestamp(at.timestamp() // seconds * seconds, UTC)


def read_traffic(platform: Platform, project: ProjectId, deployment: Deployment) -> Traffic:
    """Scan ledger and labels of a deployment once."""
    ledger = read_ledger(platform, project, deployment.name).select(
        "id", "version", "route", "answer", "latency_us", pl.col("time").dt.truncate("1h").alias("hour")
    )
    labels = read_labels(platform, project, deployment.name).select(
        pl.col("prediction").alias("id"), pl.col("value").alias("label")
    )
    rows = ledger.join(labels, on="id", how="left").collect()
    if not rows.height:
        return EMPTY
    known = rows["label"].is_not_null() & rows["answer"].is_not_null()
    measured = rows.filter(known)
    loss = ROW_LOSSES[deployment.loss](measured["label"].to_numpy(), measured["answer"].to_numpy())
    with_loss = pl.concat([measured.with_columns(loss=pl.Series(loss)), rows.filter(~known)], how="diagonal")
    cells = with_loss.group_by("hour", "version", "route").agg(
        pl.len().alias("rows"),
        pl.col("loss").count().alias("labelled"),
        pl.col("loss").sum(),
        pl.col("loss").pow(2).sum().alias("squares"),
    )
    bucket = (pl.col("latency_us").clip(1).log() / log(BUCKET)).floor().cast(pl.Int32).alias("bucket")
    latencies = rows.group_by("hour", "version", "route", bucket).agg(pl.len().alias("rows"))
    return Traffic(cells.select(*CELLS).cast(CELLS).sort("hour", "version"), latencies.select(*LATENCIES).cast(LATENCIES))


@dataclass
class _Kept:
    traffic: Traffic
    tables: tuple[int | None, int | None]
    read_at: float
    took_s: float


class TrafficBook:
    """Traffic of every deployment, kept by the versions of its two tables.

    Parameters
    ----------
    monotonic
        Seconds that only grow; says when a scan may be repeated.
    """

    def __init__(self, platform: Platform, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._platform = platform
        self._monotonic = monotonic
        self._kept: dict[tuple[ProjectId, str], _Kept] = {}
        self._lock = Lock()

    def of(self, project: ProjectId, deployment: Deployment) -> Traffic:
        """Return the traffic of a deployment, as new as its cost allows."""
        key = (project, deployment.id)
        with self._lock:  # one scan at a time: those who wait find it done
            kept = self._kept.get(key)
            now = self._monotonic()
            if kept is not None and now - kept.read_at < REST * kept.took_s:
                return kept.traffic
            tables = self.tables(project, deployment)
            if kept is not None and kept.tables == tables:
                kept.read_at, kept.took_s = now, self._monotonic() - now
                return kept.traffic
            traffic = read_traffic(self._platform, project, deployment)
            self._kept[key] = _Kept(traffic, tables, now, self._monotonic() - now)
            return traffic

    def shown(self, project: ProjectId, deployment: Deployment) -> tuple[int | None, int | None]:
        """Return the versions of the tables that `of` returns the traffic of."""
        self.of(project, deployment)
        return self._kept[(project, deployment.id)].tables

    def tables(self, project: ProjectId, deployment: Deployment) -> tuple[int | None, int | None]:
        """Return the versions of the tables that the traffic is made from."""
        lake = self._platform.lake
        return lake.version(project, ledger_table(deployment.name)), lake.version(project, label_table(deployment.name))
