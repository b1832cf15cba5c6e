"""The catalogue of datasets."""

from collections.abc import Sequence

from modelyard.adapters.sql.session import Session
from modelyard.adapters.sql.tables import DATASET, DATASET_VERSION
from modelyard.adapters.sql.typed_table import TypedTable
from modelyard.core import Page, PageRequest, ProjectId
from modelyard.data import Dataset, DatasetVersion, DatasetVersionId


class SqlDatasetStore:
    """`modelyard.data.DatasetStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._datasets = TypedTable(DATASET, Dataset, "dataset")
        self._versions = TypedTable(DATASET_VERSION, DatasetVersion, "dataset")

    def add(self, project: ProjectId, datasets: Sequence[Dataset]) -> None:
        """Insert; Problem `dataset.exists` on a taken name."""
        self._datasets.add(self._session, project, datasets)

    def save(self, project: ProjectId, datasets: Sequence[Dataset]) -> None:
        """Replace by id."""
        self._datasets.save(self._session, project, datasets)

    def find(self, project: ProjectId) -> list[Dataset]:
        """Return all, by name."""
        return self._datasets.find(self._session, project, order=("name",))

    def add_versions(self, project: ProjectId, versions: Sequence[DatasetVersion]) -> None:
        """Insert; Problem `dataset.conflict` when the number is taken."""
        self._versions.add(self._session, project, versions, taken="dataset.conflict", orphan="dataset.missing")

    def save_versions(self, project: ProjectId, versions: Sequence[DatasetVersion]) -> None:
        """Replace by id. Problem `dataset.missing` for an unknown one."""
        self._versions.save(self._session, project, versions)

    def get_versions(self, project: ProjectId, ids: Sequence[DatasetVersionId]) -> list[DatasetVersion]:
        """Return them in order. Problem `dataset.missing` for an unknown one."""
        return self._versions.get(self._session, project, [(id_,) for id_ in ids])

    def versions(self, project: ProjectId, page: PageRequest, *, name: str | None = None) -> Page[DatasetVersion]:
        """Return versions (of one dataset when named), newest first."""
        where = [] if name is None else [DATASET_VERSION.c.name == name]
        return self._versions.page(self._session, project, page, *where)
