"""Use cases of features: what is published online, publishing, what is known of an entity, and following new versions."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Protocol

import polars as pl

from modelyard.core import MemberId, Problem, ProjectId
from modelyard.data import reading
from modelyard.data.features.joining import feature_rows
from modelyard.data.features.online import KEPT, FeatureRow, OnlineStore, Published, entity_of_values
from modelyard.data.features.rules import entity_of
from modelyard.data.schema import dtype_of, fitting
from modelyard.data.times import in_utc
from modelyard.events import Event
from modelyard.tenancy import Actor, authorise

CHUNK_ROWS: Final = 20_000
VERSION_CREATED: Final = "dataset_version.created"


class Ports(reading.Ports, Protocol):
    """What publishing needs of the platform."""

    @property
    def online(self) -> Callable[[], OnlineStore]:
        """The online store, opened by the first call."""
        ...


def publish(ports: Ports, actor: Actor, project: ProjectId, name: str) -> Published:
    """Put what a dataset's newest version knows into the online store, all of it, and keep it up to date from then on.

    Raises
    ------
    Problem
        `dataset.missing`, `dataset_version.missing`; `lookup.invalid` for a dataset that can be no feature table;
        `features.unavailable`.
    """
    authorise(actor, "dataset.write", project)
    return feed(ports, project, name, after=0)


def look_up(
    ports: Ports, actor: Actor, project: ProjectId, name: str, entity: Sequence[str], before: datetime
) -> FeatureRow | None:
    """Return what the online store knows of an entity strictly before a moment (without a zone: UTC); None: nothing.

    Raises
    ------
    Problem
        `dataset.missing`, `dataset_version.missing`; `lookup.invalid` for another number of values than name an entity, and
        for texts that are no values of its columns; `features.unavailable`.
    """
    authorise(actor, "dataset.read", project)
    named = entity_of(reading.find_dataset(ports, project, name))
    known = {column.name: column.dtype for column in reading.find_version(ports, project, name).schema.columns}
    told = zip(named, entity, strict=False)
    values = [fitting(pl.Series([text]), dtype_of(known[column]))[0].item() for column, text in told]
    if len(entity) != len(named) or None in values:
        what, why = f"{' '.join(entity)[:200]} names nothing in '{name}'", "one is named by "
        why += ", ".join(f"{column} ({known[column]})" for column in named)
        raise Problem("lookup.invalid", what, why, f"yard feature get {name} VALUE")
    return ports.online().get(project, name, [(entity_of_values(values), in_utc(before) or before)])[0]


def follow(ports: Ports, actor_of: Callable[[MemberId], Actor], project: ProjectId, events: Sequence[Event]) -> None:
    """Bring published tables up to new versions of their datasets. Safe to repeat."""
    del actor_of  # a table was published by somebody who may
    grown = dict.fromkeys(event.subject for event in events if event.kind == VERSION_CREATED)
    if not grown:
        return
    known = ports.online().published(project)
    for name in grown:
        if name in known:
            feed(ports, project, name, after=known[name].number)


def ensure(ports: Ports, project: ProjectId, names: Sequence[str]) -> None:
    """Publish datasets that are not, and bring the others up to date. Raises as `publish`."""
    known = ports.online().published(project)
    for name in dict.fromkeys(names):
        feed(ports, project, name, after=known[name].number if name in known else 0)


def feed(ports: Ports, project: ProjectId, name: str, *, after: int) -> Published:
    """Put what came after a version of a dataset (0: all) into the online store, and return how far it is then."""
    dataset = reading.find_dataset(ports, project, name)
    entity = entity_of(dataset)
    assert dataset.time is not None  # noqa: S101 - else it has no entity
    newest = reading.find_version(ports, project, name)
    batches = reading.batches_until(ports, project, newest)
    since = batches[0].number
    if after:
        batches = [one for one in batches if one.number > after]
        if not batches:
            return ports.online().published(project)[name]
        rows = reading.read_batches(ports, batches, newest)
    else:
        rows = reading.read(ports, project, newest)
    frame = last_rows(feature_rows(rows), entity, dataset.time).collect()
    anew = batches[0].number == since > 1  # what was there before is no more
    for first_of_two in (True, False) if anew else (False,):
        for chunk in frame.iter_slices(CHUNK_ROWS):
            ports.online().put(project, name, rows_of(chunk, entity, dataset.time), number=newest.number)
        if first_of_two:  # not sooner, so that no entity is unknown meanwhile; then again, as older rows may have stood above
            ports.online().forget(project, name, before=since)
    told = Published(newest.number, newest.event_until)
    ports.online().publish(project, name, told)
    return told


def last_rows(rows: pl.LazyFrame, entity: Sequence[str], time: str) -> pl.LazyFrame:
    """Return the newest rows of each entity, as many as a store keeps; of several of one time the last in their order."""
    known = rows.drop_nulls([*entity, time]).unique([*entity, time], keep="last", maintain_order=True)
    return known.sort(time, maintain_order=True).group_by(entity, maintain_order=True).tail(KEPT)


def rows_of(rows: pl.DataFrame, entity: Sequence[str], time: str) -> list[FeatureRow]:
    """Return rows of a frame as a store takes them: their times in UTC, to which those without a zone count."""
    moments = [in_utc(one) for one in rows[time].to_list()]
    parts = zip(rows.select(entity).rows(), moments, rows.drop(*entity, time).to_dicts(), strict=True)
    return [FeatureRow(entity_of_values(name), at, values) for name, at, values in parts if at is not None]
