"""Writing what was decided of a batch: first the content, which nobody sees, then the record that makes it a version."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Protocol

import polars as pl

from modelyard.core import Digest, IdMaker, ObjectStore, Problem, ProjectId, canonical_json, to_text
from modelyard.core.digests import digest_bytes, digest_json
from modelyard.data import reading
from modelyard.data.admission import Judgement, batch_id, quarantine_rows, undecoded_rows
from modelyard.data.content import batch_digest, chain
from modelyard.data.profile import Profile, merge, profile, same_slots, to_json
from modelyard.data.quality.kinds import told as told_check
from modelyard.data.reading import Held
from modelyard.data.rules import VERSION_PREFIX, commit_of, quarantine_of, table_of
from modelyard.data.schema import schema_of
from modelyard.data.sources import Undecoded
from modelyard.data.store import DataTransaction, TableStore
from modelyard.data.times import in_utc
from modelyard.data.types import Dataset, DatasetVersion, DatasetVersionId, Parent
from modelyard.events import Fact


class Ports(Protocol):
    """What writing needs of the platform."""

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

    def transaction(self) -> AbstractContextManager[DataTransaction]:
        """Open or join a transaction."""
        ...


NONE = "none"


@dataclass(frozen=True)
class Move:
    """How far a source was read on: from one bookmark to another."""

    before: str
    after: str


@dataclass(frozen=True)
class Origin:
    """What the sender of a batch says of it."""

    parents: tuple[Parent, ...]
    note: str
    replacing: bool  # rows of a known key stand in for those held
    came: pl.Schema  # the columns in the types that they came in
    upon: str = ""  # id of the version that known rows were left out by; NONE: the dataset had none; "": none were
    move: Move | None = None  # of a source that is read on
    undecoded: tuple[Undecoded, ...] = ()  # what lay among the rows and is none
    whole: bool = False  # the batch is all that the version holds


@dataclass(eq=False)
class CleanRows:
    """The rows of a batch that enter, with what is costly to know of them: a round that was overtaken leaves it to the next."""

    rows: pl.DataFrame
    _counted: Profile | None = None

    @cached_property
    def digest(self) -> Digest:
        """The digest of the rows."""
        return batch_digest(self.rows)

    def profile_over(self, slots: Profile) -> Profile:
        """Return their profile over the slots of another one."""
        if self._counted is None or not same_slots(self._counted, slots):
            self._counted = profile(self.rows, slots)
        return self._counted


@dataclass(frozen=True, eq=False)
class Batch:
    """A judged batch, upon the version that it was judged against."""

    dataset: Dataset
    before: DatasetVersion | None
    held: Held | None  # the rows of `before` that stay; None: it holds none, or the batch is all
    judgement: Judgement
    clean: CleanRows  # of the judgement
    member: str
    now: datetime
    origin: Origin

    @cached_property
    def id(self) -> str:
        """What a retry upon the same version has again. A stopped one of a source that is read on goes by where it began."""
        if self.judgement.stopped and self.origin.move is not None:
            return batch_id(self.dataset, self.before, [self.origin.move.before])
        found = [batch_digest(self.judgement.bad), self.clean.digest, batch_digest(self.judgement.reasons)]
        found += [digest_json([one.place, digest_bytes(one.content)]) for one in self.undecoded]
        begun = [self.origin.move.before] if self.origin.move is not None else []
        return batch_id(self.dataset, self.before, [*begun, *found])

    @property
    def undecoded(self) -> tuple[Undecoded, ...]:
        """What goes to quarantine undecoded; what lay in a stopped batch will be read again."""
        return () if self.judgement.stopped else self.origin.undecoded

    @property
    def refused(self) -> int:
        """How many rows, and things that are none, do not enter."""
        return self.judgement.bad.height + len(self.undecoded)

    @property
    def project(self) -> ProjectId:
        """The project it is in."""
        return self.dataset.project

    @cached_property
    def replaced(self) -> int:
        """How many of the rows held its clean rows stand in for."""
        if self.held is None or not self.origin.replacing:
            return 0
        key = list(self.dataset.key)
        met = self.held.rows.join(self.clean.rows.lazy().select(key), on=key, how="semi")
        return int(met.select(pl.len()).collect().item())

    def whole(self) -> pl.DataFrame:
        """Return all rows of the version that it makes."""
        clean = self.clean.rows
        if self.held is None:
            return clean
        held, key = self.held.rows, list(self.dataset.key)
        if self.replaced:
            held = held.join(clean.lazy().select(key), on=key, how="anti", maintain_order="left")
        return pl.concat([held.collect(), clean], how="diagonal").select(clean.columns)


def look(ports: Ports, batch: Batch) -> None:
    """Find out already what is costly to know of the batch's clean rows."""
    if batch.clean.rows.height and _is_added(batch) and batch.before is not None:
        batch.clean.profile_over(reading.profile_of(ports, batch.project, batch.before))
    _ = batch.clean.digest


def write_quarantine(lake: TableStore, batch: Batch) -> str | None:
    """Write the bad rows, and return the table they are in; None: there are none."""
    if not batch.refused:
        return None
    table = quarantine_of(batch.dataset.name)
    bad = quarantine_rows(batch.judgement, batch.id, batch.now)
    if batch.undecoded:
        bad = pl.concat([bad, undecoded_rows(batch.undecoded, batch.id, batch.now)], how="diagonal")
    lake.append(batch.project, table, bad, commit=batch.id)
    return table


def write_version(ports: Ports, batch: Batch) -> DatasetVersion:
    """Write the clean rows and the profile, and return the record that will make them seen.

    A retry of the same batch upon the same version has the same commit id, and finds its rows written already.
    """
    clean, earlier = batch.clean.rows, batch.before
    before = None if batch.origin.whole else earlier
    digest = chain(before.digest if before else None, batch.clean.digest)
    number = earlier.number + 1 if earlier else 1
    commit = commit_of(number, digest)
    table_version = ports.lake.append(batch.project, table_of(batch.dataset.name), clean, commit=commit)
    known = before if before is not None and not batch.replaced else None  # a row that went may have been the first or the last
    first, last = _event_range(batch.dataset, clean if known else batch.whole())
    starts = [at for at in (known.event_from if known else None, first) if at is not None]
    ends = [at for at in (known.event_until if known else None, last) if at is not None]
    return DatasetVersion(
        id=DatasetVersionId(ports.ids(VERSION_PREFIX)),
        project=batch.project,
        dataset=batch.dataset.id,
        name=batch.dataset.name,
        number=number,
        digest=digest,
        rows=(before.rows if before else 0) + clean.height - batch.replaced,
        size_bytes=(before.size_bytes if before else 0) + int(clean.estimated_size()),
        schema=schema_of(clean),
        profile=_keep_profile(ports, batch),
        # One that was overtaken may have written before the version that now is the one before it.
        table_version=max(table_version, earlier.table_version if earlier else 0),
        parents=batch.origin.parents,
        outcomes=batch.judgement.outcomes,
        event_from=min(starts, default=None),
        event_until=max(ends, default=None),
        created_by=batch.member,
        created_at=batch.now,
        note=batch.origin.note,
        replaced=batch.replaced,
        whole=batch.origin.whole,
        commit=commit,
    )


def record(ports: Ports, batch: Batch, version: DatasetVersion | None) -> None:
    """Make the version seen, move the bookmark, and say what became of the batch.

    The bookmark of a stopped batch stays: it is read again when its checks, or its rows, were mended.

    Raises
    ------
    Problem
        `dataset.conflict` when another version came first; `bookmark.conflict` when the source was read on meanwhile.
    """
    facts = []
    bad, name = batch.refused, batch.dataset.name
    if bad:
        kind = reading.QUARANTINING[0 if batch.judgement.stopped else 1]
        said = {"batch": batch.id, "quarantined": bad, "admitted": batch.clean.rows.height, "failed": _failed(batch)}
        facts.append(Fact(kind, name, said))
    with ports.transaction() as tx:
        if batch.judgement.stopped:
            _check_newest(ports, batch)
        if batch.origin.move is not None and not batch.judgement.stopped:
            _move(ports, tx, batch.dataset, batch.origin.move)
        if version is not None:
            tx.datasets.add_versions(batch.project, [version])
            facts.append(Fact("dataset_version.created", name, told(version)))
        tx.events.add(batch.project, facts, actor=batch.member, at=batch.now)


def _check_newest(ports: Ports, batch: Batch) -> None:
    """Return when the batch was judged upon the newest version: what was stopped upon an older one may leave the quarantine."""
    newest, name = reading.latest_version(ports, batch.project, batch.dataset.name), batch.dataset.name
    if (newest.id if newest else None) != (batch.before.id if batch.before else None):
        raise Problem("dataset.conflict", f"'{name}' has another version by now", "somebody else was first", "do it again")


def _move(ports: Ports, tx: DataTransaction, dataset: Dataset, move: Move) -> None:
    now = reading.find_dataset(ports, dataset.project, dataset.name)
    if now.bookmark != move.before:
        what, why = f"The source of '{dataset.name}' was read on meanwhile", "another snapshot was quicker"
        raise Problem("bookmark.conflict", what, why, "take the snapshot again")
    if now.bookmark != move.after:
        tx.datasets.save(dataset.project, [replace(now, bookmark=move.after)])


def _failed(batch: Batch) -> list[dict[str, object]]:
    """Return what a person wants to know of the checks that the batch failed; a batch that is stopped has no version for it."""
    failed = [one for one in batch.judgement.outcomes if one.rows_failed]
    return [
        {"check": told_check(one.check), "severity": one.check.severity.value, "rows": one.rows_failed, "found": one.found}
        for one in failed
    ]


def told(version: DatasetVersion) -> dict[str, object]:
    """Return what the fact of a version says of it."""
    until = {"event_until": to_text(version.event_until)} if version.event_until else {}
    replaced = {"replaced": version.replaced} if version.replaced else {}
    facts = {"version": version.id, "number": version.number, "rows": version.rows, "digest": version.digest}
    return {**facts, **replaced, **until}


def _keep_profile(ports: Ports, batch: Batch) -> Digest:
    [kept] = ports.objects.put(batch.project, [canonical_json(to_json(_profile(ports, batch))).encode()])
    return kept


def _profile(ports: Ports, batch: Batch) -> Profile:
    if batch.before is None or not _is_added(batch):
        return profile(batch.whole())
    earlier = reading.profile_of(ports, batch.project, batch.before)
    return merge(earlier, batch.clean.profile_over(earlier))


def _is_added(batch: Batch) -> bool:
    """Return whether the batch's counts are added to those of the version before it.

    The whole content is counted anew when its rows have doubled, or some were replaced, or a column is new. So over a
    dataset's life it costs no more than twice the rows, the slots are cut by at least half of them, and the error of merged
    quantiles does not pile up.
    """
    clean, before = batch.clean.rows, batch.before
    if before is None or batch.held is None or clean.columns != [column.name for column in before.schema.columns]:
        return False
    return (before.rows + clean.height).bit_length() == before.rows.bit_length() and not batch.replaced


def _event_range(dataset: Dataset, rows: pl.DataFrame) -> tuple[datetime | None, datetime | None]:
    if dataset.time is None:
        return None, None
    column = rows[dataset.time]
    return in_utc(column.min()), in_utc(column.max())
