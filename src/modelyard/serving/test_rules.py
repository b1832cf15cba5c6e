from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem, ProjectId
from modelyard.serving import DeploymentId, Judgement, Revision, Rollout, RolloutId, RolloutState, Route, RouteKind, Verdict
from modelyard.serving.rules import (
    MOVES,
    check_canary,
    choose,
    is_shared,
    live_version,
    mirrored,
    move,
    next_step,
    routes_of,
    split_of,
)

NOW = datetime(2013, 6, 24, tzinfo=UTC)
JUDGED = Judgement(Verdict.PROMOTE, 0.0, 0.01, 500, 500, 0.02)
KEYS = [f"flight-{number}" for number in range(4000)]


def revision(share: int, candidate: int = 2, base: int | None = 1) -> Revision:
    return Revision(DeploymentId("dep_1"), 1, routes_of(candidate, base, share), "test", NOW)


def canary_keys(share: int, candidate: int = 2) -> set[str]:
    return {key for key in KEYS if choose(revision(share, candidate), key).version == candidate}


@pytest.mark.parametrize("share", [1, 10, 50, 90, 99])
def test_a_canary_gets_about_its_share(share: int) -> None:
    found = len(canary_keys(share)) / len(KEYS)
    assert abs(found - share / 100) < 4 * (share / 100 * (1 - share / 100) / len(KEYS)) ** 0.5


def test_keys_stay_in_the_canary_as_it_grows() -> None:
    grown = [canary_keys(share) for share in (5, 10, 50, 80, 100)]
    assert all(small < large for small, large in pairwise(grown))


def test_the_next_candidate_meets_other_keys_first() -> None:
    first, second = canary_keys(10, candidate=2), canary_keys(10, candidate=3)
    assert len(first & second) < 0.3 * len(first)


@given(st.text(), st.integers(1, 99))
def test_any_key_meets_one_route_again_and_again(key: str, share: int) -> None:
    route = choose(revision(share), key)
    assert route in revision(share).routes
    assert choose(revision(share), key) == route


def test_the_order_of_routes_does_not_matter() -> None:
    here = revision(30)
    turned = replace(here, routes=here.routes[::-1])
    assert all(choose(here, key) == choose(turned, key) for key in KEYS[:200])


def test_the_live_version_is_the_base_until_the_end() -> None:
    assert live_version(revision(50)) == 1
    assert live_version(revision(100)) == 2
    assert live_version(revision(10, base=None)) == 2
    assert revision(10, base=None).routes == (Route(2, 100),)


def test_a_rollout_moves_as_the_table_says() -> None:
    for before, after in product(RolloutState, repeat=2):
        here = rollout(before)
        if after in MOVES[before]:
            moved = move(here, after, NOW)
            assert moved.state is after
            assert (moved.finished_at == NOW) == (after in (RolloutState.PROMOTED, RolloutState.ROLLED_BACK))
        else:
            with pytest.raises(Problem) as told:
                move(here, after, NOW)
            assert told.value.code == "rollout.conflict"


def test_a_move_keeps_the_newest_judgement() -> None:
    judged = move(rollout(RolloutState.RUNNING), RolloutState.HELD, NOW, JUDGED)
    assert judged.judgement == JUDGED
    assert move(judged, RolloutState.ROLLED_BACK, NOW).judgement == JUDGED


@pytest.mark.parametrize(("step", "canary", "after"), [(0, (10, 50, 100), 1), (1, (10, 50, 100), None), (0, (10, 100), None)])
def test_after_the_last_share_below_all_comes_the_promotion(step: int, canary: tuple[int, ...], after: int | None) -> None:
    assert next_step(replace(rollout(RolloutState.RUNNING), step=step), canary) == after


@pytest.mark.parametrize("steps", [(), (10,), (100, 100), (50, 10, 100), (0, 100), (10, 120), (10, 100, 100)])
def test_canary_steps_rise_to_all(steps: tuple[int, ...]) -> None:
    with pytest.raises(Problem, match="canary steps"):
        check_canary(steps)
    assert check_canary([5, 25, 100]) == (5, 25, 100)


def rollout(state: RolloutState) -> Rollout:
    return Rollout(
        RolloutId("rol_1"), ProjectId("prj_1"), DeploymentId("dep_1"), "delay", 2, 1, 0, state, "test", False, NOW, NOW
    )


def test_shadows_answer_nobody_and_weights_are_kept() -> None:
    shadow = Route(3, 40, RouteKind.SHADOW)
    shared = Revision(DeploymentId("dep_1"), 1, (*split_of({2: 25, 1: 75}, 1), shadow), "test", NOW)
    met = Counter(choose(shared, key).version for key in KEYS)
    assert set(met) == {1, 2}
    assert abs(met[2] / len(KEYS) - 0.25) < 0.03
    assert live_version(shared) == 1
    assert is_shared(shared)
    asked = sum(mirrored(shadow, key) for key in KEYS)
    assert abs(asked / len(KEYS) - 0.4) < 0.03
    assert all(mirrored(replace(shadow, weight=100), key) for key in KEYS)
