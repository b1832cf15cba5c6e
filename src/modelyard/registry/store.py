"""The port of the registry."""

from collections.abc import Sequence
from typing import Protocol

from modelyard.core import Page, PageRequest, ProjectId
from modelyard.registry.types import Alias, Approval, Model, ModelVersion
from modelyard.training import TrainingTransaction


class ModelStore(Protocol):
    """Models, versions, aliases, approvals."""

    def add(self, project: ProjectId, models: Sequence[Model]) -> None:
        """Insert; Problem `model.exists` on a taken name."""
        ...

    def find(self, project: ProjectId) -> list[Model]:
        """Return all, by name."""
        ...

    def add_versions(self, project: ProjectId, versions: Sequence[ModelVersion]) -> None:
        """Insert; Problem `version.conflict` when the number is taken."""
        ...

    def save_versions(self, project: ProjectId, versions: Sequence[ModelVersion]) -> None:
        """Replace by model and number (evaluations are added later; nothing else ever changes)."""
        ...

    def get_versions(self, project: ProjectId, model: str, numbers: Sequence[int]) -> list[ModelVersion]:
        """Return them in order. Problem `version.missing` for an unknown one."""
        ...

    def versions(self, project: ProjectId, model: str, page: PageRequest) -> Page[ModelVersion]:
        """Return versions, newest first."""
        ...

    def save_aliases(self, project: ProjectId, aliases: Sequence[Alias]) -> None:
        """Insert or replace by model and name."""
        ...

    def aliases(self, project: ProjectId, model: str | None = None) -> list[Alias]:
        """Return the aliases of one model or of all, by model and name."""
        ...

    def add_approvals(self, project: ProjectId, approvals: Sequence[Approval]) -> None:
        """Insert."""
        ...

    def approvals(self, project: ProjectId, model: str, version: int) -> list[Approval]:
        """Return them, oldest first."""
        ...


class RegistryTransaction(TrainingTransaction, Protocol):
    """The part of a transaction that this slice needs."""

    @property
    def models(self) -> ModelStore:
        """Models and versions."""
        ...
