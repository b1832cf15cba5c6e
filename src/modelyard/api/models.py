"""Routes of the registry."""

from dataclasses import dataclass

from fastapi import APIRouter

from modelyard.api.callers import InProject, PageQuery
from modelyard.api.reading import SnapshotRoute
from modelyard.core import Page
from modelyard.data.service import get_version as get_dataset_version
from modelyard.jobs import Job
from modelyard.registry import Alias, Approval, Best, Gate, GateResult, Model, ModelVersion
from modelyard.registry.best import set_best
from modelyard.registry.combining import Combination, request_combination
from modelyard.registry.imports import Wish, request_import
from modelyard.registry.service import (
    approve,
    ensure_model,
    evaluate_gate,
    find_aliases,
    find_models,
    find_versions,
    get_model,
    get_version,
    promote,
    request_evaluation,
    request_registration,
    set_gate,
)

router = APIRouter(prefix="/v1/projects/{project}/models", tags=["registry"], route_class=SnapshotRoute)


@dataclass(frozen=True)
class NewModel:
    """A model to make."""

    name: str
    description: str = ""


@dataclass(frozen=True)
class Registration:
    """A finished run to register."""

    run: str
    alias: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Promotion:
    """A version for an alias."""

    version: int


@dataclass(frozen=True)
class WantedEvaluation:
    """A measurement beside another version."""

    against: str = "champion"  # alias or number
    data: str | None = None  # dataset version: `flights@1`, `flights@latest` or an id; None: the version's own
    newest_s: int | None = None


@dataclass(frozen=True)
class NewApproval:
    """A yes, or the breaking of the glass."""

    alias: str
    reason: str
    break_glass: bool = False


@router.get("")
def models(call: InProject) -> list[Model]:
    """Return the models."""
    return find_models(call.platform, call.actor, call.project)


@router.post("", status_code=201)
def make_model(call: InProject, new: NewModel) -> Model:
    """Make a model, or return the one of this name."""
    return ensure_model(call.platform, call.actor, call.project, new.name, new.description)


@router.get("/{model}")
def model(call: InProject, model: str) -> Model:
    """Return one model."""
    return get_model(call.platform, call.actor, call.project, model)


@router.get("/{model}/versions")
def versions(call: InProject, model: str, page: PageQuery) -> Page[ModelVersion]:
    """Return a model's versions, newest first."""
    return find_versions(call.platform, call.actor, call.project, model, page)


@router.post("/{model}/versions", status_code=202)
def make_version(call: InProject, model: str, new: Registration) -> Job:
    """Queue the registration of a run; the job's result names the version."""
    return request_registration(call.platform, call.actor, call.project, model, new.run, alias=new.alias, note=new.note)


@router.post("/{model}/imports", status_code=202)
def import_model(call: InProject, model: str, new: Wish) -> Job:
    """Queue the import of a model that was made elsewhere, its files uploaded already; the job's result names the version."""
    return request_import(call.platform, call.actor, call.project, model, new)


@router.post("/{model}/combinations", status_code=202)
def combine(call: InProject, model: str, new: Combination) -> Job:
    """Queue the making of a version out of others; the job's result names it."""
    return request_combination(call.platform, call.actor, call.project, model, new)


@router.get("/{model}/versions/{what}")
def version(call: InProject, model: str, what: str) -> ModelVersion:
    """Return a version by number, alias or `latest`."""
    return get_version(call.platform, call.actor, call.project, f"{model}@{what}")


@router.post("/{model}/versions/{number}/evaluations", status_code=202)
def evaluate(call: InProject, model: str, number: int, new: WantedEvaluation) -> Job:
    """Queue the measurement of a version beside another; the job's result holds the evaluation."""
    platform, actor, project = call.platform, call.actor, call.project
    data = None if new.data is None else get_dataset_version(platform, actor, project, new.data).id
    return request_evaluation(platform, actor, project, model, number, against=new.against, data=data, newest_s=new.newest_s)


@router.post("/{model}/versions/{number}/approvals", status_code=201)
def make_approval(call: InProject, model: str, number: int, new: NewApproval) -> Approval:
    """Record an approval."""
    return approve(
        call.platform,
        call.actor,
        call.project,
        model,
        number,
        new.alias,
        reason=new.reason,
        break_glass=new.break_glass,
    )


@router.get("/{model}/aliases")
def aliases(call: InProject, model: str) -> list[Alias]:
    """Return a model's aliases."""
    return find_aliases(call.platform, call.actor, call.project, model)


@router.put("/{model}/aliases/{alias}")
def move_alias(call: InProject, model: str, alias: str, new: Promotion) -> Alias:
    """Move an alias to a version, through its gate."""
    return promote(call.platform, call.actor, call.project, model, new.version, alias)


@router.put("/{model}/aliases/{alias}/gate")
def keep_gate(call: InProject, model: str, alias: str, gate: Gate) -> Alias:
    """Put a gate before an alias."""
    return set_gate(call.platform, call.actor, call.project, model, alias, gate)


@router.get("/{model}/aliases/{alias}/gate/{number}")
def ask_gate(call: InProject, model: str, alias: str, number: int) -> GateResult:
    """Return what the gate comes to for a version."""
    return evaluate_gate(call.platform, call.actor, call.project, model, number, alias)


@router.put("/{model}/aliases/{alias}/best")
def keep_rule(call: InProject, model: str, alias: str, best: Best) -> Alias:
    """Have an alias move by itself to the version that is best by a rule."""
    return set_best(call.platform, call.actor, call.project, model, alias, best)


@router.delete("/{model}/aliases/{alias}/best")
def drop_rule(call: InProject, model: str, alias: str) -> Alias:
    """Have an alias be moved by hand again."""
    return set_best(call.platform, call.actor, call.project, model, alias, None)
