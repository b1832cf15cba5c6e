"""What is to be scored, and where to; the plan that fixes it, and its parts."""

from dataclasses import dataclass
from enum import Enum

from modelyard.core import Digest
from modelyard.data import DatasetVersionId


class SourceKind(Enum):
    """Where rows come from."""

    URL = "url"  # files that the worker reads: a path, file:///… or s3://…, also a folder or a pattern
    DATASET = "dataset"  # a version: flights@3, flights
    UPLOAD = "upload"  # files in the object store, by the digest of their listing


@dataclass(frozen=True)
class SourceRef:
    """The rows to score."""

    kind: SourceKind
    ref: str


class TargetKind(Enum):
    """Where answers go."""

    URL = "url"  # a folder that the worker writes: file:///…, s3://…
    OBJECTS = "objects"  # the object store, for whoever asked to download


class PartForm(Enum):
    """How parts are written; the value is their ending."""

    PARQUET = "parquet"
    ARROW = "arrow"  # every type of a frame comes back as it was


@dataclass(frozen=True)
class TargetRef:
    """Where the answers go, and how."""

    kind: TargetKind
    ref: str = ""
    form: PartForm = PartForm.PARQUET


@dataclass(frozen=True)
class ScoreRequest:
    """What somebody asks for.

    Parameters
    ----------
    model
        `MODEL@7`, `MODEL@champion`, or a deployment: its live version.
    anew
        Whether what an earlier run has written to the target goes.
    """

    model: str
    source: SourceRef
    target: TargetRef
    anew: bool = False


@dataclass(frozen=True)
class UploadedFile:
    """A file in the object store, in pieces."""

    name: str
    pieces: tuple[Digest, ...]


@dataclass(frozen=True)
class Input:
    """One file, or the rows of a dataset version, exactly as they were found."""

    name: str
    mark: str  # another one where the content is: a digest or an ETag
    rows: int


@dataclass(frozen=True)
class Plan:
    """What a target's answers are of and by: fixed when the work begins, and the same after every kill."""

    job: str  # that began it
    model: str
    version: int
    form: str
    content: Digest  # of what the version was loaded from
    source: SourceRef  # a dataset with its number
    inputs: tuple[Input, ...]  # in order
    part_rows: int
    part_form: PartForm
    features: tuple[DatasetVersionId, ...] = ()  # the versions that the version's lookups read


@dataclass(frozen=True)
class Part:
    """Some rows of one input, which are written together."""

    number: int  # from 0, over all inputs
    input: int  # its place among the inputs
    first_row: int  # within the input, from 0
    rows: int
    name: str


@dataclass(frozen=True)
class WrittenPart:
    """A part in the object store."""

    name: str
    digest: Digest


@dataclass(frozen=True)
class Report:
    """What came of it."""

    model: str
    version: int
    form: str
    rows: int
    parts: int
    seconds: float  # of the last run, from loading the version on
    rows_a_second: int
    target: str  # for people
    listing: Digest | None = None  # of the written parts, where they are in the object store
