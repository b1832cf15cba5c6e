"""Datasets, their immutable versions, and what is known of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, NewType

from modelyard.core import Digest, ProjectId

DatasetId = NewType("DatasetId", str)
DatasetVersionId = NewType("DatasetVersionId", str)


@dataclass(frozen=True)
class Column:
    """A column by name and Polars type, such as `Int64`, `Float32`, `String`, `Datetime(time_unit='us', time_zone='UTC')`."""

    name: str
    dtype: str


@dataclass(frozen=True)
class Schema:
    """The columns in order."""

    columns: tuple[Column, ...]


class Severity(Enum):
    """What a failed check does."""

    ERROR = "error"  # the row is quarantined
    BLOCK = "block"  # the whole batch is quarantined
    WARNING = "warning"  # the row enters; the outcome is kept


@dataclass(frozen=True)
class Check:
    """A promise about rows (`not_null`, `unique`, `between` …) or batches (`row_count`, `fresh` …); see `data.quality`."""

    kind: str
    columns: tuple[str, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity = Severity.ERROR


@dataclass(frozen=True)
class CheckOutcome:
    """What one check found in one batch."""

    check: Check
    rows_failed: int  # of a check of the whole batch: all its rows, or none
    examples: tuple[Mapping[str, Any], ...] = ()  # a few failing rows, as JSON
    found: str = ""  # what a check of the whole batch found: `12 rows`


@dataclass(frozen=True)
class Dataset:
    """A named, growing set of rows; each state of it that matters is a version."""

    id: DatasetId
    project: ProjectId
    name: str
    key: tuple[str, ...]  # columns that name a row
    time: str | None  # the column of event time
    source: str | None  # where `snapshot()` reads from: a URL of files or a table
    checks: tuple[Check, ...]
    created_at: datetime
    stop_share: float = 0.05  # a batch with a larger share of bad rows is stopped as a whole
    columns: tuple[Column, ...] = ()  # what a snapshot reads, in these types; (): what the source has, in its own
    bookmark: str = ""  # where the next snapshot reads on, of a source that can; "": from its beginning


@dataclass(frozen=True)
class Parent:
    """Where a version's rows came from: another version, a source file, or a stretch of the ledger."""

    kind: str  # dataset_version, source, file (of a source, with new rows in it), ledger
    ref: str  # id or URL
    told: str = ""  # for people: `weather v1`


@dataclass(frozen=True)
class DatasetVersion:
    """An immutable state of a dataset: which rows, exactly, and what they look like."""

    id: DatasetVersionId
    project: ProjectId
    dataset: DatasetId
    name: str  # of the dataset
    number: int  # from 1
    digest: Digest  # of the content: equal rows in equal order have equal digests
    rows: int
    size_bytes: int
    schema: Schema
    profile: Digest  # the `Profile`, as a JSON object in the object store
    table_version: int  # of the lake's table
    parents: tuple[Parent, ...]
    outcomes: tuple[CheckOutcome, ...]  # of the batch that made this version
    event_from: datetime | None  # the range of the time column
    event_until: datetime | None
    created_by: str
    created_at: datetime
    note: str = ""
    replaced: int = 0  # rows of the version before that rows of this batch, of the same key, stand in for
    whole: bool = False  # its batch is all of it: the batches before it are none of it
    commit: str = ""  # its batch in the lake's table; "": its digest names it, as it did before versions could be dropped
    dropped_at: datetime | None = None  # since when its rows may be gone for good; the record stays

    @property
    def ref(self) -> str:
        """What names it: `flights@3`."""
        return f"{self.name}@{self.number}"


class SplitKind(Enum):
    """How rows are parted into those to fit on and those to test on."""

    TIME = "time"  # test: the rows from `boundary` on, or the last `test_share` by time
    HASH = "hash"  # test: `test_share` of the keys, by a hash of the key, stable as rows are added
    RANDOM = "random"  # test: `test_share` of the rows, by a hash of their place, stable as rows are added at the end
    GROUP = "group"  # test: `test_share` of the values of `column`, each with all its rows, by a hash of the value
    STRATIFIED = "stratified"  # test: `test_share` of the rows of each value of `column`, by a hash of the key or the place


@dataclass(frozen=True)
class Split:
    """A declared, repeatable split: the same rows fall the same way on every machine."""

    kind: SplitKind = SplitKind.TIME
    test_share: float = 0.2
    boundary: datetime | None = None  # of TIME
    column: str | None = None  # of GROUP: the groups; of STRATIFIED: the classes, as a rule the label
    seed: int = 0  # another one holds out other rows; TIME has no use for it


class Fate(Enum):
    """What a vacuum does with a version."""

    KEPT = "kept"  # it is among the newest, or too young
    HELD = "held"  # something needs it
    SHARED = "shared"  # all its rows are in versions that stay too, so that dropping it would free nothing
    DROPPED = "dropped"  # it goes; its record stays


@dataclass(frozen=True)
class VersionFate:
    """A version in a vacuum."""

    version: DatasetVersionId
    number: int
    rows: int
    created_at: datetime
    fate: Fate
    needs: tuple[str, ...] = ()  # of a held one: what needs it, for people


@dataclass(frozen=True)
class Vacuum:
    """What a vacuum of a dataset comes to, or would."""

    name: str  # of the dataset
    dry_run: bool
    versions: tuple[VersionFate, ...]  # those whose rows were there, newest first
    batches: int  # stopped ones whose rows leave the quarantine
    files: int  # that go, those that killed writers left among them
    size_bytes: int  # of the rows that go, in the lake


@dataclass(frozen=True)
class Admission:
    """What became of a batch: every row is admitted or quarantined, none is lost."""

    version: DatasetVersion | None  # None: the batch was stopped
    rows: int
    admitted: int
    quarantined: int
    outcomes: tuple[CheckOutcome, ...]
    quarantine: str | None  # name of the lake table with the rows and their reasons
    waiting: int = 0  # messages of a stream that were there beyond this batch: its lag
