"""Use cases of jobs as people, schedules and other slices see them; the worker's side is `modelyard.jobs.lease`."""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from modelyard.core import (
    Clock,
    IdMaker,
    MemberId,
    Page,
    PageRequest,
    Problem,
    ProjectId,
    canonical_json,
    check_name,
    missing,
    to_text,
)
from modelyard.events import Fact
from modelyard.jobs.cron import next_time
from modelyard.jobs.rules import check_move
from modelyard.jobs.store import JobTransaction
from modelyard.jobs.types import Job, JobId, JobState, Limits, LogLine, Schedule
from modelyard.tenancy import Actor, authorise
from modelyard.tenancy.service import actor_of

MAX_PAYLOAD_BYTES = 1 << 20
MAX_ATTEMPTS = 100
MAX_PRIORITY = 1000
MAX_LOG_LINES = 10_000
MAX_TITLE = 500
NO_LIMITS = Limits()
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,62}(\.[a-z][a-z0-9_-]{0,62})+")


class Ports(Protocol):
    """What jobs need of the platform."""

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        ...

    @property
    def ids(self) -> IdMaker:
        """The maker of ids."""
        ...

    def transaction(self) -> AbstractContextManager[JobTransaction]:
        """Open or join a transaction."""
        ...


def submit(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    *,
    kind: str,
    title: str,
    payload: Mapping[str, Any],
    cause: str | None = None,
    priority: int = 0,
    max_attempts: int = 3,
    limits: Limits = NO_LIMITS,
) -> Job:
    """Queue a job, and return it; where one of this kind and cause is there already, return that one instead.

    Raises
    ------
    Problem
        `job.invalid` for a kind that is not `noun.verb`, a payload that is not JSON, or a number out of its range;
        `job.too_large` for a payload over 1 MiB.
    """
    authorise(actor, "job.write", project)
    _check(kind, title, payload)
    _check_numbers(priority, max_attempts, limits)
    job = Job(
        id=JobId(ports.ids("job")),
        project=project,
        kind=kind,
        title=title,
        payload=payload,
        state=JobState.QUEUED,
        created_by=actor.member,
        created_at=ports.clock(),
        cause=cause,
        priority=priority,
        max_attempts=max_attempts,
        limits=limits,
        trace=actor.trace,
    )
    with ports.transaction() as tx:
        return _queue(tx, job)


def get(ports: Ports, actor: Actor, project: ProjectId, job: JobId) -> Job:
    """Return a job. Problem `job.missing`."""
    authorise(actor, "job.read", project)
    with ports.transaction() as tx:
        [found] = tx.jobs.get(project, [job])
    return found


def find(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    page: PageRequest | None = None,
    *,
    states: Sequence[JobState] = (),
    kinds: Sequence[str] = (),
) -> Page[Job]:
    """Return jobs, newest first."""
    authorise(actor, "job.read", project)
    with ports.transaction() as tx:
        return tx.jobs.find(project, page or PageRequest(), states=states, kinds=kinds)


def cancel(ports: Ports, actor: Actor, project: ProjectId, job: JobId) -> Job:
    """Cancel a queued job at once; ask the worker of a running one to end it. A job that has ended stays as it is.

    Raises
    ------
    Problem
        `job.conflict` when it has finished or failed already.
    """
    authorise(actor, "job.write", project)
    with ports.transaction() as tx:
        [before] = tx.jobs.get(project, [job])
        if before.state is JobState.CANCELLED or (before.state is JobState.RUNNING and before.cancel_requested):
            return before
        check_move(before, JobState.CANCELLED, f"yard job show {job}")
        [after] = tx.jobs.request_cancel(project, [job], at=ports.clock())
        told = "job.cancelled" if after.state is JobState.CANCELLED else "job.cancel_requested"
        tx.events.add(project, [fact_of(told, after)], actor=actor.member, at=ports.clock())
    return after


def retry(ports: Ports, actor: Actor, project: ProjectId, job: JobId) -> Job:
    """Queue a failed job again, with as many tries as at first. Problem `job.conflict` when it has not failed."""
    authorise(actor, "job.write", project)
    with ports.transaction() as tx:
        [failed] = tx.jobs.get(project, [job])
        check_move(failed, JobState.QUEUED, f"yard job show {job}")
        [queued] = tx.jobs.requeue(project, [job])
        tx.events.add(project, [fact_of("job.retried", queued)], actor=actor.member, at=ports.clock())
    return queued


def logs(ports: Ports, actor: Actor, project: ProjectId, job: JobId, *, after: int = 0, limit: int = 1000) -> list[LogLine]:
    """Return at most `limit` lines that the job printed, numbered above `after`, in order."""
    authorise(actor, "job.read", project)
    with ports.transaction() as tx:
        tx.jobs.get(project, [job])
        return tx.jobs.logs(project, job, after=max(after, 0), limit=min(max(limit, 1), MAX_LOG_LINES))


def save_schedule(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    *,
    name: str,
    cron: str,
    kind: str,
    title: str,
    payload: Mapping[str, Any],
    enabled: bool = True,
) -> Schedule:
    """Add a schedule, or replace the one of this name; it is first due at the next time that `cron` names, in UTC.

    Raises
    ------
    Problem
        `schedule.invalid` for a name or a `cron` that is none; `job.invalid` and `job.too_large` as `submit`.
    """
    authorise(actor, "schedule.write", project)
    check_name("schedule", name)
    _check(kind, title, payload)
    schedule = Schedule(
        project=project,
        name=name,
        cron=cron,
        kind=kind,
        title=title,
        payload=payload,
        next_at=next_time(cron, ports.clock()),
        created_by=actor.member,
        enabled=enabled,
    )
    with ports.transaction() as tx:
        _save(ports, tx, schedule, "schedule.saved", actor.member)
    return schedule


def find_schedules(ports: Ports, actor: Actor, project: ProjectId) -> list[Schedule]:
    """Return all schedules, by name."""
    authorise(actor, "job.read", project)
    with ports.transaction() as tx:
        return tx.jobs.schedules(project)


def enable_schedule(ports: Ports, actor: Actor, project: ProjectId, name: str, *, enabled: bool = True) -> Schedule:
    """Switch a schedule on, from the next time on that it names, or off. Problem `schedule.missing`."""
    authorise(actor, "schedule.write", project)
    with ports.transaction() as tx:
        known = {schedule.name: schedule for schedule in tx.jobs.schedules(project)}
        if name not in known:
            raise missing("schedule", name, known, "yard schedule list")
        changed = replace(known[name], enabled=enabled, next_at=next_time(known[name].cron, ports.clock()))
        _save(ports, tx, changed, "schedule.enabled" if enabled else "schedule.disabled", actor.member)
    return changed


def run_due(ports: Ports, project: ProjectId) -> list[Job]:
    """Queue a job for each schedule that is due, and return those that are new.

    A schedule that missed several times catches up with one job. Its cause names the time it was due at, so that two callers at
    once make one job. Each acts for the member who made it; when they may no longer, it is switched off, and a fact says why.
    """
    now = ports.clock()
    made: list[Job] = []
    with ports.transaction() as tx:
        due = [schedule for schedule in tx.jobs.schedules(project) if schedule.enabled and schedule.next_at <= now]
        for schedule in due:
            try:
                authorise(actor_of(ports, MemberId(schedule.created_by), project=project), "job.write", project)
            except Problem as problem:
                disabled = replace(schedule, enabled=False)
                why = {"why": str(problem), "code": problem.code}
                _save(ports, tx, disabled, "schedule.disabled", schedule.created_by, why)
                continue
            wanted = _job_of(schedule, JobId(ports.ids("job")), now)
            if _queue(tx, wanted).id == wanted.id:
                made.append(wanted)
            tx.jobs.save_schedules(project, [replace(schedule, next_at=next_time(schedule.cron, now))])
    return made


def lapse(ports: Ports) -> list[Job]:
    """End the jobs, in all projects, whose last try lost its worker or that were to be cancelled, and return them.

    For the platform itself: no actor asks for it.
    """
    at = ports.clock()
    with ports.transaction() as tx:
        ended = tx.jobs.lapse(at=at)
        for job in ended:
            told = "job.cancelled" if job.state is JobState.CANCELLED else "job.failed"
            tx.events.add(job.project, [fact_of(told, job)], actor=job.created_by, at=at)
    return ended


def fact_of(kind: str, job: Job) -> Fact:
    """Return what happened to a job, with what its followers ask first."""
    told: dict[str, Any] = {"kind": job.kind, "title": job.title, "state": job.state.value, "attempts": job.attempts}
    if job.cause is not None:
        told["cause"] = job.cause
    if job.problem is not None and job.state in (JobState.FAILED, JobState.QUEUED):
        told["problem"] = {part: job.problem[part] for part in ("code", "what", "why", "next_step")}
    return Fact(kind, job.id, told)


def _queue(tx: JobTransaction, job: Job) -> Job:
    """Insert `job` and say so, or return the one of its kind and cause that is there."""
    [kept] = tx.jobs.add(job.project, [job])
    if kept.id == job.id:
        tx.events.add(job.project, [fact_of("job.queued", job)], actor=job.created_by, at=job.created_at)
    return kept


def _job_of(schedule: Schedule, job: JobId, now: datetime) -> Job:
    return Job(
        id=job,
        project=schedule.project,
        kind=schedule.kind,
        title=schedule.title,
        payload=schedule.payload,
        state=JobState.QUEUED,
        created_by=schedule.created_by,
        created_at=now,
        cause=f"schedule:{schedule.name}@{to_text(schedule.next_at)}",
    )


def _save(
    ports: Ports, tx: JobTransaction, schedule: Schedule, told: str, member: str, more: Mapping[str, Any] | None = None
) -> None:
    tx.jobs.save_schedules(schedule.project, [schedule])
    data = {"cron": schedule.cron, "kind": schedule.kind, "next_at": to_text(schedule.next_at), **(more or {})}
    tx.events.add(schedule.project, [Fact(told, schedule.name, data)], actor=member, at=ports.clock())


def _check(kind: str, title: str, payload: Mapping[str, Any]) -> None:
    if not _KIND.fullmatch(kind):
        raise Problem("job.invalid", f"{kind[:80]!r} is no kind of job", "a kind is noun.verb", "write it as in 'run.train'")
    if not title or len(title) > MAX_TITLE or "\x00" in title:
        raise Problem("job.invalid", "The job has no fit title", f"it has 1 to {MAX_TITLE} characters, none of them NUL")
    try:
        text = canonical_json(dict(payload))
    except (TypeError, ValueError) as error:
        raise Problem("job.invalid", "The job's payload is not JSON", str(error)) from error
    if len(text) > MAX_PAYLOAD_BYTES:
        why = f"it has {len(text)} characters, and at most {MAX_PAYLOAD_BYTES} are kept"
        raise Problem("job.too_large", "The job's payload is too large", why, "store it as an object and send its digest")


def _check_numbers(priority: int, max_attempts: int, limits: Limits) -> None:
    if abs(priority) > MAX_PRIORITY:
        raise Problem("job.invalid", f"The priority {priority} is out of range", f"it is -{MAX_PRIORITY} to {MAX_PRIORITY}")
    if not 1 <= max_attempts <= MAX_ATTEMPTS:
        raise Problem("job.invalid", f"A job cannot have {max_attempts} attempts", f"it has 1 to {MAX_ATTEMPTS}")
    for value, unit in ((limits.time_s, "seconds"), (limits.memory_mb, "MB"), (limits.disk_mb, "MB")):
        if value is not None and not value > 0:
            raise Problem("job.invalid", f"A limit of {value} {unit} lets nothing run", "it must be above 0")
