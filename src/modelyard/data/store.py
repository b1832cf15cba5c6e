"""The ports of data: the catalogue of datasets, the lake's tables, and sources to read from."""

from collections.abc import Sequence
from typing import Protocol

import polars as pl

from modelyard.core import Page, PageRequest, ProjectId
from modelyard.data.types import Dataset, DatasetVersion, DatasetVersionId
from modelyard.jobs import JobTransaction


class DatasetStore(Protocol):
    """Datasets and their versions."""

    def add(self, project: ProjectId, datasets: Sequence[Dataset]) -> None:
        """Insert; Problem `dataset.exists` on a taken name."""
        ...

    def save(self, project: ProjectId, datasets: Sequence[Dataset]) -> None:
        """Replace by id."""
        ...

    def find(self, project: ProjectId) -> list[Dataset]:
        """Return all, by name."""
        ...

    def add_versions(self, project: ProjectId, versions: Sequence[DatasetVersion]) -> None:
        """Insert; Problem `dataset.conflict` when the number is taken."""
        ...

    def get_versions(self, project: ProjectId, ids: Sequence[DatasetVersionId]) -> list[DatasetVersion]:
        """Return them in order. Problem `dataset.missing` for an unknown one."""
        ...

    def versions(self, project: ProjectId, page: PageRequest, *, name: str | None = None) -> Page[DatasetVersion]:
        """Return versions (of one dataset when named), newest first."""
        ...


class TableStore(Protocol):
    """The lake: append-only tables of a project, each append a numbered version. Table names are `a/b` paths."""

    def append(self, project: ProjectId, table: str, frame: pl.DataFrame, *, commit: str) -> int:
        """Append in one commit and return the table's version; a commit id that is there already is not written twice.

        The table is made by its first append; new columns widen it, and older rows read as null there.
        """
        ...

    def replace(self, project: ProjectId, table: str, frame: pl.DataFrame, *, commit: str) -> int:
        """Make the frame the table's whole content, in one commit, and return the version."""
        ...

    def scan(self, project: ProjectId, table: str, *, version: int | None = None) -> pl.LazyFrame:
        """Return the table lazily, at a version or the latest. Problem `table.missing`."""
        ...

    def version(self, project: ProjectId, table: str) -> int | None:
        """Return the latest version; None: no such table."""
        ...


class SourceReader(Protocol):
    """Reads what a source URL names."""

    def scan(self, url: str) -> pl.LazyFrame:
        """Return its rows lazily. Problem `source.missing`, `source.invalid`."""
        ...


class DataTransaction(JobTransaction, Protocol):
    """The part of a transaction that this slice needs."""

    @property
    def datasets(self) -> DatasetStore:
        """The catalogue of datasets."""
        ...
