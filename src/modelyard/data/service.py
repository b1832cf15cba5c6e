"""Use cases of data: datasets, their versions, admission of batches."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from modelyard.core import Page, PageRequest, Problem, ProjectId
from modelyard.data import reading
from modelyard.data.admission import QUARANTINE_COLUMNS
from modelyard.data.batch_findings import find_alone
from modelyard.data.intake import Ports, take_in
from modelyard.data.profile import Profile
from modelyard.data.quality import Suggestion, suggest
from modelyard.data.quality.kinds import told, verify
from modelyard.data.rules import (
    PARENTS,
    check_columns_of,
    check_dataset_name,
    check_declared,
    check_replaceable,
    check_stop_share,
    promises,
)
from modelyard.data.schema import refuse_reserved
from modelyard.data.snapshots import check_readable
from modelyard.data.types import Admission, Check, Column, Dataset, DatasetId, DatasetVersion, Parent
from modelyard.data.writing import Origin
from modelyard.events import Event, Fact
from modelyard.tenancy import Actor, authorise


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
    columns: Sequence[Column] = (),
) -> Dataset:
    """Make a dataset without rows.

    Raises
    ------
    Problem
        `dataset.exists` for a taken name; `dataset.invalid`, `check.invalid`, `dtype.invalid`; for a source that cannot be one
        `adapter.missing`, `adapter.unavailable`, `source.invalid` and the like. Nothing is asked of its server yet.
    """
    authorise(actor, "dataset.write", project)
    check_columns_of(key, time)
    check_declared(columns, key, time)
    if source is not None:
        check_readable(name, key, ports.source(source))
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
        columns=tuple(columns),
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


def add_checks(ports: Ports, actor: Actor, project: ProjectId, name: str, checks: Sequence[Check]) -> Dataset:
    """Give a dataset further checks, for the batches to come; those that it has already are not doubled.

    Raises
    ------
    Problem
        `dataset.missing`; `check.invalid`, also for one that does not fit the rows held; `column.missing` where they lack its
        column.
    """
    authorise(actor, "dataset.write", project)
    for check in checks:
        verify(check)
    newest = reading.latest_version(ports, project, name)
    if newest is not None:
        find_alone(reading.read(ports, project, newest).head(1).collect(), checks, now=ports.clock())
    with ports.transaction() as tx:
        found = reading.find_dataset(ports, project, name)
        new = [check for n, check in enumerate(checks) if check not in found.checks and check not in checks[:n]]
        changed = replace(found, checks=(*found.checks, *new))
        tx.datasets.save(project, [changed])
        fact = Fact("dataset.changed", name, {"added": [told(check) for check in new]})
        tx.events.add(project, [fact], actor=actor.member, at=ports.clock())
    return changed


def suggest_checks(ports: Ports, actor: Actor, project: ProjectId, name: str) -> list[Suggestion]:
    """Return checks that the newest version's rows keep and that the dataset does not ask for yet.

    Raises
    ------
    Problem
        `dataset.missing`; `dataset_version.missing` where it has no rows yet.
    """
    authorise(actor, "dataset.read", project)
    dataset, newest = reading.find_dataset(ports, project, name), reading.find_version(ports, project, name)
    rows = reading.read(ports, project, newest)
    found = suggest(reading.profile_of(ports, project, newest), rows, clock=ports.clock)
    asked = {(check.kind, check.columns) for check in promises(dataset)}
    named = {("not_null", (column,)) for check in promises(dataset) if check.kind == "not_null" for column in check.columns}
    return [one for one in found if (one.check.kind, one.check.columns) not in asked | named]


def find_datasets(ports: Ports, actor: Actor, project: ProjectId) -> list[Dataset]:
    """Return all datasets, by name."""
    authorise(actor, "dataset.read", project)
    with ports.transaction() as tx:
        return tx.datasets.find(project)


def get_dataset(ports: Ports, actor: Actor, project: ProjectId, name: str) -> Dataset:
    """Return a dataset. Problem `dataset.missing`, with the nearest names."""
    authorise(actor, "dataset.read", project)
    return reading.find_dataset(ports, project, name)


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
    whole: bool = False,
) -> Admission:
    """Take in a batch: clean rows make a new version, bad ones go to quarantine.

    A batch that fails a blocking check, or has too many bad rows, goes to quarantine whole.

    Appending the same frame again, after being killed or without having heard the answer, finishes what was begun and doubles
    nothing. Of several that append at once each makes a version of its own, judged against the one before it.

    A row whose key the dataset holds already is bad. With `replacing` it stands in for the one held, from this version on and
    unless it is the same or in quarantine already; earlier versions stay as they were, and a bad row replaces nothing.
    A `whole` batch is all that its version holds, such as a full dump or the rows that a pipeline prepared.

    Raises
    ------
    Problem
        `dataset.missing`; `column.missing` and `column.invalid` for a frame that does not fit the dataset, told with column and
        row; `check.invalid`; `batch.invalid` when the first batch has no rows; `dataset_version.missing` for an unknown parent;
        `dataset.invalid` for replacing rows of a dataset without a key, or with a batch that is whole.
    """
    authorise(actor, "dataset.write", project)
    dataset = reading.find_dataset(ports, project, name)
    refuse_reserved(frame.columns)
    if replacing:
        check_replaceable(dataset, whole=whole)
    known = tuple(_verified(ports, project, parent) for parent in parents)
    origin = Origin(known, note, replacing, frame.schema, whole=whole)
    return take_in(ports, actor, dataset, frame, origin)


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
    found = reading.quarantine(ports, project, name)
    return pl.LazyFrame(schema=QUARANTINE_COLUMNS) if found is None else found


def stopped_batches(ports: Ports, actor: Actor, project: ProjectId, name: str, *, most: int = 20) -> list[Event]:
    """Return the facts of the newest batches that were stopped, newest first: their data tell which checks each `failed`."""
    authorise(actor, "dataset.read", project)
    reading.find_dataset(ports, project, name)
    with ports.transaction() as tx:
        return tx.events.read(project, kinds=[reading.STOPPED_FACT], subject=name, limit=most, newest_first=True)


def _verified(ports: Ports, project: ProjectId, parent: Parent) -> Parent:
    """Return a parent that exists, by its id. Problem `parent.invalid` for a kind that rows do not come from."""
    if parent.kind in PARENTS:
        return parent
    if parent.kind != "dataset_version":
        why, known = f"it is of the kind '{parent.kind[:40]}'", ", ".join(("dataset_version", *PARENTS))
        raise Problem("parent.invalid", "The rows cannot come from that", why, f"name one of the kinds {known}")
    version = reading.find_version(ports, project, parent.ref)
    return replace(parent, ref=version.id, told=parent.told or f"{version.name} v{version.number}")
