"""Use cases of routes that people set: versions that share the requests (A/B), and shadows, asked without being heard."""

from collections.abc import Mapping

from modelyard.core import Problem, ProjectId
from modelyard.registry.service import require_gate
from modelyard.serving.change import Change
from modelyard.serving.rules import ALL, answering, shadows, split_of
from modelyard.serving.service import Ports, get_deployment
from modelyard.serving.types import Revision, Route, RouteKind
from modelyard.tenancy import Actor, authorise

MOST_SHADOWS = 4


def split(ports: Ports, actor: Actor, project: ProjectId, name: str, weights: Mapping[int, int], *, cause: str) -> Revision:
    """Let versions share a deployment's requests: per cent by version, that of its alias among them. One with 100 ends it.

    A key meets the same version while the weights stand. Every version but the alias' own has to pass the alias' gate.

    Raises
    ------
    Problem
        `deployment.invalid` for weights that are not usable, `gate.refused`, `rollout.conflict` while a rollout is open,
        `version.missing`.
    """
    authorise(actor, "deployment.write", project)
    deployment = get_deployment(ports, actor, project, name)
    with ports.transaction() as tx:
        change = Change(tx, project, actor.member, ports.clock())
        change.refuse_while_open(deployment, "a candidate is judged beside one version")
        aliased = change.aliased(deployment.model, deployment.alias)
        routes = split_of(weights, aliased)
        for version in weights:
            if version != aliased:
                require_gate(ports, actor, project, deployment.model, version, deployment.alias)
        return change.revise(deployment, routes, cause)


def shadow(
    ports: Ports, actor: Actor, project: ProjectId, name: str, version: int, *, share: int = ALL, cause: str
) -> Revision:
    """Ask a version about a share of a deployment's requests besides, in per cent; 0 ends it.

    Its answers go to the shadow ledger alone, so that no gate is asked.

    Raises
    ------
    Problem
        `deployment.invalid` for a share outside [0, 100], or a fifth shadow; `rollout.conflict` when the version answers
        already; `version.missing`.
    """
    authorise(actor, "deployment.write", project)
    if not 0 <= share <= ALL:
        raise Problem("deployment.invalid", f"The share {share} is not usable", "it is per cent of the requests", "--share 100")
    deployment = get_deployment(ports, actor, project, name)
    with ports.transaction() as tx:
        tx.models.get_versions(project, deployment.model, [version])
        change = Change(tx, project, actor.member, ports.clock())
        latest = change.latest(deployment)
        heard = answering(latest)
        if version in {route.version for route in heard}:
            why = "callers get its answers"
            raise Problem("rollout.conflict", f"Version {version} cannot be a shadow of {name}", why, "name another version")
        others = tuple(route for route in shadows(latest) if route.version != version)
        if share and len(others) >= MOST_SHADOWS:
            named = ", ".join(str(route.version) for route in others)
            what = f"{name} has {MOST_SHADOWS} shadows already"
            step = f"yard deployment shadow {name} {others[0].version} --share 0"
            raise Problem("deployment.invalid", what, f"they are {named}", step)
        return change.revise(deployment, heard, cause, (*others, Route(version, share, RouteKind.SHADOW)) if share else others)
