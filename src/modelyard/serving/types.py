"""Deployments, what they answer with at each moment, and the way from one version to the next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, NewType

from modelyard.core import Digest, ProjectId
from modelyard.data import Column
from modelyard.data.features import Features
from modelyard.registry import Composition, Signature
from modelyard.registry.types import row_of
from modelyard.serving.judgement import Judgement
from modelyard.tenancy import Limit

DeploymentId = NewType("DeploymentId", str)
RolloutId = NewType("RolloutId", str)
PredictionId = NewType("PredictionId", str)


class RouteKind(Enum):
    """What a route's answers are for."""

    LIVE = "live"
    CANARY = "canary"
    SHADOW = "shadow"  # asked besides; its answers are kept, and nobody gets them


@dataclass(frozen=True)
class Route:
    """A version and its share of the requests, in per cent; the shares of a revision, but for its shadows, make 100."""

    version: int
    weight: int
    kind: RouteKind = RouteKind.LIVE


@dataclass(frozen=True)
class Deployment:
    """A service under a name: it follows an alias of a model, and moves to a new version by canary steps."""

    id: DeploymentId
    project: ProjectId
    name: str
    model: str
    alias: str
    canary: tuple[int, ...]  # per cent of each step, ending in 100
    time: str | None  # the raw column of event time; None: the time of answering
    tolerance: float  # a canary's mean loss may be worse by less than this
    loss: str  # log_loss or brier (classification), squared_error, absolute_error
    created_by: str
    created_at: datetime
    form: str = "auto"  # the form that answers, of versions that have it; auto: the fastest


@dataclass(frozen=True)
class Revision:
    """One immutable state of a deployment's routing."""

    deployment: DeploymentId
    number: int  # from 1
    routes: tuple[Route, ...]
    cause: str  # the rollout, alias move or undo that made it
    at: datetime


class RolloutState(Enum):
    """Where a rollout stands."""

    RUNNING = "running"  # a canary answers its share and is judged
    PROMOTED = "promoted"  # it answers everything; the alias has moved
    ROLLED_BACK = "rolled_back"  # it was worse; the version before answers everything, as ever
    HELD = "held"  # undecided at the cap: waits for a person


@dataclass(frozen=True)
class Rollout:
    """The way of one candidate from its first per cent to all, or back."""

    id: RolloutId
    project: ProjectId
    deployment: DeploymentId
    name: str  # of the deployment
    candidate: int
    base: int | None  # None: the first version ever, nothing to judge against
    step: int  # index into the deployment's canary steps
    state: RolloutState
    cause: str
    broken_glass: bool
    started_at: datetime  # platform time
    step_at: datetime
    judgement: Judgement | None = None
    looked_at: datetime | None = None  # platform time of the judge's last look
    finished_at: datetime | None = None


@dataclass(frozen=True)
class ServedForm:
    """What a gateway needs to load one version."""

    version: int
    signature: Signature
    pipeline: Digest | None  # None: it takes tensors as they are
    form: str
    model: Digest  # of a combined version: its composition, which stands here already
    framework: str
    composition: Composition | None = None
    members: "tuple[ServedForm, ...]" = ()  # of a combined version, in the order of the composition's parts
    features: Features | None = None  # what is looked up before it is asked

    @property
    def row(self) -> tuple[Column, ...]:
        """The columns of a whole row: what callers send of it, and what is looked up."""
        return row_of(self.signature, self.features)

    @property
    def contents(self) -> tuple[Digest, ...]:
        """What has to be fetched for it."""
        if self.composition is not None:
            return tuple(digest for member in self.members for digest in member.contents)
        return (self.model,) if self.pipeline is None else (self.pipeline, self.model)


@dataclass(frozen=True)
class ServedDeployment:
    """What a gateway needs to answer for one deployment."""

    project: ProjectId
    project_name: str
    deployment: DeploymentId
    name: str
    model: str
    time: str | None
    revision: Revision
    versions: tuple[ServedForm, ...]


@dataclass(frozen=True)
class Catalogue:
    """All that a gateway knows: it works from its last copy when the control plane is away."""

    position: int  # of the events it stands for
    deployments: tuple[ServedDeployment, ...]
    token_hashes: Mapping[str, tuple[str, ...]]  # project id → hashes of tokens that may ask there
    token_limits: Mapping[str, Limit] = field(default_factory=dict)  # by token hash; the others have none


@dataclass(frozen=True)
class Prediction:
    """One row of the ledger."""

    id: PredictionId
    request: str
    deployment: str
    model: str
    version: int
    revision: int  # of the deployment, at the moment of answering
    form: str
    route: str
    time: datetime  # event time
    answered_at: datetime
    latency_us: int
    caller: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any] = field(default_factory=dict)
    trace: str | None = None  # the id of the trace it belongs to
