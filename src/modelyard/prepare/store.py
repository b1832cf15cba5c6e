"""The port of preparation: saved pipelines."""

from collections.abc import Sequence
from typing import Protocol

from modelyard.core import Page, PageRequest, ProjectId
from modelyard.data import DataTransaction
from modelyard.prepare.types import PipelineVersion


class PipelineStore(Protocol):
    """Versions of pipelines. Nothing of one ever changes."""

    def add(self, project: ProjectId, versions: Sequence[PipelineVersion]) -> None:
        """Insert; Problem `pipeline_version.conflict` when the number is taken."""
        ...

    def newest(self, project: ProjectId) -> list[PipelineVersion]:
        """Return the newest version of each pipeline, by name."""
        ...

    def get(self, project: ProjectId, wanted: Sequence[tuple[str, int]]) -> list[PipelineVersion]:
        """Return versions by name and number, in order. Problem `pipeline_version.missing` for an unknown one."""
        ...

    def versions(self, project: ProjectId, name: str, page: PageRequest) -> Page[PipelineVersion]:
        """Return the versions of a pipeline, newest first."""
        ...


class PrepareTransaction(DataTransaction, Protocol):
    """The part of a transaction that this slice needs."""

    @property
    def pipelines(self) -> PipelineStore:
        """Saved pipelines."""
        ...
