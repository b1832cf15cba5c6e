"""Models, versions, aliases, approvals."""

from collections.abc import Sequence

from modelyard.adapters.sql.session import Session
from modelyard.adapters.sql.tables import ALIAS, APPROVAL, MODEL, MODEL_VERSION
from modelyard.adapters.sql.typed_table import TypedTable
from modelyard.core import Page, PageRequest, ProjectId
from modelyard.registry import Alias, Approval, Model, ModelVersion


class SqlModelStore:
    """`modelyard.registry.ModelStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._models = TypedTable(MODEL, Model, "model")
        self._versions = TypedTable(
            MODEL_VERSION, ModelVersion, "version", key=("model", "number"), shown_by="yard model show {model}"
        )
        self._aliases = TypedTable(ALIAS, Alias, "alias", key=("model", "name"))
        self._approvals = TypedTable(APPROVAL, Approval, "approval", key=("position",))

    def add(self, project: ProjectId, models: Sequence[Model]) -> None:
        """Insert; Problem `model.exists` on a taken name."""
        self._models.add(self._session, project, models)

    def find(self, project: ProjectId) -> list[Model]:
        """Return all, by name."""
        return self._models.find(self._session, project, order=("name",))

    def add_versions(self, project: ProjectId, versions: Sequence[ModelVersion]) -> None:
        """Insert; Problem `version.conflict` when the number is taken."""
        self._versions.add(self._session, project, versions, taken="version.conflict", orphan="model.missing")

    def save_versions(self, project: ProjectId, versions: Sequence[ModelVersion]) -> None:
        """Replace by model and number (evaluations are added later; nothing else ever changes)."""
        self._versions.save(self._session, project, versions)

    def get_versions(self, project: ProjectId, model: str, numbers: Sequence[int]) -> list[ModelVersion]:
        """Return them in order. Problem `version.missing` for an unknown one."""
        return self._versions.get(self._session, project, [(model, number) for number in numbers])

    def versions(self, project: ProjectId, model: str, page: PageRequest) -> Page[ModelVersion]:
        """Return versions, newest first."""
        return self._versions.page(self._session, project, page, MODEL_VERSION.c.model == model, by="number")

    def save_aliases(self, project: ProjectId, aliases: Sequence[Alias]) -> None:
        """Insert or replace by model and name; Problem `model.missing` for an unknown model."""
        self._aliases.put(self._session, project, aliases, orphan="model.missing")

    def aliases(self, project: ProjectId, model: str | None = None) -> list[Alias]:
        """Return the aliases of one model or of all, by model and name."""
        where = [] if model is None else [ALIAS.c.model == model]
        return self._aliases.find(self._session, project, *where, order=("model", "name"))

    def add_approvals(self, project: ProjectId, approvals: Sequence[Approval]) -> None:
        """Insert; Problem `model.missing` for an unknown model."""
        self._approvals.add(self._session, project, approvals, orphan="model.missing")

    def approvals(self, project: ProjectId, model: str, version: int) -> list[Approval]:
        """Return them, oldest first."""
        where = (APPROVAL.c.model == model, APPROVAL.c.version == version)
        return self._approvals.find(self._session, project, *where, order=("position",))
