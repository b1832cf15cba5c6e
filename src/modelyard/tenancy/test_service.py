import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import product
from threading import Barrier

import pytest

from modelyard.adapters.sql import SqlMetadata
from modelyard.core import IdMaker, ManualClock, MemberId, Problem, ProjectId
from modelyard.tenancy import Actor, Limit, Role, TenancyTransaction, authorise, role_in
from modelyard.tenancy.service import (
    actor_of,
    bootstrap,
    create_member,
    create_project,
    create_token,
    ensure_project,
    find_members,
    find_projects,
    find_tokens,
    get_project,
    hash_secret,
    identify,
    limit_token,
    local_owner,
    organisation_stream,
    platform_actor,
    revoke_token,
    set_role,
    token_hashes,
    token_limits,
)

HOSTILE = ["", "a/b", "../up", "A", "1st", "a b", "a\n", "a;drop table job", "ä", "a" * 64, "-a", "a.b", "a\x00"]


@dataclass(frozen=True)
class Ports:
    clock: ManualClock
    ids: IdMaker
    metadata: SqlMetadata

    def transaction(self) -> AbstractContextManager[TenancyTransaction]:
        return self.metadata.transaction()


@pytest.fixture
def ports(metadata_url: str) -> Iterator[Ports]:
    clock = ManualClock()
    made = Ports(clock, IdMaker(clock), SqlMetadata(metadata_url))
    made.metadata.upgrade()
    yield made
    made.metadata.close()


@pytest.fixture
def owner(ports: Ports) -> Actor:
    return local_owner(ports)


def facts(ports: Ports, stream: ProjectId) -> list[str]:
    with ports.transaction() as tx:
        return [event.kind for event in tx.events.read(stream)]


def refused(code: str) -> "pytest.RaisesExc[Problem]":
    return pytest.raises(Problem, check=lambda problem: problem.code == code)


def test_the_first_token_is_told_once_and_acts_for_the_admin(ports: Ports) -> None:
    owner, secret = bootstrap(ports)
    assert secret is not None
    assert re.fullmatch(r"yard_[A-Za-z0-9_-]{43}", secret)
    assert identify(ports, secret) == owner
    assert owner.role is Role.ADMIN
    assert bootstrap(ports) == (owner, None)
    assert facts(ports, organisation_stream(owner.organisation)) == ["organisation.created", "member.created", "token.created"]


def test_only_a_hash_of_a_secret_is_kept(ports: Ports) -> None:
    owner, secret = bootstrap(ports)
    assert secret is not None
    with ports.transaction() as tx:
        [token] = tx.tenancy.tokens(owner.organisation)
    assert token.secret_hash == hash_secret(secret)
    assert secret not in repr(token)
    assert find_tokens(ports, owner)[0].secret_hash == ""


def test_processes_that_race_make_one_owner_and_one_first_token(ports: Ports) -> None:
    together = Barrier(8)

    def start(_: int) -> tuple[Actor, str | None]:
        together.wait()
        return bootstrap(ports)

    with ThreadPoolExecutor(8) as threads:
        started = list(threads.map(start, range(8)))
    assert len({actor.member for actor, _ in started}) == 1
    assert len([secret for _, secret in started if secret is not None]) == 1
    assert len(find_tokens(ports, started[0][0])) == 1


def test_a_local_owner_gets_no_token_and_is_the_one_who_is_given_the_first(ports: Ports, owner: Actor) -> None:
    assert find_tokens(ports, owner) == []
    assert local_owner(ports) == owner
    assert bootstrap(ports)[0] == owner


@pytest.mark.parametrize(
    "secret", ["", "yard_", "yard_" + "a" * 43, "yard_" + "a" * 44, "a" * 48, "yard_\ud800" + "a" * 42, "ä" * 48]
)
def test_a_wrong_secret_is_not_accepted(ports: Ports, secret: str) -> None:
    bootstrap(ports)
    with refused("token.unauthenticated"):
        identify(ports, secret)


def test_unknown_revoked_and_expired_secrets_are_told_alike(ports: Ports, owner: Actor) -> None:
    token, revoked = create_token(ports, owner, member="owner", name="gone")
    _, expired = create_token(ports, owner, member="owner", name="short", days=1)
    assert identify(ports, expired) == identify(ports, revoked) == owner
    revoke_token(ports, owner, token.id)
    ports.clock.advance(days=1)
    told = set()
    for secret in (revoked, expired, "yard_" + "b" * 43, "nonsense"):
        with refused("token.unauthenticated") as raised:
            identify(ports, secret)
        told.add(str(raised.value))
    assert len(told) == 1


def test_a_token_caps_every_role_of_its_member_and_raises_none(ports: Ports, owner: Actor) -> None:
    project = create_project(ports, owner, "flights").id
    create_member(ports, owner, name="ada", role=Role.VIEWER)
    set_role(ports, owner, project, member="ada", role=Role.APPROVER)
    _, capped = create_token(ports, owner, member="ada", name="train", role=Role.TRAINER)
    _, above = create_token(ports, owner, member="ada", name="all", role=Role.ADMIN)
    assert (identify(ports, capped).role, identify(ports, capped).projects) == (Role.VIEWER, {project: Role.TRAINER})
    assert (identify(ports, above).role, identify(ports, above).projects) == (Role.VIEWER, {project: Role.APPROVER})


def test_a_capped_admin_can_make_no_uncapped_token(ports: Ports, owner: Actor) -> None:
    _, secret = create_token(ports, owner, member="owner", name="train", role=Role.TRAINER)
    with refused("action.forbidden"):
        create_token(ports, identify(ports, secret), member="owner", name="more")


def test_a_token_s_time_has_bounds(ports: Ports, owner: Actor) -> None:
    for days in (0, -1, 4000, float("nan")):
        with refused("token.invalid"):
            create_token(ports, owner, member="owner", name="odd", days=days)


def test_a_revoked_token_is_named_by_its_id_or_its_only_name(ports: Ports, owner: Actor) -> None:
    first, _ = create_token(ports, owner, member="owner", name="ci")
    create_token(ports, owner, member="owner", name="ci")
    with refused("token.conflict"):
        revoke_token(ports, owner, "ci")
    at = ports.clock()
    revoke_token(ports, owner, first.id)
    revoke_token(ports, owner, "ci")
    ports.clock.advance(days=1)
    assert revoke_token(ports, owner, first.id).revoked_at == at
    with refused("token.missing"):
        revoke_token(ports, owner, "ci")
    assert facts(ports, organisation_stream(owner.organisation)).count("token.revoked") == 2


def test_projects_are_seen_only_by_those_with_a_role_in_them(ports: Ports, owner: Actor) -> None:
    flights, _ = (create_project(ports, owner, name) for name in ("flights", "churn"))
    ada = create_member(ports, owner, name="ada")
    assert find_projects(ports, actor_of(ports, ada.id)) == []
    set_role(ports, owner, flights.id, member="ada", role=Role.VIEWER)
    assert find_projects(ports, actor_of(ports, ada.id)) == [flights]
    assert get_project(ports, actor_of(ports, ada.id), "flights") == flights
    with refused("project.missing") as raised:
        get_project(ports, actor_of(ports, ada.id), "churn")
    assert "churn" not in raised.value.detail["known"]
    assert [project.name for project in find_projects(ports, owner)] == ["churn", "flights"]


def test_an_unknown_project_is_told_with_the_nearest(ports: Ports, owner: Actor) -> None:
    create_project(ports, owner, "flights")
    with refused("project.missing") as raised:
        get_project(ports, owner, "fligths")
    assert raised.value.detail["nearest"] == ["flights"]


def test_a_project_is_made_once_also_in_a_race(ports: Ports, owner: Actor) -> None:
    together = Barrier(6)

    def ensure(_: int) -> ProjectId:
        together.wait()
        return ensure_project(ports, owner, "flights").id

    with ThreadPoolExecutor(6) as threads:
        [project] = set(threads.map(ensure, range(6)))
    assert facts(ports, project) == ["project.created"]
    with refused("project.exists"):
        create_project(ports, owner, "flights")


def test_another_organisation_s_things_are_neither_seen_nor_touched(ports: Ports, owner: Actor) -> None:
    project = create_project(ports, owner, "flights")
    token, _ = create_token(ports, owner, member="owner", name="ci")
    stranger = local_owner(ports, organisation="other")
    assert find_projects(ports, stranger) == []
    assert [member.id for member in find_members(ports, stranger)] == [stranger.member]
    with refused("project.missing"):
        get_project(ports, stranger, project.id)
    with refused("token.missing"):
        revoke_token(ports, stranger, token.id)
    with refused("project.missing"):
        set_role(ports, stranger, project.id, member="owner", role=Role.ADMIN)
    assert create_project(ports, stranger, "flights").id != project.id


def test_hostile_names_are_refused_everywhere(ports: Ports, owner: Actor) -> None:
    made: dict[str, list[Callable[[str], object]]] = {
        "organisation.invalid": [lambda name: local_owner(ports, organisation=name)],
        "member.invalid": [lambda name: local_owner(ports, member=name), lambda name: create_member(ports, owner, name=name)],
        "project.invalid": [lambda name: create_project(ports, owner, name), lambda name: ensure_project(ports, owner, name)],
        "token.invalid": [lambda name: create_token(ports, owner, member="owner", name=name)],
    }
    for code, name in product(made, HOSTILE):
        for make in made[code]:
            with refused(code):
                make(name)


def test_what_a_role_does_not_allow_is_forbidden(ports: Ports, owner: Actor) -> None:
    project = create_project(ports, owner, "flights").id
    ada = create_member(ports, owner, name="ada", role=Role.APPROVER)
    actor = actor_of(ports, ada.id)
    for forbidden in (
        lambda: create_project(ports, actor, "mine"),
        lambda: create_member(ports, actor, name="bob"),
        lambda: set_role(ports, actor, project, member="ada", role=Role.ADMIN),
        lambda: create_token(ports, actor, member="ada", name="mine"),
        lambda: find_tokens(ports, actor),
        lambda: revoke_token(ports, actor, "mine"),
    ):
        with refused("action.forbidden"):
            forbidden()
    assert [member.name for member in find_members(ports, actor)] == ["ada", "owner"]


def test_a_member_is_found_anywhere_and_where_they_work(ports: Ports, owner: Actor) -> None:
    project = create_project(ports, owner, "flights").id
    assert actor_of(ports, owner.member) == actor_of(ports, owner.member, project=project) == owner
    with refused("member.missing"):
        actor_of(ports, MemberId("mem_none"))


def test_the_platform_acts_for_itself_in_one_project_and_by_no_token(ports: Ports, owner: Actor) -> None:
    flights, churn = (create_project(ports, owner, name).id for name in ("flights", "churn"))
    actor = platform_actor(ports, flights, "policy:weekly")
    assert (actor.member, actor.organisation) == ("policy:weekly", owner.organisation)
    assert (role_in(actor, flights), role_in(actor, churn)) == (Role.APPROVER, None)
    assert actor_of(ports, actor.member, project=flights) == actor
    for code, attempt in (
        ("action.forbidden", lambda: authorise(actor, "gate.break_glass", flights)),
        ("project.missing", lambda: authorise(actor, "project.read", churn)),
        ("action.forbidden", lambda: create_token(ports, actor, member="owner", name="mine")),
        ("member.missing", lambda: create_token(ports, owner, member="policy:weekly", name="its")),
        ("member.invalid", lambda: create_member(ports, owner, name="policy:weekly")),
        ("member.missing", lambda: actor_of(ports, actor.member)),
        ("project.missing", lambda: platform_actor(ports, ProjectId("proj_none"), "judge")),
    ):
        with refused(code):
            attempt()


def test_the_gateway_learns_the_hashes_of_those_who_may_ask_there(ports: Ports, owner: Actor) -> None:
    flights, churn = (create_project(ports, owner, name).id for name in ("flights", "churn"))
    create_member(ports, owner, name="ada")
    set_role(ports, owner, flights, member="ada", role=Role.VIEWER)
    of_owner, _ = create_token(ports, owner, member="owner", name="all")
    of_ada, _ = create_token(ports, owner, member="ada", name="some")
    revoked, _ = create_token(ports, owner, member="owner", name="gone")
    create_token(ports, owner, member="owner", name="short", days=1)
    revoke_token(ports, owner, revoked.id)
    ports.clock.advance(days=2)
    assert token_hashes(ports, owner.organisation) == {
        flights: (of_owner.secret_hash, of_ada.secret_hash),
        churn: (of_owner.secret_hash,),
    }


def test_the_gateway_learns_the_limits_of_valid_tokens(ports: Ports, owner: Actor) -> None:
    made, _ = create_token(ports, owner, member="owner", name="partner", limit=Limit(requests=100, burst=200))
    create_token(ports, owner, member="owner", name="free")
    gone, _ = create_token(ports, owner, member="owner", name="gone", limit=Limit(rows=5))
    revoke_token(ports, owner, gone.id)
    assert token_limits(ports, owner.organisation) == {made.secret_hash: Limit(100, 200)}
    told = limit_token(ports, owner, "partner", Limit(rows=5000))
    assert (told.id, told.limit, told.secret_hash) == (made.id, Limit(rows=5000), "")
    assert token_limits(ports, owner.organisation) == {made.secret_hash: Limit(rows=5000)}
    limit_token(ports, owner, made.id, None)
    assert token_limits(ports, owner.organisation) == {}


@pytest.mark.parametrize(
    "limit",
    [
        Limit(), Limit(requests=0), Limit(requests=-1), Limit(requests=float("nan")), Limit(rows=float("inf")), Limit(rows=0),
        Limit(requests=1, burst=0), Limit(burst=5), Limit(rows=5, burst=5),
    ],
)  # fmt: skip
def test_a_limit_that_cannot_be_kept_is_refused(ports: Ports, owner: Actor, limit: Limit) -> None:
    create_token(ports, owner, member="owner", name="partner")
    for attempt in (
        lambda: create_token(ports, owner, member="owner", name="other", limit=limit),
        lambda: limit_token(ports, owner, "partner", limit),
    ):
        with refused("limit.invalid"):
            attempt()
    assert [token.limit for token in find_tokens(ports, owner)] == [None]


def test_only_an_admin_limits_a_token_that_is_there(ports: Ports, owner: Actor) -> None:
    create_member(ports, owner, name="ada", role=Role.APPROVER)
    create_token(ports, owner, member="ada", name="hers")
    ada = next(member for member in find_members(ports, owner) if member.name == "ada")
    with refused("action.forbidden"):
        limit_token(ports, actor_of(ports, ada.id), "hers", None)
    with refused("token.missing"):
        limit_token(ports, owner, "theirs", Limit(requests=1))


def test_a_role_is_replaced_not_added(ports: Ports, owner: Actor) -> None:
    project = create_project(ports, owner, "flights").id
    ada = create_member(ports, owner, name="ada")
    set_role(ports, owner, project, member="ada", role=Role.ADMIN)
    set_role(ports, owner, project, member=ada.id, role=Role.VIEWER)
    assert actor_of(ports, ada.id) == replace(actor_of(ports, ada.id), projects={project: Role.VIEWER})
    with refused("member.missing"):
        set_role(ports, owner, project, member="bob", role=Role.VIEWER)
