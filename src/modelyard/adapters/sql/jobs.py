"""Jobs, their logs and schedules. How a lease is taken stands in `leases.py`."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from modelyard.adapters.sql import leases
from modelyard.adapters.sql.problems import Violation, violation
from modelyard.adapters.sql.session import Session
from modelyard.adapters.sql.tables import JOB, JOB_LOG, SCHEDULE
from modelyard.adapters.sql.typed_table import TypedTable, insert_or_leave, refused
from modelyard.core import Page, PageRequest, ProjectId
from modelyard.jobs import Job, JobId, JobState, Lease, LogLine, Progress, Schedule

_JOBS = TypedTable(JOB, Job, "job")
_LINES = TypedTable(JOB_LOG, LogLine, "line", key=("job", "number"))
_SCHEDULES = TypedTable(SCHEDULE, Schedule, "schedule", key=("name",))
_NEVER_LEASED = {"fence": 0, "lease_until": 0.0, "due_at": 0.0}


class SqlJobStore:
    """`modelyard.jobs.JobStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, project: ProjectId, jobs: Sequence[Job]) -> list[Job]:
        """Insert; of a job whose kind and cause are there already, the one that is there comes back in its place."""
        if not jobs:
            return []
        self._session.hold(project)
        rows = [_JOBS.row(project, job, **_NEVER_LEASED) for job in jobs]
        try:
            with self._session.savepoint():
                self._session.execute(insert_or_leave(self._session, JOB, by=("project", "kind", "cause")), rows)
        except IntegrityError as error:
            if violation(error) is not Violation.TAKEN:
                raise
            raise refused("job.exists", rows) from error
        causes = [(job.kind, job.cause) for job in jobs if job.cause is not None]
        there: dict[tuple[str, str | None], Job] = {}
        if causes:
            found = _JOBS.find(self._session, project, sa.tuple_(JOB.c.kind, JOB.c.cause).in_(causes), order=("id",))
            there = {(job.kind, job.cause): job for job in found}
        return [there.get((job.kind, job.cause), job) for job in jobs]

    def get(self, project: ProjectId, ids: Sequence[JobId]) -> list[Job]:
        """Return the jobs in order. Problem `job.missing` for an unknown one."""
        return _JOBS.get(self._session, project, [(id_,) for id_ in ids])

    def find(
        self, project: ProjectId, page: PageRequest, *, states: Sequence[JobState] = (), kinds: Sequence[str] = ()
    ) -> Page[Job]:
        """Return jobs, newest first."""
        where = [JOB.c.state.in_([state.value for state in states])] if states else []
        if kinds:
            where.append(JOB.c.kind.in_(kinds))
        return _JOBS.page(self._session, project, page, *where)

    def lease(
        self,
        worker: str,
        *,
        lease_s: float,
        kinds: Sequence[str] = (),
        projects: Sequence[ProjectId] = (),
        at: datetime | None = None,
    ) -> Lease | None:
        """Take the next job; see the port."""
        row = self._session.execute(leases.take(worker, lease_s, kinds, projects, at)).first()
        return None if row is None else Lease(_JOBS.thing(row), row.fence)

    def heartbeat(
        self, project: ProjectId, job: JobId, fence: int, *, lease_s: float, progress: Progress | None = None
    ) -> bool:
        """Extend the lease and return whether somebody asked to cancel. Problem `lease.conflict` when the lease is lost."""
        self._session.hold(project)
        row = self._session.execute(leases.extend(project, job, fence, lease_s, progress)).first()
        if row is None:
            raise leases.lost(job)
        return bool(row.cancel_requested)

    def close(
        self,
        project: ProjectId,
        job: JobId,
        fence: int,
        state: JobState,
        *,
        at: datetime,
        result: dict[str, object] | None = None,
        problem: dict[str, object] | None = None,
        retry_after_s: float | None = None,
    ) -> Job:
        """End a try; one that was to go again is cancelled instead when somebody asked for that."""
        self._session.hold(project)
        if state is JobState.QUEUED:
            statement = leases.again(project, job, fence, retry_after_s or 0.0, at)
        else:
            statement = leases.end(project, job, fence, state, at)
        row = self._session.execute(statement.values(result=result, problem=problem).returning(JOB)).first()
        if row is None:
            raise leases.lost(job)
        return _JOBS.thing(row)

    def lapse(self, *, at: datetime) -> list[Job]:
        """Fail every job whose lease lapsed on its last attempt (or cancel it when that was asked for), and return them."""
        self._session.hold(*self._session.execute(sa.select(JOB.c.project).where(leases.is_hopeless()).distinct()).scalars())
        jobs = _JOBS.things(self._session.execute(leases.give_up(at)))
        return sorted(jobs, key=lambda job: job.id)

    def request_cancel(self, project: ProjectId, jobs: Sequence[JobId], *, at: datetime) -> list[Job]:
        """Cancel those queued at once; ask the worker of those running. Return them as they then stand."""
        self._session.hold(project)
        self._session.execute(leases.ask_to_stop(project, jobs, at))
        return self.get(project, jobs)

    def requeue(self, project: ProjectId, jobs: Sequence[JobId]) -> list[Job]:
        """Queue failed jobs again, with all their tries before them, and return them as they then stand."""
        self._session.hold(project)
        self._session.execute(leases.anew(project, jobs))
        return self.get(project, jobs)

    def log(self, project: ProjectId, job: JobId, lines: Sequence[tuple[datetime, str, str]]) -> None:
        """Append lines of (time, stream, text). Problem `job.missing` for an unknown job."""
        if not lines:
            return
        self._session.hold(project)
        ours = (JOB_LOG.c.project == project, JOB_LOG.c.job == job)
        last = self._session.execute(sa.select(sa.func.max(JOB_LOG.c.number)).where(*ours)).scalar() or 0
        told = [LogLine(number, at, stream, _printable(text)) for number, (at, stream, text) in enumerate(lines, last + 1)]
        _LINES.add(self._session, project, told, orphan="job.missing", job=job)

    def logs(self, project: ProjectId, job: JobId, *, after: int = 0, limit: int = 1000) -> list[LogLine]:
        """Return lines with a number above `after`, in order."""
        where = (_LINES.within(project), JOB_LOG.c.job == job, JOB_LOG.c.number > after)
        return _LINES.things(self._session.execute(sa.select(JOB_LOG).where(*where).order_by(JOB_LOG.c.number).limit(limit)))

    def save_schedules(self, project: ProjectId, schedules: Sequence[Schedule]) -> None:
        """Insert or replace by name."""
        _SCHEDULES.put(self._session, project, schedules)

    def schedules(self, project: ProjectId) -> list[Schedule]:
        """Return all, by name."""
        return _SCHEDULES.find(self._session, project, order=("name",))


def _printable(text: str) -> str:
    """Return the text as any database takes it: PostgreSQL keeps no NUL, and half a surrogate has no UTF-8."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
