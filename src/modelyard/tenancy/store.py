"""The port of tenancy. Its verbs take the organisation first: it stands above the projects."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from modelyard.core import MemberId, OrganisationId, ProjectId
from modelyard.events import EventTransaction
from modelyard.tenancy.types import Limit, Member, Membership, Organisation, Project, Token, TokenId


class TenancyStore(Protocol):
    """Organisations, projects, members, memberships and tokens."""

    def add_organisations(self, organisations: Sequence[Organisation]) -> None:
        """Insert; Problem `organisation.exists` on a taken name."""
        ...

    def organisations(self) -> list[Organisation]:
        """Return all, oldest first."""
        ...

    def add_projects(self, organisation: OrganisationId, projects: Sequence[Project]) -> None:
        """Insert; Problem `project.exists` on a taken name."""
        ...

    def projects(self, organisation: OrganisationId) -> list[Project]:
        """Return all of the organisation, by name."""
        ...

    def add_members(self, organisation: OrganisationId, members: Sequence[Member]) -> None:
        """Insert; Problem `member.exists` on a taken name."""
        ...

    def members(self, organisation: OrganisationId) -> list[Member]:
        """Return all of the organisation, by name."""
        ...

    def save_memberships(self, organisation: OrganisationId, memberships: Sequence[Membership]) -> None:
        """Insert or replace the role of each member in each project."""
        ...

    def memberships(self, organisation: OrganisationId, member: MemberId | None = None) -> list[Membership]:
        """Return the memberships of one member, or of all."""
        ...

    def add_tokens(self, organisation: OrganisationId, tokens: Sequence[Token]) -> None:
        """Insert."""
        ...

    def tokens(self, organisation: OrganisationId) -> list[Token]:
        """Return all of the organisation, also those revoked, oldest first."""
        ...

    def revoke_tokens(self, organisation: OrganisationId, tokens: Sequence[TokenId], at: datetime) -> None:
        """Mark them revoked from `at` on."""
        ...

    def limit_tokens(self, organisation: OrganisationId, tokens: Sequence[TokenId], limit: Limit | None) -> None:
        """Give them this limit in place of the one that they had; None: none."""
        ...

    def token_by_hash(self, secret_hash: str) -> Token | None:
        """Return the token with this hash, of whichever organisation: this is how a caller is recognised."""
        ...

    def project_by_id(self, project: ProjectId) -> Project | None:
        """Return the project, of whichever organisation."""
        ...


class TenancyTransaction(EventTransaction, Protocol):
    """The part of a transaction that this slice needs."""

    @property
    def tenancy(self) -> TenancyStore:
        """The tenants."""
        ...
