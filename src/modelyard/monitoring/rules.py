"""Pure decisions of monitoring: which windows are due, what a window shows, which alerts it opens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from modelyard.core import from_text, to_text
from modelyard.monitoring.drift import ColumnDrift
from modelyard.monitoring.types import Monitor
from modelyard.registry import ModelVersion
from modelyard.training.metrics import log_losses, measure

if TYPE_CHECKING:
    import numpy as np

MAX_CATCH_UP = 400  # windows looked at in one go; the rest follow at the next
REMIND_AFTER = timedelta(days=14)
QUIET_WINDOWS = 3  # a notice closes after this many windows without it


@dataclass(frozen=True)
class Span:
    """A half-open stretch of event time, [start, end)."""

    start: datetime
    end: datetime


def due_windows(monitor: Monitor, now: datetime) -> list[Span]:
    """Return the windows that end, with their label delay, by `now` and were not looked at, from the monitor's making on.

    Windows lie on multiples of their length since 1970, so that two monitors of one length share their marks.
    """
    length = timedelta(seconds=monitor.window_s)
    start = floor_time(monitor.created_at, length)
    if monitor.evaluated_until is not None:  # windows of another length may have ended between two marks: none counts twice
        start = floor_time(monitor.evaluated_until + length - timedelta(microseconds=1), length)
    last = now - timedelta(seconds=monitor.label_delay_s)
    found: list[Span] = []
    while start + length <= last and len(found) < MAX_CATCH_UP:
        found.append(Span(start, start + length))
        start += length
    return found


def floor_time(at: datetime, length: timedelta) -> datetime:
    """Return the last multiple of `length` since 1970 that is not after `at`.

    >>> from datetime import UTC
    >>> floor_time(datetime(2013, 4, 1, 17, 5, tzinfo=UTC), timedelta(days=1))
    datetime.datetime(2013, 4, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    past = at.timestamp() % length.total_seconds()
    return at - timedelta(seconds=past)


def is_alarm_due(last: str | None, now: datetime) -> bool:
    """Return whether an alarm on harm is raised now; `last`: when the same loss of the same version last raised one.

    Harm that goes on is told once, and again after `REMIND_AFTER`: an alarm that repeats itself daily is not heard.
    """
    return last is None or now - from_text(last) >= REMIND_AFTER


def reference_metrics(version: ModelVersion) -> Mapping[str, float]:
    """Return the metrics that the version's live loss is held against."""
    return version.reference or version.metrics


def window_metrics(rows: pl.DataFrame) -> dict[str, float]:
    """Return the metrics of labelled rows (`answer`, `label`)."""
    return measure(_array(rows, "label"), _array(rows, "answer"))


def metrics_by_version(rows: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Return rows and mean log loss of the labelled rows of each version."""
    found: dict[str, dict[str, float]] = {}
    for (version,), part in rows.sort("version").group_by("version", maintain_order=True):
        losses = log_losses(_array(part, "label"), _array(part, "answer"))
        found[str(version)] = {"rows": float(part.height), "log_loss": float(losses.mean())}
    return found


def opened_notices(
    drift: Sequence[ColumnDrift], open_since: Mapping[str, str], span: Span
) -> tuple[list[ColumnDrift], dict[str, str]]:
    """Return the notices that this window opens, and the open ones after it: column → when it was last seen.

    A column that goes on drifting is told once, and again only after it was quiet.
    """
    still = span.end - QUIET_WINDOWS * (span.end - span.start)
    kept = {column: seen for column, seen in open_since.items() if from_text(seen) >= still}
    noticed = [one for one in drift if one.notice]
    fresh = [one for one in noticed if one.column not in kept]
    return fresh, kept | {one.column: to_text(span.end) for one in noticed}


def _array(rows: pl.DataFrame, column: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    values: np.ndarray[tuple[int], np.dtype[np.float64]] = rows[column].cast(pl.Float64).to_numpy()
    return values
