"""A Croissant file as a source: the records that it tells of, from files that are what their digests say."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import parse_qsl, urldefrag, urljoin, urlsplit, urlunsplit
from zipfile import BadZipFile, ZipFile

import msgspec
import polars as pl

from modelyard.adapters import PLACES, connect
from modelyard.adapters.files.tables import DownloadedSource
from modelyard.core import PlacedFile, Problem, digests
from modelyard.core.places import below, check_name
from modelyard.data.croissant_records import RecordFile, Records, invalid, read_records
from modelyard.data.placed_files import FileTables, named_files
from modelyard.data.schema import conform
from modelyard.data.sources import Ask, EachFile, Plain, Reading, wanted

PREFIX: Final = "croissant+"
_WEB: Final = ("http", "https")
_MOST_METADATA_BYTES: Final = 64 << 20
_CHUNK_BYTES: Final = 1 << 20


class CroissantSource:
    """The records of a Croissant file: a path or URL that ends in `.json`, or `croissant+https://…` for one that does not.

    Behind its `#` stand `records=NAME` where it has several sets of records, and for one of the web its own `sha256=…`. Files
    are named relative to it, and lie below its folder, or by `http://` or `https://`; each is held against the SHA-256 that it
    is said to have. Columns get the names and types of the fields.

    Raises
    ------
    Problem
        From reading `croissant.invalid`, `source.missing`, `source.invalid` for a file that is another one or lies outside, and
        what files raise.
    """

    reads_on = False
    repeats = False

    def __init__(self, url: str, check: Callable[[str], None] | None = None) -> None:
        self._url = url
        self._check = check
        plain = url.removeprefix(PREFIX)
        parts = urlsplit(plain) if "://" in plain else None
        told = dict(parse_qsl(parts.fragment)) if parts is not None else {}
        self._records = told.get("records", "")
        self._is_web = parts is not None and parts.scheme in _WEB
        self._base = urlunsplit(parts._replace(fragment="")) if parts is not None else plain
        if self._is_web:
            digest = f"#sha256={told['sha256']}" if "sha256" in told else ""
            self._download = DownloadedSource(f"{self._base}{digest}", name="croissant.json")
        else:
            self._named = named_files(self._base)
            connect(PLACES, self._named.root)

    def guarded(self, check: Callable[[str], None]) -> "CroissantSource":
        """Return the same source, which asks before it reaches what the metadata names."""
        return CroissantSource(self._url, check)

    def read(self, ask: Ask) -> AbstractContextManager[Reading]:
        """Read the metadata, then the files that it names."""
        return self._reading(ask)

    @contextmanager
    def _reading(self, ask: Ask) -> Iterator[Reading]:
        with TemporaryDirectory(prefix="modelyard-croissant-") as temporary:
            folder = Path(temporary)
            records = read_records(self._metadata(folder), self._records)
            files = _RecordFiles(records.files, [self._opened(one) for one in records.files])
            texts = [one.column for one in records.fields if one.column and one.kind == "Text"]
            tables, urls = FileTables(files, folder, (), texts), [one.url for one in files.objects]
            yield EachFile(urls, lambda number: _rows_of(tables, number, urls[number], records, ask))

    def _metadata(self, folder: Path) -> object:
        if self._is_web:
            content = self._download.download(folder / "metadata" / "croissant.json").read_bytes()
        else:
            place = connect(PLACES, self._named.root)
            found = place.get(check_name(self._named.pattern))
            if found is None:
                raise Problem("source.missing", f"There is no {self._base}", "nothing is there", "look at the name")
            content = found
        if len(content) > _MOST_METADATA_BYTES:
            raise invalid(f"it has {len(content):,} bytes, and the most is {_MOST_METADATA_BYTES:,}")
        try:
            return msgspec.json.decode(content)
        except (msgspec.DecodeError, RecursionError) as error:
            raise invalid(f"it is not JSON: {error}") from error

    def _opened(self, file: RecordFile) -> "_Object":
        """Return what brings a file, if it may be reached."""
        scheme = urlsplit(file.url).scheme.lower() if "://" in file.url else ""
        if scheme and scheme not in _WEB:
            raise Problem(
                "source.invalid", f"{file.url[:200]} cannot be read", "it lies outside of the Croissant file's folder"
            )
        if self._is_web or scheme:
            url = urldefrag(urljoin(self._base, file.url)).url
        else:
            url = below(self._named.root, *self._inside(file).split("/"))
        if self._check is not None:
            self._check(url)
        if scheme or self._is_web:
            return _Object(url, DownloadedSource(f"{url}#sha256={file.sha256}", name=file.name).download)
        place, name = connect(PLACES, self._named.root), self._inside(file)
        met: list[PlacedFile] = [one for one in place.find(name) if one.name == name]
        if not met:
            raise Problem("source.missing", f"There is no {url}", "the Croissant file names it", "look for it beside the file")

        def bring(to: Path) -> Path:
            fetched = to.parent / "fetched"
            fetched.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place.fetch(met[0], fetched), to)  # a copy: what was digested is what is read
            shutil.rmtree(fetched)
            _check_digest(to, file)
            return to

        return _Object(url, bring)

    def _inside(self, file: RecordFile) -> str:
        folder = self._named.pattern.rpartition("/")[0]
        return f"{folder}/{check_name(file.url)}".lstrip("/")


@dataclass(frozen=True)
class _Object:
    """A file that the metadata names."""

    url: str
    bring: Callable[[Path], Path]  # to a path; its content is what its digest says


@dataclass(frozen=True)
class _RecordFiles:
    """The files of a set of records; see `data.placed_files.Files`."""

    files: Sequence[RecordFile]
    objects: Sequence[_Object]

    @property
    def names(self) -> list[str]:
        return [one.name for one in self.files]

    def mark(self, number: int) -> str:
        return self.files[number].sha256

    def bring(self, number: int, folder: Path) -> Path:
        file = self.files[number]
        to = folder / file.name
        if not file.member:
            return self.objects[number].bring(to)
        packed = self.objects[number].bring(folder / "zip" / "packed.zip")
        try:
            with ZipFile(packed) as archive:
                size = archive.getinfo(file.member).file_size  # more than it says does not come out
                if size > shutil.disk_usage(folder).free:
                    raise Problem(
                        "source.invalid", f"{file.member} cannot be unpacked", f"its {size:,} bytes have no room here"
                    )
                with archive.open(file.member) as member, to.open("wb") as out:
                    shutil.copyfileobj(member, out, _CHUNK_BYTES)
        except (KeyError, BadZipFile, RuntimeError, NotImplementedError) as error:
            raise Problem(
                "source.invalid", f"{file.member} cannot be unpacked", str(error)[:200], "look into the zip file"
            ) from error
        shutil.rmtree(packed.parent)
        return to

    def confirm(self, number: int) -> None:
        """Return: what is read is a copy."""


def _rows_of(tables: FileTables, number: int, url: str, records: Records, ask: Ask) -> Iterator[pl.DataFrame]:
    """Give the rows of a file in the names and types of the fields."""
    with tables.rows(number) as rows:
        known = rows.collect_schema()
        for one in records.fields:
            if one.column and one.column not in known:
                why, step = f"it is to be the field {one.name}", f"columns are {', '.join(known)[:200]}"
                raise Problem("column.missing", f"{url} has no column '{one.column}'", why, step)
        name = records.files[number].url.rpartition("/")[2]
        chosen = rows.select(_value(one.column, one.pattern, name).alias(one.name) for one in records.fields)
        types = {one.name: one.typed(known[one.column]) for one in records.fields if one.column}
        for frame in Plain(chosen).frames:
            yield wanted(_typed(frame, types).lazy(), ask).collect()


def _value(column: str, pattern: str, name: str) -> pl.Expr:
    """Return a column, or the name of the file, or of that what a pattern finds first."""
    if column:
        return pl.col(column)
    named = pl.lit(name)
    return named.str.extract(pattern, 1) if pattern else named


def _typed(frame: pl.DataFrame, types: dict[str, pl.DataType]) -> pl.DataFrame:
    numbers = [name for name, dtype in types.items() if dtype == pl.String and frame.schema[name] not in (pl.String, pl.Null)]
    return conform(frame.with_columns(pl.col(name).cast(pl.String) for name in numbers), pl.Schema(types)).select(frame.columns)


def _check_digest(path: Path, file: RecordFile) -> None:
    found = digests.digest_file(path).removeprefix(digests.PREFIX)
    if found != file.sha256:
        path.unlink()
        why = f"its digest is {found}, and {file.sha256} is expected"
        raise Problem("source.invalid", f"{file.url} is not the file that is told of", why, "find out who changed it")
