"""Routes of saved pipelines."""

from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter

from modelyard.api.callers import InProject, PageQuery
from modelyard.api.reading import SnapshotRoute
from modelyard.core import JsonObject, Page
from modelyard.data import Check
from modelyard.prepare import PipelineVersion
from modelyard.prepare.rules import read_pipeline
from modelyard.prepare.service import (
    find_pipelines,
    get_pipeline_version,
    pipeline_document,
    pipeline_versions,
    save_pipeline,
    try_pipeline,
)
from modelyard.prepare.trying import Tried

router = APIRouter(prefix="/v1/projects/{project}/pipelines", tags=["preparation"], route_class=SnapshotRoute)


@dataclass(frozen=True)
class NewPipeline:
    """A pipeline to save: its JSON form."""

    name: str
    pipeline: dict[str, Any]
    checks: tuple[Check, ...] = field(default=())
    note: str = ""


@dataclass(frozen=True)
class WantedTry:
    """A pipeline to try, and on which rows."""

    pipeline: dict[str, Any]
    data: str  # dataset version: `flights@1`, `flights@latest` or an id
    label: str | None = None
    rows: int = 1_000
    seed: int = 0


@dataclass(frozen=True)
class PipelineContent:
    """A saved pipeline whole: its version and its JSON form."""

    version: PipelineVersion
    pipeline: JsonObject


@router.get("")
def pipelines(call: InProject) -> list[PipelineVersion]:
    """Return the newest version of each pipeline."""
    return find_pipelines(call.platform, call.actor, call.project)


@router.post("", status_code=201)
def save(call: InProject, new: NewPipeline) -> PipelineVersion:
    """Save a pipeline as the next version of its name; equal to the newest it is that one."""
    return save_pipeline(call.platform, call.actor, call.project, new.name, new.pipeline, checks=new.checks, note=new.note)


@router.post("/try")
def try_out(call: InProject, wanted: WantedTry) -> Tried:
    """Try a pipeline on a sample of a dataset version; nothing is kept."""
    pipeline = read_pipeline(wanted.pipeline)
    return try_pipeline(
        call.platform,
        call.actor,
        call.project,
        pipeline,
        wanted.data,
        label=wanted.label,
        rows=wanted.rows,
        seed=wanted.seed,
    )


@router.get("/{name}/versions")
def versions(call: InProject, name: str, page: PageQuery) -> Page[PipelineVersion]:
    """Return the versions of a pipeline, newest first."""
    return pipeline_versions(call.platform, call.actor, call.project, name, page)


@router.get("/{ref}")
def content(call: InProject, ref: str) -> PipelineContent:
    """Return the pipeline that `flights@3`, `flights@latest` or `flights` names."""
    version = get_pipeline_version(call.platform, call.actor, call.project, ref)
    return PipelineContent(version, pipeline_document(call.platform, call.actor, call.project, version))
