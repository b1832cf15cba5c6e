"""Rows to score, as inputs in order: files of a place, files that were uploaded, or a dataset version."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import polars as pl

from modelyard.core import Digest, ObjectStore, Place, Problem, ProjectId, digest_json
from modelyard.core.files import whole_file
from modelyard.core.places import check_name
from modelyard.data import DatasetVersion
from modelyard.data.placed_files import Files, FileTables, found_files, named_files
from modelyard.data.reading import find_version, read, telling_dropped
from modelyard.data.store import DataTransaction, TableStore
from modelyard.data.table_files import bytes_of_row
from modelyard.serving.batch.types import Input, SourceKind, SourceRef, UploadedFile
from modelyard.tenancy import Actor, authorise


class Ports(Protocol):
    """What sources need of the platform."""

    @property
    def objects(self) -> ObjectStore:
        """The object store."""
        ...

    @property
    def lake(self) -> TableStore:
        """The lake."""
        ...

    @property
    def place(self) -> Callable[[str], Place]:
        """A place of files by URL."""
        ...

    def transaction(self) -> AbstractContextManager[DataTransaction]:
        """Open or join a transaction."""
        ...


class Source(Protocol):
    """Rows in inputs, found and looked at."""

    @property
    def ref(self) -> SourceRef:
        """What names these rows for good, as far as a name can."""
        ...

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs, in order."""
        ...

    @property
    def schema(self) -> pl.Schema:
        """The columns of all."""
        ...

    @property
    def row_bytes(self) -> float:
        """About how many bytes a row takes in memory."""
        ...

    def rows(self, number: int) -> AbstractContextManager[pl.LazyFrame]:
        """Give the rows of an input, lazily; at the end Problem `file.conflict` where it changed meanwhile."""
        ...

    def peek(self, number: int) -> AbstractContextManager[pl.LazyFrame]:
        """Give the rows of an input, lazily, before `rows` does."""
        ...


def open_source(ports: Ports, actor: Actor, project: ProjectId, ref: SourceRef, folder: Path) -> Source:
    """Return the source, with what its inputs hold. `folder` is for copies.

    Raises
    ------
    Problem
        `source.missing`, `source.invalid`, `dataset.missing` and the like, and what places and the object store raise.
    """
    if ref.kind is SourceKind.DATASET:
        authorise(actor, "dataset.read", project)
        return DatasetSource(ports, project, find_version(ports, project, ref.ref))
    if ref.kind is SourceKind.UPLOAD:
        authorise(actor, "object.read", project)
        return FileSource(ref, Uploads.listed(ports.objects, project, Digest(ref.ref)), folder)
    authorise(actor, "dataset.read", project)
    named = named_files(ref.ref)
    return FileSource(ref, found_files(ports.place(named.root), named), folder, named.nulls)


class FileSource:
    """Files of one form, each an input. All are looked at before a row is given."""

    def __init__(self, ref: SourceRef, files: Files, folder: Path, nulls: Sequence[str] = ()) -> None:
        self.ref = ref
        self._files = FileTables(files, folder, nulls)
        found = zip(files.names, self._files.marks(), self._files.looks, strict=True)
        self.inputs = tuple(Input(name, mark, one.rows) for name, mark, one in found)

    @property
    def schema(self) -> pl.Schema:
        """The columns of all files."""
        return self._files.tables.schema

    @property
    def row_bytes(self) -> float:
        """About how many bytes a row takes in memory."""
        return self._files.tables.row_bytes

    def rows(self, number: int) -> AbstractContextManager[pl.LazyFrame]:
        """Give the rows of a file; a copy goes when they were read."""
        return self._files.rows(number)

    def peek(self, number: int) -> AbstractContextManager[pl.LazyFrame]:
        """Give the rows of a file, which will be asked for again."""
        return self._files.peek(number)


@dataclass(frozen=True)
class Uploads:
    """Files in the object store, in pieces."""

    objects: ObjectStore
    project: ProjectId
    files: tuple[UploadedFile, ...]

    @classmethod
    def listed(cls, objects: ObjectStore, project: ProjectId, listing: Digest) -> "Uploads":
        """Return the files of a listing. Problem `object.missing`, `source.invalid`."""
        [content] = objects.get(project, [listing])
        try:
            files = msgspec.json.decode(content, type=tuple[UploadedFile, ...])
        except msgspec.DecodeError as error:
            raise Problem("source.invalid", f"{listing} lists no files", str(error), "upload them by yard score") from error
        if not files:
            raise Problem("source.missing", "There are no files to score", "the listing is empty", "name some")
        for file in files:
            check_name(file.name)
        return cls(objects, project, files)

    @property
    def names(self) -> list[str]:
        """Their names where they came from."""
        return [one.name for one in self.files]

    def mark(self, number: int) -> str:
        """Return a digest of the content."""
        return digest_json(list(self.files[number].pieces))

    def bring(self, number: int, folder: Path) -> Path:
        """Put the pieces together."""
        file = self.files[number]
        path = folder / file.name.rpartition("/")[2]
        with whole_file(path) as write:
            for piece in file.pieces:
                write(self.objects.get(self.project, [piece])[0])
        return path

    def confirm(self, number: int) -> None:
        """Return: objects do not change."""


class DatasetSource:
    """A dataset version: one input, whose mark is the digest of its rows."""

    def __init__(self, ports: Ports, project: ProjectId, version: DatasetVersion) -> None:
        name = f"{version.name}@{version.number}"
        self.ref = SourceRef(SourceKind.DATASET, name)
        self.inputs = (Input(name, version.digest, version.rows),)
        self._ports, self._version = ports, version
        self._rows = read(ports, project, version)

    @property
    def schema(self) -> pl.Schema:
        """The version's columns."""
        return self._rows.collect_schema()

    @property
    def row_bytes(self) -> float:
        """About how many bytes a row takes in memory."""
        return bytes_of_row(self._rows)

    @contextmanager
    def rows(self, number: int) -> Iterator[pl.LazyFrame]:
        """Give the version's rows."""
        del number
        with telling_dropped(self._ports, self._version):
            yield self._rows

    peek = rows
