"""Routes of data: datasets, versions, rows. Rows travel as Arrow IPC."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from modelyard.api.callers import InProject, PageQuery
from modelyard.api.reading import SnapshotRoute
from modelyard.core import Page, Problem
from modelyard.data import Admission, Check, Column, Dataset, DatasetVersion, Parent, Profile, Vacuum
from modelyard.data.comparing import compare_versions
from modelyard.data.diff import EXAMPLES, VersionDiff
from modelyard.data.profile import to_json
from modelyard.data.quality import Suggestion
from modelyard.data.reading import telling_dropped
from modelyard.data.retention import KEEP, OLDER_THAN, age_of
from modelyard.data.rules import LATEST
from modelyard.data.sample import sample_version
from modelyard.data.service import (
    add_checks,
    append,
    change_checks,
    create_dataset,
    find_datasets,
    get_dataset,
    get_version,
    profile_of,
    quarantined,
    read,
    suggest_checks,
    versions,
)
from modelyard.data.snapshot_jobs import SnapshotRequest, request_snapshot
from modelyard.data.snapshots import read_on
from modelyard.jobs import Job, Limits
from modelyard.jobs.service import NO_LIMITS
from modelyard.serving.retention import vacuum
from modelyard.tenancy import authorise

router = APIRouter(prefix="/v1/projects/{project}/datasets", tags=["data"], route_class=SnapshotRoute)
ARROW = "application/vnd.apache.arrow.file"


@dataclass(frozen=True)
class NewDataset:
    """A dataset to make."""

    name: str
    key: tuple[str, ...] = ()
    time: str | None = None
    source: str | None = None
    checks: tuple[Check, ...] = ()
    stop_share: float = 0.05
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True)
class Checks:
    """What a dataset is to ask of its rows and batches from now on."""

    checks: tuple[Check, ...]
    stop_share: float = 0.05


@dataclass(frozen=True)
class NewSnapshot:
    """What to take from the source: rows of [since, until); whether those of a known key stand in for those held.

    None: of a source that reads on.
    """

    since: datetime | None = None
    until: datetime | None = None
    replacing: bool | None = None
    note: str = ""
    limits: Limits = NO_LIMITS


@dataclass(frozen=True)
class NewVacuum:
    """Which versions stay, whatever needs them: the newest, and those that are no older."""

    keep: int = KEEP
    older_than_s: float = OLDER_THAN.total_seconds()


def frame_of(content: bytes) -> pl.DataFrame:
    """Return the frame that an Arrow IPC body holds. Problem `body.invalid` for other bytes."""
    try:
        return pl.read_ipc(io.BytesIO(content))
    except Exception as error:  # Polars raises several kinds for bytes that are no Arrow file
        raise Problem("body.invalid", "The body holds no Arrow IPC file", str(error).splitlines()[0]) from error


def frame_response(frame: pl.DataFrame) -> Response:
    """Return a frame as an Arrow IPC answer."""
    buffer = io.BytesIO()
    frame.write_ipc(buffer)
    return Response(buffer.getvalue(), media_type=ARROW)


@router.get("")
def datasets(call: InProject) -> list[Dataset]:
    """Return the datasets."""
    return find_datasets(call.platform, call.actor, call.project)


@router.post("", status_code=201)
def make_dataset(call: InProject, new: NewDataset) -> Dataset:
    """Make a dataset."""
    return create_dataset(
        call.platform,
        call.actor,
        call.project,
        new.name,
        key=new.key,
        time=new.time,
        source=new.source,
        checks=new.checks,
        stop_share=new.stop_share,
        columns=new.columns,
    )


@router.get("/{name}")
def dataset(call: InProject, name: str) -> Dataset:
    """Return one dataset."""
    return get_dataset(call.platform, call.actor, call.project, name)


@router.put("/{name}/checks")
def put_checks(call: InProject, name: str, wanted: Checks) -> Dataset:
    """Give a dataset other checks."""
    return change_checks(call.platform, call.actor, call.project, name, checks=wanted.checks, stop_share=wanted.stop_share)


@router.post("/{name}/checks")
def post_checks(call: InProject, name: str, checks: tuple[Check, ...]) -> Dataset:
    """Give a dataset further checks."""
    return add_checks(call.platform, call.actor, call.project, name, checks)


@router.get("/{name}/suggestions")
def suggestions(call: InProject, name: str) -> list[Suggestion]:
    """Return checks that the rows of the newest version keep, each with its reason."""
    return suggest_checks(call.platform, call.actor, call.project, name)


@router.post("/{name}/snapshots", status_code=202)
def ask_for_snapshot(call: InProject, name: str, new: NewSnapshot) -> Job:
    """Queue a snapshot: a worker reads the source and makes a version of its new rows; the job's result tells of it."""
    request = SnapshotRequest(name, new.since, new.until, new.replacing, new.note)
    return request_snapshot(call.platform, call.actor, call.project, request, new.limits)


@router.post("/{name}/portions", status_code=201)
def take_portion(call: InProject, name: str) -> Admission:
    """Read a source that reads on, from where its last version ended, and make a version of what came."""
    return read_on(call.platform, call.actor, call.project, name)


def _parent(text: str) -> Parent:
    kind, *rest = text.split("|", 2)
    if not rest:
        raise Problem("parent.invalid", f"'{text[:200]}' names nothing that rows come from", "it is KIND|REF|TOLD")
    return Parent(kind, *rest)


@router.post("/{name}/rows", status_code=201)
async def append_rows(
    call: InProject,
    name: str,
    request: Request,
    parent: Annotated[list[str] | None, Query()] = None,
    note: str = "",
    whole: bool = False,
) -> Admission:
    """Append the rows of an Arrow IPC body, or make them all that the next version holds. Each `parent` is `KIND|REF|TOLD`."""
    frame = frame_of(await request.body())
    parents = [_parent(text) for text in parent or ()]
    return await run_in_threadpool(
        append, call.platform, call.actor, call.project, name, frame, parents=parents, note=note, whole=whole
    )


@router.get("/{name}/versions")
def dataset_versions(call: InProject, name: str, page: PageQuery) -> Page[DatasetVersion]:
    """Return a dataset's versions, newest first."""
    get_dataset(call.platform, call.actor, call.project, name)
    return versions(call.platform, call.actor, call.project, page, name)


@router.get("/{name}/versions/{what}")
def dataset_version(call: InProject, name: str, what: str) -> DatasetVersion:
    """Return a version by number, or `latest`."""
    return get_version(call.platform, call.actor, call.project, f"{name}@{what}")


@router.get("/{name}/versions/{what}/profile")
def version_profile(call: InProject, name: str, what: str) -> Mapping[str, Any]:
    """Return a version's profile."""
    version = get_version(call.platform, call.actor, call.project, f"{name}@{what}")
    found: Profile = profile_of(call.platform, call.actor, call.project, version)
    return to_json(found)


@router.get("/{name}/versions/{what}/rows")
def version_rows(
    call: InProject,
    name: str,
    what: str,
    limit: Annotated[int, Query(ge=1)] = 1_000_000,
    sample: Annotated[int | None, Query(ge=1)] = None,
    seed: int = 0,
) -> Response:
    """Return a version's rows as Arrow IPC: the first `limit` of all, or of a `sample` of so many, the same for each `seed`."""
    authorise(call.actor, "dataset.read", call.project)
    version = get_version(call.platform, call.actor, call.project, f"{name}@{what}")
    if sample is not None:
        return frame_response(sample_version(call.platform, call.actor, call.project, version, sample, seed).head(limit))
    with telling_dropped(call.platform, version):
        return frame_response(read(call.platform, call.actor, call.project, version).head(limit).collect())


@router.get("/{name}/diff")
def version_diff(
    call: InProject, name: str, before: str, after: str = LATEST, examples: Annotated[int, Query(ge=0)] = EXAMPLES
) -> VersionDiff:
    """Return what differs between two versions, each by its number or `latest`."""
    return compare_versions(call.platform, call.actor, call.project, name, before, after, examples=examples)


@router.get("/{name}/vacuum")
def would_vacuum(call: InProject, name: str, keep: int = KEEP, older_than_s: float = OLDER_THAN.total_seconds()) -> Vacuum:
    """Return what a vacuum would drop, what is held and why, and the bytes that it would free. Nothing is changed."""
    older_than = age_of(older_than_s)
    return vacuum(call.platform, call.actor, call.project, name, keep=keep, older_than=older_than, dry_run=True)


@router.post("/{name}/vacuum")
def do_vacuum(call: InProject, name: str, new: NewVacuum) -> Vacuum:
    """Drop versions that nothing needs for good, and free their bytes."""
    older_than = age_of(new.older_than_s)
    return vacuum(call.platform, call.actor, call.project, name, keep=new.keep, older_than=older_than)


@router.get("/{name}/quarantine")
def quarantine(call: InProject, name: str) -> Response:
    """Return the quarantined rows with their reasons, as Arrow IPC."""
    return frame_response(quarantined(call.platform, call.actor, call.project, name).collect())
