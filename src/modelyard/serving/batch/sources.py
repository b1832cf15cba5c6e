"""Rows to score, as inputs in order: files of a place, files that were uploaded, or a dataset version."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
import polars as pl

from modelyard.core import Digest, ObjectStore, Place, PlacedFile, Problem, ProjectId, digest_json
from modelyard.core.files import whole_file
from modelyard.core.places import check_name, split_pattern
from modelyard.data import DatasetVersion
from modelyard.data.reading import find_version, read
from modelyard.data.store import DataTransaction, TableStore
from modelyard.data.table_files import Look, Tables, bytes_of_row, look, readable, together
from modelyard.serving.batch.types import Input, SourceKind, SourceRef, UploadedFile
from modelyard.tenancy import Actor, authorise

FILES_AT_ONCE = 4
ROOM_BYTES = 8 << 30  # on the disk of copies; with less left they are fetched again when their turn comes


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


class Files(Protocol):
    """Files that can be brought here one by one."""

    @property
    def names(self) -> list[str]:
        """Their names, in order."""
        ...

    def mark(self, number: int) -> str:
        """Return what is another text where the content is."""
        ...

    def bring(self, number: int, folder: Path) -> Path:
        """Return a local file: itself, or a copy in `folder`."""
        ...

    def confirm(self, number: int) -> None:
        """Return when the file was the same all the while."""
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
    url, nulls = _url_and_nulls(ref.ref)
    root, pattern = split_pattern(url)
    place = ports.place(root)
    found = place.find(pattern)
    if not found:
        what, why = f"There are no files at {ref.ref}", "the name or pattern matches nothing that the worker sees"
        raise Problem("source.missing", what, why, "look at the name; quote a pattern, so that the shell leaves it alone")
    return FileSource(ref, PlacedFiles(place, found), folder, nulls)


class FileSource:
    """Files of one form, each an input. All are looked at before a row is given; copies are kept while the disk has room."""

    def __init__(self, ref: SourceRef, files: Files, folder: Path, nulls: tuple[str, ...] = ()) -> None:
        self.ref = ref
        self._files = files
        self._folder = folder
        numbers = range(len(files.names))
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            marks = list(pool.map(files.mark, numbers))
            looks = list(pool.map(lambda number: self._look(number, nulls), numbers))
        self._tables: Tables = together(files.names, looks, nulls)
        found = zip(files.names, marks, looks, strict=True)
        self.inputs = tuple(Input(name, mark, one.rows) for name, mark, one in found)

    @property
    def schema(self) -> pl.Schema:
        """The columns of all files."""
        return self._tables.schema

    @property
    def row_bytes(self) -> float:
        """About how many bytes a row takes in memory."""
        return self._tables.row_bytes

    @contextmanager
    def rows(self, number: int) -> Iterator[pl.LazyFrame]:
        """Give the rows of a file; a copy goes when they were read."""
        with self.peek(number) as rows:
            yield rows
        self._files.confirm(number)
        self._drop(number)

    @contextmanager
    def peek(self, number: int) -> Iterator[pl.LazyFrame]:
        """Give the rows of a file, which will be asked for again."""
        path = self._brought(number)
        with readable(path):
            yield self._tables.scan(path)

    def _look(self, number: int, nulls: tuple[str, ...]) -> Look:
        found = look(self._brought(number), nulls)
        if shutil.disk_usage(self._folder).free < ROOM_BYTES:
            self._drop(number)
        return found

    def _brought(self, number: int) -> Path:
        folder = self._folder / f"input-{number}"
        kept = folder / self._files.names[number].rpartition("/")[2]
        return kept if kept.is_file() else self._files.bring(number, folder)

    def _drop(self, number: int) -> None:
        shutil.rmtree(self._folder / f"input-{number}", ignore_errors=True)


@dataclass(frozen=True)
class PlacedFiles:
    """Files of a place."""

    place: Place
    found: list[PlacedFile]

    @property
    def names(self) -> list[str]:
        """Their names below the place."""
        return [one.name for one in self.found]

    def mark(self, number: int) -> str:
        """Return the place's fingerprint."""
        return self.place.fingerprint(self.found[number])

    def bring(self, number: int, folder: Path) -> Path:
        """Return the file, or a copy."""
        return self.place.fetch(self.found[number], folder)

    def confirm(self, number: int) -> None:
        """Ask the place."""
        self.place.confirm(self.found[number])


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
        yield self._rows

    peek = rows


def _url_and_nulls(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a URL without, and the texts that mean null with, what `?null=NA` says."""
    if "://" not in text:
        if not text.startswith("/"):
            why = "a worker has no working folder of yours"
            raise Problem("source.invalid", f"{text} cannot be read", why, "name an absolute path, file:///… or s3://…")
        return f"file://{text.replace('%', '%25').replace('?', '%3F').replace('#', '%23')}", ()
    parts = urlsplit(text)
    options = parse_qsl(parts.query, keep_blank_values=True)
    nulls = tuple(value for name, value in options if name == "null")
    rest = urlencode([(name, value) for name, value in options if name != "null"])
    return urlunsplit(parts._replace(query=rest)), nulls
