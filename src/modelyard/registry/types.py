"""Models, their versions, the aliases that production follows, and the gates before them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NewType

from modelyard.core import Digest, ProjectId
from modelyard.data import Column, DatasetVersionId
from modelyard.data.features import Features
from modelyard.training import Direction, Recipe, RunId

ModelId = NewType("ModelId", str)


@dataclass(frozen=True)
class Signature:
    """What a version takes and gives: raw columns in, answers out."""

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]


def row_of(signature: Signature, features: Features | None) -> tuple[Column, ...]:
    """Return the columns of a whole row: what is asked, and what is looked up."""
    return signature.inputs if features is None else (*signature.inputs, *features.columns)


@dataclass(frozen=True)
class Form:
    """One way to run a version: `native`, `onnx` or `onnx-int8`."""

    name: str
    digest: Digest
    size_bytes: int
    framework: str  # the framework (native) or `onnxruntime`
    rows_compared: int = 0  # held-out rows and rows beside thresholds on which the form was held against the native one
    max_abs_diff: float = 0.0
    latency_us: float | None = None  # median of one row through preparation and model, where it was registered
    tolerance: float = 0.0  # by which its answers may differ from the native one's and it was still kept
    approximate: bool = False  # it answers only where a deployment names it


@dataclass(frozen=True)
class Evaluation:
    """A version (or the recipe it is a refit of) beside another version on the same labelled rows."""

    run: RunId | None  # whose model was measured; None: it was imported
    against: int | None  # version number; None: measured alone
    rows: int
    window: str  # which rows: `held-out test split`, `labelled 2013-06-24 … 2013-06-30`
    metric: str
    value: float
    against_value: float | None
    metrics: Mapping[str, float]
    against_metrics: Mapping[str, float]
    at: datetime


@dataclass(frozen=True)
class Slice:
    """The metric on a part of the held-out rows."""

    column: str
    value: str
    rows: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Model:
    """A named line of versions."""

    id: ModelId
    project: ProjectId
    name: str
    created_at: datetime
    description: str = ""


@dataclass(frozen=True)
class Allowance:
    """Somebody's recorded yes to running the code that a model's maker wrote."""

    by: str  # the member
    at: datetime


@dataclass(frozen=True)
class Origin:
    """What an imported version was made of: who brought it stands in `ModelVersion.created_by`."""

    name: str  # of the file or folder, where it came from
    files: Mapping[str, Digest]  # by path within the folder; of a single file its name
    code: Allowance | None = None  # None: it is data, and runs no code of its maker


class Combining(Enum):
    """How the answers of several versions become one."""

    MEAN = "mean"  # of their numbers
    WEIGHTED = "weighted"  # the same, each version with its weight
    VOTE = "vote"  # the share of the versions that choose a class
    STACK = "stack"  # the head answers, from their answers and the raw columns; of one version: a chain
    ROUTE = "route"  # the head's number says which of them answers a row


@dataclass(frozen=True)
class Part:
    """A version that a combined one is made of."""

    model: str
    version: int
    name: str  # within the combination: of the column in which a stack's head finds its answer

    @property
    def ref(self) -> str:
        """What names it: `churn@7`."""
        return f"{self.model}@{self.version}"


@dataclass(frozen=True)
class Composition:
    """What a combined version is made of, by exact versions, and by which rule."""

    rule: Combining
    members: tuple[Part, ...]
    head: Part | None = None  # of a stack and a route
    weights: tuple[float, ...] = ()  # of `weighted`: one a member, their sum above 0
    limits: tuple[float, ...] = ()  # of a route, rising: a member answers rows with a number below its limit, the last the rest
    threshold: float = 0.5  # of a vote: a probability from here on is a yes
    tensors: bool = False  # whether it takes tensors as they are; else raw columns

    @property
    def parts(self) -> tuple[Part, ...]:
        """The members, and the head after them."""
        return self.members if self.head is None else (*self.members, self.head)


@dataclass(frozen=True)
class ModelVersion:
    """One immutable model: the fitted preparation, the forms, and all that is known of it."""

    project: ProjectId
    model: str  # its name
    number: int  # from 1
    run: RunId | None  # None, as recipe: it was made elsewhere, see `origin`, or of others, see `composition`
    recipe: Recipe | None
    data: DatasetVersionId | None  # what it was trained on; of a combined one: what the member was that answers for it
    pipeline: Digest | None  # the fitted pipeline, a JSON object; None: it takes tensors as they are
    signature: Signature
    forms: tuple[Form, ...]
    metrics: Mapping[str, float]
    slices: tuple[Slice, ...]
    evaluations: tuple[Evaluation, ...]
    checks_green: bool  # every row of its data version passed the checks, as they were when it was registered
    card: Digest  # the model card, Markdown
    created_by: str
    created_at: datetime
    refit_of: RunId | None = None
    cause: str | None = None
    note: str = ""
    # What its live loss is held against: metrics on held-out rows. A refit takes them from the version whose recipe it is: the
    # week that a recipe is judged on is too short, and too much of its season, to promise by.
    reference: Mapping[str, float] = field(default_factory=dict)
    origin: Origin | None = None
    composition: Composition | None = None
    features: Features | None = None  # what it looks up by what it is asked

    @property
    def row(self) -> tuple[Column, ...]:
        """The columns that its preparation is given, and the ledger keeps: its inputs, and what is looked up."""
        return row_of(self.signature, self.features)


class ConditionKind(Enum):
    """What a gate may demand."""

    BETTER = "better"  # metric better than the alias's current version by `limit` (negative: not worse by more)
    CHECKS = (
        "checks"  # all rows of the dataset version that it was trained on pass the dataset's checks; quarantined ones are none
    )
    LATENCY = "latency"  # median latency of one row, at most `limit` µs
    PARITY = "parity"  # every form within `limit` of the native one
    APPROVALS = "approvals"  # at least `limit` people said yes


@dataclass(frozen=True)
class Condition:
    """One demand of a gate."""

    kind: ConditionKind
    limit: float = 0.0
    metric: str | None = None
    direction: Direction = Direction.MINIMISE


@dataclass(frozen=True)
class Gate:
    """What a version must pass to stand under an alias. Belongs to the alias; only the server opens it."""

    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class ConditionResult:
    """What one demand came to."""

    condition: Condition
    passed: bool
    measured: float | None
    told: str  # one sentence for people


@dataclass(frozen=True)
class GateResult:
    """What a gate came to for one version."""

    model: str
    version: int
    alias: str
    against: int | None
    passed: bool
    broken_glass: bool  # somebody broke the glass for it, and that was not used up yet: it may pass in any case
    results: tuple[ConditionResult, ...]
    at: datetime


@dataclass(frozen=True)
class Approval:
    """Somebody's recorded yes, or their breaking of the glass: the record stays, what it opened is used once."""

    project: ProjectId
    model: str
    version: int
    alias: str
    by: str
    at: datetime
    reason: str
    break_glass: bool = False


@dataclass(frozen=True)
class Best:
    """The rule of an alias that moves by itself: to the version that is best by a metric, of those that may stand there."""

    metric: str
    direction: Direction
    latency_us: float | None = None  # the form that serves takes at most so long for one row
    size_bytes: int | None = None  # and is at most so large
    barred: tuple[int, ...] = ()  # versions that were rolled back from: they come back by hand, or with a new rule


@dataclass(frozen=True)
class Alias:
    """A name that production follows."""

    project: ProjectId
    model: str
    name: str
    version: int | None  # None: a gate was set before the first version
    gate: Gate
    moved_at: datetime
    moved_by: str
    previous: int | None = None
    broken_for: tuple[int, ...] = ()  # versions for which the glass is broken: each may pass the gate once
    best: Best | None = None  # the rule by which it moves by itself; None: it is moved
