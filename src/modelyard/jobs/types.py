"""Background work: a job, the lease a worker holds on it, and what it says of itself meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, NewType

from modelyard.core import ProjectId, TraceContext

JobId = NewType("JobId", str)


class JobState(Enum):
    """Where a job stands."""

    QUEUED = "queued"  # waits for a worker, or for its next try
    RUNNING = "running"  # a worker holds its lease
    FINISHED = "finished"  # its result is recorded
    FAILED = "failed"  # its last try failed, or its last worker was lost
    CANCELLED = "cancelled"  # somebody asked for it to stop, and it did


@dataclass(frozen=True)
class Limits:
    """What one try may use; over it the worker ends the try."""

    time_s: float | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None  # of what lies in its folder


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    fraction: float  # 0 to 1
    message: str = ""


@dataclass(frozen=True)
class Job:
    """One piece of background work."""

    id: JobId
    project: ProjectId
    kind: str  # which step the runner runs: `noun.verb`
    title: str  # for people
    payload: Mapping[str, Any]
    state: JobState
    created_by: str
    created_at: datetime
    cause: str | None = None  # at most one job of a kind and cause exists in a project
    priority: int = 0  # higher goes first
    attempts: int = 0
    max_attempts: int = 3
    limits: Limits = field(default_factory=Limits)
    worker: str | None = None
    progress: Progress = field(default_factory=lambda: Progress(0.0))
    cancel_requested: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: Mapping[str, Any] | None = None
    problem: Mapping[str, Any] | None = None  # code, what, why, next_step, detail of the last failure
    trace: TraceContext | None = None  # of the request that made it


@dataclass(frozen=True)
class Lease:
    """A worker's right to one try of a job. Whoever holds an older fence than the job's has lost it."""

    job: Job
    fence: int


@dataclass(frozen=True)
class LogLine:
    """A line that a job printed."""

    number: int  # from 1, within the job
    at: datetime
    stream: str  # stdout, stderr or worker
    text: str


@dataclass(frozen=True)
class Schedule:
    """A job made again and again. Times go by the platform's clock, so that a replayed past has its schedules too."""

    project: ProjectId
    name: str
    cron: str
    kind: str
    title: str
    payload: Mapping[str, Any]
    next_at: datetime
    created_by: str
    enabled: bool = True
