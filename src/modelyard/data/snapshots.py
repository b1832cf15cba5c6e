"""Snapshots: what is new in a dataset's source becomes a version."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from urllib.parse import parse_qsl, unquote, urlsplit

import polars as pl

from modelyard.core import Problem, ProjectId
from modelyard.data import reading
from modelyard.data.content import batch_digest, chain
from modelyard.data.intake import ROUNDS, Ports, beyond_quarantine, take_in, types_of
from modelyard.data.reading import Held
from modelyard.data.rules import check_replaceable
from modelyard.data.schema import column_missing, conform
from modelyard.data.sources import Ask, Reading, Source, moment
from modelyard.data.store import Stretch
from modelyard.data.types import Admission, Dataset, Parent
from modelyard.data.writing import NONE, Move, Origin
from modelyard.tenancy import Actor, authorise

PART = "_part"  # of a row: the number of the file that it came from, while it is looked at
MOST_FILES = 10_000  # that a version names
READ = 0.8  # of a snapshot's time, when all rows are there; the rest is looking at them and writing

Progress = Callable[[float, str], None]


def snapshot(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    name: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    replacing: bool | None = None,
    note: str = "",
    progress: Progress = lambda fraction, message: None,
) -> Admission:
    """Read the dataset's source, those rows of [since, until) by event time, and admit what is new of them.

    A source that reads on (a stream, or a table with a watermark) gives what came after the snapshot before, unless a stretch
    is named; its bookmark moves with the version, in one transaction. Of any source those rows are new whose key the dataset
    does not hold (without a key: whose time is after the last one held; all rows of a source that reads on) and that were not
    quarantined before; rows without a key or time are always looked at. Where nothing is new, the latest version comes back.
    With `replacing` rows of a known key stand in for those held, where they tell something else; None: of a source that reads
    on, since what it has passed does not come again.

    The rows of a snapshot stand in the order of time and key, as far as the dataset names them: the same rows make the same
    version, wherever they came from. `progress` is told how many are read, and the share of them where the source knows it.

    Raises
    ------
    Problem
        `source.missing` and what else sources raise; `dataset.invalid` for a stretch of a dataset without time, or without a
        key where its source reads on, and for a table with a watermark without a key;
        `dataset.conflict` when the dataset has neither key nor time to know new rows by; and as `service.append`.
    """
    authorise(actor, "dataset.write", project)
    for _ in range(ROUNDS):
        try:
            dataset = reading.find_dataset(ports, project, name)
            return _snapshot(ports, actor, dataset, since, until, note, replacing=replacing, progress=progress)
        except Problem as problem:
            if problem.code != "bookmark.conflict":
                raise
    why = f"{ROUNDS} other snapshots came first"
    raise Problem("dataset.conflict", f"The source of '{name}' could not be read on", why, "let one take them")


def _snapshot(
    ports: Ports,
    actor: Actor,
    dataset: Dataset,
    since: datetime | None,
    until: datetime | None,
    note: str,
    *,
    replacing: bool | None,
    progress: Progress,
) -> Admission:
    source, stretch = source_and_stretch(ports, dataset, since, until)
    latest = reading.latest_version(ports, dataset.project, dataset.name)
    held = None if latest is None else reading.held(ports, latest)
    types = types_of(dataset, held)
    if replacing is None:
        replacing = source.reads_on and bool(dataset.key)
    elif replacing:
        check_replaceable(dataset)
    reads_on = source.reads_on and stretch is None
    columns = tuple(column.name for column in dataset.columns) or None
    ask = Ask(columns, stretch, dataset.bookmark if reads_on else "", types)
    with source.read(ask) as found:
        rows, parts = _together(found, progress)
        undecoded, bookmark, waiting = found.undecoded, found.bookmark, found.waiting
    move = Move(dataset.bookmark, bookmark) if reads_on else None
    came = pl.Schema({name: dtype for name, dtype in rows.schema.items() if name != PART})
    if came:
        _check_named(dataset, rows)
        rows = conform(rows, types)
        if held is not None and not (replacing and dataset.key):
            rows = _beyond(dataset, held, rows, reads_on=reads_on)
        if move is None or source.repeats:  # else what comes has not been seen, whatever it is like
            rows = beyond_quarantine(ports, dataset, rows)
        rows = _in_order(dataset, rows)
    rows, files = _without_parts(rows, parts)
    url = dataset.source or ""
    whole = Parent("source", url, told_source(url))
    parents = (whole, *(file for file in files if file.told != whole.told))  # a file may be all of the source
    upon = latest.id if latest is not None else NONE
    origin = Origin(parents, note, replacing, came, upon, move, tuple(undecoded))
    return replace(take_in(ports, actor, dataset, rows, origin), waiting=waiting)


def read_on(ports: Ports, actor: Actor, project: ProjectId, name: str) -> Admission:
    """Take a snapshot of what came in a source that reads on: a portion, for those who follow it.

    Raises
    ------
    Problem
        `portion.refused` for a source that gives all of its rows each time; and as `snapshot`.
    """
    authorise(actor, "dataset.write", project)
    dataset = reading.find_dataset(ports, project, name)
    source, _ = source_and_stretch(ports, dataset, None, None)
    if not source.reads_on:
        why, step = "its source gives all of its rows each time", f"yard dataset snapshot {name}"
        raise Problem("portion.refused", f"'{name}' is not read on", why, step)
    return snapshot(ports, actor, project, name)


def source_and_stretch(
    ports: Ports, dataset: Dataset, since: datetime | None, until: datetime | None
) -> tuple[Source, Stretch | None]:
    """Return what a snapshot would read; nothing is asked of the source yet.

    Raises
    ------
    Problem
        `source.missing` where there is none; `dataset.invalid` where the dataset cannot be read so.
    """
    if dataset.source is None:
        raise Problem("source.missing", f"The dataset '{dataset.name}' has no source", "rows are appended to it", "append them")
    source, stretch = ports.source(dataset.source), _stretch(dataset, since, until)
    check_readable(dataset.name, dataset.key, source, in_stretches=stretch is not None)
    return source, stretch


def check_readable(name: str, key: Sequence[str], source: Source, *, in_stretches: bool = False) -> None:
    """Return when a dataset can read a source again and again.

    Raises
    ------
    Problem
        `dataset.invalid` where only a key would tell rows apart, and it has none.
    """
    if key or not source.reads_on or not (source.repeats or in_stretches):
        return
    if in_stretches:
        why = "its source reads on, and a row of the stretch could not be known again"
        raise Problem("dataset.invalid", f"'{name}' takes no stretches", why, "declare it with a key, or take what is new")
    why = "rows at the watermark where a reading ended come again, and could not be known"
    raise Problem("dataset.invalid", f"'{name}' cannot be read on", why, "name the columns of its key")


def told_source(url: str) -> str:
    """Return what a person calls a source.

    >>> told_source("postgresql://ann@db/shop?table=public.orders&watermark=id"), told_source("/data/flights%201.csv")
    ('public.orders', 'flights%201.csv')
    >>> told_source("kafka://one:9092,two:9092/orders?format=json"), told_source("s3://lake/in/*.csv?region=eu")
    ('orders', '*.csv')
    """
    if "://" not in url:
        return url.rpartition("/")[2]
    parts = urlsplit(url)
    return dict(parse_qsl(parts.query)).get("table") or unquote(parts.path.rstrip("/").rpartition("/")[2])


def _stretch(dataset: Dataset, since: datetime | None, until: datetime | None) -> Stretch | None:
    if since is None and until is None:
        return None
    if dataset.time is None:
        why = "it has no time column"
        raise Problem("dataset.invalid", f"'{dataset.name}' has no stretches of time", why, "take the whole source")
    return Stretch(dataset.time, since, until)


def _check_named(dataset: Dataset, rows: pl.DataFrame) -> None:
    for column in dict.fromkeys([*dataset.key, *([dataset.time] if dataset.time else [])]):
        if column not in rows.columns:
            raise column_missing(column, rows.columns)


def _beyond(dataset: Dataset, held: Held, rows: pl.DataFrame, *, reads_on: bool) -> pl.DataFrame:
    """Return the rows that the dataset does not hold."""
    latest = held.version
    if dataset.key:
        known = held.rows.select(dataset.key).join(rows.lazy().select(dataset.key), on=list(dataset.key), how="semi").collect()
        return rows.join(known, on=list(dataset.key), how="anti", maintain_order="left")
    if reads_on:
        return rows
    if dataset.time is not None and latest.event_until is not None:
        return rows.filter((moment(dataset.time, rows.schema[dataset.time]) > latest.event_until).fill_null(value=True))
    if latest.digest == chain(None, batch_digest(rows.drop(PART))):
        return rows.head(0)
    why = "it has neither key nor time to know new rows by"
    raise Problem("dataset.conflict", f"'{dataset.name}' cannot take a second snapshot", why, "append the new rows")


def _together(found: Reading, progress: Progress) -> tuple[pl.DataFrame, list[str]]:
    """Return all rows, each with the number of the part that it came from, and the parts."""
    frames: list[pl.DataFrame] = []
    parts: list[str] = []
    count = 0
    for frame in found.frames:
        if not parts or parts[-1] != found.part:
            parts.append(found.part)
        number = pl.repeat(len(parts) - 1, frame.height, dtype=pl.Int32, eager=True)
        frames.append(frame.with_columns(number.alias(PART)))
        count += frame.height
        progress(READ * (found.share or 0.0), f"{count:,} rows read")
    progress(READ, f"{count:,} rows read, now looked at")
    return pl.concat(frames, how="diagonal_relaxed"), parts


def _without_parts(rows: pl.DataFrame, parts: list[str]) -> tuple[pl.DataFrame, list[Parent]]:
    """Return the rows alone, and the files that they came from."""
    numbers = sorted(rows[PART].unique()) if len(parts) <= MOST_FILES else []
    return rows.drop(PART), [Parent("file", parts[n], told_source(parts[n])) for n in numbers if parts[n]]


def _in_order(dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
    by = list(dict.fromkeys([*([dataset.time] if dataset.time else []), *dataset.key]))
    return rows.sort(by, maintain_order=True, nulls_last=True) if by else rows
