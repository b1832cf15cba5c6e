"""Preparation as pages show it: the steps of a fitted pipeline, each in a line."""

from dataclasses import dataclass
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response

from modelyard.console.frame import Frame, base_of, frame_of, show
from modelyard.console.rendering import PageRoute
from modelyard.console.stations import pipeline_of
from modelyard.console.telling import value
from modelyard.console.visits import InProject, Visit
from modelyard.core import PageRequest
from modelyard.prepare import FittedPipeline, FunctionStep, InputColumn
from modelyard.registry import Form
from modelyard.registry.service import find_aliases, find_models, find_versions

router = APIRouter(prefix="/projects/{project}/prepare", route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True)
class StepRow:
    """A step of a pipeline: what it does, to which columns, and what it learned."""

    number: int
    kind: str
    function: bool
    columns: tuple[str, ...]
    params: str
    learned: str
    source: str


@dataclass(frozen=True)
class PipelineCard:
    """The preparation of a model's version."""

    model: str
    version: int
    alias: str
    href: str
    steps: tuple[StepRow, ...]
    inputs: tuple[InputColumn, ...]
    features: tuple[str, ...]
    forms: tuple[Form, ...]


@dataclass(frozen=True)
class PreparePage:
    """The context of the pipelines that answer now."""

    frame: Frame
    cards: tuple[PipelineCard, ...]


def step_rows(fitted: FittedPipeline) -> tuple[StepRow, ...]:
    """Return the steps, each in a line."""
    rows = []
    for number, step in enumerate(fitted.steps, 1):
        learned = ", ".join(f"{name}: {value(told)}" for name, told in (step.fitted or {}).items())
        if isinstance(step, FunctionStep):
            rows.append(StepRow(number, step.name, True, (), "", learned, step.code.source))
        else:
            params = ", ".join(f"{name}={value(told)}" for name, told in step.params.items())
            rows.append(StepRow(number, step.kind, False, step.columns, params, learned, ""))
    return tuple(rows)


def build_prepare(visit: Visit) -> PreparePage:
    """Return the context: of each model the version that answers, else the newest."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    aliases = find_aliases(platform, actor, project)
    cards = []
    for model in find_models(platform, actor, project):
        held = next((a for a in aliases if a.model == model.name and a.version and a.name == "champion"), None)
        found = find_versions(platform, actor, project, model.name, PageRequest(limit=1000)).items
        version = next((one for one in found if held and one.number == held.version), found[0] if found else None)
        if version is None or version.pipeline is None:
            continue
        fitted = pipeline_of(visit, version.pipeline)
        cards.append(
            PipelineCard(
                model=model.name,
                version=version.number,
                alias=held.name if held else "newest",
                href=f"{base_of(visit.project)}/models/{quote(model.name, safe='')}/{version.number}",
                steps=step_rows(fitted),
                inputs=fitted.inputs,
                features=fitted.features,
                forms=version.forms,
            )
        )
    return PreparePage(frame_of(visit, "Prepare", "Prepare"), tuple(cards))


@router.get("")
def prepare(visit: InProject) -> Response:
    """Show the preparation that travels with each model."""
    return show(visit, "prepare.html", lambda: build_prepare(visit))
