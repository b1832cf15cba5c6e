"""Sources in files, of any place: folders and buckets by name or pattern, and single files over HTTP by their digest."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import httpx
import polars as pl

from modelyard.adapters import PLACES, connect
from modelyard.core import Problem, first_line
from modelyard.core.files import whole_file
from modelyard.core.places import below
from modelyard.data.placed_files import Files, FileTables, found_files, named_files
from modelyard.data.sources import Ask, EachFile, Plain, Reading, wanted
from modelyard.data.table_files import ending_of

_CHUNK_BYTES: Final = 1 << 20
_MOST_HOPS: Final = 5
_TIMEOUT_S: Final = 60.0  # for each step of a download, not for all of it
_FORBIDDEN: Final = frozenset({401, 403, 407})
_GONE: Final = frozenset({404, 410})
_DIGEST: Final = "sha256"
_AS_IT_IS: Final = {"accept-encoding": "identity"}  # the digest is of the file, not of how it is sent


class PlacedSource:
    """What a path, a pattern (`**` for any depth) or a URL of files names; files of one pattern in order of their names.

    The form goes by the ending: `.csv`, `.ndjson` and `.jsonl` (each also `.gz` or `.zst`), `.csv.zip` (one file in it),
    `.parquet`, `.arrow`, `.ipc`, `.avro`. In a CSV file an empty field is null; a further text that means null is said in the
    URL: `file:///data/flights.csv?null=NA`. The types of its columns are found from all their values; see `data.csv_types`.
    """

    reads_on = False
    repeats = False

    def __init__(self, url: str) -> None:
        self._named = named_files(url)
        self._place = connect(PLACES, self._named.root)

    def read(self, ask: Ask) -> AbstractContextManager[Reading]:
        """Read the files that are there now."""
        found = found_files(self._place, self._named)
        urls = [below(self._named.root, *name.split("/")) for name in found.names]
        return _reading(found, urls, ask, self._named.nulls)


class DownloadedSource:
    """A file behind an `http://` or `https://` URL, whose content is known: `https://data.example/flights.csv.gz#sha256=9f2a…`.

    Options of the reader, `null=NA`, stand behind the digest: `…#sha256=9f2a…&null=NA`. Whoever changes the file behind the URL
    changes no dataset: another content is refused.

    Parameters
    ----------
    name
        What the file is called where the URL does not tell; its form is then for the caller to know.

    Raises
    ------
    Problem
        `source.invalid` for a URL without a host, with a password, or with other options.
    """

    reads_on = False
    repeats = False

    def __init__(self, url: str, name: str | None = None) -> None:
        parts = urlsplit(url)
        told = dict(parse_qsl(parts.fragment, keep_blank_values=True))
        self._url = urlunsplit(parts._replace(fragment=""))
        self._digest = told.pop(_DIGEST, None)
        self._nulls = tuple(value for name, value in parse_qsl(parts.fragment, keep_blank_values=True) if name == "null")
        unknown = sorted(told.keys() - {"null"})
        if not parts.hostname or parts.password is not None or unknown:
            why = f"'{unknown[0]}' is not known behind its #" if unknown else "it needs a host, and no password in it"
            raise Problem(
                "source.invalid", f"The source {parts.hostname}{parts.path} cannot be read", why, f"{self._told}#{_DIGEST}=…"
            )
        self._name = name or unquote(parts.path).rpartition("/")[2]
        if name is None:
            ending_of(self._name)

    def read(self, ask: Ask) -> AbstractContextManager[Reading]:
        """Download the file, whole, and read it."""
        return _reading(_Downloaded(self), [""], ask, self._nulls)

    @property
    def url(self) -> str:
        """The address, without what is known of the content."""
        return self._url

    @property
    def name(self) -> str:
        """The file's name."""
        return self._name

    @property
    def _told(self) -> str:
        """The URL without what may be a secret in it."""
        parts = urlsplit(self._url)
        return urlunsplit((parts.scheme, parts.hostname or "", parts.path, "", ""))

    def download(self, to: Path) -> Path:
        """Write the content that is known to a file. Problem `source.invalid` where it is another one."""
        found = sha256()
        try:
            with (
                whole_file(to) as write,
                self._asked() as answer,
            ):
                self._check(answer)
                for chunk in answer.iter_raw(_CHUNK_BYTES):
                    found.update(chunk)
                    write(chunk)
        except httpx.HTTPError as error:
            why = first_line(error) or type(error).__name__
            raise Problem("source.unavailable", f"{self._told} cannot be had", why, "try again when it answers") from error
        if found.hexdigest() != self._digest:
            self._refuse(found.hexdigest())
        return to

    @contextmanager
    def _asked(self) -> Iterator[httpx.Response]:
        """Ask for the file; the server may lead on to another place of its own, and to no other server: nobody named that."""
        url = httpx.URL(self._url)
        with httpx.Client(headers=_AS_IT_IS, timeout=_TIMEOUT_S) as client:
            for _ in range(_MOST_HOPS):
                with client.stream("GET", url) as answer:
                    if answer.next_request is None:
                        yield answer
                        return
                    there = answer.next_request.url
                if (there.scheme, there.host, there.port) != (url.scheme, url.host, url.port):
                    why, step = f"it leads on to {there.scheme}://{there.host}", "name the address that it leads to"
                    raise Problem("source.invalid", f"{self._told} is somewhere else", why, step)
                url = there
        raise httpx.TooManyRedirects("it leads from one place to the next")

    def _check(self, answer: httpx.Response) -> None:
        status = f"the server answers {answer.status_code} {answer.reason_phrase}"
        if answer.status_code in _GONE:
            raise Problem("source.missing", f"There is no {self._told}", status, "look at the address")
        if answer.status_code in _FORBIDDEN:
            raise Problem("source.forbidden", f"{self._told} is not given to us", status, "put the file where it can be read")
        if not answer.is_success:
            raise Problem("source.unavailable", f"{self._told} cannot be had", status, "try again later")

    def _refuse(self, found: str) -> None:
        if self._digest is None:
            what, why = f"{self._told} could be another file tomorrow", "its digest is not known"
            step = f"if what is there now is right, name it so: {self._told}#{_DIGEST}={found}"
        else:
            what, why = f"{self._told} is not the file that is known", f"its digest is {found}, and {self._digest} is expected"
            step = "find out who changed it; name the new digest if it is right"
        raise Problem("source.invalid", what, why, step, {_DIGEST: found})


@dataclass(frozen=True)
class _Downloaded:
    """A download as the one file of a place."""

    source: DownloadedSource

    @property
    def names(self) -> list[str]:
        return [self.source.name]

    def mark(self, number: int) -> str:
        del number
        return self.source.url

    def bring(self, number: int, folder: Path) -> Path:
        del number
        return self.source.download(folder / self.source.name)

    def confirm(self, number: int) -> None:
        """Return: what was downloaded is a copy."""


@contextmanager
def _reading(files: Files, urls: Sequence[str], ask: Ask, nulls: tuple[str, ...]) -> Iterator[Reading]:
    texts = [name for name, dtype in ask.types.items() if dtype == pl.String]
    with TemporaryDirectory(prefix="modelyard-source-") as folder:
        tables = FileTables(files, Path(folder), nulls, texts)

        def frames_of(number: int) -> Iterator[pl.DataFrame]:
            with tables.rows(number) as rows:
                yield from Plain(wanted(rows, ask)).frames

        yield EachFile(urls, frames_of)
