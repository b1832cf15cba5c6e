"""Who works in which project, and what they may do there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NewType

from modelyard.core import MemberId, OrganisationId, ProjectId, TraceContext

TokenId = NewType("TokenId", str)


class Role(Enum):
    """What a member may do; each role may do all that the ones before it may."""

    VIEWER = "viewer"  # reads everything, asks for predictions
    TRAINER = "trainer"  # writes datasets, runs, models, labels, deployments short of production
    APPROVER = "approver"  # moves gated aliases, approves, undoes decisions, writes policies
    ADMIN = "admin"  # members, tokens, break-glass, strangers' code


@dataclass(frozen=True)
class Organisation:
    """The tenant: nothing is ever shared between two of them."""

    id: OrganisationId
    name: str
    created_at: datetime


@dataclass(frozen=True)
class Project:
    """The workspace: everything else belongs to exactly one."""

    id: ProjectId
    organisation: OrganisationId
    name: str  # unique in its organisation; lower case letters, digits, `-`, `_`
    created_at: datetime


@dataclass(frozen=True)
class Member:
    """A person or a service account."""

    id: MemberId
    organisation: OrganisationId
    name: str
    role: Role | None  # in every project of the organisation; None: only where a membership says so
    created_at: datetime


@dataclass(frozen=True)
class Membership:
    """A member's role in one project."""

    project: ProjectId
    member: MemberId
    role: Role


@dataclass(frozen=True)
class Limit:
    """How much a token may ask of gateways; what is None is not limited."""

    requests: float | None = None  # a second
    burst: int | None = None  # requests at once; None: a second's worth of them
    rows: float | None = None  # a second


@dataclass(frozen=True)
class Token:
    """A secret that acts for a member; only its hash is kept."""

    id: TokenId
    organisation: OrganisationId
    member: MemberId
    name: str
    secret_hash: str  # SHA-256, hex: the secret has 256 random bits, so no slow hash is needed
    role: Role | None  # caps the member's role; None: no cap
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    limit: Limit | None = None


@dataclass(frozen=True)
class Actor:
    """Who asks, with the roles they have at this moment."""

    member: MemberId
    name: str
    organisation: OrganisationId
    role: Role | None  # in every project of the organisation
    projects: Mapping[ProjectId, Role] = field(default_factory=dict)
    trace: TraceContext | None = field(default=None, compare=False)  # to which belongs what they ask for
