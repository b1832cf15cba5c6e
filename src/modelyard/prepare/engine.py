"""The port of engines, and the work that their workers do: one piece of a set, prepared and written beside the lake's tables.

An engine hands out texts and brings texts back: the work and a piece go to a worker, `prepare_piece` does it there, and what it
did comes back. Rows never pass through the engine itself, so none of them has a word to say about values.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import polars as pl

from modelyard.core import Problem, to_text
from modelyard.core.problems import further_down
from modelyard.data import Column
from modelyard.data.content import BLOCK_ROWS, block_digests
from modelyard.data.lake_files import LakeFile, LakeFiles, LakeFolder, scan_files, write_file
from modelyard.data.profile import from_json, profile, to_json
from modelyard.data.schema import conform, dtype_of, schema_of
from modelyard.data.times import in_utc
from modelyard.jobs.rules import problem_to_json
from modelyard.prepare.transform import Transform
from modelyard.prepare.types import FittedPipeline
from modelyard.version import __version__

ROWS: Final = "rows"  # what a query calls the rows that are prepared
PIECE_ROWS: Final = 4 * BLOCK_ROWS
PIECE_BYTES: Final = 128 << 20  # of a piece's raw rows in memory


@dataclass(frozen=True)
class Work:
    """What is the same for every piece."""

    modelyard: str  # the releases that all workers must have
    polars: str
    fitted: Mapping[str, Any]  # the pipeline, as `FittedPipeline.to_json` tells it
    columns: tuple[Column, ...]  # of the raw rows, those that are read
    reads: Mapping[str, str]  # options of the store to read from
    keep: tuple[str, ...]  # raw columns that stand before the features
    types: tuple[Column, ...]  # that the table to write to has already
    folder: str
    writes: Mapping[str, str]  # options of the store to write to
    profile: Mapping[str, Any]  # over whose slots the rows are counted
    time: str | None = None  # the column of event time, of those that are kept


@dataclass(frozen=True)
class Slice:
    """Rows of one file that stand together."""

    path: str
    first: int
    rows: int


@dataclass(frozen=True)
class Piece:
    """Rows of a set that stand together; all but the last one have a multiple of `BLOCK_ROWS`."""

    number: int
    first: int  # place of its first row in the set
    slices: tuple[Slice, ...]


@dataclass(frozen=True)
class Done:
    """What became of a piece; with a problem there is no file."""

    number: int
    name: str = ""  # of the file in the folder
    rows: int = 0
    size_bytes: int = 0  # of the rows in memory
    file_bytes: int = 0
    columns: tuple[Column, ...] = ()
    blocks: tuple[tuple[str, ...], ...] = ()  # digests, as `data.content.block_digests` tells them
    profile: Mapping[str, Any] = field(default_factory=dict)
    event_from: str | None = None
    event_until: str | None = None
    problem: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Tables:
    """What a query over sets may name."""

    rows: LakeFiles
    others: Mapping[str, LakeFiles] = field(default_factory=dict)
    first: tuple[str, ...] = ()  # columns by which the answer is to stand, as far as it has them, before all its others

    def order(self, columns: Sequence[str]) -> list[str]:
        """Return by which of its columns an answer is sorted, so that the same rows always stand alike."""
        return [*(name for name in self.first if name in columns), *(name for name in columns if name not in self.first)]


class Engine(Protocol):
    """Workers that prepare pieces, and ask queries over sets where the engine speaks SQL.

    Raises
    ------
    Problem
        From both verbs: `engine.unavailable` when it cannot be reached or lost its workers.
    """

    def each(self, work: str, pieces: Sequence[str]) -> Iterator[str]:
        """Have `prepare_piece` called with the work and each of the pieces, and give the answers as they come."""
        ...

    def query(self, sql: str, tables: Tables, folder: LakeFolder, scratch: Path) -> None:
        """Write the answer of a query as Parquet files into a folder; names in order give its rows in order.

        Problem `query.invalid` with what the engine says of it.
        """
        ...


def pieces_of(files: Sequence[LakeFile], row_bytes: float) -> Iterator[Piece]:
    """Give the rows of some files in pieces: fewer rows where they are large, so that a worker's memory stays bounded.

    >>> files = [LakeFile("a", 200_000, 1), LakeFile("b", 100_000, 1)]
    >>> [[(one.path, one.first, one.rows) for one in piece.slices] for piece in pieces_of(files, 10.0)]
    [[('a', 0, 200000), ('b', 0, 62144)], [('b', 62144, 37856)]]
    """
    blocks = int(PIECE_BYTES / max(row_bytes, 1.0)) // BLOCK_ROWS
    most = max(1, min(PIECE_ROWS // BLOCK_ROWS, blocks)) * BLOCK_ROWS
    number, first, room = 0, 0, most
    slices: list[Slice] = []
    for file in files:
        done = 0
        while done < file.rows:
            taken = min(room, file.rows - done)
            slices.append(Slice(file.path, done, taken))
            done, room = done + taken, room - taken
            if not room:
                yield Piece(number, first, tuple(slices))
                number, first, room, slices = number + 1, first + most, most, []
    if slices:
        yield Piece(number, first, tuple(slices))


def prepare_piece(work: str, piece: str) -> str:
    """Prepare one piece and write it, in a worker of an engine; a piece that is done twice leaves one file.

    What goes wrong with the rows is told in the answer, so that it comes back whole through any engine.
    """
    wanted = msgspec.json.decode(piece, type=Piece)
    try:
        done = _prepared(_opened(work), wanted)
    except Problem as problem:
        done = Done(wanted.number, problem=problem_to_json(problem))
    return msgspec.json.encode(done).decode()


@dataclass(frozen=True, eq=False)
class _Opened:
    """The work, with what it takes a while to make of it."""

    work: Work
    transform: Transform
    schema: pl.Schema


@lru_cache(maxsize=2)  # a worker does many pieces of one work
def _opened(work: str) -> _Opened:
    told = msgspec.json.decode(work, type=Work)
    for package, here, asked in (("modelyard", __version__, told.modelyard), ("polars", pl.__version__, told.polars)):
        if here != asked:
            why = "numbers are the same only where all workers run the same releases"
            step = f"pip install {package}=={asked} where the engine's workers run"
            raise Problem("engine.conflict", f"A worker has {package} {here}, not {asked}", why, step)
    schema = pl.Schema({column.name: dtype_of(column.dtype) for column in told.columns})
    return _Opened(told, Transform(FittedPipeline.from_json(told.fitted)), schema)


def _prepared(opened: _Opened, piece: Piece) -> Done:
    work = opened.work
    rows = _read(opened, piece)
    try:
        whole = joined(rows, opened.transform, work.keep)
    except Problem as problem:
        raise further_down(problem, piece.first) from problem
    whole = conform(whole, pl.Schema({column.name: dtype_of(column.dtype) for column in work.types}))
    name = f"part-{piece.number:06}-{work.folder.rpartition('/')[2]}.parquet"  # no other set has files of these names
    written = _write(work, whole, name)
    times = whole[work.time] if work.time is not None else pl.Series([], dtype=pl.Date)
    return Done(
        number=piece.number,
        name=name,
        rows=whole.height,
        size_bytes=int(whole.estimated_size()),
        file_bytes=written,
        columns=schema_of(whole).columns,
        blocks=block_digests(whole),
        profile=to_json(profile(whole, from_json(dict(work.profile)))),
        event_from=_text(times.min()),
        event_until=_text(times.max()),
    )


def _read(opened: _Opened, piece: Piece) -> pl.DataFrame:
    parts = []
    for one in piece.slices:
        file = LakeFiles((LakeFile(one.path, one.rows, 0),), opened.schema, opened.work.reads)
        try:
            parts.append(scan_files(file).slice(one.first, one.rows).collect())
        except FileNotFoundError as error:
            why = "the engine's workers do not see the folder that the lake is in"
            step = "share that folder with them, or keep the lake in S3: MODELYARD_LAKE=s3://…"
            raise Problem("engine.unavailable", f"A worker cannot read {one.path}", why, step) from error
    return pl.concat(parts)


def joined(rows: pl.DataFrame, transform: Transform, keep: Sequence[str]) -> pl.DataFrame:
    """Return the columns to keep and the features of raw rows. A set is a table like others: what is missing there is null."""
    return pl.DataFrame([*rows.select(keep), *transform.frame(rows).select(pl.all().fill_nan(None))])


def _write(work: Work, rows: pl.DataFrame, name: str) -> int:
    """Write a file, and return its size; several workers may do one piece."""
    try:
        return write_file(rows, f"{work.folder}/{name}", work.writes)
    except OSError as error:
        why = str(error).splitlines()[0]
        raise Problem("lake.unavailable", "A prepared piece could not be written", why, "look at the lake's disk") from error


def _text(moment: Any) -> str | None:
    told = in_utc(moment)
    return None if told is None else to_text(told)
