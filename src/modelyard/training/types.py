"""Recipes, runs, studies: what was trained, how, on which rows, and how well."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, NewType

from modelyard.core import Digest, ProjectId
from modelyard.data import Check, DatasetVersionId, Split
from modelyard.data.features import Lookup
from modelyard.jobs import JobId, Limits
from modelyard.prepare import Code, Pipeline

RunId = NewType("RunId", str)
StudyId = NewType("StudyId", str)


class RunState(Enum):
    """Where a run stands."""

    PENDING = "pending"  # accepted, waits for a worker
    RUNNING = "running"  # a worker holds its job's lease
    FINISHED = "finished"  # outputs recorded, immutable from here on
    FAILED = "failed"  # the user's code raised, or the last retry lost its worker
    CANCELLED = "cancelled"  # somebody stopped it


class RunKind(Enum):
    """Why a run was made."""

    TRAIN = "train"  # asked for by a person
    TRIAL = "trial"  # one try of a study
    RETRAIN = "retrain"  # a recipe on fresh data, judged on the newest rows held back
    REFIT = "refit"  # the judged recipe, fitted again with those rows included; its own metrics are in-sample


class Direction(Enum):
    """Which metric values are better."""

    MAXIMISE = "maximise"
    MINIMISE = "minimise"


@dataclass(frozen=True)
class Trainer:
    """How a model is made, but for the parameters and the rows: the user's function and everything it stands on."""

    name: str
    code: Code
    pipeline: Pipeline
    label: str
    metric: str
    direction: Direction
    split: Split | None = None  # None: by what the dataset has, as `data.split.default_split` says
    limits: Limits = field(default_factory=Limits)
    checks: tuple[Check, ...] = ()  # of the raw rows of a run, which fails where they break one
    lookups: tuple[Lookup, ...] = ()  # what is joined to the raw rows, and looked up where the model serves


@dataclass(frozen=True)
class Recipe:
    """A trainer with its parameters and seed. The same recipe on the same rows is the same model."""

    trainer: Digest  # of the `Trainer`, a JSON object in the object store
    params: Mapping[str, Any]
    seed: int = 0


@dataclass(frozen=True)
class Run:
    """One training."""

    id: RunId
    project: ProjectId
    experiment: str  # the trainer's name, unless said otherwise
    number: int  # from 1, within the project
    kind: RunKind
    recipe: Recipe
    metric: str  # the objective
    data: DatasetVersionId
    split: Split
    state: RunState
    created_by: str
    created_at: datetime
    job: JobId | None = None
    study: StudyId | None = None
    trial: int | None = None  # from 0, within the study
    cause: str | None = None  # what it reacts to
    refit_of: RunId | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)  # the latest value of each
    artifacts: Mapping[str, Digest] = field(default_factory=dict)  # by name: model, pipeline, predictions, …
    framework: str | None = None  # of the model, once it is trained
    environment: Digest | None = None  # Python, platform, packages, hardware: a JSON object
    source: Digest | None = None  # commit, uncommitted changes, code: a JSON object
    started_at: datetime | None = None
    finished_at: datetime | None = None
    problem: Mapping[str, Any] | None = None
    features: tuple[DatasetVersionId, ...] = ()  # the versions that the trainer's lookups read, one each


@dataclass(frozen=True)
class MetricPoint:
    """A value that a run logged."""

    name: str
    step: int
    value: float
    at: datetime


@dataclass(frozen=True)
class Float:
    """A range of floats, both ends included."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Int:
    """A range of whole numbers, both ends included."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Space:
    """What a study searches: parameter name → range."""

    floats: Mapping[str, Float] = field(default_factory=dict)
    ints: Mapping[str, Int] = field(default_factory=dict)
    choices: Mapping[str, Choice] = field(default_factory=dict)


class StudyState(Enum):
    """Where a study stands."""

    RUNNING = "running"
    FINISHED = "finished"  # all trials ended, at least one of them well
    FAILED = "failed"  # no trial ended well
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Study:
    """A search over a trainer's parameters. Its trials are the runs that carry its id."""

    id: StudyId
    project: ProjectId
    experiment: str
    trainer: Digest
    data: DatasetVersionId
    space: Space
    metric: str
    direction: Direction
    trials: int  # how many in all
    parallel: int  # how many are suggested at once; the suggestions depend on nothing else, so a study repeats itself
    sampler: str  # tpe, random, qmc
    seed: int
    state: StudyState
    created_by: str
    created_at: datetime
    best: RunId | None = None
    finished_at: datetime | None = None
