"""The queue of labels: what teaches most is asked first, nobody is asked what another is, and what comes back is a label."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.monitoring import QueueReason, QueueState
from modelyard.monitoring.labels import labelled_rows
from modelyard.monitoring.queue import Wish, ask, choose, find_queued, skip
from modelyard.serving.ledger import shadow_table
from modelyard.tenancy import Actor, Role
from modelyard.tenancy.service import actor_of, create_member
from tests.living import DAY, START, Living

UNCERTAIN = Wish(rows=10, random_share=0.0)


def asked(living: Living, wish: Wish = UNCERTAIN, actor: Actor | None = None) -> pl.DataFrame:
    return ask(living.platform, actor or living.actor, living.project, "delay", wish)


def states(living: Living) -> dict[str, QueueState]:
    return {one.prediction: one.state for one in find_queued(living.platform, living.actor, living.project, "delay")}


def other_labeller(living: Living) -> Actor:
    return actor_of(living.platform, create_member(living.platform, living.actor, name="ann", role=Role.TRAINER).id)


def answer_beside(living: Living, **answers: float) -> None:
    """Have a shadow answer predictions by id."""
    rows = labelled_rows(living.platform, living.project, "delay").drop("label", "label_time")
    known = pl.col("id").replace_strict(answers, default=None, return_dtype=pl.Float64)
    beside = rows.with_columns(answer=known, route=pl.lit("shadow"), version=pl.lit(2, pl.Int64)).drop_nulls("answer")
    living.platform.lake.append(living.project, shadow_table("delay"), beside, commit=living.platform.ids("ship"))


def test_the_closest_calls_are_asked_first_and_come_by_time(living: Living) -> None:
    living.ask(60)
    rows = labelled_rows(living.platform, living.project, "delay")
    closest = rows.sort((pl.col("answer") - 0.5).abs()).head(10)
    found = asked(living)
    assert found["id"].to_list() == closest.sort("time")["id"].to_list()
    assert found.columns[:6] == ["id", "time", "version", "answer", "reason", "score"]
    assert set(found.columns[6:]) == {"input.place", "input.wind"}
    assert set(found["reason"]) == {"uncertain"}
    assert found["score"].to_list() == pytest.approx((1 - 2 * (found["answer"] - 0.5).abs()).to_list())


def test_two_labellers_do_not_get_the_same_rows_until_a_hold_lapses(living: Living) -> None:
    living.ask(25)
    ann = other_labeller(living)
    first, second = asked(living), asked(living, actor=ann)
    assert not set(first["id"]) & set(second["id"])
    assert asked(living).height == 5, "what is left"
    assert asked(living).is_empty()
    living.clock.advance(days=7)
    again = asked(living, replace(UNCERTAIN, rows=25), ann)
    assert set(again["id"]) >= set(first["id"])
    holders = {one.holder for one in find_queued(living.platform, living.actor, living.project, "delay")}
    assert holders == {ann.member}


def test_what_was_labelled_is_done_whoever_labelled_it_and_is_asked_no_more(living: Living) -> None:
    happened = living.ask(12)
    living.label(happened[:4])
    found = asked(living)
    assert not {one for one, _, _ in happened[:4]} & set(found["id"])
    living.label([one for one in happened if one[0] == found["id"][0]])
    assert states(living)[found["id"][0]] is QueueState.LABELLED
    assert list(states(living).values()).count(QueueState.OPEN) == 7
    living.clock.advance(days=8)
    assert found["id"][0] not in asked(living)["id"]


def test_what_nobody_can_tell_is_skipped_for_good(living: Living) -> None:
    living.ask(5)
    found = asked(living)
    who = (living.platform, living.actor, living.project, "delay")
    assert skip(*who, [found["id"][0], found["id"][0], found["id"][1]]) == 2
    living.clock.advance(days=8)
    assert set(asked(living)["id"]) == set(found["id"][2:])
    for prediction in (found["id"][0], "none"):
        with pytest.raises(Problem, match="waits for no label") as told:
            skip(*who, [found["id"][2], prediction])
        assert told.value.code == "queue.missing"
    assert states(living)[found["id"][2]] is QueueState.OPEN, "none of a refused batch is skipped"


def test_what_a_shadow_answered_otherwise_is_disputed(living: Living) -> None:
    living.ask(6)
    with pytest.raises(Problem) as told:
        asked(living, replace(UNCERTAIN, by=QueueReason.DISPUTED))
    assert told.value.code == "queue.refused"
    rows = labelled_rows(living.platform, living.project, "delay")
    answers = dict(zip(rows["id"], rows["answer"], strict=True))
    away = {"p000001": 0.3, "p000004": 0.6, "p000002": 0.0}
    answer_beside(living, **{one: answers[one] + by for one, by in away.items()})
    found = asked(living, replace(UNCERTAIN, by=QueueReason.DISPUTED))
    assert dict(zip(found["id"], found["score"], strict=True)) == pytest.approx({"p000001": 0.3, "p000004": 0.6})


def test_rows_of_the_same_inputs_are_asked_once(living: Living) -> None:
    living.ask(4)
    rows = labelled_rows(living.platform, living.project, "delay").drop("label", "label_time")
    living.ship(rows.with_columns(pl.concat_str(pl.lit("again"), "id").alias("id"), pl.col("time") + pl.duration(hours=1)))
    assert asked(living)["id"].to_list() == ["p000000", "p000001", "p000002", "p000003"]


def test_only_rows_since_a_moment_are_asked(living: Living) -> None:
    living.ask(24)
    found = asked(living, replace(UNCERTAIN, since=START + DAY / 2))
    assert found.height == 10
    assert found["time"].min() >= START + DAY / 2  # type: ignore[operator]


def test_a_deployment_that_has_answered_nothing_has_nothing_to_ask(living: Living) -> None:
    assert asked(living).is_empty()
    assert states(living) == {}


@pytest.mark.parametrize(
    "rest",
    [{"rows": 0}, {"rows": 10_001}, {"random_share": 1.5}, {"random_share": float("nan")}, {"hold_s": 0}, {"hold_s": 10**15}],
)
def test_numbers_out_of_range_are_refused(living: Living, rest: dict[str, Any]) -> None:
    with pytest.raises(Problem) as told:
        asked(living, replace(UNCERTAIN, **rest))
    assert told.value.code == "queue.invalid"


def test_only_those_who_may_label_are_asked(living: Living) -> None:
    viewer = create_member(living.platform, living.actor, name="vera", role=Role.VIEWER)
    with pytest.raises(Problem) as told:
        asked(living, actor=actor_of(living.platform, viewer.id))
    assert told.value.code == "action.forbidden"


def candidates(count: int) -> pl.DataFrame:
    """Return rows to choose from, of which every third has no score."""
    return pl.DataFrame(
        {
            "id": [f"p{row}" for row in range(count)],
            "time": [START + timedelta(minutes=row) for row in range(count)],
            "score": [None if row % 3 == 0 else row / 100 for row in range(count)],
        },
        schema_overrides={"score": pl.Float64},
    )


@given(st.integers(0, 60), st.integers(1, 40), st.floats(0, 1))
def test_the_declared_share_is_drawn_at_random_and_the_rest_by_score(count: int, rows: int, share: float) -> None:
    found = choose(candidates(count), Wish(rows, random_share=share))
    random = found.filter(reason="random")
    assert random.height == min(count, round(rows * share))
    assert found["id"].n_unique() == found.height <= rows
    rest = found.filter(reason="uncertain")
    left = candidates(count).filter(~pl.col("id").is_in(random["id"].implode())).drop_nulls("score")
    assert rest.height == min(left.height, rows - random.height)
    assert set(rest["id"]) == set(left.sort("score", descending=True).head(rest.height)["id"])


def test_rows_at_random_hang_on_no_score() -> None:
    count = 3000
    drawn = choose(candidates(count), Wish(600, QueueReason.RANDOM))
    place = drawn["id"].str.slice(1).cast(pl.Int64)
    assert drawn.height == 600
    assert place.mean() == pytest.approx(count / 2, rel=0.06)
