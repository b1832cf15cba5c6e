"""Deployments and rollouts on a real metadata database."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelyard.adapters.file import FileObjects
from modelyard.adapters.sql import SqlMetadata, SqlTransaction
from modelyard.core import Digest, IdMaker, ManualClock, PageRequest, Problem, ProjectId, digest_bytes
from modelyard.data import Column, DatasetVersionId
from modelyard.registry import Condition, ConditionKind, Form, Gate, ModelVersion, Signature
from modelyard.registry.rules import chosen_form
from modelyard.registry.service import approve, ensure_model, find_aliases, promote, restore, set_gate
from modelyard.serving import Deployment, Judgement, RolloutState, Route, RouteKind, Verdict
from modelyard.serving.routing import shadow, split
from modelyard.serving.service import (
    advance_rollout,
    catalogue,
    catalogue_position,
    deploy,
    find_deployments,
    find_rollouts,
    follow_aliases,
    get_deployment,
    get_rollout,
    hold_rollout,
    latest_revision,
    move_alias,
    move_alias_back,
    revisions,
    roll_back_deployment,
    roll_back_rollout,
    start_rollout,
)
from modelyard.tenancy import Actor, Role
from modelyard.tenancy.service import bootstrap, create_project, create_token
from modelyard.training import Recipe, RunId

DIGEST: Digest = digest_bytes(b"x")
ONNX: Digest = digest_bytes(b"onnx")


@dataclass(frozen=True)
class Ports:
    """The ports of serving, filled."""

    clock: ManualClock
    ids: IdMaker
    objects: FileObjects
    metadata: SqlMetadata

    def transaction(self) -> AbstractContextManager[SqlTransaction]:
        """Open or join a transaction."""
        return self.metadata.transaction()

    def reading(self) -> AbstractContextManager[SqlTransaction]:
        """Open or join a transaction that only reads."""
        return self.metadata.reading()


@dataclass(frozen=True)
class Place:
    """A project with a model of five versions, the first one champion."""

    ports: Ports
    actor: Actor
    project: ProjectId
    token: str

    def version(self, number: int) -> None:
        signature = Signature((Column("at", "Datetime[UTC]"), Column("wind", "Float64")), (Column("probability", "Float64"),))
        made = ModelVersion(
            project=self.project,
            model="delay",
            number=number,
            run=RunId("run_1"),
            recipe=Recipe(DIGEST, {}),
            data=DatasetVersionId("dsv_1"),
            pipeline=DIGEST,
            signature=signature,
            forms=(Form("native", DIGEST, 10, "sklearn"), Form("onnx", ONNX, 10, "onnxruntime")),
            metrics={},
            slices=(),
            evaluations=(),
            checks_green=number != 4,
            card=DIGEST,
            created_by=self.actor.member,
            created_at=self.ports.clock(),
        )
        with self.ports.transaction() as tx:
            tx.models.add_versions(self.project, [made])

    def deploy(self, **rest: object) -> Deployment:
        return deploy(self.ports, self.actor, self.project, "delay", model="delay", **rest)  # type: ignore[arg-type]

    def routes(self) -> tuple[Route, ...]:
        return latest_revision(self.ports, self.actor, self.project, "delay").routes

    def champion(self) -> int | None:
        return find_aliases(self.ports, self.actor, self.project, "delay")[0].version

    def kinds(self) -> list[str]:
        with self.ports.transaction() as tx:
            return [event.kind for event in tx.events.read(self.project, limit=1000)]


@pytest.fixture
def place(metadata_url: str, tmp_path: Path) -> Iterator[Place]:
    metadata = SqlMetadata(metadata_url)
    metadata.upgrade()
    clock = ManualClock(datetime(2013, 4, 1, tzinfo=UTC))
    ports = Ports(clock, IdMaker(clock), FileObjects(tmp_path / "objects"), metadata)
    actor, token = bootstrap(ports)
    project = create_project(ports, actor, "flights").id
    made = Place(ports, actor, project, token or "")
    ensure_model(ports, actor, project, "delay")
    for number in range(1, 6):
        made.version(number)
    promote(ports, actor, project, "delay", 1, "champion")
    yield made
    metadata.close()


JUDGED = Judgement(Verdict.PROMOTE, -0.01, 0.005, 800, 800, 0.02)


def test_a_deployment_begins_with_the_version_of_its_alias(place: Place) -> None:
    made = place.deploy(time="at", canary=[10, 50, 100])
    assert place.routes() == (Route(1, 100),)
    assert get_deployment(place.ports, place.actor, place.project, "delay") == made
    assert find_deployments(place.ports, place.actor, place.project) == [made]
    assert place.kinds()[-2:] == ["deployment.created", "revision.made"]


def test_deploying_again_changes_it_and_the_same_again_changes_nothing(place: Place) -> None:
    first = place.deploy()
    assert place.deploy() == first
    changed = place.deploy(tolerance=0.05)
    assert changed == replace(first, tolerance=0.05)
    assert len(revisions(place.ports, place.actor, place.project, "delay", PageRequest()).items) == 1
    assert place.kinds().count("deployment.changed") == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [({"alias": "challenger"}, "alias.missing"), ({"model": "dealy"}, "model.missing"),
     ({"canary": [10]}, "deployment.invalid"),
     ({"loss": "log_los"}, "loss.missing"), ({"tolerance": 0.0}, "deployment.invalid"), ({"time": "a"}, "column.missing"),
     ({"time": "wind"}, "deployment.invalid")],
)  # fmt: skip
def test_an_unusable_deployment_is_refused(place: Place, arguments: dict[str, object], code: str) -> None:
    with pytest.raises(Problem) as told:
        deploy(place.ports, place.actor, place.project, "delay", **{"model": "delay", **arguments})  # type: ignore[arg-type]
    assert told.value.code == code
    assert find_deployments(place.ports, place.actor, place.project) == []


def test_a_rollout_goes_10_50_100_and_moves_the_alias_with_the_last_revision(place: Place) -> None:
    place.deploy()
    started = start_rollout(place.ports, place.actor, place.project, "delay", version=2, cause="alert_1")
    assert (started.base, started.step, started.broken_glass, started.state) == (1, 0, False, RolloutState.RUNNING)
    assert place.routes() == (Route(1, 90), Route(2, 10, RouteKind.CANARY))
    place.ports.clock.advance(hours=1)
    wider = advance_rollout(place.ports, place.actor, place.project, started.id, judgement=JUDGED)
    assert (wider.step, wider.judgement, wider.step_at) == (1, JUDGED, place.ports.clock())
    assert place.routes() == (Route(1, 50), Route(2, 50, RouteKind.CANARY))
    assert place.champion() == 1
    ended = advance_rollout(place.ports, place.actor, place.project, started.id, judgement=JUDGED)
    assert (ended.state, ended.finished_at) == (RolloutState.PROMOTED, place.ports.clock())
    assert place.routes() == (Route(2, 100),)
    assert place.champion() == 2
    made = revisions(place.ports, place.actor, place.project, "delay", PageRequest()).items
    assert [revision.cause == started.id for revision in made] == [True, True, True, False]
    assert [kind for kind in place.kinds() if kind.startswith("rollout.")] == [
        "rollout.started",
        "rollout.advanced",
        "rollout.promoted",
    ]
    with pytest.raises(Problem, match="cannot become"):
        advance_rollout(place.ports, place.actor, place.project, started.id)


def test_a_rolled_back_canary_leaves_the_alias_where_it_was(place: Place) -> None:
    place.deploy()
    started = start_rollout(place.ports, place.actor, place.project, "delay", version=2, cause="alert_1")
    ended = roll_back_rollout(place.ports, place.actor, place.project, started.id, judgement=JUDGED)
    assert ended.state is RolloutState.ROLLED_BACK
    assert get_rollout(place.ports, place.actor, place.project, started.id) == ended
    assert place.routes() == (Route(1, 100),)
    assert place.champion() == 1


def test_one_rollout_runs_at_a_time_and_not_of_the_live_version(place: Place) -> None:
    place.deploy()
    with pytest.raises(Problem, match="it is what delay answers with"):
        start_rollout(place.ports, place.actor, place.project, "delay", version=1, cause="x")
    start_rollout(place.ports, place.actor, place.project, "delay", version=2, cause="x")
    with pytest.raises(Problem) as told:
        start_rollout(place.ports, place.actor, place.project, "delay", version=3, cause="x")
    assert told.value.code == "rollout.conflict"
    with pytest.raises(Problem) as told:
        place.deploy(canary=[5, 100])
    assert told.value.code == "rollout.conflict"


def test_a_held_rollout_waits_for_a_person_or_makes_way(place: Place) -> None:
    place.deploy()
    first = start_rollout(place.ports, place.actor, place.project, "delay", version=2, cause="x")
    held = hold_rollout(place.ports, place.actor, place.project, first.id, judgement=JUDGED)
    assert (held.state, held.judgement) == (RolloutState.HELD, JUDGED)
    assert place.routes() == (Route(1, 90), Route(2, 10, RouteKind.CANARY))
    assert advance_rollout(place.ports, place.actor, place.project, first.id).state is RolloutState.RUNNING
    hold_rollout(place.ports, place.actor, place.project, first.id)
    start_rollout(place.ports, place.actor, place.project, "delay", version=3, cause="y")
    found = find_rollouts(place.ports, place.actor, place.project, PageRequest(), name="delay").items
    assert {one.candidate: one.state for one in found} == {2: RolloutState.ROLLED_BACK, 3: RolloutState.RUNNING}
    assert place.routes() == (Route(1, 90), Route(3, 10, RouteKind.CANARY))


def test_a_closed_gate_stops_a_rollout_unless_the_glass_is_broken(place: Place) -> None:
    place.deploy()
    set_gate(place.ports, place.actor, place.project, "delay", "champion", Gate((Condition(ConditionKind.CHECKS),)))
    with pytest.raises(Problem) as told:
        start_rollout(place.ports, place.actor, place.project, "delay", version=4, cause="x")
    assert told.value.code == "gate.refused"
    assert place.routes() == (Route(1, 100),)
    approve(place.ports, place.actor, place.project, "delay", 4, "champion", reason="must go out", break_glass=True)
    assert start_rollout(place.ports, place.actor, place.project, "delay", version=4, cause="x").broken_glass
    assert place.routes() == (Route(1, 90), Route(4, 10, RouteKind.CANARY))


def test_a_gate_that_closes_meanwhile_stops_the_promotion_as_a_whole(place: Place) -> None:
    place.deploy(canary=[10, 100])
    started = start_rollout(place.ports, place.actor, place.project, "delay", version=4, cause="x")
    set_gate(place.ports, place.actor, place.project, "delay", "champion", Gate((Condition(ConditionKind.CHECKS),)))
    with pytest.raises(Problem) as told:
        advance_rollout(place.ports, place.actor, place.project, started.id)
    assert told.value.code == "gate.refused"
    assert get_rollout(place.ports, place.actor, place.project, started.id).state is RolloutState.RUNNING
    assert place.routes() == (Route(1, 90), Route(4, 10, RouteKind.CANARY))


def test_a_deployment_without_steps_is_switched_at_once(place: Place) -> None:
    place.deploy(canary=[100])
    ended = start_rollout(place.ports, place.actor, place.project, "delay", version=2, cause="x")
    assert ended.state is RolloutState.PROMOTED
    assert (place.routes(), place.champion()) == ((Route(2, 100),), 2)


def test_a_persons_promotion_is_followed_in_one_transaction_or_by_its_event(place: Place) -> None:
    place.deploy()
    move_alias(place.ports, place.actor, place.project, "delay", 2, "champion")
    assert place.routes() == (Route(2, 100),)
    promote(place.ports, place.actor, place.project, "delay", 3, "champion")
    assert place.routes() == (Route(2, 100),)
    with place.ports.transaction() as tx:
        events = tx.events.read(place.project, limit=1000)
    follow = actor_by_id(place)
    assert [one.routes for one in follow_aliases(place.ports, follow, place.project, events)] == [(Route(3, 100),)]
    assert follow_aliases(place.ports, follow, place.project, events) == []
    assert place.routes() == (Route(3, 100),)


def test_a_promotion_that_overtakes_a_rollout_ends_it(place: Place) -> None:
    place.deploy()
    first = start_rollout(place.ports, place.actor, place.project, "delay", version=2, cause="x")
    move_alias(place.ports, place.actor, place.project, "delay", 2, "champion")
    assert get_rollout(place.ports, place.actor, place.project, first.id).state is RolloutState.PROMOTED
    second = start_rollout(place.ports, place.actor, place.project, "delay", version=3, cause="x")
    move_alias(place.ports, place.actor, place.project, "delay", 5, "champion")
    assert get_rollout(place.ports, place.actor, place.project, second.id).state is RolloutState.ROLLED_BACK
    assert place.routes() == (Route(5, 100),)


def test_rolling_a_deployment_back_ends_its_rollout_or_returns_to_the_version_before(place: Place) -> None:
    place.deploy()
    with pytest.raises(Problem) as told:
        roll_back_deployment(place.ports, place.actor, place.project, "delay", cause="x")
    assert told.value.code == "deployment.conflict"
    move_alias(place.ports, place.actor, place.project, "delay", 2, "champion")
    started = start_rollout(place.ports, place.actor, place.project, "delay", version=3, cause="x")
    assert roll_back_deployment(place.ports, place.actor, place.project, "delay", cause="x").routes == (Route(2, 100),)
    assert get_rollout(place.ports, place.actor, place.project, started.id).state is RolloutState.ROLLED_BACK
    assert roll_back_deployment(place.ports, place.actor, place.project, "delay", cause="x").routes == (Route(1, 100),)
    assert place.champion() == 1


def test_an_alias_can_be_taken_back_to_where_it_stood(place: Place) -> None:
    place.deploy()
    move_alias(place.ports, place.actor, place.project, "delay", 2, "champion")
    move_alias_back(place.ports, place.actor, place.project, "delay", 1, "champion", cause="undo")
    assert (place.routes(), place.champion()) == ((Route(1, 100),), 1)
    with pytest.raises(Problem, match="never stood there"):
        move_alias_back(place.ports, place.actor, place.project, "delay", 5, "champion", cause="undo")


def test_rolling_back_after_the_alias_was_restored_follows_the_alias(place: Place) -> None:
    place.deploy()
    move_alias(place.ports, place.actor, place.project, "delay", 2, "champion")
    restore(place.ports, place.actor, place.project, "delay", "champion", 1, cause="undo")
    assert roll_back_deployment(place.ports, place.actor, place.project, "delay", cause="undo").routes == (Route(1, 100),)
    assert place.champion() == 1


def test_the_catalogue_holds_what_gateways_need_and_its_position_moves_with_it(place: Place) -> None:
    before = catalogue_position(place.ports, place.actor)
    place.deploy(time="at")
    start_rollout(place.ports, place.actor, place.project, "delay", version=2, cause="x")
    found = catalogue(place.ports, place.actor)
    assert found.position == catalogue_position(place.ports, place.actor) > before
    [served] = found.deployments
    assert (served.project_name, served.name, served.time) == ("flights", "delay", "at")
    assert [one.version for one in served.versions] == [1, 2]
    assert {(one.form, one.model, one.framework) for one in served.versions} == {("onnx", ONNX, "onnxruntime")}
    [known] = found.token_hashes[place.project]
    _, secret = create_token(place.ports, place.actor, member="owner", name="traffic", role=Role.VIEWER)
    later = catalogue(place.ports, place.actor)
    assert later.position > found.position
    assert secret
    assert known in later.token_hashes[place.project]
    assert len(later.token_hashes[place.project]) == 2
    assert catalogue(place.ports, place.actor) == later


def test_a_stranger_sees_nothing_in_the_catalogue(place: Place) -> None:
    place.deploy()
    stranger = replace(place.actor, role=None, projects={})
    assert catalogue(place.ports, stranger).deployments == ()
    assert catalogue(place.ports, stranger).token_hashes == {}


@pytest.mark.parametrize("role", [Role.VIEWER, Role.TRAINER])
def test_only_approvers_change_what_answers(place: Place, role: Role) -> None:
    place.deploy()
    weak = replace(place.actor, role=role)
    with pytest.raises(Problem) as told:
        start_rollout(place.ports, weak, place.project, "delay", version=2, cause="x")
    assert told.value.code == "action.forbidden"
    with pytest.raises(Problem) as told:
        deploy(place.ports, weak, place.project, "other", model="delay")
    assert told.value.code == "action.forbidden"


def test_a_version_without_onnx_is_served_in_its_native_form(place: Place) -> None:
    with place.ports.transaction() as tx:
        [version] = tx.models.get_versions(place.project, "delay", [1])
    assert chosen_form(replace(version, forms=version.forms[:1])).name == "native"


def test_the_fastest_form_answers_unless_the_deployment_says_which(place: Place) -> None:
    with place.ports.transaction() as tx:
        [version] = tx.models.get_versions(place.project, "delay", [1])
    native, onnx = version.forms
    slow, fast = replace(onnx, latency_us=90.0), replace(native, latency_us=20.0)
    assert chosen_form(replace(version, forms=(native, onnx))).name == "onnx", "what was not measured comes last"
    assert chosen_form(replace(version, forms=(fast, slow))).name == "native"
    assert chosen_form(replace(version, forms=(replace(fast, latency_us=90.0), slow))).name == "onnx", "the preferred of equals"
    assert chosen_form(replace(version, forms=(fast, slow)), "onnx").name == "onnx"
    assert chosen_form(replace(version, forms=(fast,)), "onnx").name == "native", "a version without it answers all the same"
    deploy(place.ports, place.actor, place.project, "delay", model="delay")
    assert catalogue(place.ports, place.actor).deployments[0].versions[0].form == "onnx"
    before = catalogue_position(place.ports, place.actor)
    assert deploy(place.ports, place.actor, place.project, "delay", model="delay", form="native").form == "native"
    assert catalogue(place.ports, place.actor).deployments[0].versions[0].form == "native"
    assert catalogue_position(place.ports, place.actor) > before, "gateways learn of it"
    with pytest.raises(Problem, match="did you mean 'native'") as told:
        deploy(place.ports, place.actor, place.project, "delay", model="delay", form="natve")
    assert told.value.code == "form.missing"


def actor_by_id(place: Place) -> Callable[[object], Actor]:
    return lambda member: place.actor


def test_versions_share_the_requests_by_weights_until_one_has_them_all(place: Place) -> None:
    place.deploy()
    who = (place.ports, place.actor, place.project, "delay")
    split(*who, {2: 30, 1: 70}, cause="test")
    assert place.routes() == (Route(1, 70), Route(2, 30))
    with pytest.raises(Problem) as told:
        start_rollout(*who, version=3, cause="x")
    assert told.value.code == "rollout.conflict"
    assert roll_back_deployment(*who, cause="x").routes == (Route(1, 100),)
    split(*who, {1: 60, 2: 20, 3: 20}, cause="test")
    split(*who, {1: 100}, cause="test")
    assert place.routes() == (Route(1, 100),)
    for weights in ({1: 70, 2: 20}, {2: 100}, {1: 100, 2: 0}, {}):
        with pytest.raises(Problem) as told:
            split(*who, weights, cause="test")
        assert told.value.code == "deployment.invalid"
    with pytest.raises(Problem) as told:
        split(*who, {1: 50, 9: 50}, cause="test")
    assert told.value.code == "version.missing"


def test_no_version_gets_a_weight_past_its_gate_or_beside_a_rollout(place: Place) -> None:
    place.deploy()
    who = (place.ports, place.actor, place.project, "delay")
    set_gate(place.ports, place.actor, place.project, "delay", "champion", Gate((Condition(ConditionKind.CHECKS),)))
    with pytest.raises(Problem) as told:
        split(*who, {1: 50, 4: 50}, cause="test")
    assert told.value.code == "gate.refused"
    start_rollout(*who, version=2, cause="x")
    with pytest.raises(Problem) as told:
        split(*who, {1: 50, 3: 50}, cause="test")
    assert told.value.code == "rollout.conflict"


def test_shadows_stay_through_rollouts_and_end_when_their_version_answers(place: Place) -> None:
    place.deploy()
    who = (place.ports, place.actor, place.project, "delay")
    shadow(*who, 3, cause="test")
    shadow(*who, 4, share=20, cause="test")
    beside = (Route(3, 100, RouteKind.SHADOW), Route(4, 20, RouteKind.SHADOW))
    assert place.routes() == (Route(1, 100), *beside)
    started = start_rollout(*who, version=3, cause="x")
    assert place.routes() == (Route(1, 90), Route(3, 10, RouteKind.CANARY), beside[1])
    roll_back_rollout(place.ports, place.actor, place.project, started.id)
    assert place.routes() == (Route(1, 100), beside[1])
    assert {one.version for one in catalogue(place.ports, place.actor).deployments[0].versions} == {1, 4}
    shadow(*who, 4, share=0, cause="test")
    assert place.routes() == (Route(1, 100),)
    for version, share, code in ((1, 100, "rollout.conflict"), (2, 101, "deployment.invalid"), (9, 100, "version.missing")):
        with pytest.raises(Problem) as told:
            shadow(*who, version, share=share, cause="test")
        assert told.value.code == code
