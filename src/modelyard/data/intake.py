"""Taking a batch in: judged, its bad rows to quarantine, its clean ones a version, and all of it seen at once."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import polars as pl

from modelyard.core import Clock, PageRequest, Problem
from modelyard.data import reading, writing
from modelyard.data.admission import beyond_held, judge, nothing_judged, without_quarantined
from modelyard.data.batch_findings import HISTORY, Against
from modelyard.data.content import batch_digest, chain
from modelyard.data.quality.kinds import Scope, scope_of
from modelyard.data.reading import Held
from modelyard.data.rules import quarantine_of, rows_come
from modelyard.data.schema import conform, dtype_of
from modelyard.data.sources import Source
from modelyard.data.types import Admission, Dataset, DatasetVersion
from modelyard.data.writing import (
    NONE,
    Batch,
    CleanRows,
    Origin,
    look,
    record,
    write_quarantine,
    write_version,
)
from modelyard.tenancy import Actor

ROUNDS = 20


class Ports(writing.Ports, Protocol):
    """What taking in needs of the platform."""

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        ...

    @property
    def source(self) -> Callable[[str], Source]:
        """A source by URL, or by the path of a file."""
        ...

    def turn(self, name: str) -> AbstractContextManager[None]:
        """Wait for others on this machine that are in a turn of this name, if that can be had."""
        ...


@dataclass(frozen=True, eq=False)
class _Coming:
    """A batch that is to be taken in, and what the rounds so far have made of it."""

    ports: Ports
    member: str
    dataset: Dataset
    frame: pl.DataFrame
    origin: Origin
    made: list[CleanRows] = field(default_factory=list)  # one at most


def take_in(ports: Ports, actor: Actor, dataset: Dataset, frame: pl.DataFrame, origin: Origin) -> Admission:
    """Take in a batch; of several at once each makes a version of its own, judged against the one before it.

    Raises
    ------
    Problem
        As `service.append`, and `bookmark.conflict` when the source was read on from elsewhere meanwhile.
    """
    coming = _Coming(ports, actor.member, dataset, frame, origin)
    for _ in range(ROUNDS):
        try:
            return _admit(coming)
        except Problem as problem:
            if problem.code != "dataset.conflict":
                raise
    what = f"The batch could not enter '{dataset.name}'"
    raise Problem("dataset.conflict", what, f"{ROUNDS} others came first", "append it again")


def types_of(dataset: Dataset, held: Held | None) -> pl.Schema:
    """Return the columns whose types are known before a batch comes: those held, else those that were declared."""
    if held is not None:
        return held.types
    return pl.Schema({column.name: dtype_of(column.dtype) for column in dataset.columns})


def _types_of_whole(ports: Ports, dataset: Dataset, frame: pl.DataFrame) -> pl.Schema:
    """Return the columns whose types are known before all rows come anew: those declared, and of the others the table's.

    The table keeps its types whatever a version holds; a version that told of others would not be what is read.
    """
    held = reading.table_types(ports, dataset.project, dataset.name)
    return pl.Schema({**types_of(dataset, None), **{name: dtype for name, dtype in held.items() if name in frame.columns}})


def beyond_quarantine(ports: Ports, dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that are not in the dataset's quarantine, but for those of stopped batches."""
    held = reading.quarantine(ports, dataset.project, dataset.name)
    return rows if held is None else without_quarantined(rows, held)


def _admit(coming: _Coming) -> Admission:
    ports, dataset = coming.ports, coming.dataset
    before = reading.latest_version(ports, dataset.project, dataset.name)
    batch = _judged(coming, before)
    look(ports, batch)
    # Of writers that go on at once all but one write in vain: the number of their version is taken by then.
    with ports.turn(f"dataset-{dataset.id}"):
        newest = reading.latest_version(ports, dataset.project, dataset.name)
        return _written(ports, batch if newest == before else _judged(coming, newest))


def _judged(coming: _Coming, before: DatasetVersion | None) -> Batch:
    ports, dataset, frame, origin = coming.ports, coming.dataset, coming.frame, coming.origin
    if origin.upon and origin.upon != (before.id if before else NONE):
        what, why = f"'{dataset.name}' has another version than the one it was read beside", "another snapshot was quicker"
        raise Problem("bookmark.conflict", what, why, "take the snapshot again")
    last = None if before is None else reading.held(ports, before)
    held = None if origin.whole else last
    types = _types_of_whole(ports, dataset, frame) if origin.whole else types_of(dataset, held)
    rows = frame if origin.move is not None and not frame.width else conform(frame, types)
    if origin.replacing and held is not None:
        rows = beyond_held(rows, held.rows, dataset.key)
        rows = rows if origin.upon else beyond_quarantine(ports, dataset, rows)  # a snapshot has looked already
    if not rows.height and not origin.undecoded and before is None:
        if origin.move is not None:
            nothing = nothing_judged(rows)
            record(ports, Batch(dataset, None, None, nothing, CleanRows(rows), coming.member, ports.clock(), origin), None)
        raise Problem("batch.invalid", f"The first batch of '{dataset.name}' has no rows", "a version holds some")
    now = ports.clock()
    against = _against(ports, dataset, before, last, origin.came)
    known = None if held is None or origin.replacing or not dataset.key else held.rows
    judgement = judge(rows, dataset, known, against, now) if rows.height else nothing_judged(rows)
    made, clean = coming.made, judgement.clean
    if not made or made[0].rows.schema != clean.schema or not made[0].rows.equals(clean):
        made[:] = [CleanRows(clean)]
    return Batch(dataset, before, held, judgement, made[0], coming.member, now, origin)


def _written(ports: Ports, batch: Batch) -> Admission:
    judgement, before, origin = batch.judgement, batch.before, batch.origin
    is_repeatable = batch.held is not None and batch.dataset.key and not origin.replacing and origin.move is None
    if judgement.stopped and before is not None and is_repeatable:
        repeated = _repeated(ports, batch.dataset, before, judgement.bad, origin.came)
        if repeated is not None:
            return repeated
    quarantine = write_quarantine(ports.lake, batch)
    same = origin.whole and before is not None and before.digest == chain(None, batch.clean.digest)
    version = write_version(ports, batch) if judgement.clean.height and not same else None
    record(ports, batch, version)
    shown = None if judgement.stopped else version or before
    told = judgement.clean.height + batch.refused
    return Admission(shown, told, judgement.clean.height, batch.refused, judgement.outcomes, quarantine)


def _against(ports: Ports, dataset: Dataset, before: DatasetVersion | None, held: Held | None, came: pl.Schema) -> Against:
    """Return what a batch upon the version `before` is judged beside."""
    sizes: tuple[int, ...] = ()
    if before is not None and any(scope_of(check) is Scope.DATASET for check in dataset.checks):
        with ports.transaction() as tx:
            newest = tx.datasets.versions(dataset.project, PageRequest(limit=HISTORY + 2), name=dataset.name).items
        known = [one for one in newest if one.number <= before.number]
        entered = [rows_come(one, earlier) for one, earlier in pairwise(known)]
        entered += [rows_come(one, None) for one in known if one.number == 1]
        sizes = tuple(entered[:HISTORY])
    return Against(came, None if held is None else held.types, sizes)


def _repeated(ports: Ports, dataset: Dataset, newest: DatasetVersion, rows: pl.DataFrame, came: pl.Schema) -> Admission | None:
    """Return what became of a batch that made the newest version, should its sender not have heard so. None: it did not."""
    with ports.transaction() as tx:
        known = tx.datasets.versions(dataset.project, PageRequest(limit=2), name=dataset.name).items
    before = next((one for one in known if one.number == newest.number - 1), None)
    if before is not None and before.dropped_at is not None:
        return None  # its rows are not there to judge upon; that is so only where the newest one is whole
    held = None if before is None else reading.held(ports, before)
    judgement = judge(
        rows, dataset, held.rows if held is not None else None, _against(ports, dataset, before, held, came), newest.created_at
    )
    if newest.digest != chain(before.digest if before else None, batch_digest(judgement.clean)):
        return None
    bad = judgement.bad.height
    table = quarantine_of(dataset.name) if bad else None
    return Admission(newest, rows.height, judgement.clean.height, bad, judgement.outcomes, table)
