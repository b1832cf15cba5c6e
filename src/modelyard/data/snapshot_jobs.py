"""Snapshots as background work: asked for, and what becomes of them told as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import msgspec

from modelyard.core import Problem, ProjectId
from modelyard.data import reading
from modelyard.data.intake import Ports
from modelyard.data.quality.kinds import told_failures
from modelyard.data.snapshots import source_and_stretch
from modelyard.data.types import Admission
from modelyard.jobs import Job, Limits
from modelyard.jobs.service import submit
from modelyard.tenancy import Actor, authorise

SNAPSHOT_JOB: Final = "dataset.snapshot"
LIMITS: Final = Limits(time_s=86_400.0)


@dataclass(frozen=True)
class SnapshotRequest:
    """What a snapshot is to take: rows of [since, until) by event time; see `snapshots.snapshot`."""

    dataset: str
    since: datetime | None = None
    until: datetime | None = None
    replacing: bool | None = None  # None: of a source that reads on
    note: str = ""


def request_snapshot(ports: Ports, actor: Actor, project: ProjectId, request: SnapshotRequest, limits: Limits = LIMITS) -> Job:
    """Queue a snapshot; a worker takes it, and the job's result is what `told_admission` tells.

    Without a limit of time it is ended after a day; how much lies on the disk for it is bounded by `limits.disk_mb`, and by
    what is left there for others (`runner.disk`).

    Raises
    ------
    Problem
        `dataset.missing`, `source.missing` and `dataset.invalid` for what can be told without asking the source.
    """
    authorise(actor, "dataset.write", project)
    dataset = reading.find_dataset(ports, project, request.dataset)
    source_and_stretch(ports, dataset, request.since, request.until)
    title, payload = f"snapshot {dataset.name}", msgspec.to_builtins(request)
    bounds = limits if limits.time_s is not None else replace(limits, time_s=LIMITS.time_s)
    return submit(ports, actor, project, kind=SNAPSHOT_JOB, title=title, payload=payload, limits=bounds)


def told_admission(name: str, admission: Admission) -> dict[str, Any]:
    """Return what became of a batch for `name` as JSON, with its version named, as in `flights@3`, in place of repeated.

    Raises
    ------
    Problem
        `batch.refused` when it was stopped.
    """
    if admission.version is None:
        raise batch_refused(name, admission)
    told: dict[str, Any] = msgspec.to_builtins(admission)
    return {**told, "version": f"{name}@{admission.version.number}"}


def admission_of(told: Mapping[str, Any]) -> tuple[int, Admission]:
    """Return what `told_admission` told: the version's number, and the admission but for its version."""
    number = int(str(told["version"]).rpartition("@")[2])
    return number, msgspec.convert({**told, "version": None}, Admission)


def batch_refused(name: str, admission: Admission) -> Problem:
    """Return the problem of a batch that was stopped."""
    return Problem(
        "batch.refused",
        f"The batch for {name} was stopped, {admission.quarantined:,} of {admission.rows:,} rows kept out",
        told_failures(admission.outcomes),
        f"yard dataset quarantine {name} shows each row with its reasons",
        {"admission": msgspec.to_builtins(admission)},
    )
