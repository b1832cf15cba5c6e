"""An alias that moves by itself: to the version that is best by a metric, of those that its gate lets through."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite

from modelyard.core import MemberId, Problem, ProjectId, check_name
from modelyard.core.pages import every
from modelyard.events import Event, Fact
from modelyard.registry.rules import chosen_form, judge_gate, latest_evaluation, values_of
from modelyard.registry.service import Ports, ensure_model, promote
from modelyard.registry.store import RegistryTransaction
from modelyard.registry.types import Alias, Best, Gate, ModelVersion
from modelyard.tenancy import Actor, authorise
from modelyard.tenancy.service import platform_actor
from modelyard.training import Direction
from modelyard.training.metrics import DIRECTIONS

# What may make another version the best.
CAUSES = ("version.registered", "version.evaluated", "alias.ruled", "gate.set", "gate.approved")


@dataclass(frozen=True)
class Candidate:
    """A version that is better than the one that stands there, and by how much."""

    version: ModelVersion
    gain: float
    told: str  # for people


def set_best(ports: Ports, actor: Actor, project: ProjectId, model: str, alias: str, best: Best | None) -> Alias:
    """Have an alias move by itself from now on, and at once; None: it stays where it is, and is moved again by hand.

    Raises
    ------
    Problem
        `alias.invalid` for a rule that cannot hold.
    """
    authorise(actor, "alias.move", project)
    check_name("alias", alias)
    if best is not None:
        _check(best)
    ensure_model(ports, actor, project, model)
    with ports.transaction() as tx:
        now = ports.clock()
        current = _alias(tx, project, model, alias) or Alias(project, model, alias, None, Gate(), now, actor.member)
        tx.models.save_aliases(project, [replace(current, best=best)])
        told = None if best is None else {"metric": best.metric, "latency_us": best.latency_us, "size_bytes": best.size_bytes}
        tx.events.add(project, [Fact("alias.ruled", f"{model}@{alias}", {"best": told})], actor=actor.member, at=now)
        return keep_best(ports, project, model, alias, f"member:{actor.member}") or replace(current, best=best)


def follow_best(
    ports: Ports, actor_of: Callable[[MemberId], Actor], project: ProjectId, events: Sequence[Event]
) -> list[Alias]:
    """Move the aliases that have a rule to where what happened has put the best, and return those that moved."""
    moved: dict[str, str] = {}
    for event in events:
        if event.kind in CAUSES:
            moved[event.subject.partition("@")[0]] = f"{event.kind} {event.subject}"
    made = []
    for model, cause in moved.items():
        with ports.transaction() as tx:
            ruled = [one.name for one in tx.models.aliases(project, model) if one.best is not None]
        made += [keep_best(ports, project, model, alias, cause) for alias in ruled]
    return [one for one in made if one is not None]


def keep_best(ports: Ports, project: ProjectId, model: str, alias: str, cause: str) -> Alias | None:
    """Move an alias to the best version, if that is another one, and return it then. It is the platform that moves it.

    What stands there has passed the gate, and stays until a better one passes it, or the rule's bounds leave it out.
    """
    with ports.transaction() as tx:
        current = _alias(tx, project, model, alias)
        if current is None or current.best is None:
            return None
        found = list(every(partial(tx.models.versions, project, model)))
        standing = next((one for one in found if one.number == current.version), None)
        if standing is not None and not may_stand(current.best, standing):
            standing = None
        for candidate in candidates(current.best, found, standing):
            number = candidate.version.number
            given = [one for one in tx.models.approvals(project, model, number) if one.alias == alias]
            if judge_gate(current.gate, candidate.version, current, alias, given, ports.clock()).passed:
                actor = platform_actor(ports, project, f"policy:{model}@{alias}")
                return promote(ports, actor, project, model, number, alias, cause=f"{candidate.told}; {cause}")
    return None


def candidates(best: Best, versions: Sequence[ModelVersion], standing: ModelVersion | None) -> list[Candidate]:
    """Return the versions that are better than the standing one, the best first; of equals the older.

    Where one was measured beside the standing one on the same rows, that decides between the two; else each one's own figure,
    its newest. Without a standing one all that may stand there are candidates.
    """
    found = []
    for version in versions:
        if version is standing or not may_stand(best, version):
            continue
        pair = _pair(best, version, standing)
        if pair is not None and (standing is None or pair[0] > 0):
            found.append(Candidate(version, *pair))
    return sorted(found, key=lambda one: (-one.gain, one.version.number))


def may_stand(best: Best, version: ModelVersion) -> bool:
    """Return whether a version is within a rule's bounds, was measured by its metric, and is not barred."""
    if version.number in best.barred or figure(version, best.metric) is None:
        return False
    form = chosen_form(version)
    slow = best.latency_us is not None and (form.latency_us is None or form.latency_us > best.latency_us)
    large = best.size_bytes is not None and form.size_bytes > best.size_bytes
    return not (slow or large)


def figure(version: ModelVersion, metric: str) -> float | None:
    """Return a version's newest figure by a metric: of its evaluations, else of its own held-out rows; None: there is none."""
    measured = [(one.at, value) for one in version.evaluations if (value := values_of(one, metric)[0]) is not None]
    found = max(measured)[1] if measured else version.metrics.get(metric)
    return found if found is not None and isfinite(found) else None


def _pair(best: Best, version: ModelVersion, standing: ModelVersion | None) -> tuple[float, str] | None:
    """Return by how much a version is better than the standing one (than nothing: how good it is), with what tells so."""
    mine, its, told = figure(version, best.metric), None, ""
    if standing is not None:
        beside = latest_evaluation(version, standing.number, best.metric)
        mine, its = values_of(beside, best.metric) if beside else (mine, figure(standing, best.metric))
        told = f" beside {its:.6g} of v{standing.number}" + (" on the same rows" if beside else "")
    if mine is None or not isfinite(mine) or (standing is not None and (its is None or not isfinite(its))):
        return None
    gain = mine - (its or 0.0)
    return gain if best.direction is Direction.MAXIMISE else -gain, f"best by {best.metric}: {mine:.6g}{told}"


def _check(best: Best) -> None:
    bounds = {"latency": best.latency_us, "size": best.size_bytes}
    for name, bound in bounds.items():
        if bound is not None and not (isfinite(bound) and bound > 0):
            raise Problem("alias.invalid", f"The {name} {bound:g} is not usable", "it is above 0", "leave it out, or raise it")
    known = DIRECTIONS.get(best.metric, best.direction)
    if not best.metric or known is not best.direction:
        why = f"of {best.metric} one wants to {known.value} it" if best.metric else "it goes by a metric"
        raise Problem("alias.invalid", "The rule cannot hold", why, f"say {known.value}")


def _alias(tx: RegistryTransaction, project: ProjectId, model: str, name: str) -> Alias | None:
    return next((alias for alias in tx.models.aliases(project, model) if alias.name == name), None)
