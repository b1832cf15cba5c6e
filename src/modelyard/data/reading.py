"""What catalogue and lake hold, for code that acts for the platform; people come by `data.service`, which authorises."""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import numpy as np
import polars as pl

from modelyard.core import ObjectStore, PageRequest, Problem, ProjectId, missing
from modelyard.core.pages import every
from modelyard.data.profile import Profile, from_json
from modelyard.data.rules import VERSION_PREFIX, batch_of, check_there, gone, parse_ref, quarantine_of, rows_come, table_of
from modelyard.data.schema import dtype_of
from modelyard.data.store import DataTransaction, TableStore
from modelyard.data.types import Dataset, DatasetVersion, DatasetVersionId
from modelyard.events import Event

STOPPED_FACT = "batch.stopped"
QUARANTINING = (STOPPED_FACT, "batch.quarantined")  # facts of batches that put something into quarantine
VACUUMED_FACT = "dataset.vacuumed"  # its data name the `batches` that left the quarantine
_EVENTS = 1_000


class Ports(Protocol):
    """What reading needs of the platform."""

    @property
    def objects(self) -> ObjectStore:
        """The object store."""
        ...

    @property
    def lake(self) -> TableStore:
        """The lake."""
        ...

    def transaction(self) -> AbstractContextManager[DataTransaction]:
        """Open or join a transaction."""
        ...


def find_dataset(ports: Ports, project: ProjectId, name: str) -> Dataset:
    """Return the dataset. Problem `dataset.missing`, with the nearest names."""
    with ports.transaction() as tx:
        known = {dataset.name: dataset for dataset in tx.datasets.find(project)}
    if name not in known:
        raise missing("dataset", name[:200], known, "yard dataset list")
    return known[name]


def latest_version(ports: Ports, project: ProjectId, name: str) -> DatasetVersion | None:
    """Return the dataset's newest version; None: it has none yet."""
    with ports.transaction() as tx:
        return next(iter(tx.datasets.versions(project, PageRequest(limit=1), name=name).items), None)


def get_version_by_id(ports: Ports, project: ProjectId, version: DatasetVersionId) -> DatasetVersion:
    """Return the version. Problem `dataset.missing`."""
    with ports.transaction() as tx:
        [found] = tx.datasets.get_versions(project, [version])
    return found


def find_version(ports: Ports, project: ProjectId, ref: str) -> DatasetVersion:
    """Return the version that `flights@3`, `flights@latest`, `flights` or an id names.

    Raises
    ------
    Problem
        `dataset.missing`, `dataset_version.missing`, `dataset_version.invalid` for another form.
    """
    if ref.startswith(f"{VERSION_PREFIX}_"):
        return get_version_by_id(ports, project, DatasetVersionId(ref))
    name, number = parse_ref(ref)
    dataset = find_dataset(ports, project, name)
    newest = latest_version(ports, project, dataset.name)
    if newest is None:
        step = f"yard dataset snapshot {name}"
        raise Problem("dataset_version.missing", f"The dataset '{name}' has no version", "no batch was admitted yet", step)
    if number in (None, newest.number):
        return newest
    with ports.transaction() as tx:
        for version in newest_first(tx, project, name):
            if version.number == number:
                return version
    raise Problem("dataset_version.missing", f"There is no {name}@{number}", f"the newest is {name}@{newest.number}")


def newest_first(tx: DataTransaction, project: ProjectId, name: str | None = None) -> Iterator[DatasetVersion]:
    """Give every version (of one dataset when named), newest first, page by page."""
    return every(partial(tx.datasets.versions, project, name=name))


def read(ports: Ports, project: ProjectId, version: DatasetVersion) -> pl.LazyFrame:
    """Return exactly the version's rows, lazily, in the order they came; a row that was replaced is not there any more.

    Only the commits of recorded versions are read: what a killed or overtaken writer left in the table stays unseen.

    Raises
    ------
    Problem
        `dataset_version.dropped`.
    """
    batches = batches_until(ports, project, version)
    check_there(batches[-1])
    return _standing(ports, project, batches, read_batches(ports, batches, version))


@dataclass(frozen=True, eq=False)
class Held:
    """The rows of a version that is there: their types at once, themselves only when they are asked for."""

    ports: Ports
    version: DatasetVersion

    @cached_property
    def types(self) -> pl.Schema:
        """Its columns. No file is opened for those of plain types."""
        try:
            return pl.Schema({column.name: dtype_of(column.dtype) for column in self.version.schema.columns})
        except Problem:  # a list or a struct, which the words of the record do not tell in full
            return self.rows.collect_schema()

    @cached_property
    def rows(self) -> pl.LazyFrame:
        """As `read`."""
        return read(self.ports, self.version.project, self.version)


def held(ports: Ports, version: DatasetVersion) -> Held:
    """Return what a version holds. Problem `dataset_version.dropped`."""
    check_there(version)
    return Held(ports, version)


def read_with_batches(ports: Ports, project: ProjectId, version: DatasetVersion, column: str) -> pl.DataFrame:
    """Return the version's rows as `read` does, with the number of the version that each came with in a column of this name."""
    batches = batches_until(ports, project, version)
    check_there(batches[-1])
    came = [rows_come(one, before) for one, before in zip(batches, [None, *batches], strict=False)]
    numbers = pl.Series(column, np.repeat([one.number for one in batches], came), dtype=pl.Int64)
    with telling_dropped(ports, version):
        rows = read_batches(ports, batches, version).collect().with_columns(numbers)
    return _standing(ports, project, batches, rows.lazy()).collect()


def _standing(ports: Ports, project: ProjectId, batches: Sequence[DatasetVersion], rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows of batches less those that later ones replaced."""
    if not any(one.replaced for one in batches):
        return rows
    key = find_dataset(ports, project, batches[-1].name).key
    return rows.unique(key, keep="last", maintain_order=True)


def batches_until(ports: Ports, project: ProjectId, version: DatasetVersion) -> list[DatasetVersion]:
    """Return the versions whose batches a version is made of, oldest first; it is the last of them."""
    found: list[DatasetVersion] = []
    with ports.transaction() as tx:
        for one in newest_first(tx, project, version.name):
            if one.number <= version.number:
                found.append(one)
                if one.whole:
                    break
    return found[::-1]


@contextmanager
def telling_dropped(ports: Ports, version: DatasetVersion) -> Iterator[None]:
    """Give the time to collect rows of a version.

    Raises
    ------
    Problem
        `dataset_version.dropped` when a vacuum took their files away meanwhile.
    """
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        # The lake knows, whatever moment of the database the caller sees.
        if batch_of(version) in ports.lake.commits(version.project, table_of(version.name)):
            raise
        raise gone(version, "it was dropped while they were read") from error


def read_batches(ports: Ports, batches: Sequence[DatasetVersion], version: DatasetVersion) -> pl.LazyFrame:
    """Return the rows that came with some batches of a version, lazily, in its columns; replaced rows are among them."""
    commits = [batch_of(one) for one in batches]
    rows = ports.lake.scan(version.project, table_of(version.name), version=version.table_version, commits=commits)
    return rows.select(column.name for column in version.schema.columns)


def table_types(ports: Ports, project: ProjectId, name: str) -> pl.Schema:
    """Return the types that the dataset's table has for good, whatever a version holds; none before its first row."""
    table = table_of(name)
    return pl.Schema() if ports.lake.version(project, table) is None else ports.lake.scan(project, table).collect_schema()


def quarantine(ports: Ports, project: ProjectId, name: str) -> pl.LazyFrame | None:
    """Return the dataset's quarantined rows, in the order they came; None: it has none.

    Only what a recorded batch put there is read: what a killed or overtaken writer left stays unseen, as it does with versions.
    """
    batches: dict[str, None] = {}
    with ports.transaction() as tx:
        for event in facts_of(tx, project, name, (*QUARANTINING, VACUUMED_FACT)):
            if event.kind != VACUUMED_FACT:
                batches[str(event.data["batch"])] = None
                continue
            for batch in event.data["batches"]:
                batches.pop(batch, None)
    return ports.lake.scan(project, quarantine_of(name), commits=list(batches)) if batches else None


def facts_of(tx: DataTransaction, project: ProjectId, name: str, kinds: Sequence[str]) -> Iterator[Event]:
    """Give a dataset's facts of some kinds, oldest first."""
    after = 0
    while found := tx.events.read(project, after=after, limit=_EVENTS, kinds=kinds, subject=name):
        yield from found
        after = found[-1].position


def profile_of(ports: Ports, project: ProjectId, version: DatasetVersion) -> Profile:
    """Return what the version's columns look like."""
    [content] = ports.objects.get(project, [version.profile])
    return from_json(json.loads(content))
