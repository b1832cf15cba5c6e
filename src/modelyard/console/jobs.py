"""Jobs: what works, waits or went wrong; one job with its progress, its lines and what can be done about it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from modelyard.console.frame import Frame, base_of, frame_of, show
from modelyard.console.rendering import PageRoute, see_other
from modelyard.console.visits import Fields, InProject, Visit
from modelyard.core import PageRequest
from modelyard.data.snapshot_jobs import SNAPSHOT_JOB
from modelyard.jobs import Job, JobId, JobState, LogLine, Schedule
from modelyard.jobs.service import cancel, find, find_schedules, get, logs, retry

router = APIRouter(prefix="/projects/{project}/jobs", route_class=PageRoute, include_in_schema=False)
LINES = 1000


@dataclass(frozen=True)
class StateChoice:
    """A state by which the list can be narrowed."""

    name: str
    href: str
    chosen: bool


@dataclass(frozen=True)
class JobsPage:
    """The context of the list."""

    frame: Frame
    jobs: tuple[Job, ...]
    next_key: str | None
    choices: tuple[StateChoice, ...]
    schedules: tuple[Schedule, ...]


@dataclass(frozen=True)
class JobPage:
    """The context of one job."""

    frame: Frame
    job: Job
    href: str
    run: str | None  # id of the run that it trains
    dataset: str  # name of the dataset that it takes a snapshot for; "": it takes none
    took: timedelta | None
    lines: tuple[LogLine, ...]
    cut: bool  # there were more lines than are shown
    traceback: str
    payload: tuple[tuple[str, Any], ...]
    can_cancel: bool
    can_retry: bool


def build_jobs(visit: Visit) -> JobsPage:
    """Return the context of the list."""
    frame = frame_of(visit, "Jobs", "Jobs")
    asked = frame.query.get("state")
    states = [state for state in JobState if state.value == asked]
    found = find(visit.platform, visit.actor, visit.project.id, PageRequest(frame.query.get("after")), states=states)
    everything = StateChoice("all", frame.with_query(state=None, after=None), not states)
    each = (StateChoice(one.value, frame.with_query(state=one.value, after=None), [one] == states) for one in JobState)
    schedules = tuple(find_schedules(visit.platform, visit.actor, visit.project.id))
    return JobsPage(frame, found.items, found.next_key, (everything, *each), schedules)


def build_job(visit: Visit, job_id: JobId) -> JobPage:
    """Return the context of one job."""
    job = get(visit.platform, visit.actor, visit.project.id, job_id)
    lines = all_lines(visit, job_id)
    detail = (job.problem or {}).get("detail", {})
    traceback = detail.get("traceback", "")
    frame = frame_of(visit, "Jobs", job.title)
    ended = job.finished_at or visit.platform.clock()
    return JobPage(
        frame=frame,
        job=job,
        href=f"{base_of(visit.project)}/jobs/{job.id}",
        run=job.payload.get("run") if job.kind == "run.train" else None,
        dataset=str(job.payload.get("dataset", "")) if job.kind == SNAPSHOT_JOB else "",
        took=ended - job.started_at if job.started_at else None,
        lines=tuple(lines[-LINES:]),
        cut=len(lines) > LINES,
        traceback="\n".join(map(str, traceback)) if isinstance(traceback, list) else str(traceback),
        payload=tuple(sorted(job.payload.items())),
        can_cancel="job.write" in frame.may and job.state in (JobState.QUEUED, JobState.RUNNING) and not job.cancel_requested,
        can_retry="job.write" in frame.may and job.state is JobState.FAILED,
    )


def all_lines(visit: Visit, job: JobId) -> list[LogLine]:
    """Return the last lines of a job, at least those that a page shows."""
    found: list[LogLine] = []
    while True:
        part = logs(visit.platform, visit.actor, visit.project.id, job, after=found[-1].number if found else 0, limit=5 * LINES)
        found = [*found[-LINES:], *part]
        if len(part) < 5 * LINES:
            return found


@router.get("")
def list_jobs(visit: InProject) -> Response:
    """Show jobs, newest first."""
    return show(visit, "jobs.html", lambda: build_jobs(visit))


@router.get("/{job}")
def one_job(visit: InProject, job: JobId) -> Response:
    """Show one job."""
    return show(visit, "job.html", lambda: build_job(visit, job))


@router.post("/{job}/cancel")
def cancel_job(visit: InProject, job: JobId, _fields: Fields) -> Response:
    """Ask for a job to stop."""
    cancel(visit.platform, visit.actor, visit.project.id, job)
    return see_other(f"{base_of(visit.project)}/jobs/{job}", "It was asked to stop.")


@router.post("/{job}/retry")
def retry_job(visit: InProject, job: JobId, _fields: Fields) -> Response:
    """Queue a failed job again."""
    retry(visit.platform, visit.actor, visit.project.id, job)
    return see_other(f"{base_of(visit.project)}/jobs/{job}", "It waits for a worker again.")
