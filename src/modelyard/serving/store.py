"""The port of serving. The ledger itself is a table of the lake, `ledger/DEPLOYMENT`."""

from collections.abc import Sequence
from typing import Protocol

from modelyard.core import Page, PageRequest, ProjectId
from modelyard.registry import RegistryTransaction
from modelyard.serving.types import Deployment, DeploymentId, Revision, Rollout, RolloutId, RolloutState


class DeploymentStore(Protocol):
    """Deployments, revisions, rollouts."""

    def add(self, project: ProjectId, deployments: Sequence[Deployment]) -> None:
        """Insert; Problem `deployment.exists` on a taken name."""
        ...

    def save(self, project: ProjectId, deployments: Sequence[Deployment]) -> None:
        """Replace by id."""
        ...

    def find(self, project: ProjectId) -> list[Deployment]:
        """Return all, by name."""
        ...

    def add_revisions(self, project: ProjectId, revisions: Sequence[Revision]) -> None:
        """Insert; Problem `deployment.conflict` when the number is taken."""
        ...

    def latest_revisions(self, project: ProjectId) -> list[Revision]:
        """Return the newest revision of each deployment that has one."""
        ...

    def revisions(self, project: ProjectId, deployment: DeploymentId, page: PageRequest) -> Page[Revision]:
        """Return revisions, newest first."""
        ...

    def save_rollouts(self, project: ProjectId, rollouts: Sequence[Rollout]) -> None:
        """Insert or replace by id."""
        ...

    def get_rollouts(self, project: ProjectId, ids: Sequence[RolloutId]) -> list[Rollout]:
        """Return them in order. Problem `rollout.missing` for an unknown one."""
        ...

    def rollouts(
        self,
        project: ProjectId,
        page: PageRequest,
        *,
        deployment: DeploymentId | None = None,
        states: Sequence[RolloutState] = (),
    ) -> Page[Rollout]:
        """Return rollouts, newest first."""
        ...


class ServingTransaction(RegistryTransaction, Protocol):
    """The part of a transaction that this slice needs."""

    @property
    def deployments(self) -> DeploymentStore:
        """Deployments and rollouts."""
        ...
