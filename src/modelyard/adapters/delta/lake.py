"""The lake, on a local disk or in S3: one Delta table a name, under `<root>/<project>/<table>`.

Each append is a partition of its own, `_commit=<commit id>`: the id costs no bytes in the rows, and tells which files to read
without opening any. It also stands in the log as an application transaction, by which a repeated commit is known and Delta
itself tells two racing ones apart. Other engines see the column `_commit`; the port does not show it.

The transaction's number says whether the commit's rows are there: they are at odd ones (written first, or again) and are not at
even ones (dropped), so that no log of what was dropped has to be read beside.
"""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from math import ceil
from pathlib import Path
from secrets import token_hex
from typing import Final
from urllib.parse import quote, unquote

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from modelyard.adapters.delta.address import DeltaAddress
from modelyard.core import Problem, ProjectId
from modelyard.data import Guard, Stretch, Vacuumed
from modelyard.data.columns import each_column
from modelyard.data.lake_files import LakeFile, LakeFiles, LakeFolder, write_file
from modelyard.data.schema import conform

COMMIT = "_commit"
Write = Callable[[DeltaTable, Callable[[], None]], int]  # raises where the writer is not alone any more

_ROUNDS = 50
_FOREVER = "interval 36500 days"  # nothing may expire what a version reads; what is dropped is named, see `vacuum`
_DROPPED_AT_ONCE = 500  # commits in one entry of the log
_REMOVING = "\tvacuum"  # a transaction at an odd number while files of dropped commits may be there; no commit has a tab in it
_CONFIGURATION = {
    "delta.checkpointInterval": "10",
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": _FOREVER,
    "delta.deletedFileRetentionDuration": _FOREVER,
}
_PROJECT = re.compile(r"[A-Za-z0-9_-]{1,128}")
_FOLDER = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}(/[A-Za-z0-9][A-Za-z0-9_-]{0,127}){0,7}")
_MAX_COMMIT = 200
_FILE = pl.Schema({COMMIT: pl.String, "path": pl.String, "num_records": pl.Int64, "size_bytes": pl.Int64})
_STAGED: Final = "staged-"  # what Delta's own vacuum looks at too, unlike names that begin with _
_TICKS_A_DAY: Final = 86_400_000_000
_FIRST_DAY, _LAST_DAY = ((day - date(1970, 1, 1)).days for day in (date.min, date.max))
_FULL = ("os error 28", "os error 122", "os error 27", "No space left", "Disk quota", "File too large")


@dataclass(frozen=True)
class _Part:
    """A file of a commit."""

    path: str  # in the table's folder
    rows: int
    size_bytes: int
    ranges: Mapping[str, object] = field(default_factory=dict)  # as Delta's statistics have them


class DeltaLake:
    """A lake in a folder or below a prefix of a bucket, for any number of threads and processes.

    A killed writer leaves at most files that no version shows. In S3 writers rely on the server's conditional PUT: of two that
    would write one name one alone has its way. Where the server does not keep that, a guard does; see `wiring.lake`.

    Parameters
    ----------
    root
        The folder, made at the first writing, or where in S3. A folder's path may not hold `%`, which delta-rs takes for an
        escape.
    guard
        Held while a table is written. With one, a commit counts as done only once the log shows it.

    Raises
    ------
    Problem
        `adapter.invalid` for such a path.
    """

    def __init__(self, root: Path | DeltaAddress, guard: Guard | None = None) -> None:
        self._root = root if isinstance(root, DeltaAddress) else DeltaAddress.from_path(root)
        self._guard = guard

    @classmethod
    def from_url(cls, url: str) -> "DeltaLake":
        """Return the lake at `file:///absolute/path` or `s3://bucket/prefix?endpoint=…&region=…`. Problem `adapter.invalid`."""
        return cls(DeltaAddress.from_url(url))

    def guarded(self, guard: Guard) -> "DeltaLake":
        """Return the same lake, whose tables are written under a guard alone."""
        return DeltaLake(self._root, guard)

    def append(self, project: ProjectId, table: str, frame: pl.DataFrame, *, commit: str) -> int:
        """Append in one commit and return a version that holds it."""
        place = self._place(project, table)

        def add(opened: DeltaTable, stay_alone: Callable[[], None]) -> int:
            rows = _conformed(frame, opened)
            written = _written(place, rows, commit)
            stay_alone()
            return _adopt(opened, written, rows.schema, commit)

        return self._write(place, frame, _commit_id(commit), add)

    def scan(
        self,
        project: ProjectId,
        table: str,
        *,
        version: int | None = None,
        commits: Sequence[str] | None = None,
        within: Stretch | None = None,
    ) -> pl.LazyFrame:
        """Return the table lazily, at a version or the latest; see the port."""
        place = self._place(project, table)
        with _told(table):
            opened = _opened(place, version, table)
            files = _files(opened, within)
            if commits is not None:
                files = _of_commits(opened, files, commits, table)
            return _read(place, files["path"].to_list(), _schema(opened))

    def version(self, project: ProjectId, table: str) -> int | None:
        """Return the latest version; None: no such table."""
        with _told(table):
            opened = _open(self._place(project, table))
            return None if opened is None else opened.version()

    def files(
        self, project: ProjectId, table: str, *, version: int | None = None, commits: Sequence[str] | None = None
    ) -> LakeFiles:
        """Return the files that hold what `scan` reads."""
        place = self._place(project, table)
        with _told(table):
            opened = _opened(place, version, table)
            found = _files(opened)
            if commits is not None:
                found = _of_commits(opened, found, commits, table)
            told = zip(found["path"], found["num_records"], found["size_bytes"], strict=True)
            files = tuple(LakeFile(f"{place.location}/{unquote(path)}", rows, size) for path, rows, size in told)
            return LakeFiles(files, _schema(opened), place.for_polars)

    def folder(self, project: ProjectId, table: str, name: str) -> LakeFolder:
        """Return a folder of this name for files to adopt."""
        staged = self._place(project, table).below(_staged(name))
        with _told(table):
            if staged.folder is not None:
                staged.folder.mkdir(parents=True, exist_ok=True)
        return LakeFolder(staged.location, staged.for_polars)

    def adopt(
        self, project: ProjectId, table: str, name: str, files: Sequence[LakeFile], schema: pl.Schema, *, commit: str
    ) -> int:
        """Append files of the folder `name`, rows in their order."""
        place = self._place(project, table)

        def add(opened: DeltaTable, stay_alone: Callable[[], None]) -> int:
            _check_types(opened, schema)
            _check_files(place.below(_staged(name)), files)
            stay_alone()
            return _adopt(
                opened, [_Part(f"{_staged(name)}/{one.path}", one.rows, one.size_bytes) for one in files], schema, commit
            )

        return self._write(place, pl.DataFrame(schema=schema), _commit_id(commit), add)

    def discard(self, project: ProjectId, table: str, name: str) -> None:
        """Remove the folder unless files of it were adopted; in S3 the next `vacuum` does."""
        place = self._place(project, table)
        staged = place.below(_staged(name))
        with _told(table):
            opened = _open(place)
            adopted = opened is not None and _files(opened)["path"].str.starts_with(f"{_staged(name)}/").any()
            if not adopted and staged.folder is not None:
                shutil.rmtree(staged.folder, ignore_errors=True)

    def commits(self, project: ProjectId, table: str) -> dict[str, int]:
        """Return the commits whose rows the table holds now, each with its size in bytes."""
        with _told(table):
            opened = _open(self._place(project, table))
            return {} if opened is None else _sizes(opened)

    def vacuum(
        self, project: ProjectId, table: str, commits: Sequence[str], *, left_for: timedelta, dry_run: bool = False
    ) -> Vacuumed:
        """Drop commits for good, and what killed writers left; see the port.

        First the log leaves them out, and so do all who read from then on; then their files go. A kill between the two leaves
        files that the log names as removed, and the log says so: the next vacuum removes them.
        """
        place, files, freed = self._place(project, table), 0, 0
        with nullcontext(_unwatched) if dry_run else self._alone(place) as stay_alone:
            for _ in range(_ROUNDS):
                with _told(place.name):
                    opened = _open(place)
                    if opened is None:
                        return Vacuumed()
                    sizes, left = _sizes(opened), _left(opened, left_for)
                    going = [commit for commit in dict.fromkeys(commits) if commit in sizes]
                    freed = max(freed, sum(sizes[commit] for commit in going))  # the first round finds most
                    files = max(files, _files(opened).filter(pl.col(COMMIT).is_in(going)).height + len(left))
                    if dry_run or not (going or left or _holds(opened, _REMOVING)):
                        return Vacuumed(files, freed)
                    with suppress(CommitFailedError):  # another vacuum was quicker
                        _drop(opened, going, stay_alone)
                        _remove(opened, left_for if left else None, stay_alone)
        raise _overtaken(place)

    def _place(self, project: ProjectId, table: str) -> DeltaAddress:
        if not _PROJECT.fullmatch(project):
            raise Problem("project.invalid", f"{project!r} is no project id", "it has other characters than A-Z a-z 0-9 _ -")
        if not _TABLE.fullmatch(table):
            why = "it is words of A-Z a-z 0-9 _ -, parted by at most 7 slashes"
            raise Problem("table.invalid", f"{table[:200]!r} is no name of a table", why)
        return self._root.below(f"{project}/{table}")

    def _write(self, place: DeltaAddress, frame: pl.DataFrame, commit: str, write: Write) -> int:
        if COMMIT in frame.columns:
            raise Problem("column.invalid", f"The column '{COMMIT}' cannot be taken in", "the lake uses that name itself")
        with self._alone(place) as stay_alone:
            for _ in range(_ROUNDS):
                with _told(place.name):
                    opened = _open(place)
                    if opened is None:
                        rows = _conformed(frame, None)
                        stay_alone()
                        _make(place, rows)
                        continue
                    if _holds(opened, commit):
                        return opened.version()
                    with suppress(CommitFailedError):  # another writer changed what this one stands on, or made this commit
                        made = write(opened, stay_alone)
                        if self._guard is None:
                            return made
                        # Who thought to be alone, too, may have overwritten it: it is done once the log, read anew, shows it.
        raise _overtaken(place)

    def _alone(self, place: DeltaAddress) -> AbstractContextManager[Callable[[], None]]:
        """Keep others from writing the table where the store does not; give what raises once that has failed."""
        return nullcontext(_unwatched) if self._guard is None else self._guard(place.location)


def _unwatched() -> None:
    """Return: the store keeps writers apart."""


def _opened(place: DeltaAddress, version: int | None, table: str) -> DeltaTable:
    opened = _open(place, version)
    if opened is None:
        at = "" if version is None else f" at version {version}"
        raise Problem("table.missing", f"There is no table '{table}'{at}", "nothing was written to it in this project")
    return opened


def _make(place: DeltaAddress, rows: pl.DataFrame) -> None:
    """Make the table without rows. Made together with its first ones, two writers of one commit would both be let in."""
    if place.folder is not None:
        place.folder.mkdir(parents=True, exist_ok=True)
    schema = pl.Schema({**rows.schema, COMMIT: pl.String()})
    try:
        DeltaTable.create(
            place.target, schema, partition_by=[COMMIT], configuration=_CONFIGURATION, storage_options=place.for_delta
        )
    except DeltaError:
        if _open(place) is None:
            raise  # no lost race to make it


def _check_types(opened: DeltaTable, schema: pl.Schema) -> None:
    held = _schema(opened)
    for name, dtype in schema.items():
        if held.get(name, dtype) != dtype:
            why = f"its values are {dtype}, and the table holds {held[name]}"
            raise Problem("column.invalid", f"The column '{name}' cannot be taken in", why, f"cast it to {held[name]} before")


def _check_files(folder: DeltaAddress, files: Sequence[LakeFile]) -> None:
    """Return when the files are there, as long as they are said to be. In S3 a file is there once its writer says so."""
    for one in files if folder.folder is not None else ():
        path = Path(folder.location, one.path)
        if not path.is_file() or path.stat().st_size != one.size_bytes:
            why, step = "it is not there, or has another length", "run the pipeline again"
            raise Problem("lake.unavailable", f"The file {one.path} cannot be adopted", why, step)


def _written(place: DeltaAddress, rows: pl.DataFrame, commit: str) -> list[_Part]:
    """Write rows as a file that no version shows yet."""
    if not rows.height:
        return []
    name = f"{COMMIT}={quote(commit, safe='')}/part-{token_hex(16)}.parquet"  # Polars reads a partition's value there alone
    ranges = _ranges(rows)
    size = write_file(rows, f"{place.location}/{name}", place.for_polars, mkdir=place.folder is not None)
    return [_Part(name, rows.height, size, ranges)]


def _ranges(rows: pl.DataFrame) -> dict[str, dict[str, object]]:
    """Return least and greatest values of numbers and times, by which readers leave files out.

    A column with NaN, infinity or a year that JSON's times have no room for has none: readers do not agree where these stand.
    """
    found: dict[str, dict[str, object]] = {"minValues": {}, "maxValues": {}}
    for name, (low, high) in zip(rows.columns, each_column(_range, rows), strict=True):
        if low is not None and high is not None:
            found["minValues"][name], found["maxValues"][name] = low, high
    return found


def _range(column: pl.Series) -> tuple[object, object]:
    dtype = column.dtype
    if dtype.is_integer():
        return column.min(), column.max()
    if dtype.is_float():
        return _float_range(column)
    if not isinstance(dtype, pl.Date | pl.Datetime):
        return None, None
    ticks, ticks_a_day = column.to_physical(), 1 if dtype == pl.Date else _TICKS_A_DAY
    ends = pl.Series([ticks.min(), ticks.max()], dtype=ticks.dtype)
    # Those that no date is known for may not even be asked for their year.
    if not ends.is_between(_FIRST_DAY * ticks_a_day, (_LAST_DAY + 1) * ticks_a_day - 1).all():
        return None, None
    # To the microsecond: delta-rs cuts them down to milliseconds, also the greatest ones, and such a file is left out wrongly.
    zone = "Z" if isinstance(dtype, pl.Datetime) and dtype.time_zone else ""
    texts = ends.cast(dtype).dt.strftime("%Y-%m-%d" if dtype == pl.Date else f"%Y-%m-%dT%H:%M:%S%.6f{zone}")
    return texts[0], texts[1]


def _float_range(column: pl.Series) -> tuple[object, object]:
    low, high = column.min(), column.max()
    if low is None or not column.is_finite().all():
        return None, None
    # Some readers rank -0.0 below 0.0, and would leave a file out that ends with the one where they look for the other.
    return (-0.0 if low == 0 else low), (0.0 if high == 0 else high)


def _adopt(opened: DeltaTable, parts: Sequence[_Part], schema: pl.Schema, commit: str) -> int:
    """Make files that lie in the table's folder rows of it, in one commit."""
    held = _schema(opened)
    new = {name: dtype for name, dtype in schema.items() if name not in held}
    if new:
        opened.alter.add_columns(DeltaSchema.from_arrow(pl.Schema(new)).fields)
    now = time.time_ns() // 1_000_000
    actions: list[AddAction | RemoveAction] = [
        AddAction(one.path, one.size_bytes, {COMMIT: commit}, now, True, json.dumps({"numRecords": one.rows, **one.ranges}))
        for one in parts
    ]
    done = _properties(opened, commit)
    opened.create_write_transaction(actions, "append", opened.schema(), partition_by=[COMMIT], commit_properties=done)
    opened.update_incremental()
    return opened.version()


def _properties(opened: DeltaTable, commit: str) -> CommitProperties:
    return CommitProperties({"commit": commit}, app_transactions=[Transaction(commit, _turn(opened, commit))])


def _turn(opened: DeltaTable, commit: str) -> int:
    """Return the number of the transaction that writes the commit, or drops it."""
    return (opened.transaction_version(commit) or 0) + 1


def _holds(opened: DeltaTable, commit: str) -> bool:
    return (opened.transaction_version(commit) or 0) % 2 == 1


def _sizes(opened: DeltaTable) -> dict[str, int]:
    actions = pl.DataFrame(opened.get_add_actions(flatten=True))
    if not actions.height:
        return {}
    found = actions.group_by(f"partition.{COMMIT}", maintain_order=True).agg(pl.col("size_bytes").sum())
    return dict(found.iter_rows())


def _drop(opened: DeltaTable, commits: Sequence[str], stay_alone: Callable[[], None]) -> None:
    """Leave commits out of the table from now on. No file is read or written for it: each is a partition."""
    for start in range(0, len(commits), _DROPPED_AT_ONCE):
        some = commits[start : start + _DROPPED_AT_ONCE]
        names = ", ".join("'" + commit.replace("'", "''") + "'" for commit in some)
        turns = [Transaction(commit, _turn(opened, commit)) for commit in some]
        turns += [] if _holds(opened, _REMOVING) else [Transaction(_REMOVING, _turn(opened, _REMOVING))]
        stay_alone()
        opened.delete(f"{COMMIT} IN ({names})", commit_properties=CommitProperties(app_transactions=turns))


def _remove(opened: DeltaTable, left_for: timedelta | None, stay_alone: Callable[[], None]) -> None:
    """Remove the files of dropped commits, and those left behind for so long; None: there are none."""
    if _holds(opened, _REMOVING):
        done = CommitProperties(app_transactions=[Transaction(_REMOVING, _turn(opened, _REMOVING))])
        stay_alone()
        opened.vacuum(0, dry_run=False, enforce_retention_duration=False, commit_properties=done)
    if left_for is not None:
        stay_alone()
        opened.vacuum(_hours(left_for), dry_run=False, enforce_retention_duration=False, full=True)


def _left(opened: DeltaTable, left_for: timedelta) -> set[str]:
    """Return the files that killed writers left. A younger one may be that of a writer which is about to commit."""
    removed = opened.vacuum(_hours(left_for), enforce_retention_duration=False)  # Delta tells of them also once they are gone
    unnamed = opened.vacuum(_hours(left_for), enforce_retention_duration=False, full=True)
    return {_last(name) for name in unnamed} - {_last(name) for name in removed}


def _hours(age: timedelta) -> int:
    return max(1, ceil(age / timedelta(hours=1)))


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _overtaken(place: DeltaAddress) -> Problem:
    return Problem("table.conflict", f"'{place.name}' could not be written", f"{_ROUNDS} other writers came first")


def _open(place: DeltaAddress, version: int | None = None) -> DeltaTable | None:
    if place.folder is not None and not (place.folder / "_delta_log").is_dir():
        return None
    try:
        opened = DeltaTable(place.target, storage_options=place.for_delta)
    except TableNotFoundError:
        return None  # its first writer was killed before its first commit
    if version is None or version == opened.version():
        return opened
    if not 0 <= version <= opened.version():
        return None
    opened.load_as_version(version)
    return opened


def _conformed(frame: pl.DataFrame, opened: DeltaTable | None) -> pl.DataFrame:
    known = pl.Schema() if opened is None else _schema(opened)
    rows = conform(frame, pl.Schema({name: dtype for name, dtype in known.items() if name in frame.columns}))
    lacking = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in known.items() if name not in frame.columns]
    return rows.with_columns(lacking)


def _schema(opened: DeltaTable) -> pl.Schema:
    schema = pl.Schema(opened.schema())
    return pl.Schema({name: dtype for name, dtype in schema.items() if name != COMMIT})


def _files(opened: DeltaTable, within: Stretch | None = None) -> pl.DataFrame:
    """Return path and commit of each file, in the order of commits, and of parts within one.

    Files whose statistics show that all their rows lie outside of the stretch are left out; those without statistics stay.
    """
    actions = pl.DataFrame(opened.get_add_actions(flatten=True))
    if not actions.height:
        return pl.DataFrame(schema=_FILE)
    found = actions.sort("modification_time", "path")
    if within is not None and actions.schema.get(f"max.{within.column}", pl.Null()) != pl.Null():
        low, high = pl.col(f"min.{within.column}"), pl.col(f"max.{within.column}")
        if within.since is not None:
            found = found.filter((high >= within.since).fill_null(value=True))
        if within.until is not None:
            found = found.filter((low < within.until).fill_null(value=True))
    return found.select(pl.col(f"partition.{COMMIT}").alias(COMMIT), *(name for name in _FILE if name != COMMIT))


def _of_commits(opened: DeltaTable, files: pl.DataFrame, commits: Sequence[str], table: str) -> pl.DataFrame:
    held = set(files[COMMIT])
    for commit in commits:
        if commit not in held and not _holds(opened, commit):
            at = f"version {opened.version()} of '{table}'"
            why = "it was not made, was replaced or dropped"
            raise Problem("commit.missing", f"There is no commit {commit[:200]!r} in {at}", why)
    wanted = pl.DataFrame({COMMIT: list(commits)}, schema={COMMIT: pl.String}).with_row_index("place")
    return files.sort("path").join(wanted, on=COMMIT, maintain_order="left").sort("place", maintain_order=True)


def _read(place: DeltaAddress, names: list[str], schema: pl.Schema) -> pl.LazyFrame:
    if not names:
        return pl.LazyFrame(schema=schema)
    paths = [f"{place.location}/{unquote(name)}" for name in names]
    return pl.scan_parquet(
        paths, schema=schema, missing_columns="insert", hive_partitioning=False, glob=False, storage_options=place.for_polars
    )


def _staged(name: str) -> str:
    if not _FOLDER.fullmatch(name):
        raise Problem("table.invalid", f"{name[:200]!r} is no name of a folder", "it is 1 to 128 of A-Z a-z 0-9 _ -")
    return f"{_STAGED}{name}"


def _commit_id(commit: str) -> str:
    if not commit or len(commit) > _MAX_COMMIT or not commit.isprintable():
        raise Problem("commit.invalid", f"{commit[:80]!r} is no commit id", f"it is 1 to {_MAX_COMMIT} printable characters")
    return commit


@contextmanager
def _told(table: str) -> Iterator[None]:
    try:
        yield
    except (Problem, CommitFailedError):
        raise
    except Exception as error:  # delta-rs raises bare `Exception` too
        told = str(error)
        full = any(sign in told for sign in _FULL)
        why = "the disk is full" if full else (told.strip().splitlines() or [type(error).__name__])[0][:500]
        step = "free space on the lake's disk" if full else "look whether the lake can be read and written"
        raise Problem("lake.unavailable", f"The table '{table}' could not be read or written", why, step) from error
