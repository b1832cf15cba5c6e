"""Use cases of serving: deployments, and how they move from one version to the next.

A deployment's live version is always the one that its alias names; between two of them a rollout gives the candidate its
share. Every change of routing is a new revision, which gateways take up through the catalogue.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from modelyard.core import (
    Clock,
    IdMaker,
    MemberId,
    ObjectStore,
    Page,
    PageRequest,
    Problem,
    ProjectId,
    check_name,
    missing,
)
from modelyard.events import Event
from modelyard.registry import Alias, ModelVersion
from modelyard.registry.parts import leaves_of, parts_of
from modelyard.registry.rules import AUTO, chosen_form
from modelyard.registry.service import bar_version, promote, require_gate, restore
from modelyard.serving.change import Change, running
from modelyard.serving.judgement import Judgement
from modelyard.serving.rules import (
    ALL,
    DEFAULT_CANARY,
    DEFAULT_TOLERANCE,
    LOSSES,
    check_canary,
    is_shared,
    live_version,
    move,
    next_step,
    routes_of,
)
from modelyard.serving.store import ServingTransaction
from modelyard.serving.types import (
    Catalogue,
    Deployment,
    DeploymentId,
    Revision,
    Rollout,
    RolloutId,
    RolloutState,
    Route,
    ServedDeployment,
    ServedForm,
)
from modelyard.tenancy import Actor, authorise, role_in
from modelyard.tenancy.service import find_projects, organisation_stream, token_hashes, token_limits

ALIAS_MOVED = "alias.moved"

# What a gateway has to learn of. Other facts do not make a new catalogue.
CATALOGUE_FACTS = (
    "deployment.created",
    "deployment.changed",
    "revision.made",
    "project.created",
    "token.created",
    "token.revoked",
    "token.limited",
    "member.created",
    "member.role_set",
)


class Ports(Protocol):
    """What serving needs of the platform."""

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

    def transaction(self) -> AbstractContextManager[ServingTransaction]:
        """Open or join a transaction."""
        ...


class CataloguePorts(Ports, Protocol):
    """What the catalogue needs besides: gateways ask for it all the time, and must not wait for writers."""

    def reading(self) -> AbstractContextManager[ServingTransaction]:
        """Open a transaction that only reads."""
        ...


def deploy(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    name: str,
    *,
    model: str,
    alias: str = "champion",
    canary: Sequence[int] = DEFAULT_CANARY,
    time: str | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    loss: str = "log_loss",
    form: str = AUTO,
) -> Deployment:
    """Make a deployment that follows an alias, or change the one of this name.

    Parameters
    ----------
    canary
        Per cent of each step of a rollout, rising, ending in 100.
    time
        The raw column of event time; None: the time of answering.
    tolerance
        A canary's mean loss may be worse by less than this.
    loss
        One of `LOSSES`.
    form
        The form that answers: `native`, `onnx`, or `auto`, which is the fastest as it was measured. A later version that lacks
        it answers by the fastest that it has, for an answer is better than none.

    Raises
    ------
    Problem
        `deployment.invalid` for unusable values; `form.missing` when the version has no such form; `alias.missing` when the
        alias names no version, `column.missing` when the version has no input `time`; `rollout.conflict` when it would follow
        another alias while a rollout is open.
    """
    authorise(actor, "deployment.write", project)
    check_name("deployment", name)
    steps = check_canary(canary)
    _check_judging(loss, tolerance)
    with ports.transaction() as tx:
        change = Change(tx, project, actor.member, ports.clock())
        version = change.aliased(model, alias)
        if time is not None:
            _check_time(tx, project, model, version, time)
        _check_form(tx, project, model, version, form)
        before = next((one for one in tx.deployments.find(project) if one.name == name), None)
        if before is None:
            made = Deployment(
                id=DeploymentId(ports.ids("dep")), project=project, name=name, model=model, alias=alias, canary=steps,
                time=time, tolerance=tolerance, loss=loss, created_by=actor.member, created_at=change.at,
                form=form,
            )  # fmt: skip
            tx.deployments.add(project, [made])
            change.tell("deployment.created", name, {"model": model, "alias": alias})
            change.revise(made, (Route(version, ALL),), f"deployment:{made.id}")
            return made
        changed = replace(before, model=model, alias=alias, canary=steps, time=time, tolerance=tolerance, loss=loss, form=form)
        if changed == before:
            return before
        if (model, alias) != (before.model, before.alias) or steps != before.canary:
            change.refuse_while_open(before, "it cannot be changed so meanwhile")
        tx.deployments.save(project, [changed])
        change.tell("deployment.changed", name, {"model": model, "alias": alias})
        if (model, alias) != (before.model, before.alias):
            change.revise(changed, (Route(version, ALL),), f"deployment:{changed.id}")
        return changed


def find_deployments(ports: Ports, actor: Actor, project: ProjectId) -> list[Deployment]:
    """Return the project's deployments, by name."""
    authorise(actor, "deployment.read", project)
    with ports.transaction() as tx:
        return tx.deployments.find(project)


def get_deployment(ports: Ports, actor: Actor, project: ProjectId, name: str) -> Deployment:
    """Return one deployment. Problem `deployment.missing` with the nearest names."""
    found = find_deployments(ports, actor, project)
    for deployment in found:
        if deployment.name == name:
            return deployment
    raise missing("deployment", name, [one.name for one in found], "yard deployment list")


def latest_revision(ports: Ports, actor: Actor, project: ProjectId, name: str) -> Revision:
    """Return what a deployment answers with now."""
    deployment = get_deployment(ports, actor, project, name)
    with ports.transaction() as tx:
        change = Change(tx, project, actor.member, ports.clock())
        return change.latest(deployment)


def revisions(ports: Ports, actor: Actor, project: ProjectId, name: str, page: PageRequest) -> Page[Revision]:
    """Return a deployment's revisions, newest first."""
    deployment = get_deployment(ports, actor, project, name)
    with ports.transaction() as tx:
        return tx.deployments.revisions(project, deployment.id, page)


def find_rollouts(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    page: PageRequest,
    *,
    name: str | None = None,
    states: Sequence[RolloutState] = (),
) -> Page[Rollout]:
    """Return rollouts (of one deployment when named), newest first."""
    authorise(actor, "deployment.read", project)
    deployment = get_deployment(ports, actor, project, name).id if name is not None else None
    with ports.transaction() as tx:
        return tx.deployments.rollouts(project, page, deployment=deployment, states=states)


def get_rollout(ports: Ports, actor: Actor, project: ProjectId, rollout: RolloutId) -> Rollout:
    """Return one rollout. Problem `rollout.missing`."""
    authorise(actor, "deployment.read", project)
    with ports.transaction() as tx:
        [found] = tx.deployments.get_rollouts(project, [rollout])
        return found


def start_rollout(ports: Ports, actor: Actor, project: ProjectId, name: str, *, version: int, cause: str) -> Rollout:
    """Give a version its first share of a deployment's requests, beside the live one.

    The alias' gate must let it through, or somebody must have broken the glass for it; that is then said of the rollout. A
    rollout that waits for a person (held) makes way: it is rolled back. Where the first step is 100 the version is promoted at
    once.

    Raises
    ------
    Problem
        `gate.refused`; `rollout.conflict` when one is running, or the version is live already.
    """
    authorise(actor, "deployment.write", project)
    deployment = get_deployment(ports, actor, project, name)
    with ports.transaction() as tx:
        change = Change(tx, project, actor.member, ports.clock())
        gate = require_gate(ports, actor, project, deployment.model, version, deployment.alias)
        for held in change.open_rollouts(deployment):
            if held.state is RolloutState.RUNNING:
                raise running(held, "one is judged at a time")
            change.end(held, RolloutState.ROLLED_BACK)
        latest = change.latest(deployment)
        base = live_version(latest)
        if is_shared(latest):
            why = "several versions share its requests, and a candidate is judged beside one"
            raise Problem("rollout.conflict", f"{name} has weights", why, f"yard deployment split {name} {base}=100")
        if base == version:
            why = f"it is what {deployment.name} answers with"
            raise Problem("rollout.conflict", f"Version {version} cannot be rolled out", why, "name another version")
        rollout = Rollout(
            id=RolloutId(ports.ids("rol")), project=project, deployment=deployment.id, name=name, candidate=version, base=base,
            step=0, state=RolloutState.RUNNING, cause=cause, broken_glass=gate.broken_glass and not gate.passed,
            started_at=change.at, step_at=change.at,
        )  # fmt: skip
        tx.deployments.save_rollouts(project, [rollout])
        told = {"version": version, "base": base, "cause": cause, "broken_glass": rollout.broken_glass, "rollout": rollout.id}
        change.tell("rollout.started", name, told)
        if deployment.canary[0] >= ALL:
            return _promote(ports, change, actor, deployment, rollout, None)
        change.revise(deployment, routes_of(version, base, deployment.canary[0]), rollout.id)
        return rollout


def advance_rollout(
    ports: Ports, actor: Actor, project: ProjectId, rollout: RolloutId, *, judgement: Judgement | None = None
) -> Rollout:
    """Give a candidate its next share; at 100 % move the alias to it, in the same transaction.

    A held rollout goes on too: somebody has decided.

    Raises
    ------
    Problem
        `rollout.conflict` when it has ended; `gate.refused` when the gate has closed meanwhile.
    """
    authorise(actor, "deployment.write", project)
    with ports.transaction() as tx:
        change = Change(tx, project, actor.member, ports.clock())
        [found] = tx.deployments.get_rollouts(project, [rollout])
        deployment = change.deployment(found.deployment)
        step = next_step(found, deployment.canary)
        if step is None:
            return _promote(ports, change, actor, deployment, found, judgement)
        going_on = found if found.state is RolloutState.RUNNING else move(found, RolloutState.RUNNING, change.at)
        moved = replace(going_on, step=step, step_at=change.at, judgement=judgement or found.judgement)
        tx.deployments.save_rollouts(project, [moved])
        share = deployment.canary[step]
        told = {"version": found.candidate, "share": share, "rollout": found.id}
        change.tell("rollout.advanced", found.name, told)
        change.revise(deployment, routes_of(found.candidate, found.base, share), found.id)
        return moved


def roll_back_rollout(
    ports: Ports, actor: Actor, project: ProjectId, rollout: RolloutId, *, judgement: Judgement | None = None
) -> Rollout:
    """End a rollout: the version before answers everything again. Problem `rollout.conflict` when it has ended."""
    authorise(actor, "deployment.write", project)
    with ports.transaction() as tx:
        change = Change(tx, project, actor.member, ports.clock())
        [found] = tx.deployments.get_rollouts(project, [rollout])
        deployment = change.deployment(found.deployment)
        ended = change.end(found, RolloutState.ROLLED_BACK, judgement)
        bar_version(tx, project, deployment.model, found.candidate, deployment.alias)
        base = found.base if found.base is not None else change.aliased(deployment.model, deployment.alias)
        change.revise(deployment, (Route(base, ALL),), found.id)
        return ended


def hold_rollout(
    ports: Ports, actor: Actor, project: ProjectId, rollout: RolloutId, *, judgement: Judgement | None = None
) -> Rollout:
    """Leave a rollout as it stands until a person, or a new candidate, decides. Problem `rollout.conflict` when it is over."""
    authorise(actor, "deployment.write", project)
    with ports.transaction() as tx:
        change = Change(tx, project, actor.member, ports.clock())
        [found] = tx.deployments.get_rollouts(project, [rollout])
        held = move(found, RolloutState.HELD, change.at, judgement)
        tx.deployments.save_rollouts(project, [held])
        told = {"version": found.candidate, "rollout": found.id}
        change.tell("rollout.held", found.name, told)
        return held


def roll_back_deployment(ports: Ports, actor: Actor, project: ProjectId, name: str, *, cause: str) -> Revision:
    """Go back: an open rollout is ended, weights are; without either the alias returns to the version that it named before.

    Where the alias has been moved already and the deployment has not followed yet, it follows.

    Raises
    ------
    Problem
        `deployment.conflict` when there is nothing before to go back to.
    """
    authorise(actor, "deployment.write", project)
    deployment = get_deployment(ports, actor, project, name)
    with ports.transaction() as tx:
        change = Change(tx, project, actor.member, ports.clock())
        opened = change.open_rollouts(deployment)
        if opened:
            roll_back_rollout(ports, actor, project, opened[0].id)
            return change.latest(deployment)
        if change.follow(deployment.model, deployment.alias, cause):
            return change.latest(deployment)
        alias = change.alias(deployment.model, deployment.alias)
        latest = change.latest(deployment)
        if is_shared(latest):
            return change.revise(deployment, (Route(live_version(latest), ALL),), cause)
        previous = alias.previous if alias is not None else None
        if previous is None:
            why = f"{deployment.model}@{deployment.alias} has named one version only"
            raise Problem("deployment.conflict", f"{name} cannot be rolled back", why, f"yard deployment show {name}")
        restore(ports, actor, project, deployment.model, deployment.alias, previous, cause=cause)
        change.follow(deployment.model, deployment.alias, cause)
        return change.latest(deployment)


def move_alias(
    ports: Ports, actor: Actor, project: ProjectId, model: str, version: int, alias: str, *, cause: str = ""
) -> Alias:
    """Move an alias through its gate, and every deployment that follows it with it, in one transaction."""
    with ports.transaction() as tx:
        change = Change(tx, project, actor.member, ports.clock())
        moved = promote(ports, actor, project, model, version, alias, cause=cause)
        change.follow(model, alias, cause or f"alias:{model}@{alias}")
        return moved


def move_alias_back(
    ports: Ports, actor: Actor, project: ProjectId, model: str, version: int, alias: str, *, cause: str
) -> Alias:
    """Move an alias back to a version that stood there before, and every deployment that follows it with it."""
    with ports.transaction() as tx:
        change = Change(tx, project, actor.member, ports.clock())
        moved = restore(ports, actor, project, model, alias, version, cause=cause)
        change.follow(model, alias, cause)
        return moved


def follow_aliases(
    ports: Ports, actor_of: Callable[[MemberId], Actor], project: ProjectId, events: Sequence[Event]
) -> list[Revision]:
    """Bring deployments to the aliases that were moved outside of a rollout, and return the revisions made.

    A deployment that is there already stays as it is, so an event may come twice.
    """
    made: list[Revision] = []
    for event in events:
        if event.kind == ALIAS_MOVED:
            model, _, alias = event.subject.partition("@")
            cause = str(event.data.get("cause") or f"alias:{event.subject}")
            with ports.transaction() as tx:
                made += Change(tx, project, event.actor, ports.clock()).follow(model, alias, cause)
    return made


def catalogue_position(ports: CataloguePorts, actor: Actor) -> int:
    """Return the position of the newest event that a gateway has to learn of, in all projects that the actor sees; 0: none."""
    with ports.reading() as tx:
        streams = [project.id for project in find_projects(ports, actor)] + [organisation_stream(actor.organisation)]
        newest = [tx.events.read(stream, kinds=CATALOGUE_FACTS, newest_first=True, limit=1) for stream in streams]
    return max((events[0].position for events in newest if events), default=0)


def catalogue(ports: CataloguePorts, actor: Actor) -> Catalogue:
    """Return all that a gateway has to know of the projects that the actor sees."""
    with ports.reading() as tx:
        position = catalogue_position(ports, actor)
        projects = [one for one in find_projects(ports, actor) if role_in(actor, one.id) is not None]
        served: list[ServedDeployment] = []
        for project in projects:
            latest = {revision.deployment: revision for revision in tx.deployments.latest_revisions(project.id)}
            for deployment in tx.deployments.find(project.id):
                if deployment.id in latest:
                    served.append(_served(tx, project.id, project.name, deployment, latest[deployment.id]))
        hashes = token_hashes(ports, actor.organisation)
        limits = token_limits(ports, actor.organisation)
        return Catalogue(position, tuple(served), {one.id: hashes.get(one.id, ()) for one in projects}, limits)


def served_form(tx: ServingTransaction, version: ModelVersion, wanted: str = AUTO) -> ServedForm:
    """Return what has to be loaded to serve a version: the wanted form where it has that one, else the fastest measured.

    Of a combined version that is said of each of its parts.
    """
    form = chosen_form(version, wanted)
    parts = parts_of(tx, version)
    return ServedForm(
        version=version.number,
        signature=version.signature,
        pipeline=version.pipeline,
        form=form.name,
        model=form.digest,
        framework=form.framework,
        composition=version.composition,
        members=tuple(served_form(tx, part, wanted) for part in parts),
        features=version.features,
    )


def _served(
    tx: ServingTransaction, project: ProjectId, project_name: str, deployment: Deployment, revision: Revision
) -> ServedDeployment:
    numbers = sorted({route.version for route in revision.routes})
    versions = tx.models.get_versions(project, deployment.model, numbers)
    return ServedDeployment(
        project=project,
        project_name=project_name,
        deployment=deployment.id,
        name=deployment.name,
        model=deployment.model,
        time=deployment.time,
        revision=revision,
        versions=tuple(served_form(tx, version, deployment.form) for version in versions),
    )


def _promote(
    ports: Ports, change: Change, actor: Actor, deployment: Deployment, rollout: Rollout, judgement: Judgement | None
) -> Rollout:
    ended = change.end(rollout, RolloutState.PROMOTED, judgement)
    promote(ports, actor, change.project, deployment.model, rollout.candidate, deployment.alias, cause=rollout.cause)
    change.revise(deployment, (Route(rollout.candidate, ALL),), rollout.id)
    change.follow(deployment.model, deployment.alias, rollout.id)
    return ended


def _check_time(tx: ServingTransaction, project: ProjectId, model: str, version: int, time: str) -> None:
    [found] = tx.models.get_versions(project, model, [version])
    inputs = {column.name: column.dtype for column in found.signature.inputs}
    if time not in inputs:
        raise missing(
            "column", time, inputs, "name a raw input of the model, or leave it out: the time of answering counts then"
        )
    if not inputs[time].startswith("Date"):
        why = f"it holds {inputs[time]}"
        raise Problem("deployment.invalid", f"The column '{time}' is no event time", why, "name a date or datetime column")


def _check_form(tx: ServingTransaction, project: ProjectId, model: str, version: int, form: str) -> None:
    [found] = tx.models.get_versions(project, model, [version])
    names = sorted({one.name for version in leaves_of(tx, found) for one in version.forms})
    if form != AUTO and form not in names:
        raise missing("form", form, [AUTO, *names], f"yard model show {model}@{version}")


def _check_judging(loss: str, tolerance: float) -> None:
    if loss not in LOSSES:
        raise missing("loss", loss, LOSSES, "--loss log_loss")
    if not 0 < tolerance < float("inf"):
        why = "a canary may be worse by less than it, so it is above 0"
        raise Problem("deployment.invalid", f"The tolerance {tolerance} is not usable", why, "--tolerance 0.02")
