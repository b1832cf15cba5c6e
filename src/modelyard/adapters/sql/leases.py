"""The statements of leasing. Each is one, so that no two workers ever get one job, and goes by the database's clock."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy import ColumnElement

from modelyard.adapters.sql.columns import database_instant, database_now
from modelyard.adapters.sql.tables import JOB
from modelyard.core import Problem, ProjectId
from modelyard.jobs import JobId, JobState, Progress

QUEUED, RUNNING, CANCELLED, FAILED = (
    JobState.QUEUED.value,
    JobState.RUNNING.value,
    JobState.CANCELLED.value,
    JobState.FAILED.value,
)
_LOST_WORKER = {
    "code": "worker.unavailable",
    "what": "The worker was lost",
    "why": "it said nothing for longer than its lease, on the last try",
    "next_step": "see why it ended (memory?), then start the work again",
    "detail": {},
}


def take(
    worker: str, lease_s: float, kinds: Sequence[str], projects: Sequence[ProjectId], at: datetime | None
) -> sa.sql.dml.ReturningUpdate[tuple[object, ...]]:
    """Return the statement that takes the next job, and returns its row."""
    due = (JOB.c.state == QUEUED) & (JOB.c.due_at <= database_now())
    lapsed = _is_lapsed() & (JOB.c.attempts < JOB.c.max_attempts) & ~JOB.c.cancel_requested
    # The plain list of states is the condition of the index, which holds no job that has ended: finding the next one
    # takes as long after a million jobs as after ten. The empty text keeps planners off the indexes on kind and project.
    next_one = sa.select(JOB.c.project, JOB.c.id).where(sa.text("state IN ('queued', 'running')"), due | lapsed)
    if kinds:
        next_one = next_one.where((JOB.c.kind + "").in_(kinds))
    if projects:
        next_one = next_one.where((JOB.c.project + "").in_(projects))
    next_one = next_one.order_by(JOB.c.priority.desc(), JOB.c.created_at, JOB.c.id).limit(1).with_for_update(skip_locked=True)
    return (
        sa.update(JOB)
        .where(sa.tuple_(JOB.c.project, JOB.c.id) == next_one.scalar_subquery())
        .values(
            state=RUNNING,
            worker=worker,
            attempts=JOB.c.attempts + 1,
            fence=JOB.c.fence + 1,
            lease_until=database_now() + lease_s,
            started_at=at or database_instant(),
        )
        .returning(JOB)
    )


def extend(
    project: ProjectId, job: JobId, fence: int, lease_s: float, progress: Progress | None
) -> sa.sql.dml.ReturningUpdate[tuple[bool]]:
    """Return the statement that extends a lease which is still held, and returns whether to stop."""
    statement = sa.update(JOB).where(_is_held(project, job, fence)).values(lease_until=database_now() + lease_s)
    if progress is not None:
        statement = statement.values(progress=msgspec.to_builtins(progress))
    return statement.returning(JOB.c.cancel_requested)


def end(project: ProjectId, job: JobId, fence: int, state: JobState, at: datetime) -> sa.Update:
    """Return the statement that ends a job whose lease is still held."""
    return sa.update(JOB).where(_is_held(project, job, fence)).values(state=state.value, finished_at=at)


def again(project: ProjectId, job: JobId, fence: int, after_s: float, at: datetime) -> sa.Update:
    """Return the statement that queues it again, unless somebody asked for it to stop."""
    stop = JOB.c.cancel_requested
    return (
        sa.update(JOB)
        .where(_is_held(project, job, fence))
        .values(
            state=sa.case((stop, CANCELLED), else_=QUEUED),
            finished_at=sa.case((stop, sa.literal(at, JOB.c.finished_at.type)), else_=sa.null()),
            worker=sa.case((stop, JOB.c.worker), else_=sa.null()),
            due_at=database_now() + after_s,
        )
    )


def ask_to_stop(project: ProjectId, jobs: Sequence[JobId], at: datetime) -> sa.Update:
    """Return the statement that cancels those queued, and marks those running."""
    waits = JOB.c.state == QUEUED
    return (
        sa.update(JOB)
        .where(JOB.c.project == project, JOB.c.id.in_(jobs), JOB.c.state.in_([QUEUED, RUNNING]))
        .values(
            cancel_requested=True,
            state=sa.case((waits, CANCELLED), else_=JOB.c.state),
            finished_at=sa.case((waits, sa.literal(at, JOB.c.finished_at.type)), else_=JOB.c.finished_at),
        )
    )


def anew(project: ProjectId, jobs: Sequence[JobId]) -> sa.Update:
    """Return the statement that queues failed ones as if never tried; the fence goes on, so no old holder comes back."""
    return (
        sa.update(JOB)
        .where(JOB.c.project == project, JOB.c.id.in_(jobs), JOB.c.state == FAILED)
        .values(
            state=QUEUED,
            attempts=0,
            fence=JOB.c.fence + 1,
            due_at=0.0,
            worker=None,
            finished_at=None,
            cancel_requested=False,
            progress=msgspec.to_builtins(Progress(0.0)),
        )
    )


def is_hopeless() -> ColumnElement[bool]:
    """Return the condition that a job's worker is lost and no other may take it."""
    return _is_lapsed() & ((JOB.c.attempts >= JOB.c.max_attempts) | JOB.c.cancel_requested)


def give_up(at: datetime) -> sa.sql.dml.ReturningUpdate[tuple[object, ...]]:
    """Return the statement that ends the hopeless ones, and returns them."""
    stop = JOB.c.cancel_requested
    return (
        sa.update(JOB)
        .where(is_hopeless())
        .values(
            state=sa.case((stop, CANCELLED), else_=FAILED),
            problem=sa.case((stop, sa.null()), else_=sa.literal(_LOST_WORKER, JOB.c.problem.type)),
            finished_at=at,
            fence=JOB.c.fence + 1,
        )
        .returning(JOB)
    )


def lost(job: JobId) -> Problem:
    """Return the problem of a worker whose lease is not its own any more."""
    why = "it lapsed and another worker has the job, or the job has ended"
    return Problem("lease.conflict", f"The lease on job {job} is lost", why, "stop this try: its result does not count")


def _is_lapsed() -> ColumnElement[bool]:
    # The literal text is the condition of the index `ix_job_lease`.
    return sa.and_(sa.text("state = 'running'"), JOB.c.lease_until < database_now())


def _is_held(project: ProjectId, job: JobId, fence: int) -> ColumnElement[bool]:
    return (JOB.c.project == project) & (JOB.c.id == job) & (JOB.c.fence == fence) & (JOB.c.state == RUNNING)
