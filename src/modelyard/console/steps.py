"""Preparation as pages show it: steps each in a line, the pipelines that answer, and those that are saved."""

from dataclasses import dataclass
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response

from modelyard.console.data import newest_versions
from modelyard.console.editor import editor_path
from modelyard.console.frame import Frame, base_of, frame_of, show
from modelyard.console.outcomes import told_check
from modelyard.console.rendering import PageRoute
from modelyard.console.stations import pipeline_of
from modelyard.console.telling import value
from modelyard.console.visits import InProject, Visit
from modelyard.core import MemberId, PageRequest
from modelyard.prepare import FunctionStep, InputColumn, PipelineVersion, Step, speed_class
from modelyard.prepare.pipeline_text import pipeline_text
from modelyard.prepare.service import find_pipelines, get_pipeline_version, load_pipeline, pipeline_versions
from modelyard.registry import Form
from modelyard.registry.service import find_aliases, find_models, find_versions
from modelyard.tenancy.service import find_members

router = APIRouter(prefix="/projects/{project}/prepare", route_class=PageRoute, include_in_schema=False)
RUNTIMES = {"onnxruntime": "ONNX", "sklearn": "scikit-learn", "xgboost": "XGBoost", "lightgbm": "LightGBM", "torch": "PyTorch"}


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
    speed: str


@dataclass(frozen=True)
class PreparePage:
    """The context of the pipelines that answer now, and of those that are saved."""

    frame: Frame
    cards: tuple[PipelineCard, ...]
    saved: tuple[PipelineVersion, ...]
    editor: str


@dataclass(frozen=True)
class PipelinePage:
    """The context of a saved pipeline."""

    frame: Frame
    version: PipelineVersion
    author: str
    href: str
    steps: tuple[StepRow, ...]
    checks: tuple[str, ...]
    python: str
    datasets: tuple[str, ...]
    versions: tuple[PipelineVersion, ...]


def speed_told(steps: tuple[Step, ...] | None, forms: tuple[Form, ...]) -> str:
    """Return the speed class of a model version: its steps', and what its fastest usual form runs in.

    `steps` is None where the model takes raw columns: then what it prepares is a pipeline of the model itself.
    """
    timed = [form for form in forms if form.latency_us is not None and not form.approximate] or list(forms)
    fastest = min(timed, key=lambda form: form.latency_us or 0.0, default=None)
    runtime = RUNTIMES.get(fastest.framework, fastest.framework) if fastest else ""
    if steps is None:
        return f"model pipeline in {runtime}" if runtime else "of its members"
    own = speed_class(steps).value
    return f"{own}, model in {runtime}" if runtime else own


def step_rows(steps: tuple[Step, ...]) -> tuple[StepRow, ...]:
    """Return steps, each in a line."""
    rows = []
    for number, step in enumerate(steps, 1):
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
                steps=step_rows(fitted.steps),
                inputs=fitted.inputs,
                features=fitted.features,
                forms=version.forms,
                speed=speed_told(fitted.steps, version.forms),
            )
        )
    saved = tuple(find_pipelines(platform, actor, project))
    return PreparePage(frame_of(visit, "Prepare", "Prepare"), tuple(cards), saved, editor_path(visit))


def build_pipeline(visit: Visit, name: str, number: int) -> PipelinePage:
    """Return the context of a saved pipeline."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    version = get_pipeline_version(platform, actor, project, f"{name}@{number}")
    pipeline = load_pipeline(platform, actor, project, version)
    names = {one.id: one.name for one in find_members(platform, actor)}
    return PipelinePage(
        frame=frame_of(visit, "Prepare", f"v{number}"),
        version=version,
        author=names.get(MemberId(version.created_by), version.created_by),
        href=f"{base_of(visit.project)}/prepare/pipelines/{quote(name, safe='')}",
        steps=step_rows(pipeline.steps),
        checks=tuple(told_check(check) for check in version.checks),
        python=pipeline_text(pipeline, version.checks),
        datasets=tuple(newest_versions(visit)),
        versions=pipeline_versions(platform, actor, project, name, PageRequest()).items,
    )


@router.get("")
def prepare(visit: InProject) -> Response:
    """Show the preparation that travels with each model."""
    return show(visit, "prepare.html", lambda: build_prepare(visit))


@router.get("/pipelines/{name}/{number}")
def pipeline(visit: InProject, name: str, number: int) -> Response:
    """Show a saved pipeline."""
    return show(visit, "pipeline.html", lambda: build_pipeline(visit, name, number))
