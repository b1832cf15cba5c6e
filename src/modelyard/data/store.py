"""The ports of data: the catalogue of datasets, and the lake's tables."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import polars as pl

from modelyard.core import Page, PageRequest, ProjectId
from modelyard.data.lake_files import LakeFile, LakeFiles, LakeFolder
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

    def save_versions(self, project: ProjectId, versions: Sequence[DatasetVersion]) -> None:
        """Replace by id (a version may be dropped; nothing else of it ever changes). Problem `dataset.missing`."""
        ...

    def get_versions(self, project: ProjectId, ids: Sequence[DatasetVersionId]) -> list[DatasetVersion]:
        """Return them in order. Problem `dataset.missing` for an unknown one."""
        ...

    def versions(self, project: ProjectId, page: PageRequest, *, name: str | None = None) -> Page[DatasetVersion]:
        """Return versions (of one dataset when named), newest first."""
        ...


@dataclass(frozen=True)
class Stretch:
    """Rows whose time in `column` lies in [since, until); None leaves an end open."""

    column: str
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Vacuumed:
    """What a vacuum of a table removed."""

    files: int = 0
    size_bytes: int = 0  # of the commits that were dropped; what killed writers left is not weighed


# Keeps all others from writing a table, by its name; gives what raises a Problem once somebody else may write it.
Guard = Callable[[str], AbstractContextManager[Callable[[], None]]]


class TableStore(Protocol):
    """The lake: tables of a project that grow by appends, each a numbered version. Table names are `a/b` paths.

    Rows come back in the order of the commits, and within one in the frame's. Columns have the types that
    `data.schema.stored_type` gives; a frame is cast to the table's types where that changes no value.

    Raises
    ------
    Problem
        From every verb: `table.invalid` and `project.invalid` for names that cannot be a path, `lake.unavailable` when the disk
        is full or does not answer. From the writing ones also `column.invalid` for a value that the table's type does not have,
        and `commit.invalid` for a commit id that is empty, over 200 characters or not printable.
    """

    def guarded(self, guard: Guard) -> "TableStore":
        """Return the same lake, which takes a guard for each table that it writes.

        It is for stores that do not themselves keep apart who writes at once; a write is done only when it is seen to be there.
        """
        ...

    def append(self, project: ProjectId, table: str, frame: pl.DataFrame, *, commit: str) -> int:
        """Append in one commit and return a version that holds it; a commit id that is there already is not written twice.

        The table is made by its first append; new columns widen it, and older rows read as null there; a column that the frame
        lacks is null in its rows. Of several processes that append at once none loses its rows.
        """
        ...

    def scan(
        self,
        project: ProjectId,
        table: str,
        *,
        version: int | None = None,
        commits: Sequence[str] | None = None,
        within: Stretch | None = None,
    ) -> pl.LazyFrame:
        """Return the table lazily, at a version or the latest; with `commits` only their rows, in the order given.

        With `within` parts of the table that hold no row in the stretch may be left out unread; the caller still filters.


        Problem `table.missing` when there is no such table or version; `commit.missing` when it does not hold one of `commits`.
        """
        ...

    def version(self, project: ProjectId, table: str) -> int | None:
        """Return the latest version; None: no such table."""
        ...

    def files(
        self, project: ProjectId, table: str, *, version: int | None = None, commits: Sequence[str] | None = None
    ) -> LakeFiles:
        """Return the files that hold what `scan` reads. Raises as it does."""
        ...

    def folder(self, project: ProjectId, table: str, name: str) -> LakeFolder:
        """Return a folder of this name for files to adopt; nobody reads them before that. Problem `table.invalid`."""
        ...

    def adopt(
        self, project: ProjectId, table: str, name: str, files: Sequence[LakeFile], schema: pl.Schema, *, commit: str
    ) -> int:
        """Append files of the folder `name`, rows in their order, as `append` does a frame of those columns.

        A column that the table holds must have its type: `column.invalid`.
        """
        ...

    def discard(self, project: ProjectId, table: str, name: str) -> None:
        """Remove the folder unless files of it were adopted; in a store without folders, leave that to the next `vacuum`."""
        ...

    def commits(self, project: ProjectId, table: str) -> dict[str, int]:
        """Return the commits whose rows the table holds now, each with its size in bytes; none: there is no such table."""
        ...

    def vacuum(
        self, project: ProjectId, table: str, commits: Sequence[str], *, left_for: timedelta, dry_run: bool = False
    ) -> Vacuumed:
        """Drop commits for good, with their files, and the files of killed writers that have lain there for `left_for`.

        Commits that are not there are passed over, and a killed vacuum is finished by another: all other commits stay readable
        at any moment, at each version that holds them. A dropped commit is `commit.missing` to who asks for it, and is written
        anew when it is appended again. Whoever reads one in this moment finds its files missing, and gets no other rows.
        With `dry_run` nothing is done; what would go is returned.
        """
        ...


class DataTransaction(JobTransaction, Protocol):
    """The part of a transaction that this slice needs."""

    @property
    def datasets(self) -> DatasetStore:
        """The catalogue of datasets."""
        ...
