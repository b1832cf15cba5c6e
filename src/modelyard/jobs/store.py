"""The port of the job table. Lease times go by the database's own clock, so that workers' clocks do not matter."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from modelyard.core import Page, PageRequest, ProjectId
from modelyard.jobs.types import Job, JobId, JobState, Lease, LogLine, Progress, Schedule
from modelyard.tenancy import TenancyTransaction


class JobStore(Protocol):
    """Jobs, their leases, logs and schedules."""

    def add(self, project: ProjectId, jobs: Sequence[Job]) -> list[Job]:
        """Insert; of a job whose kind and cause are there already, the one that is there comes back in its place."""
        ...

    def get(self, project: ProjectId, ids: Sequence[JobId]) -> list[Job]:
        """Return the jobs in order. Problem `job.missing` for an unknown one."""
        ...

    def find(
        self, project: ProjectId, page: PageRequest, *, states: Sequence[JobState] = (), kinds: Sequence[str] = ()
    ) -> Page[Job]:
        """Return jobs, newest first."""
        ...

    def lease(
        self,
        worker: str,
        *,
        lease_s: float,
        kinds: Sequence[str] = (),
        projects: Sequence[ProjectId] = (),
        at: datetime | None = None,
    ) -> Lease | None:
        """Take the next job: highest priority, then oldest, among those queued and due and those whose lease has lapsed.

        In one statement, so that no two workers get one job; raises the job's attempts and fence. None: nothing to do. Empty
        `kinds` or `projects` mean all of them. A lapsed job that somebody asked to cancel is left to `lapse`. `at` is when the
        try started, by the platform's clock (None: by the database's).
        """
        ...

    def heartbeat(
        self, project: ProjectId, job: JobId, fence: int, *, lease_s: float, progress: Progress | None = None
    ) -> bool:
        """Extend the lease and return whether somebody asked to cancel. Problem `lease.conflict` when the lease is lost."""
        ...

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
        """End a try: FINISHED, FAILED, CANCELLED, or QUEUED again after `retry_after_s`. Problem `lease.conflict` when lost.

        Where somebody asked to cancel, QUEUED becomes CANCELLED; the job that comes back says so.
        """
        ...

    def lapse(self, *, at: datetime) -> list[Job]:
        """Fail every job whose lease lapsed on its last attempt, cancel those lapsed that were to be cancelled; return both."""
        ...

    def request_cancel(self, project: ProjectId, jobs: Sequence[JobId], *, at: datetime) -> list[Job]:
        """Cancel those queued at once; ask the worker of those running. Return them as they then stand."""
        ...

    def requeue(self, project: ProjectId, jobs: Sequence[JobId]) -> list[Job]:
        """Queue failed jobs again, with all their tries; others stay as they are. Return them as they then stand."""
        ...

    def log(self, project: ProjectId, job: JobId, lines: Sequence[tuple[datetime, str, str]]) -> None:
        """Append lines of (time, stream, text)."""
        ...

    def logs(self, project: ProjectId, job: JobId, *, after: int = 0, limit: int = 1000) -> list[LogLine]:
        """Return lines with a number above `after`, in order."""
        ...

    def save_schedules(self, project: ProjectId, schedules: Sequence[Schedule]) -> None:
        """Insert or replace by name."""
        ...

    def schedules(self, project: ProjectId) -> list[Schedule]:
        """Return all, by name."""
        ...


class JobTransaction(TenancyTransaction, Protocol):
    """The part of a transaction that this slice needs."""

    @property
    def jobs(self) -> JobStore:
        """The job table."""
        ...
