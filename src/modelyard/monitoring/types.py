"""Monitors: which windows they look at, what they found, and what they raise."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, NewType

from modelyard.core import ProjectId
from modelyard.monitoring.drift import ColumnDrift

MonitorId = NewType("MonitorId", str)
AlertId = NewType("AlertId", str)


@dataclass(frozen=True)
class MonitorTest:
    """What a monitor tests: `drift` (a notice) or `performance` (harm: an alarm)."""

    kind: str
    metric: str | None = None  # performance: the loss in [0, 1] that is watched, `brier` or `zero_one`
    tolerance: float = 0.02  # performance: how much worse than the reference loss is still fine
    threshold: float = 30.0  # performance: at most one false alarm in so many windows (in so many labels, by rows)
    by_rows: bool = False  # performance: every label is evidence of its own; else each window's mean, since rows err together


@dataclass(frozen=True)
class Monitor:
    """Watches a deployment, window by window of event time."""

    id: MonitorId
    project: ProjectId
    name: str
    deployment: str
    window_s: int  # length of a window
    label_delay_s: int  # a window is judged by its labels this long after its end
    tests: tuple[MonitorTest, ...]
    created_by: str
    created_at: datetime
    evaluated_until: datetime | None = None  # the end of the last window looked at
    state: Mapping[str, Any] = field(default_factory=dict)  # of the harm detector


@dataclass(frozen=True)
class Window:
    """What one window of a monitor showed."""

    monitor: MonitorId
    project: ProjectId
    start: datetime
    end: datetime
    version: int | None  # the version that answered most
    rows: int
    labelled: int
    metrics: Mapping[str, float]  # mean log_loss, brier, roc_auc, base_rate, mean_prediction of the labelled rows
    reference_loss: float | None  # p0: the watched loss on held-out rows of the version
    evidence: float | None  # of the harm detector at the window's end; an alarm is at 10 000
    drift: tuple[ColumnDrift, ...]
    by_version: Mapping[str, Mapping[str, float]]  # version → rows, log_loss
    at: datetime


class AlertKind(Enum):
    """How loud an alert is."""

    NOTICE = "notice"  # the inputs moved: shown, never acted on
    ALARM = "alarm"  # the labelled loss is worse: a policy may act


@dataclass(frozen=True)
class Alert:
    """A breach that a monitor raised. Its id is the cause that reactions carry."""

    id: AlertId
    project: ProjectId
    monitor: MonitorId
    monitor_name: str
    deployment: str
    kind: AlertKind
    subject: str  # the column (notice) or the loss (alarm)
    version: int | None
    at: datetime  # event time
    told: str  # one sentence for people
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class Label:
    """The truth about one prediction, when it is known."""

    prediction: str
    value: float
    time: datetime  # event time of the truth
    received_at: datetime


class QueueReason(Enum):
    """Why the truth about a prediction is asked."""

    UNCERTAIN = "uncertain"  # the answer was a close call
    DISPUTED = "disputed"  # a shadow answered otherwise
    RANDOM = "random"  # drawn from all: what is estimated from these is not biased by the others


class QueueState(Enum):
    """Where a row of the queue stands."""

    OPEN = "open"  # somebody holds it, or did until the hold lapsed
    LABELLED = "labelled"  # its label came, from whoever
    SKIPPED = "skipped"  # somebody could not tell; it is not asked again


@dataclass(frozen=True)
class QueuedRow:
    """A prediction whose truth is asked of somebody."""

    project: ProjectId
    deployment: str
    prediction: str
    reason: QueueReason
    score: float  # the higher, the more is learnt: see `label_queue`
    state: QueueState
    holder: str
    held_until: datetime  # nobody else is asked before
    asked_at: datetime
    ended_at: datetime | None = None
