"""Models: which version is live and why; each version with all that is known of it, and the ways to promote it."""

from dataclasses import dataclass
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response
from markupsafe import Markup

from modelyard.console.deeds import Deed, deeds_of
from modelyard.console.editor import editor_path
from modelyard.console.frame import Frame, base_of, frame_of, show
from modelyard.console.markdown import render_markdown
from modelyard.console.rendering import PageRoute, see_other
from modelyard.console.stations import pipeline_of
from modelyard.console.steps import StepRow, speed_told, step_rows
from modelyard.console.visits import Fields, InProject, Visit
from modelyard.core import PageRequest, Problem
from modelyard.data import DatasetVersion
from modelyard.reactions.service import find_decisions
from modelyard.registry import Alias, Approval, Composition, GateResult, Model, ModelVersion
from modelyard.registry.composition import roles, takes_tensors
from modelyard.registry.service import (
    approve,
    evaluate_gate,
    find_aliases,
    find_models,
    find_versions,
    get_model,
    get_version,
    promote,
)
from modelyard.serving.service import find_deployments
from modelyard.training import Run
from modelyard.training.service import get_run, load_trainer

router = APIRouter(prefix="/projects/{project}/models", route_class=PageRoute, include_in_schema=False)
MANY = PageRequest(limit=1000)
ONE = PageRequest(limit=1)
SHOWN_METRICS = 4


@dataclass(frozen=True)
class ModelRow:
    """A model, in a line."""

    model: Model
    href: str
    newest: ModelVersion | None
    aliases: tuple[Alias, ...]


@dataclass(frozen=True)
class ModelsPage:
    """The context of the list."""

    frame: Frame
    rows: tuple[ModelRow, ...]


@dataclass(frozen=True)
class VersionRow:
    """A version, in a line."""

    version: ModelVersion
    href: str
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class Gated:
    """A gate, and what it comes to for a version."""

    alias: Alias
    result: GateResult


@dataclass(frozen=True)
class PartRow:
    """A version that another is made of, in a line."""

    ref: str
    name: str
    told: str  # what it does
    href: str


@dataclass(frozen=True)
class ModelPage:
    """The context of one model."""

    frame: Frame
    model: Model
    href: str
    aliases: tuple[Alias, ...]
    why: tuple[Deed, ...]  # the newest decisions about what is live
    gates: tuple[Gated, ...]  # each gate beside the newest version
    rows: tuple[VersionRow, ...]
    metrics: tuple[str, ...]
    next_key: str | None


@dataclass(frozen=True)
class VersionPage:
    """The context of one version."""

    frame: Frame
    version: ModelVersion
    href: str
    model_href: str
    aliases: tuple[str, ...]
    run: Run | None  # None: it was imported, or combined
    data: DatasetVersion | None
    gates: tuple[Gated, ...]
    approvals: tuple[Approval, ...]
    steps: tuple[StepRow, ...]
    features: tuple[str, ...]
    speed: str
    editor: str  # where its steps are opened to be changed; empty: it has none
    slice_metrics: tuple[str, ...]
    card: Markup
    parts: tuple[PartRow, ...]  # of a combined version
    takes_tensors: bool
    movable: tuple[str, ...]  # aliases that the visitor may move here


def build_models(visit: Visit) -> ModelsPage:
    """Return the context of the list."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    aliases = find_aliases(platform, actor, project)
    rows = []
    for model in find_models(platform, actor, project):
        newest = next(iter(find_versions(platform, actor, project, model.name, ONE).items), None)
        held = tuple(alias for alias in aliases if alias.model == model.name)
        rows.append(ModelRow(model, model_path(visit, model.name), newest, held))
    return ModelsPage(frame_of(visit, "Models", "Models"), tuple(rows))


def model_path(visit: Visit, model: str) -> str:
    """Return the address of a model."""
    return f"{base_of(visit.project)}/models/{quote(model, safe='')}"


def build_model(visit: Visit, name: str) -> ModelPage:
    """Return the context of one model."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    model = get_model(platform, actor, project, name)
    frame = frame_of(visit, "Models", name)
    found = find_versions(platform, actor, project, name, PageRequest(frame.query.get("after")))
    aliases = tuple(find_aliases(platform, actor, project, name))
    served = [one.name for one in find_deployments(platform, actor, project) if one.model == name]
    made = [one for one in find_decisions(platform, actor, project, MANY).items if one.deployment in served]
    moving = [one for one in made if one.action.value in ("promote", "roll_back", "break_glass", "undo")]
    newest = next(iter(find_versions(platform, actor, project, name, ONE).items), None)
    path = model_path(visit, name)
    names = sorted({metric for version in found.items for metric in version.metrics}, key=_metric_order)
    return ModelPage(
        frame=frame,
        model=model,
        href=path,
        aliases=aliases,
        why=deeds_of(visit, moving[:4]),
        gates=gates_of(visit, aliases, newest) if newest else (),
        rows=tuple(
            VersionRow(version, f"{path}/{version.number}", aliases_at(aliases, version.number)) for version in found.items
        ),
        metrics=tuple(names[:SHOWN_METRICS]),
        next_key=found.next_key,
    )


def _metric_order(name: str) -> tuple[int, str]:
    known = ("log_loss", "roc_auc", "brier", "accuracy", "rmse", "mae", "r2")
    return (known.index(name) if name in known else len(known), name)


def aliases_at(aliases: tuple[Alias, ...], number: int) -> tuple[str, ...]:
    """Return the names of the aliases that stand at a version."""
    return tuple(alias.name for alias in aliases if alias.version == number)


def gates_of(visit: Visit, aliases: tuple[Alias, ...], version: ModelVersion) -> tuple[Gated, ...]:
    """Return what each gate of the model comes to for a version."""
    ports, actor, project = visit.platform, visit.actor, visit.project.id
    gated = [alias for alias in aliases if alias.gate.conditions]
    return tuple(
        Gated(alias, evaluate_gate(ports, actor, project, version.model, version.number, alias.name)) for alias in gated
    )


def build_version(visit: Visit, name: str, number: int) -> VersionPage:
    """Return the context of one version."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    version = get_version(platform, actor, project, f"{name}@{number}")
    aliases = tuple(find_aliases(platform, actor, project, name))
    frame = frame_of(visit, "Models", f"v{number}")
    fitted = pipeline_of(visit, version.pipeline) if version.pipeline is not None else None
    [card] = platform.objects.get(project, [version.card])
    with platform.transaction() as tx:
        approvals = tuple(tx.models.approvals(project, name, number))
        try:
            data = tx.datasets.get_versions(project, [version.data])[0] if version.data is not None else None
        except Problem:
            data = None
    path = model_path(visit, name)
    return VersionPage(
        frame=frame,
        version=version,
        href=f"{path}/{number}",
        model_href=path,
        aliases=aliases_at(aliases, number),
        run=get_run(platform, actor, project, version.run) if version.run is not None else None,
        data=data,
        gates=gates_of(visit, aliases, version),
        approvals=approvals,
        steps=step_rows(fitted.steps) if fitted else (),
        features=fitted.features if fitted else (),
        speed=speed_told(fitted.steps if fitted else None, version.forms),
        editor=_editor(visit, version, data) if fitted else "",
        slice_metrics=tuple(sorted({m for one in version.slices for m in one.metrics}, key=_metric_order)[:SHOWN_METRICS]),
        card=render_markdown(card.decode(errors="replace")),
        parts=_parts(visit, version.composition) if version.composition else (),
        takes_tensors=takes_tensors(version),
        movable=tuple(a.name for a in aliases if a.version != number) if "alias.move" in frame.may else (),
    )


def _editor(visit: Visit, version: ModelVersion, data: DatasetVersion | None) -> str:
    wanted = {"start": f"model:{version.model}@{version.number}"}
    if data is None or version.recipe is None:
        return editor_path(visit, **wanted)
    trainer = load_trainer(visit.platform, visit.actor, visit.project.id, version.recipe.trainer)
    return editor_path(visit, **wanted, data=f"{data.name}@{data.number}", label=trainer.label)


def _parts(visit: Visit, composition: Composition) -> tuple[PartRow, ...]:
    return tuple(
        PartRow(part.ref, part.name, told, f"{model_path(visit, part.model)}/{part.version}")
        for part, told in roles(composition)
    )


@router.get("")
def list_models(visit: InProject) -> Response:
    """Show the models."""
    return show(visit, "models.html", lambda: build_models(visit))


@router.get("/{model}")
def one_model(visit: InProject, model: str) -> Response:
    """Show one model."""
    return show(visit, "model.html", lambda: build_model(visit, model))


@router.get("/{model}/{number}")
def one_version(visit: InProject, model: str, number: int) -> Response:
    """Show one version."""
    return show(visit, "version.html", lambda: build_version(visit, model, number))


@router.post("/{model}/{number}/promote")
def promote_version(visit: InProject, model: str, number: int, fields: Fields) -> Response:
    """Move an alias to a version, through its gate."""
    alias = fields.get("alias", "")
    cause = f"member:{visit.actor.member}"
    promote(visit.platform, visit.actor, visit.project.id, model, number, alias, cause=cause)
    return see_other(f"{model_path(visit, model)}/{number}", f"{alias} is v{number} now.")


@router.post("/{model}/{number}/approve")
def approve_version(visit: InProject, model: str, number: int, fields: Fields, alias: str = "") -> Response:
    """Record a yes."""
    wanted = fields.get("alias") or alias
    reason = fields.get("reason", "")
    approve(visit.platform, visit.actor, visit.project.id, model, number, wanted, reason=reason)
    return see_other(f"{model_path(visit, model)}/{number}", f"Your yes to v{number} for {wanted} is on record.")
