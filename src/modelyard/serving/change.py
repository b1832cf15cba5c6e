"""A change of routing inside one transaction: what the use cases of serving are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from modelyard.core import PageRequest, Problem, ProjectId, missing
from modelyard.events import Fact
from modelyard.registry import Alias
from modelyard.registry.service import mend_glass
from modelyard.serving.judgement import Judgement
from modelyard.serving.rules import ALL, OPEN, live_version, move, shadows
from modelyard.serving.store import ServingTransaction
from modelyard.serving.types import Deployment, DeploymentId, Revision, Rollout, RolloutState, Route


@dataclass(frozen=True)
class Change:
    """Who changes what, when: each write says so in a fact."""

    tx: ServingTransaction
    project: ProjectId
    by: str
    at: datetime

    def tell(self, kind: str, subject: str, data: Mapping[str, object]) -> None:
        """Write a fact."""
        self.tx.events.add(self.project, [Fact(kind, subject, data)], actor=self.by, at=self.at)

    def deployment(self, deployment: DeploymentId) -> Deployment:
        """Return the deployment of an id."""
        return next(one for one in self.tx.deployments.find(self.project) if one.id == deployment)

    def latest(self, deployment: Deployment) -> Revision:
        """Return what the deployment answers with."""
        return self.tx.deployments.revisions(self.project, deployment.id, PageRequest(limit=1)).items[0]

    def open_rollouts(self, deployment: Deployment) -> Sequence[Rollout]:
        """Return the rollout that is running or held, if there is one."""
        return self.tx.deployments.rollouts(self.project, PageRequest(), deployment=deployment.id, states=OPEN).items

    def refuse_while_open(self, deployment: Deployment, why: str) -> None:
        """Return when no rollout is open. Problem `rollout.conflict`."""
        for rollout in self.open_rollouts(deployment):
            raise running(rollout, why)

    def revise(
        self, deployment: Deployment, routes: tuple[Route, ...], cause: str, shadowed: tuple[Route, ...] | None = None
    ) -> Revision:
        """Make the deployment's next revision; None of `shadowed`: its shadows stay, but for a version that answers now."""
        before = self.tx.deployments.revisions(self.project, deployment.id, PageRequest(limit=1)).items
        if shadowed is None:
            now = {route.version for route in routes}
            shadowed = tuple(one for one in shadows(before[0]) if one.version not in now) if before else ()
        routes = (*routes, *shadowed)
        revision = Revision(deployment.id, before[0].number + 1 if before else 1, routes, cause, self.at)
        self.tx.deployments.add_revisions(self.project, [revision])
        told = [{"version": one.version, "weight": one.weight, "kind": one.kind.value} for one in routes]
        self.tell("revision.made", deployment.name, {"revision": revision.number, "routes": told, "cause": cause})
        return revision

    def end(self, rollout: Rollout, state: RolloutState, judgement: Judgement | None = None) -> Rollout:
        """Bring a rollout to its end. Problem `rollout.conflict` when it has ended already.

        Glass that was broken for it is mended (a promotion uses it up itself): the next rollout of the version needs somebody
        to break it anew.
        """
        ended = move(rollout, state, self.at, judgement)
        self.tx.deployments.save_rollouts(self.project, [ended])
        told = {"version": rollout.candidate, "base": rollout.base, "rollout": rollout.id}
        self.tell(f"rollout.{state.value}", rollout.name, told)
        if state is not RolloutState.PROMOTED:
            followed = self.deployment(rollout.deployment)
            if mend_glass(self.tx, self.project, followed.model, rollout.candidate, followed.alias):
                self.tell(
                    "gate.mended", f"{followed.model}@{rollout.candidate}", {"alias": followed.alias, "rollout": rollout.id}
                )
        return ended

    def alias(self, model: str, name: str) -> Alias | None:
        """Return an alias; None when it is not there."""
        return next((alias for alias in self.tx.models.aliases(self.project, model) if alias.name == name), None)

    def aliased(self, model: str, name: str) -> int:
        """Return the version that an alias names. Problem `model.missing`, `alias.missing`."""
        models = [one.name for one in self.tx.models.find(self.project)]
        if model not in models:
            raise missing("model", model, models, "yard model list")
        alias = self.alias(model, name)
        if alias is None or alias.version is None:
            known = [one.name for one in self.tx.models.aliases(self.project, model) if one.version is not None]
            raise missing("alias", name, known, f"yard model promote {model} VERSION {name}")
        return alias.version

    def follow(self, model: str, alias: str, cause: str) -> list[Revision]:
        """Bring every deployment of the alias to the version that it names. An open rollout that this overtakes is ended."""
        current = self.alias(model, alias)
        if current is None or current.version is None:
            return []
        made = []
        for deployment in self.tx.deployments.find(self.project):
            if (deployment.model, deployment.alias) != (model, alias):
                continue
            if live_version(self.latest(deployment)) == current.version:
                continue
            for rollout in self.open_rollouts(deployment):
                reached = rollout.candidate == current.version
                self.end(rollout, RolloutState.PROMOTED if reached else RolloutState.ROLLED_BACK)
            made.append(self.revise(deployment, (Route(current.version, ALL),), cause))
        return made


def running(rollout: Rollout, why: str) -> Problem:
    """Return the problem of a deployment whose rollout stands in the way."""
    return Problem(
        "rollout.conflict",
        f"Version {rollout.candidate} is being rolled out on {rollout.name}",
        why,
        f"wait for its end, or yard deployment roll-back {rollout.name}",
        {"rollout": rollout.id},
    )
