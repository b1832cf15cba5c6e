"""Saved pipelines."""

from collections.abc import Sequence

import sqlalchemy as sa

from modelyard.adapters.sql.session import Session
from modelyard.adapters.sql.tables import PIPELINE_VERSION
from modelyard.adapters.sql.typed_table import TypedTable
from modelyard.core import Page, PageRequest, ProjectId
from modelyard.prepare import PipelineVersion


class SqlPipelineStore:
    """`modelyard.prepare.PipelineStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._versions = TypedTable(
            PIPELINE_VERSION, PipelineVersion, "pipeline_version", key=("name", "number"), shown_by="yard pipeline list"
        )

    def add(self, project: ProjectId, versions: Sequence[PipelineVersion]) -> None:
        """Insert; Problem `pipeline_version.conflict` when the number is taken."""
        self._versions.add(self._session, project, versions, taken="pipeline_version.conflict")

    def newest(self, project: ProjectId) -> list[PipelineVersion]:
        """Return the newest version of each pipeline, by name."""
        name, number = PIPELINE_VERSION.c.name, PIPELINE_VERSION.c.number
        last = sa.select(name, sa.func.max(number)).where(self._versions.within(project)).group_by(name)
        return self._versions.find(self._session, project, sa.tuple_(name, number).in_(last), order=("name",))

    def get(self, project: ProjectId, wanted: Sequence[tuple[str, int]]) -> list[PipelineVersion]:
        """Return versions by name and number, in order. Problem `pipeline_version.missing` for an unknown one."""
        return self._versions.get(self._session, project, wanted)

    def versions(self, project: ProjectId, name: str, page: PageRequest) -> Page[PipelineVersion]:
        """Return the versions of a pipeline, newest first."""
        return self._versions.page(self._session, project, page, PIPELINE_VERSION.c.name == name, by="number")
