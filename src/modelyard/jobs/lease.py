"""The worker's side of a job: take it, keep it, end the try. No actor: a worker is the platform itself.

What a job writes it writes for the member who asked for it, and so do the facts that tell of its tries.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from modelyard.core import Problem, ProjectId
from modelyard.jobs.rules import FIRST_RETRY_S, ending_of_failure, problem_to_json
from modelyard.jobs.service import Ports, fact_of
from modelyard.jobs.types import Job, JobState, Lease, Progress

# What a try's end is told as. QUEUED: another try follows.
FACTS = {
    JobState.FINISHED: "job.finished",
    JobState.FAILED: "job.failed",
    JobState.CANCELLED: "job.cancelled",
    JobState.QUEUED: "job.retried",
}


def take(
    ports: Ports, worker: str, *, lease_s: float, kinds: Sequence[str] = (), projects: Sequence[ProjectId] = ()
) -> Lease | None:
    """Return the next job with a lease of `lease_s` seconds on it, or None: there is nothing to do."""
    with ports.transaction() as tx:
        lease = tx.jobs.lease(worker, lease_s=lease_s, kinds=kinds, projects=projects, at=ports.clock())
        if lease is not None:
            job = lease.job
            tx.events.add(job.project, [fact_of("job.started", job)], actor=job.created_by, at=ports.clock())
    return lease


def keep(ports: Ports, lease: Lease, *, lease_s: float, progress: Progress | None = None) -> bool:
    """Extend a lease, and return whether somebody asked for the job to stop. Problem `lease.conflict` when it is lost."""
    with ports.transaction() as tx:
        return tx.jobs.heartbeat(lease.job.project, lease.job.id, lease.fence, lease_s=lease_s, progress=progress)


def log(ports: Ports, lease: Lease, lines: Sequence[tuple[datetime, str, str]]) -> None:
    """Keep lines of (time, stream, text) that the job printed."""
    with ports.transaction() as tx:
        tx.jobs.log(lease.job.project, lease.job.id, lines)


def finish(ports: Ports, lease: Lease, result: Mapping[str, Any]) -> Job:
    """Record the result of a job that ended well. Problem `lease.conflict` when the lease is lost; the result is void then."""
    return _close(ports, lease, JobState.FINISHED, result=dict(result))


def fail(ports: Ports, lease: Lease, problem: Problem, *, first_retry_s: float = FIRST_RETRY_S) -> Job:
    """Record a failed try: the job waits for its next one, or has failed. Problem `lease.conflict` as `finish`."""
    ending = ending_of_failure(lease.job, problem, first_s=first_retry_s)
    return _close(ports, lease, ending.state, problem=problem_to_json(problem), retry_after_s=ending.retry_after_s)


def stop(ports: Ports, lease: Lease) -> Job:
    """Record that a job was cancelled and its try has ended. Problem `lease.conflict` as `finish`."""
    return _close(ports, lease, JobState.CANCELLED)


def give_back(ports: Ports, lease: Lease) -> Job:
    """Let another worker have the job at once, since this one ends. Problem `lease.conflict` as `finish`."""
    return _close(ports, lease, JobState.QUEUED, retry_after_s=0.0)


def _close(
    ports: Ports,
    lease: Lease,
    state: JobState,
    *,
    result: dict[str, Any] | None = None,
    problem: dict[str, Any] | None = None,
    retry_after_s: float | None = None,
) -> Job:
    at = ports.clock()
    before = lease.job
    with ports.transaction() as tx:
        job = tx.jobs.close(
            before.project,
            before.id,
            lease.fence,
            state,
            at=at,
            result=result,
            problem=problem,
            retry_after_s=retry_after_s,
        )
        tx.events.add(job.project, [fact_of(FACTS[job.state], job)], actor=job.created_by, at=at)
    return job
