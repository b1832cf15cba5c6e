"""Routes of background work."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Query

from modelyard.api.callers import InProject, PageQuery
from modelyard.api.reading import SnapshotRoute
from modelyard.core import Page
from modelyard.jobs import Job, JobId, JobState, LogLine, Schedule
from modelyard.jobs.service import (
    cancel,
    enable_schedule,
    find,
    find_schedules,
    get,
    logs,
    retry,
    save_schedule,
    submit,
)

router = APIRouter(prefix="/v1/projects/{project}", tags=["jobs"], route_class=SnapshotRoute)


@dataclass(frozen=True)
class NewJob:
    """A job to queue."""

    kind: str
    title: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    cause: str | None = None
    priority: int = 0


@dataclass(frozen=True)
class NewSchedule:
    """A schedule to keep."""

    cron: str
    kind: str
    title: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True


@router.get("/jobs")
def jobs(
    call: InProject,
    page: PageQuery,
    state: Annotated[list[JobState] | None, Query()] = None,
    kind: Annotated[list[str] | None, Query()] = None,
) -> Page[Job]:
    """Return jobs, newest first."""
    return find(call.platform, call.actor, call.project, page, states=state or (), kinds=kind or ())


@router.post("/jobs", status_code=201)
def make_job(call: InProject, new: NewJob) -> Job:
    """Queue a job."""
    return submit(
        call.platform,
        call.actor,
        call.project,
        kind=new.kind,
        title=new.title,
        payload=new.payload,
        cause=new.cause,
        priority=new.priority,
    )


@router.get("/jobs/{job}")
def job(call: InProject, job: JobId) -> Job:
    """Return one job."""
    return get(call.platform, call.actor, call.project, job)


@router.get("/jobs/{job}/logs")
def job_logs(call: InProject, job: JobId, after: int = 0, limit: int = 1000) -> list[LogLine]:
    """Return what a job printed, after a line number."""
    return logs(call.platform, call.actor, call.project, job, after=after, limit=limit)


@router.post("/jobs/{job}/cancel")
def cancel_job(call: InProject, job: JobId) -> Job:
    """Ask a job to stop."""
    return cancel(call.platform, call.actor, call.project, job)


@router.post("/jobs/{job}/retry")
def retry_job(call: InProject, job: JobId) -> Job:
    """Queue a failed job again."""
    return retry(call.platform, call.actor, call.project, job)


@router.get("/schedules")
def schedules(call: InProject) -> list[Schedule]:
    """Return the schedules."""
    return find_schedules(call.platform, call.actor, call.project)


@router.put("/schedules/{name}")
def keep_schedule(call: InProject, name: str, new: NewSchedule) -> Schedule:
    """Keep a schedule."""
    return save_schedule(
        call.platform,
        call.actor,
        call.project,
        name=name,
        cron=new.cron,
        kind=new.kind,
        title=new.title,
        payload=new.payload,
        enabled=new.enabled,
    )


@router.post("/schedules/{name}/enabled")
def switch_schedule(call: InProject, name: str, enabled: bool) -> Schedule:
    """Switch a schedule on or off."""
    return enable_schedule(call.platform, call.actor, call.project, name, enabled=enabled)
