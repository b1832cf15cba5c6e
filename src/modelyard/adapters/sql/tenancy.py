"""Organisations, projects, members, memberships and tokens."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import sqlalchemy as sa

from modelyard.adapters.sql.session import Session
from modelyard.adapters.sql.tables import MEMBER, MEMBERSHIP, ORGANISATION, PROJECT, TOKEN
from modelyard.adapters.sql.typed_table import TypedTable
from modelyard.core import MemberId, OrganisationId, ProjectId
from modelyard.tenancy import Limit, Member, Membership, Organisation, Project, Token, TokenId

_EVERYWHERE = "organisations"  # what is held to change the list of them


class SqlTenancyStore:
    """`modelyard.tenancy.TenancyStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._organisations = TypedTable(ORGANISATION, Organisation, "organisation", scope=None)
        self._projects = TypedTable(PROJECT, Project, "project", scope="organisation")
        self._members = TypedTable(MEMBER, Member, "member", scope="organisation")
        self._memberships = TypedTable(MEMBERSHIP, Membership, "membership", scope="organisation")
        self._tokens = TypedTable(TOKEN, Token, "token", scope="organisation")

    def add_organisations(self, organisations: Sequence[Organisation]) -> None:
        """Insert; Problem `organisation.exists` on a taken name."""
        self._organisations.add(self._session, _EVERYWHERE, organisations)

    def organisations(self) -> list[Organisation]:
        """Return all, oldest first."""
        return self._organisations.find(self._session, _EVERYWHERE, order=("created_at", "id"))

    def add_projects(self, organisation: OrganisationId, projects: Sequence[Project]) -> None:
        """Insert; Problem `project.exists` on a taken name."""
        self._projects.add(self._session, organisation, projects, orphan="organisation.missing")

    def projects(self, organisation: OrganisationId) -> list[Project]:
        """Return all of the organisation, by name."""
        return self._projects.find(self._session, organisation, order=("name",))

    def add_members(self, organisation: OrganisationId, members: Sequence[Member]) -> None:
        """Insert; Problem `member.exists` on a taken name."""
        self._members.add(self._session, organisation, members, orphan="organisation.missing")

    def members(self, organisation: OrganisationId) -> list[Member]:
        """Return all of the organisation, by name."""
        return self._members.find(self._session, organisation, order=("name",))

    def save_memberships(self, organisation: OrganisationId, memberships: Sequence[Membership]) -> None:
        """Insert or replace the role of each member in each project; Problem `member.missing` when one is of another house."""
        self._memberships.put(self._session, organisation, memberships, orphan="member.missing")

    def memberships(self, organisation: OrganisationId, member: MemberId | None = None) -> list[Membership]:
        """Return the memberships of one member, or of all."""
        which = [] if member is None else [MEMBERSHIP.c.member == member]
        return self._memberships.find(self._session, organisation, *which, order=("member", "project"))

    def add_tokens(self, organisation: OrganisationId, tokens: Sequence[Token]) -> None:
        """Insert; Problem `member.missing` for a member of another organisation."""
        self._tokens.add(self._session, organisation, tokens, orphan="member.missing")

    def tokens(self, organisation: OrganisationId) -> list[Token]:
        """Return all of the organisation, also those revoked, oldest first."""
        return self._tokens.find(self._session, organisation, order=("created_at", "id"))

    def revoke_tokens(self, organisation: OrganisationId, tokens: Sequence[TokenId], at: datetime) -> None:
        """Mark them revoked from `at` on; one that is revoked stays so from its own time. Problem `token.missing`."""
        if not tokens:
            return
        self._demand_tokens(organisation, tokens)
        ours = (self._tokens.within(organisation), TOKEN.c.id.in_(tokens), TOKEN.c.revoked_at.is_(None))
        self._session.execute(sa.update(TOKEN).where(*ours).values(revoked_at=at))

    def limit_tokens(self, organisation: OrganisationId, tokens: Sequence[TokenId], limit: Limit | None) -> None:
        """Give them this limit in place of the one that they had; None: none. Problem `token.missing`."""
        if not tokens:
            return
        self._demand_tokens(organisation, tokens)
        ours = (self._tokens.within(organisation), TOKEN.c.id.in_(tokens))
        told = None if limit is None else asdict(limit)
        self._session.execute(sa.update(TOKEN).where(*ours).values(limit=told))

    def token_by_hash(self, secret_hash: str) -> Token | None:
        """Return the token with this hash, of whichever organisation: this is how a caller is recognised."""
        row = self._session.execute(sa.select(TOKEN).where(TOKEN.c.secret_hash == secret_hash)).first()
        return None if row is None else self._tokens.thing(row)

    def project_by_id(self, project: ProjectId) -> Project | None:
        """Return the project, of whichever organisation."""
        row = self._session.execute(sa.select(PROJECT).where(PROJECT.c.id == project)).first()
        return None if row is None else self._projects.thing(row)

    def _demand_tokens(self, organisation: OrganisationId, tokens: Sequence[TokenId]) -> None:
        rows = self._tokens.rows_of(self._session, organisation, [(token,) for token in tokens])
        self._tokens.demand([(token,) for token in tokens], {(row.id,): row for row in rows})
