"""Use cases of the registry. Only `promote` moves an alias, and it asks the gate itself: no path goes round it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from modelyard.core import Clock, Digest, IdMaker, ObjectStore, Page, PageRequest, Problem, ProjectId, check_name, missing
from modelyard.data import DatasetVersionId
from modelyard.data.features import Features
from modelyard.data.rules import check_there
from modelyard.events import Fact
from modelyard.jobs import Job
from modelyard.jobs.service import submit
from modelyard.registry.parts import trained_leaf
from modelyard.registry.rules import LATEST, barred, check_code, check_gate, judge_gate, parse_reference, told_failures, trained
from modelyard.registry.store import RegistryTransaction
from modelyard.registry.types import (
    Alias,
    Approval,
    Evaluation,
    Form,
    Gate,
    GateResult,
    Model,
    ModelId,
    ModelVersion,
    Signature,
    Slice,
)
from modelyard.tenancy import Actor, authorise
from modelyard.training import Run, RunId, RunState
from modelyard.training.service import get_run

REGISTER_JOB = "model.register"
EVALUATE_JOB = "model.evaluate"


class Ports(Protocol):
    """What the registry needs of the platform."""

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        ...

    @property
    def ids(self) -> IdMaker:
        """The maker of ids."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """The object store."""
        ...

    def transaction(self) -> AbstractContextManager[RegistryTransaction]:
        """Open or join a transaction."""
        ...


@dataclass(frozen=True)
class Package:
    """Everything that a new version is made of."""

    run: Run
    pipeline: Digest
    signature: Signature
    forms: tuple[Form, ...]
    slices: tuple[Slice, ...]
    evaluations: tuple[Evaluation, ...]
    checks_green: bool
    card: str  # Markdown
    note: str = ""
    reference: Mapping[str, float] = field(default_factory=dict)  # empty: the run's own metrics
    features: Features | None = None


def ensure_model(ports: Ports, actor: Actor, project: ProjectId, name: str, description: str = "") -> Model:
    """Return the model of this name, made now if it is not there."""
    authorise(actor, "model.write", project)
    check_name("model", name)
    with ports.transaction() as tx:
        for model in tx.models.find(project):
            if model.name == name:
                return model
        model = Model(ModelId(ports.ids("model")), project, name, ports.clock(), description)
        tx.models.add(project, [model])
        tx.events.add(project, [Fact("model.created", name)], actor=actor.member, at=ports.clock())
    return model


def find_models(ports: Ports, actor: Actor, project: ProjectId) -> list[Model]:
    """Return the project's models, by name."""
    authorise(actor, "model.read", project)
    with ports.transaction() as tx:
        return tx.models.find(project)


def get_model(ports: Ports, actor: Actor, project: ProjectId, name: str) -> Model:
    """Return one model. Problem `model.missing` with the nearest names."""
    models = find_models(ports, actor, project)
    for model in models:
        if model.name == name:
            return model
    raise missing("model", name, [model.name for model in models], "yard model list")


def request_registration(
    ports: Ports, actor: Actor, project: ProjectId, model: str, run: str, *, alias: str | None = None, note: str = ""
) -> Job:
    """Queue the registration of a finished run: conversion, parity, latency and slices are measured by a worker."""
    authorise(actor, "model.write", project)
    if alias is not None:
        authorise(actor, "alias.move", project)
        check_name("alias", alias)
    found = get_run(ports, actor, project, run)
    if found.state is not RunState.FINISHED:
        raise Problem(
            "run.conflict",
            f"Run {found.number} cannot be registered",
            f"it is {found.state.value}",
            f"yard run show {found.number}",
        )
    ensure_model(ports, actor, project, model)
    return submit(
        ports,
        actor,
        project,
        kind=REGISTER_JOB,
        title=f"register {model} from run {found.number}",
        payload={"model": model, "run": found.id, "alias": alias, "note": note},
    )


def request_evaluation(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    model: str,
    version: int,
    *,
    against: str = "champion",
    data: DatasetVersionId | None = None,
    newest_s: int | None = None,
) -> Job:
    """Queue the measurement of a version beside another on the same labelled rows; a worker does it, and keeps the figures.

    Parameters
    ----------
    against
        An alias or a number: the version that stands there now is the one measured beside.
    data
        The dataset version with the rows; None: the one that `version` was trained on, of which those held out count. An
        imported version has none, so they have to be named. Of a combined one that is the member's whose answers are nearest.
    newest_s
        Only the newest stretch of it, in seconds of event time; None: all.

    Raises
    ------
    Problem
        `version.missing`, `alias.missing`, `dataset.missing`, `dataset_version.dropped`; `evaluation.invalid` for a version
        beside itself, or a stretch without length; `evaluation.refused` for an imported version without rows, or beside another
        such one.
    """
    authorise(actor, "model.write", project)
    candidate = get_version(ports, actor, project, f"{model}@{version}")
    other = get_version(ports, actor, project, f"{model}@{against}")
    if other.number == candidate.number:
        what = f"{model}@{version} cannot be measured beside itself"
        raise Problem("evaluation.invalid", what, f"{against} is version {version}", "name another alias or number")
    if newest_s is not None and newest_s < 1:
        raise Problem("evaluation.invalid", f"The newest {newest_s} s are no stretch", "it has a length", "--newest 7d")
    wish = "be measured beside another"
    with ports.transaction() as tx:
        mine = trained_leaf(tx, candidate)
        if mine is None:  # the other's trainer says then what is to be predicted
            trained(trained_leaf(tx, other) or other, wish, "evaluation.refused")
        wanted = data or trained(mine or candidate, f"{wish} on rows of its own", "evaluation.refused").data
        [rows] = tx.datasets.get_versions(project, [wanted])
        check_there(rows)
        payload = {
            "model": model,
            "version": candidate.number,
            "against": other.number,
            "data": rows.id,
            "newest_s": newest_s,
        }
        title = f"evaluate {model} v{candidate.number} beside v{other.number} on {rows.name} v{rows.number}"
        return submit(ports, actor, project, kind=EVALUATE_JOB, title=title, payload=payload)


def register(ports: Ports, actor: Actor, project: ProjectId, model: str, package: Package) -> ModelVersion:
    """Record a new version of `model` that a run made."""

    def made(number: int, card: Digest) -> ModelVersion:
        return ModelVersion(
            project=project,
            model=model,
            number=number,
            run=package.run.id,
            recipe=package.run.recipe,
            data=package.run.data,
            pipeline=package.pipeline,
            signature=package.signature,
            forms=package.forms,
            metrics=package.run.metrics,
            slices=package.slices,
            evaluations=package.evaluations,
            checks_green=package.checks_green,
            card=card,
            created_by=actor.member,
            created_at=ports.clock(),
            refit_of=package.run.refit_of,
            cause=package.run.cause,
            note=package.note,
            reference=package.reference or package.run.metrics,
            features=package.features,
        )

    return add_version(ports, actor, project, model, card=package.card, made=made, told={"run": package.run.id})


def add_version(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    model: str,
    *,
    card: str,
    made: Callable[[int, Digest], ModelVersion],
    told: Mapping[str, object],
) -> ModelVersion:
    """Record what `made` gives for the model's next number and the digest of the card; its fact says what is `told`."""
    authorise(actor, "model.write", project)
    [digest] = ports.objects.put(project, [card.encode()])
    with ports.transaction() as tx:
        ensure_model(ports, actor, project, model)
        newest = tx.models.versions(project, model, PageRequest(limit=1)).items
        version = made(newest[0].number + 1 if newest else 1, digest)
        check_code(version)
        tx.models.add_versions(project, [version])
        fact = Fact("version.registered", f"{model}@{version.number}", told)
        tx.events.add(project, [fact], actor=actor.member, at=ports.clock())
    return version


def get_version(ports: Ports, actor: Actor, project: ProjectId, reference: str) -> ModelVersion:
    """Return the version that `MODEL@NUMBER`, `MODEL@ALIAS` or `MODEL@latest` names."""
    model, what = parse_reference(reference)
    get_model(ports, actor, project, model)
    with ports.transaction() as tx:
        if what.isdecimal():
            return tx.models.get_versions(project, model, [int(what)])[0]
        if what == LATEST:
            newest = tx.models.versions(project, model, PageRequest(limit=1)).items
            if not newest:
                raise Problem("version.missing", f"{model} has no version", "nothing was registered", "yard model register")
            return newest[0]
        aliases = {alias.name: alias for alias in tx.models.aliases(project, model) if alias.version is not None}
        if what not in aliases:
            raise missing("alias", what, [*aliases, LATEST], f"yard model show {model}")
        return tx.models.get_versions(project, model, [aliases[what].version or 0])[0]


def find_versions(ports: Ports, actor: Actor, project: ProjectId, model: str, page: PageRequest) -> Page[ModelVersion]:
    """Return a model's versions, newest first."""
    get_model(ports, actor, project, model)
    with ports.transaction() as tx:
        return tx.models.versions(project, model, page)


def find_aliases(ports: Ports, actor: Actor, project: ProjectId, model: str | None = None) -> list[Alias]:
    """Return the aliases of one model, or of all."""
    authorise(actor, "model.read", project)
    with ports.transaction() as tx:
        return tx.models.aliases(project, model)


def set_gate(ports: Ports, actor: Actor, project: ProjectId, model: str, alias: str, gate: Gate) -> Alias:
    """Put a gate before an alias; it holds from now on, for everybody."""
    authorise(actor, "gate.write", project)
    check_name("alias", alias)
    check_gate(gate)
    ensure_model(ports, actor, project, model)
    with ports.transaction() as tx:
        now = ports.clock()
        current = _alias(tx, project, model, alias)
        changed = replace(current, gate=gate) if current else Alias(project, model, alias, None, gate, now, actor.member)
        tx.models.save_aliases(project, [changed])
        tx.events.add(project, [Fact("gate.set", f"{model}@{alias}")], actor=actor.member, at=now)
    return changed


def evaluate_gate(ports: Ports, actor: Actor, project: ProjectId, model: str, version: int, alias: str) -> GateResult:
    """Return what the alias' gate comes to for a version, now. Nothing is changed."""
    authorise(actor, "model.read", project)
    with ports.transaction() as tx:
        current = _alias(tx, project, model, alias)
        [found] = tx.models.get_versions(project, model, [version])
        given = [a for a in tx.models.approvals(project, model, version) if a.alias == alias]
    return judge_gate(current.gate if current else Gate(), found, current, alias, given, ports.clock())


def require_gate(ports: Ports, actor: Actor, project: ProjectId, model: str, version: int, alias: str) -> GateResult:
    """Return the gate's result when it lets the version through.

    Raises
    ------
    Problem
        `gate.refused`, naming each demand that failed.
    """
    result = evaluate_gate(ports, actor, project, model, version, alias)
    if not result.passed and not result.broken_glass:
        raise Problem(
            "gate.refused",
            f"The gate of {model}@{alias} does not let version {version} through",
            told_failures(result),
            f"mend it, or an admin may break the glass: yard model break-glass {model} {version} {alias} --reason …",
            {"failed": [one.condition.kind.value for one in result.results if not one.passed]},
        )
    return result


def promote(ports: Ports, actor: Actor, project: ProjectId, model: str, version: int, alias: str, *, cause: str = "") -> Alias:
    """Move an alias to a version, through its gate. Glass that was broken for the version is used up by it."""
    authorise(actor, "alias.move", project)
    check_name("alias", alias)
    with ports.transaction() as tx:
        current = _alias(tx, project, model, alias)
        if current and current.version == version:
            return current
        result = require_gate(ports, actor, project, model, version, alias)
        now = ports.clock()
        before = current or Alias(project, model, alias, None, Gate(), now, actor.member)
        moved = replace(_mended(before, version), version=version, previous=before.version, moved_at=now, moved_by=actor.member)
        tx.models.save_aliases(project, [moved])
        data = {"version": version, "from": moved.previous, "cause": cause, "broken_glass": result.broken_glass}
        tx.events.add(project, [Fact("alias.moved", f"{model}@{alias}", data)], actor=actor.member, at=now)
    return moved


def restore(ports: Ports, actor: Actor, project: ProjectId, model: str, alias: str, version: int, *, cause: str) -> Alias:
    """Move an alias back to a version that stood there before: a roll-back or an undo, which no gate may stop.

    What stood before that version is before it again, so that going back twice never goes forward.
    """
    authorise(actor, "alias.move", project)
    with ports.transaction() as tx:
        moves = tx.events.read(project, kinds=["alias.moved"], subject=f"{model}@{alias}", newest_first=True, limit=10_000)
        current = _alias(tx, project, model, alias)
        if current is None or version not in {event.data.get(side) for event in moves for side in ("version", "from")}:
            raise Problem("alias.refused", f"{model}@{alias} cannot go back to version {version}", "it never stood there")
        if current.version == version:
            return current
        came = (event.data for event in moves if event.data.get("version") == version and not event.data.get("restored"))
        before = next(came, {}).get("from")
        now = ports.clock()
        kept = barred(current, current.version)
        moved = replace(kept, version=version, previous=before, moved_at=now, moved_by=actor.member)
        tx.models.save_aliases(project, [moved])
        data = {"version": version, "from": current.version, "cause": cause, "restored": True}
        tx.events.add(project, [Fact("alias.moved", f"{model}@{alias}", data)], actor=actor.member, at=now)
    return moved


def approve(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    model: str,
    version: int,
    alias: str,
    *,
    reason: str,
    break_glass: bool = False,
) -> Approval:
    """Record a yes, or the breaking of the glass (admins only, with a reason).

    Broken glass lets the version through once: until the alias has moved to it, or a rollout of it has ended otherwise.
    """
    authorise(actor, "gate.break_glass" if break_glass else "gate.approve", project)
    if not reason.strip():
        raise Problem("approval.invalid", "An approval needs a reason", "it is kept for whoever asks later", "--reason …")
    with ports.transaction() as tx:
        tx.models.get_versions(project, model, [version])
        now = ports.clock()
        approval = Approval(project, model, version, alias, actor.member, now, reason, break_glass)
        tx.models.add_approvals(project, [approval])
        if break_glass:
            check_name("alias", alias)
            current = _alias(tx, project, model, alias) or Alias(project, model, alias, None, Gate(), now, actor.member)
            opened = replace(current, broken_for=(*_mended(current, version).broken_for, version))
            tx.models.save_aliases(project, [opened])
        kind = "gate.broken" if break_glass else "gate.approved"
        fact = Fact(kind, f"{model}@{version}", {"alias": alias, "reason": reason})
        tx.events.add(project, [fact], actor=actor.member, at=now)
    return approval


def mend_glass(tx: RegistryTransaction, project: ProjectId, model: str, version: int, alias: str) -> bool:
    """Close what breaking the glass for a version has opened; return whether it was open. For the rollout that has used it."""
    current = _alias(tx, project, model, alias)
    if current is None or version not in current.broken_for:
        return False
    tx.models.save_aliases(project, [_mended(current, version)])
    return True


def bar_version(tx: RegistryTransaction, project: ProjectId, model: str, version: int, alias: str) -> None:
    """Keep an alias that moves by itself from a version. For the rollout that was rolled back."""
    current = _alias(tx, project, model, alias)
    if current is not None and barred(current, version) != current:
        tx.models.save_aliases(project, [barred(current, version)])


def add_evaluations(
    ports: Ports, actor: Actor, project: ProjectId, model: str, version: int, evaluations: Sequence[Evaluation]
) -> ModelVersion:
    """Keep further measurements of a version. Called by the runner's steps alone: clients cannot bring figures of their own."""
    authorise(actor, "model.write", project)
    with ports.transaction() as tx:
        [found] = tx.models.get_versions(project, model, [version])
        changed = replace(found, evaluations=(*found.evaluations, *evaluations))
        tx.models.save_versions(project, [changed])
        facts = [Fact("version.evaluated", f"{model}@{version}", _figures(one)) for one in evaluations]
        tx.events.add(project, facts, actor=actor.member, at=ports.clock())
    return changed


def versions_of_runs(ports: Ports, actor: Actor, project: ProjectId, model: str, runs: Sequence[RunId]) -> list[ModelVersion]:
    """Return the versions made from these runs, newest first."""
    page = find_versions(ports, actor, project, model, PageRequest(limit=1000))
    return [version for version in page.items if version.run in runs]


def _mended(alias: Alias, version: int) -> Alias:
    return replace(alias, broken_for=tuple(one for one in alias.broken_for if one != version))


def _figures(one: Evaluation) -> dict[str, object]:
    return {
        "against": one.against,
        "rows": one.rows,
        "window": one.window,
        "metric": one.metric,
        "value": one.value,
        "against_value": one.against_value,
    }


def _alias(tx: RegistryTransaction, project: ProjectId, model: str, name: str) -> Alias | None:
    return next((alias for alias in tx.models.aliases(project, model) if alias.name == name), None)
