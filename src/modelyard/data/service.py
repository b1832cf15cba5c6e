"""Use cases of data: datasets, their versions, admission of batches."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Protocol

import polars as pl

from modelyard.core import Clock, IdMaker, ObjectStore, Page, PageRequest, Problem, ProjectId
from modelyard.data import reading
from modelyard.data.admission import QUARANTINE_COLUMNS, batch_id, beyond_held, judge, without_quarantined
from modelyard.data.content import batch_digest, chain
from modelyard.data.profile import Profile
from modelyard.data.quality import verify
from modelyard.data.rules import check_columns_of, check_dataset_name, check_stop_share, quarantine_of
from modelyard.data.schema import column_missing, conform, refuse_reserved
from modelyard.data.sources import Ask, Source, lies_within, moment
from modelyard.data.store import DataTransaction, Stretch, TableStore
from modelyard.data.types import Admission, Check, Dataset, DatasetId, DatasetVersion, Parent
from modelyard.data.writing import Batch, Origin, record, write_quarantine, write_version
from modelyard.events import Fact
from modelyard.tenancy import Actor, authorise

_ROUNDS = 20


class Ports(Protocol):
    """What data needs of the platform."""

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        ...

    @property
    def ids(self) -> IdMaker:
        """The maker of ids."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """The object store."""
        ...

    @property
    def lake(self) -> TableStore:
        """The lake."""
        ...

    @property
    def source(self) -> Callable[[str], Source]:
        """A source by URL, or by the path of a file."""
        ...

    def transaction(self) -> AbstractContextManager[DataTransaction]:
        """Open or join a transaction."""
        ...


def create_dataset(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    name: str,
    *,
    key: Sequence[str] = (),
    time: str | None = None,
    source: str | None = None,
    checks: Sequence[Check] = (),
    stop_share: float = 0.05,
) -> Dataset:
    """Make a dataset without rows.

    Raises
    ------
    Problem
        `dataset.exists` for a taken name; `dataset.invalid`, `check.invalid`.
    """
    authorise(actor, "dataset.write", project)
    check_columns_of(key, time)
    check_stop_share(stop_share)
    made = Dataset(
        id=DatasetId(ports.ids("ds")),
        project=project,
        name=check_dataset_name(name),
        key=tuple(key),
        time=time,
        source=source,
        checks=tuple(verify(check) for check in checks),
        created_at=ports.clock(),
        stop_share=stop_share,
    )
    with ports.transaction() as tx:
        tx.datasets.add(project, [made])
        tx.events.add(project, [Fact("dataset.created", name)], actor=actor.member, at=made.created_at)
    return made


def change_checks(
    ports: Ports, actor: Actor, project: ProjectId, name: str, *, checks: Sequence[Check], stop_share: float
) -> Dataset:
    """Give a dataset other checks, for the batches to come."""
    authorise(actor, "dataset.write", project)
    check_stop_share(stop_share)
    with ports.transaction() as tx:
        found = reading.find_dataset(ports, project, name)
        changed = replace(found, checks=tuple(verify(check) for check in checks), stop_share=stop_share)
        tx.datasets.save(project, [changed])
        tx.events.add(project, [Fact("dataset.changed", name)], actor=actor.member, at=ports.clock())
    return changed


def find_datasets(ports: Ports, actor: Actor, project: ProjectId) -> list[Dataset]:
    """Return all datasets, by name."""
    authorise(actor, "dataset.read", project)
    with ports.transaction() as tx:
        return tx.datasets.find(project)


def get_dataset(ports: Ports, actor: Actor, project: ProjectId, name: str) -> Dataset:
    """Return a dataset. Problem `dataset.missing`, with the nearest names."""
    authorise(actor, "dataset.read", project)
    return reading.find_dataset(ports, project, name)


def snapshot(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    name: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    note: str = "",
) -> Admission:
    """Read the dataset's source, those rows of [since, until) by event time, and admit what is new of them.

    New is a row whose key the dataset does not hold (without a key: whose time is after the last one held) and that was not
    quarantined before; rows without a key or time are always looked at. Where nothing is new, the latest version comes back.

    Raises
    ------
    Problem
        `source.missing`, `source.invalid`; `dataset.invalid` for a stretch of a dataset without time; `dataset.conflict` when
        the dataset has neither key nor time to know new rows by; and as `append`.
    """
    authorise(actor, "dataset.write", project)
    dataset = reading.find_dataset(ports, project, name)
    if dataset.source is None:
        raise Problem("source.missing", f"The dataset '{name}' has no source", "rows are appended to it", "append them")
    source = ports.sources.scan(dataset.source)
    for column in dict.fromkeys([*dataset.key, *([dataset.time] if dataset.time else [])]):
        if column not in source.collect_schema():
            raise column_missing(column, source.collect_schema().names())
    latest = reading.latest_version(ports, project, name)
    rows = _within(source, dataset, since, until).collect()
    if latest is not None:
        rows = _beyond(ports, project, dataset, latest, rows)
    rows = _beyond_quarantine(ports, dataset, rows)
    parent = Parent("source", dataset.source, dataset.source.rpartition("/")[2])
    return append(ports, actor, project, name, rows, parents=[parent], note=note)


def append(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    name: str,
    frame: pl.DataFrame,
    *,
    parents: Sequence[Parent] = (),
    note: str = "",
    replacing: bool = False,
) -> Admission:
    """Take in a batch: clean rows make a new version, bad ones go to quarantine; one of too many bad rows goes there whole.

    Appending the same frame again, after being killed or without having heard the answer, finishes what was begun and doubles
    nothing. Of several that append at once each makes a version of its own, judged against the one before it.

    A row whose key the dataset holds already is bad. With `replacing` it stands in for the one held, from this version on and
    unless it is the same or in quarantine already; earlier versions stay as they were, and a bad row replaces nothing.

    Raises
    ------
    Problem
        `dataset.missing`; `column.missing` and `column.invalid` for a frame that does not fit the dataset, told with column and
        row; `check.invalid`; `batch.invalid` when the first batch has no rows; `dataset_version.missing` for an unknown parent;
        `dataset.invalid` for replacing rows of a dataset without a key.
    """
    authorise(actor, "dataset.write", project)
    dataset = reading.find_dataset(ports, project, name)
    refuse_reserved(frame.columns)
    if replacing and not dataset.key:
        why = "it has no key to know them by"
        raise Problem("dataset.invalid", f"Rows of '{name}' cannot be replaced", why, "append them without replacing")
    origin = Origin(tuple(_verified(ports, project, parent) for parent in parents), note, replacing)
    for _ in range(_ROUNDS):
        try:
            return _admit(ports, actor, dataset, frame, origin)
        except Problem as problem:
            if problem.code != "dataset.conflict":
                raise
    raise Problem("dataset.conflict", f"The batch could not enter '{name}'", f"{_ROUNDS} others came first", "append it again")


def get_version(ports: Ports, actor: Actor, project: ProjectId, ref: str) -> DatasetVersion:
    """Return the version that `flights@3`, `flights@latest`, `flights` or an id names. Raises as `reading.find_version`."""
    authorise(actor, "dataset.read", project)
    return reading.find_version(ports, project, ref)


def versions(
    ports: Ports, actor: Actor, project: ProjectId, page: PageRequest, name: str | None = None
) -> Page[DatasetVersion]:
    """Return versions (of one dataset when named), newest first."""
    authorise(actor, "dataset.read", project)
    with ports.transaction() as tx:
        return tx.datasets.versions(project, page, name=name)


def read(ports: Ports, actor: Actor, project: ProjectId, version: DatasetVersion) -> pl.LazyFrame:
    """Return exactly the version's rows, lazily, in the order they came."""
    authorise(actor, "dataset.read", project)
    return reading.read(ports, project, version)


def profile_of(ports: Ports, actor: Actor, project: ProjectId, version: DatasetVersion) -> Profile:
    """Return what the version's columns look like."""
    authorise(actor, "dataset.read", project)
    return reading.profile_of(ports, project, version)


def quarantined(ports: Ports, actor: Actor, project: ProjectId, name: str) -> pl.LazyFrame:
    """Return the dataset's quarantined rows: values as text, with `_reasons`, `_batch`, `_at` and `_row`, its place there."""
    authorise(actor, "dataset.read", project)
    reading.find_dataset(ports, project, name)
    if ports.lake.version(project, quarantine_of(name)) is None:
        return pl.LazyFrame(schema=QUARANTINE_COLUMNS)
    return ports.lake.scan(project, quarantine_of(name))


# Snapshots: which rows of the source are new


def _within(source: pl.LazyFrame, dataset: Dataset, since: datetime | None, until: datetime | None) -> pl.LazyFrame:
    if since is None and until is None:
        return source
    if dataset.time is None:
        why = "it has no time column"
        raise Problem("dataset.invalid", f"'{dataset.name}' has no stretches of time", why, "take the whole source")
    value = _moment(dataset.time, source.collect_schema()[dataset.time])
    rows = source if since is None else source.filter((value >= since).fill_null(True))
    return rows if until is None else rows.filter((value < until).fill_null(True))


def _beyond(ports: Ports, project: ProjectId, dataset: Dataset, latest: DatasetVersion, rows: pl.DataFrame) -> pl.DataFrame:
    held = reading.read(ports, project, latest)
    rows = conform(rows, held.collect_schema())
    if dataset.key:
        known = held.select(dataset.key).join(rows.lazy().select(dataset.key), on=list(dataset.key), how="semi").collect()
        return rows.join(known, on=list(dataset.key), how="anti", maintain_order="left")
    if dataset.time is not None and latest.event_until is not None:
        return rows.filter((_moment(dataset.time, rows.schema[dataset.time]) > latest.event_until).fill_null(True))
    if latest.digest == chain(None, batch_digest(rows)):
        return rows.head(0)
    why = "it has neither key nor time to know new rows by"
    raise Problem("dataset.conflict", f"'{dataset.name}' cannot take a second snapshot", why, "append the new rows")


def _beyond_quarantine(ports: Ports, dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
    table = quarantine_of(dataset.name)
    if ports.lake.version(dataset.project, table) is None:
        return rows
    return without_quarantined(rows, ports.lake.scan(dataset.project, table))


def _moment(column: str, dtype: pl.DataType) -> pl.Expr:
    """Return a time column as moments in UTC; a naive time is taken for UTC."""
    value = pl.col(column)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return value.dt.convert_time_zone("UTC")
    if isinstance(dtype, pl.Date | pl.Datetime):
        return value.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    why = f"its values are {dtype}"
    raise Problem(
        "column.invalid", f"The column '{column}' holds no times", why, "make it dates or datetimes", {"column": column}
    )


# Admission


def _admit(ports: Ports, actor: Actor, dataset: Dataset, frame: pl.DataFrame, origin: Origin) -> Admission:
    before = reading.latest_version(ports, dataset.project, dataset.name)
    held = None if before is None else reading.read(ports, dataset.project, before)
    rows = conform(frame, None if held is None else held.collect_schema())
    if origin.replacing and held is not None:
        rows = _beyond_quarantine(ports, dataset, beyond_held(rows, held, dataset.key))
    if not rows.height:
        if before is None:
            raise Problem("batch.invalid", f"The first batch of '{dataset.name}' has no rows", "a version holds some")
        return Admission(before, 0, 0, 0, (), None)
    now = ports.clock()
    judgement = judge(rows, dataset, None if origin.replacing else held, now)
    if judgement.stopped and before is not None and dataset.key and not origin.replacing:
        repeated = _repeated(ports, dataset, before, rows, now)
        if repeated is not None:
            return repeated
    told = batch_id(dataset, before, rows, judgement) if judgement.bad.height else ""
    batch = Batch(dataset, before, held, judgement, told, actor.member, now, origin)
    quarantine = write_quarantine(ports.lake, batch)
    version = write_version(ports, batch) if judgement.clean.height else None
    record(ports, batch, version)
    shown = None if judgement.stopped else version or before
    return Admission(shown, rows.height, judgement.clean.height, judgement.bad.height, judgement.outcomes, quarantine)


def _repeated(ports: Ports, dataset: Dataset, newest: DatasetVersion, rows: pl.DataFrame, now: datetime) -> Admission | None:
    """Return what became of a batch that made the newest version, should its sender not have heard so. None: it did not."""
    with ports.transaction() as tx:
        known = tx.datasets.versions(dataset.project, PageRequest(limit=2), name=dataset.name).items
    before = next((one for one in known if one.number == newest.number - 1), None)
    held = None if before is None else reading.read(ports, dataset.project, before)
    judgement = judge(rows, dataset, held, now)
    if newest.digest != chain(before.digest if before else None, batch_digest(judgement.clean)):
        return None
    bad = judgement.bad.height
    table = quarantine_of(dataset.name) if bad else None
    return Admission(newest, rows.height, judgement.clean.height, bad, judgement.outcomes, table)


def _verified(ports: Ports, project: ProjectId, parent: Parent) -> Parent:
    """Return a parent that exists, by its id."""
    if parent.kind != "dataset_version":
        return parent
    version = reading.find_version(ports, project, parent.ref)
    return replace(parent, ref=version.id, told=parent.told or f"{version.name} v{version.number}")
