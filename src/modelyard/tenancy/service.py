"""Use cases of tenancy: who there is, which projects, and whose secret a caller shows.

Facts of a project stand in its own stream; those of the organisation (members, tokens) in the stream `organisation_stream`.
"""

import hashlib
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from secrets import token_urlsafe
from typing import Protocol

from modelyard.core import (
    Clock,
    IdMaker,
    MemberId,
    OrganisationId,
    Problem,
    ProjectId,
    check_name,
    missing,
)
from modelyard.events import Fact
from modelyard.tenancy.rules import LEAST_ROLE, RANK, authorise, authorise_organisation, check_limit, is_platform, role_in
from modelyard.tenancy.store import TenancyTransaction
from modelyard.tenancy.types import Actor, Limit, Member, Membership, Organisation, Project, Role, Token, TokenId

FIRST_TOKEN = "first"  # noqa: S105 - the name of a token, not its secret
SECRET_PREFIX = "yard_"  # noqa: S105 - what every secret starts with
MAX_DAYS = 3650
_SECRET_BYTES = 32
_SECRET = re.compile(SECRET_PREFIX + r"[A-Za-z0-9_-]{43}")


class Ports(Protocol):
    """What tenancy needs of the platform."""

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        ...

    @property
    def ids(self) -> IdMaker:
        """The maker of ids."""
        ...

    def transaction(self) -> AbstractContextManager[TenancyTransaction]:
        """Open or join a transaction."""
        ...


def organisation_stream(organisation: OrganisationId) -> ProjectId:
    """Return the stream in which the organisation's own facts stand; it has the organisation's id, which no project has."""
    return ProjectId(organisation)


def hash_secret(secret: str) -> str:
    """Return what is kept of a token's secret: its SHA-256, in hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def bootstrap(ports: Ports, *, organisation: str = "local", member: str = "owner") -> tuple[Actor, str | None]:
    """Make the organisation, its admin and a first token where there is none, and return the admin and the token's secret.

    The secret is told once: it is None when the organisation has had a token before. Safe to repeat, and when processes race.
    """
    actor = local_owner(ports, organisation=organisation, member=member)
    secret = SECRET_PREFIX + token_urlsafe(_SECRET_BYTES)
    try:
        with ports.transaction() as tx:
            if tx.tenancy.tokens(actor.organisation):
                return actor, None
            # The id is made of the organisation's, so that of two processes that see no token only one can add the first.
            first = Token(
                id=TokenId(f"token_{actor.organisation.removeprefix('org_')}"),
                organisation=actor.organisation,
                member=actor.member,
                name=FIRST_TOKEN,
                secret_hash=hash_secret(secret),
                role=None,
                created_at=ports.clock(),
            )
            _add_token(ports, tx, actor, first)
    except Problem as problem:
        if problem.code != "token.exists":
            raise
        return actor, None
    return actor, secret


def local_owner(ports: Ports, *, organisation: str = "local", member: str = "owner") -> Actor:
    """Return the admin of the local organisation, made when there is none: who acts in embedded mode."""
    check_name("organisation", organisation)
    check_name("member", member)
    try:
        return _owner(ports, organisation, member)
    except Problem as problem:
        if problem.code not in ("organisation.exists", "member.exists"):
            raise
        return _owner(ports, organisation, member)  # another process was first, and its rows are there now


def identify(ports: Ports, secret: str) -> Actor:
    """Return who the secret of a token acts for, with the token's cap on every role.

    Raises
    ------
    Problem
        `token.unauthenticated`, in the same words for an unknown, revoked, expired or malformed secret.
    """
    why = "it is unknown, revoked or expired"
    unknown = Problem("token.unauthenticated", "The token is not accepted", why, "yard token create")
    if not _SECRET.fullmatch(secret):
        raise unknown
    with ports.transaction() as tx:
        token = tx.tenancy.token_by_hash(hash_secret(secret))
        if token is None or not _valid(token, ports.clock()):
            raise unknown
        member = next((one for one in tx.tenancy.members(token.organisation) if one.id == token.member), None)
        if member is None:
            raise unknown
        actor = _actor(tx, member)
    return _capped(actor, token.role)


def actor_of(ports: Ports, member: MemberId, *, project: ProjectId | None = None) -> Actor:
    """Return a member as they may act now: for work done later on their behalf. `project` narrows where they are looked for.

    The platform's own work is the platform's later too, in its project.

    Raises
    ------
    Problem
        `member.missing`.
    """
    if project is not None and is_platform(member):
        return platform_actor(ports, project, member)
    with ports.transaction() as tx:
        at = tx.tenancy.project_by_id(project) if project is not None else None
        tenants = [at.organisation] if at is not None else [one.id for one in tx.tenancy.organisations()]
        for tenant in tenants:
            for found in tx.tenancy.members(tenant):
                if found.id == member:
                    return _actor(tx, found)
    raise missing("member", member, [], "yard member list")


def platform_actor(ports: Ports, project: ProjectId, name: str) -> Actor:
    """Return the platform itself, as `judge`, `policy:NAME` or `monitor:NAME`: who does in a project what was declared there.

    It is an approver of that project alone, whatever became of the member who declared it: a harmful canary must go back also
    when they have left. No token acts as it, since tokens are of members, and no member has such an id.

    Raises
    ------
    Problem
        `project.missing`.
    """
    with ports.transaction() as tx:
        found = tx.tenancy.project_by_id(project)
    if found is None:
        raise missing("project", project, [], "yard project list")
    return Actor(MemberId(name), name, found.organisation, None, {project: Role.APPROVER})


def create_project(ports: Ports, actor: Actor, name: str) -> Project:
    """Add a project to the actor's organisation. Problem `project.exists` when the name is taken."""
    authorise_organisation(actor, "project.create")
    check_name("project", name)
    made = Project(ProjectId(ports.ids("proj")), actor.organisation, name, ports.clock())
    with ports.transaction() as tx:
        tx.tenancy.add_projects(actor.organisation, [made])
        tx.events.add(made.id, [Fact("project.created", made.id, {"name": name})], actor=actor.member, at=ports.clock())
    return made


def find_projects(ports: Ports, actor: Actor) -> list[Project]:
    """Return the projects in which the actor has any role, by name."""
    with ports.transaction() as tx:
        return [project for project in tx.tenancy.projects(actor.organisation) if role_in(actor, project.id) is not None]


def get_project(ports: Ports, actor: Actor, name: str) -> Project:
    """Return the project of this name, or of this id. Problem `project.missing` also when the actor has no role in it."""
    found = find_projects(ports, actor)
    for project in found:
        if name in (project.name, project.id):
            authorise(actor, "project.read", project.id)
            return project
    raise missing("project", name, [project.name for project in found], "yard project list")


def ensure_project(ports: Ports, actor: Actor, name: str) -> Project:
    """Return the project of this name, made when it is not there. Safe when processes race."""
    try:
        return get_project(ports, actor, name)
    except Problem as problem:
        if problem.code != "project.missing":
            raise
    try:
        return create_project(ports, actor, name)
    except Problem as problem:
        if problem.code != "project.exists":
            raise
        return get_project(ports, actor, name)


def create_member(ports: Ports, actor: Actor, *, name: str, role: Role | None = None) -> Member:
    """Add a member to the organisation; without a role they have one only where `set_role` gives it."""
    authorise_organisation(actor, "member.write")
    check_name("member", name)
    made = Member(MemberId(ports.ids("mem")), actor.organisation, name, role, ports.clock())
    with ports.transaction() as tx:
        tx.tenancy.add_members(actor.organisation, [made])
        told = {"name": name, "role": role.value if role else None}
        _tell(ports, tx, actor, Fact("member.created", made.id, told))
    return made


def set_role(ports: Ports, actor: Actor, project: ProjectId, *, member: str, role: Role) -> Membership:
    """Give a member a role in one project, in place of the one they had there."""
    authorise(actor, "member.write", project)
    with ports.transaction() as tx:
        at = tx.tenancy.project_by_id(project)
        if at is None or at.organisation != actor.organisation:
            raise missing("project", project, [], "yard project list")
        found = _member(tx, actor.organisation, member)
        given = Membership(project, found.id, role)
        tx.tenancy.save_memberships(actor.organisation, [given])
        fact = Fact("member.role_set", found.id, {"name": found.name, "role": role.value})
        tx.events.add(project, [fact], actor=actor.member, at=ports.clock())
    return given


def find_members(ports: Ports, actor: Actor) -> list[Member]:
    """Return the members of the organisation, by name."""
    authorise_organisation(actor, "member.read")
    with ports.transaction() as tx:
        return tx.tenancy.members(actor.organisation)


def create_token(
    ports: Ports,
    actor: Actor,
    *,
    member: str,
    name: str,
    role: Role | None = None,
    days: float | None = None,
    limit: Limit | None = None,
) -> tuple[Token, str]:
    """Make a token that acts for a member, at most in `role`, for `days`; return it and its secret, which is not kept.

    Raises
    ------
    Problem
        `member.missing`; `token.invalid` for a time that is not above 0 or longer than ten years, and `limit.invalid`.
    """
    authorise_organisation(actor, "token.write")
    check_name("token", name)
    check_limit(limit)
    if days is not None and not 0 < days <= MAX_DAYS:
        raise Problem("token.invalid", f"A token cannot be valid for {days} days", f"it is above 0 and at most {MAX_DAYS}")
    secret = SECRET_PREFIX + token_urlsafe(_SECRET_BYTES)
    now = ports.clock()
    with ports.transaction() as tx:
        made = Token(
            id=TokenId(ports.ids("token")),
            organisation=actor.organisation,
            member=_member(tx, actor.organisation, member).id,
            name=name,
            secret_hash=hash_secret(secret),
            role=role,
            created_at=now,
            expires_at=now + timedelta(days=days) if days is not None else None,
            limit=limit,
        )
        _add_token(ports, tx, actor, made)
    return made, secret


def find_tokens(ports: Ports, actor: Actor) -> list[Token]:
    """Return the tokens of the organisation, also those revoked, oldest first, without what is kept of their secrets."""
    authorise_organisation(actor, "token.write")
    with ports.transaction() as tx:
        return [replace(token, secret_hash="") for token in tx.tenancy.tokens(actor.organisation)]


def revoke_token(ports: Ports, actor: Actor, token: str) -> Token:
    """Make a token, named by its id or by a name that only one valid token has, worthless from now on.

    Raises
    ------
    Problem
        `token.missing`; `token.conflict` when several valid ones have the name.
    """
    authorise_organisation(actor, "token.write")
    now = ports.clock()
    with ports.transaction() as tx:
        revoked = _token(tx, actor, token)
        if revoked.revoked_at is None:
            revoked = replace(revoked, revoked_at=now)
            tx.tenancy.revoke_tokens(actor.organisation, [revoked.id], now)
            _tell(ports, tx, actor, Fact("token.revoked", revoked.id, {"name": revoked.name}))
    return replace(revoked, secret_hash="")


def limit_token(ports: Ports, actor: Actor, token: str, limit: Limit | None) -> Token:
    """Say how much a token may ask of gateways from now on; None: any number. It is named as `revoke_token` takes it.

    Raises
    ------
    Problem
        `limit.invalid`, `token.missing`, `token.conflict`.
    """
    authorise_organisation(actor, "token.write")
    check_limit(limit)
    with ports.transaction() as tx:
        limited = replace(_token(tx, actor, token), limit=limit)
        tx.tenancy.limit_tokens(actor.organisation, [limited.id], limit)
        told = None if limit is None else asdict(limit)
        _tell(ports, tx, actor, Fact("token.limited", limited.id, {"name": limited.name, "limit": told}))
    return replace(limited, secret_hash="")


def token_hashes(ports: Ports, organisation: OrganisationId) -> Mapping[ProjectId, tuple[str, ...]]:
    """Return, for each project, the hashes of the valid tokens that may ask for predictions there: for the gateway."""
    with ports.transaction() as tx:
        projects = tx.tenancy.projects(organisation)
        members = {member.id: member for member in tx.tenancy.members(organisation)}
        memberships = tx.tenancy.memberships(organisation)
        tokens = [token for token in tx.tenancy.tokens(organisation) if _valid(token, ports.clock())]
    callers = [
        (token.secret_hash, _capped(_with(members[token.member], memberships), token.role))
        for token in tokens
        if token.member in members
    ]
    return {
        project.id: tuple(secret_hash for secret_hash, caller in callers if _may(caller, "prediction.make", project.id))
        for project in projects
    }


def token_limits(ports: Ports, organisation: OrganisationId) -> Mapping[str, Limit]:
    """Return the limits of those valid tokens that have one, by the token's hash: for the gateway."""
    with ports.transaction() as tx:
        now = ports.clock()
        tokens = [token for token in tx.tenancy.tokens(organisation) if _valid(token, now)]
    return {token.secret_hash: token.limit for token in tokens if token.limit is not None}


def _token(tx: TenancyTransaction, actor: Actor, token: str) -> Token:
    kept = tx.tenancy.tokens(actor.organisation)
    found = [one for one in kept if one.id == token]
    found = found or [one for one in kept if one.name == token and one.revoked_at is None]
    if not found:
        raise missing("token", token, [one.name for one in kept if one.revoked_at is None], "yard token list")
    if len(found) > 1:
        why = "their ids are " + ", ".join(one.id for one in found)
        raise Problem("token.conflict", f"{len(found)} tokens have the name '{token}'", why, "name it by its id")
    return found[0]


def _owner(ports: Ports, organisation: str, member: str) -> Actor:
    with ports.transaction() as tx:
        tenant = next((one for one in tx.tenancy.organisations() if one.name == organisation), None)
        if tenant is None:
            tenant = Organisation(OrganisationId(ports.ids("org")), organisation, ports.clock())
            tx.tenancy.add_organisations([tenant])
        owner = next((one for one in tx.tenancy.members(tenant.id) if one.name == member), None)
        if owner is None:
            owner = Member(MemberId(ports.ids("mem")), tenant.id, member, Role.ADMIN, ports.clock())
            tx.tenancy.add_members(tenant.id, [owner])
            facts = [
                Fact("organisation.created", tenant.id, {"name": organisation}),
                Fact("member.created", owner.id, {"name": member, "role": Role.ADMIN.value}),
            ]
            tx.events.add(organisation_stream(tenant.id), facts, actor=owner.id, at=ports.clock())
        return _actor(tx, owner)


def _add_token(ports: Ports, tx: TenancyTransaction, actor: Actor, token: Token) -> None:
    tx.tenancy.add_tokens(actor.organisation, [token])
    told = {"name": token.name, "member": token.member, "role": token.role.value if token.role else None}
    _tell(ports, tx, actor, Fact("token.created", token.id, told))


def _tell(ports: Ports, tx: TenancyTransaction, actor: Actor, fact: Fact) -> None:
    tx.events.add(organisation_stream(actor.organisation), [fact], actor=actor.member, at=ports.clock())


def _member(tx: TenancyTransaction, organisation: OrganisationId, name: str) -> Member:
    members = tx.tenancy.members(organisation)
    for member in members:
        if name in (member.name, member.id):
            return member
    raise missing("member", name, [member.name for member in members], "yard member list")


def _actor(tx: TenancyTransaction, member: Member) -> Actor:
    return _with(member, tx.tenancy.memberships(member.organisation, member.id))


def _with(member: Member, memberships: list[Membership]) -> Actor:
    projects = {one.project: one.role for one in memberships if one.member == member.id}
    return Actor(member.id, member.name, member.organisation, member.role, projects)


def _valid(token: Token, now: datetime) -> bool:
    return token.revoked_at is None and (token.expires_at is None or now < token.expires_at)


def _may(actor: Actor, action: str, project: ProjectId) -> bool:
    role = role_in(actor, project)
    return role is not None and RANK[role] >= RANK[LEAST_ROLE[action]]


def _capped(actor: Actor, cap: Role | None) -> Actor:
    if cap is None:
        return actor
    role = min(actor.role, cap, key=RANK.__getitem__) if actor.role else None
    projects = {project: min(had, cap, key=RANK.__getitem__) for project, had in actor.projects.items()}
    return replace(actor, role=role, projects=projects)
