"""Files of one form in a place, as rows: named by a URL, looked at before a row is given, copied here from elsewhere."""

import shutil
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import polars as pl

from modelyard.core import Place, PlacedFile, Problem
from modelyard.core.places import split_pattern
from modelyard.data.table_files import Look, look, readable, together

FILES_AT_ONCE = 4
ROOM_BYTES = 8 << 30  # on the disk of copies; with less left they are fetched again when their turn comes


@dataclass(frozen=True)
class NamedFiles:
    """What a URL of files says: the place they are below, what names them there, and the texts that mean null in a CSV file."""

    url: str
    root: str
    pattern: str
    nulls: tuple[str, ...]


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


class FileTables:
    """Files of one form and the rows they hold. All are looked at first; copies are kept while the disk has room.

    Parameters
    ----------
    files
        The files.
    folder
        For copies.
    nulls
        Texts that mean null in a CSV file.
    texts
        Columns of a CSV file that are text, whatever stands in them.
    """

    def __init__(self, files: Files, folder: Path, nulls: Sequence[str] = (), texts: Collection[str] = ()) -> None:
        self._files = files
        self._folder = folder
        numbers = range(len(files.names))
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            self.looks = list(pool.map(lambda number: self._look(number, nulls), numbers))
        self.tables = together(files.names, self.looks, nulls).with_texts(texts)

    def marks(self) -> list[str]:
        """Return for each file what is another text where the content is."""
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            return list(pool.map(self._files.mark, range(len(self._files.names))))

    @contextmanager
    def rows(self, number: int) -> Iterator[pl.LazyFrame]:
        """Give the rows of a file; a copy goes when they were read. Problem `file.conflict` where it changed meanwhile."""
        with self.peek(number) as rows:
            yield rows
        self._files.confirm(number)
        self._drop(number)

    @contextmanager
    def peek(self, number: int) -> Iterator[pl.LazyFrame]:
        """Give the rows of a file, which will be asked for again."""
        path = self._brought(number)
        with readable(path):
            yield self.tables.scan(path)

    def _look(self, number: int, nulls: Sequence[str]) -> Look:
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


def named_files(text: str) -> NamedFiles:
    """Return what a URL of files, or an absolute path or pattern of this machine, says.

    Raises
    ------
    Problem
        `source.invalid` for a path that is not absolute, and for options of a local file other than `null`.

    >>> named_files("s3://lake/a/*.csv?null=NA")
    NamedFiles(url='s3://lake/a/*.csv?null=NA', root='s3://lake/a', pattern='*.csv', nulls=('NA',))
    """
    if "://" not in text:
        if not text.startswith("/"):
            why = "the server and its workers have no working folder of yours"
            raise Problem("source.invalid", f"{text} cannot be read", why, "name an absolute path, file:///… or s3://…")
        quoted = text.replace("%", "%25").replace("?", "%3F").replace("#", "%23")
        return NamedFiles(text, *split_pattern(f"file://{quoted}"), ())
    parts = urlsplit(text)
    options = parse_qsl(parts.query, keep_blank_values=True)
    nulls = tuple(value for name, value in options if name == "null")
    others = [(name, value) for name, value in options if name != "null"]
    if parts.scheme == "file" and others:
        why = f"the option '{others[0][0]}' is not known; there is: null"
        raise Problem("source.invalid", f"The source {text} cannot be read", why, "write a ? of the name as %3F")
    rest = urlencode(others)
    return NamedFiles(text, *split_pattern(urlunsplit(parts._replace(query=rest))), nulls)


def found_files(place: Place, named: NamedFiles) -> PlacedFiles:
    """Return the files that are there. Problem `source.missing`."""
    found = place.find(named.pattern)
    if not found:
        what, why = f"There are no files at {named.url}", "the name or pattern matches nothing there"
        raise Problem("source.missing", what, why, "look at the name; quote a pattern, so that the shell leaves it alone")
    return PlacedFiles(place, found)
