"""Labels: late, twice, out of order, before their prediction; joined once, and the one received last counts."""

from datetime import timedelta
from math import inf, nan

import polars as pl
import pytest

from modelyard.core import Problem
from modelyard.monitoring import Label
from modelyard.monitoring.labels import add_labels, label_table, labelled_rows, read_labels
from modelyard.tenancy import Role
from modelyard.tenancy.service import actor_of, create_member
from tests.living import DAY, START, Living


def send(living: Living, *labels: tuple[str, float, int]) -> int:
    """Send labels of (prediction, value, hours after the start at which it is received)."""
    made = [Label(one, value, START + timedelta(hours=1), START + timedelta(hours=received)) for one, value, received in labels]
    return add_labels(living.platform, living.actor, living.project, "delay", made)


def truths(living: Living) -> dict[str, float]:
    rows = read_labels(living.platform, living.project, "delay").collect()
    return dict(zip(rows["prediction"], rows["value"], strict=True))


def joined(living: Living) -> dict[str, float | None]:
    rows = labelled_rows(living.platform, living.project, "delay")
    return dict(zip(rows["id"], rows["label"], strict=True))


def test_the_label_received_last_counts_in_whatever_order_they_came(living: Living) -> None:
    assert send(living, ("a", 1.0, 5), ("b", 0.0, 5)) == 2
    send(living, ("a", 0.0, 9))
    send(living, ("a", 1.0, 7), ("b", 0.0, 6), ("b", 1.0, 4))
    assert truths(living) == {"a": 0.0, "b": 0.0}


def test_labels_of_one_moment_are_settled_the_same_way_each_time(living: Living) -> None:
    send(living, ("a", 1.0, 5), ("b", 0.0, 5))
    send(living, ("a", 0.0, 5), ("b", 1.0, 5))
    assert truths(living) == {"a": 1.0, "b": 1.0}


def test_a_label_that_comes_twice_joins_once(living: Living) -> None:
    happened = living.ask(20)
    living.label(happened)
    living.label(happened[::-1])
    assert joined(living) == {one: value for one, value, _ in happened}
    assert len(labelled_rows(living.platform, living.project, "delay")) == 20


def test_a_label_that_comes_before_its_prediction_waits_for_it(living: Living) -> None:
    send(living, ("p000001", 1.0, 1))
    assert labelled_rows(living.platform, living.project, "delay").is_empty()
    living.ask(3)
    assert joined(living) == {"p000000": None, "p000001": 1.0, "p000002": None}


def test_a_label_that_comes_months_late_still_joins(living: Living) -> None:
    happened = living.ask(2)
    living.clock.advance(days=200)
    living.label(happened[:1])
    assert joined(living) == {"p000000": happened[0][1], "p000001": None}


def test_a_prediction_that_was_asked_for_twice_under_one_id_counts_once(living: Living) -> None:
    living.ask(4)
    [first] = [row for row in labelled_rows(living.platform, living.project, "delay").to_dicts() if row["id"] == "p000002"]
    again = labelled_rows(living.platform, living.project, "delay").drop("label", "label_time")
    living.ship(again.with_columns(pl.lit(0.123).alias("answer"), pl.col("answered_at") + pl.duration(hours=1)))
    rows = labelled_rows(living.platform, living.project, "delay")
    assert rows["id"].to_list() == ["p000000", "p000001", "p000002", "p000003"]
    assert rows.row(2, named=True) == first, "the first answer is the one that counts"


def test_rows_are_of_a_stretch_of_event_time_by_time_and_id(living: Living) -> None:
    living.ask(24)
    half = START + DAY / 2
    early = labelled_rows(living.platform, living.project, "delay", until=half)
    late = labelled_rows(living.platform, living.project, "delay", since=half)
    assert (early.height, late.height) == (12, 12)
    assert late["time"].is_sorted()
    assert late["time"][0] == half


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_one_value_that_is_not_finite_keeps_the_whole_batch_out(living: Living, value: float) -> None:
    with pytest.raises(Problem) as told:
        send(living, ("a", 1.0, 1), ("b", value, 1))
    assert (told.value.code, told.value.detail) == ("label.invalid", {"row": 1})
    with pytest.raises(Problem, match="its prediction id is empty"):
        send(living, ("", 1.0, 1))
    assert living.platform.lake.version(living.project, label_table("delay")) is None


def test_labels_are_told_once_a_batch_and_none_make_no_commit(living: Living) -> None:
    assert send(living) == 0
    assert living.platform.lake.version(living.project, label_table("delay")) is None
    send(living, ("a", 1.0, 1), ("b", 1.0, 1))
    with living.platform.transaction() as tx:
        [event] = tx.events.read(living.project, kinds=["labels.added"])
    assert (event.subject, event.data) == ("delay", {"labels": 2})


def test_only_trainers_send_labels_and_only_of_deployments_that_are_there(living: Living) -> None:
    viewer = create_member(living.platform, living.actor, name="vera", role=Role.VIEWER)
    labels = [Label("a", 1.0, START, START)]
    with pytest.raises(Problem) as told:
        add_labels(living.platform, actor_of(living.platform, viewer.id), living.project, "delay", labels)
    assert told.value.code == "action.forbidden"
    with pytest.raises(Problem, match="did you mean 'delay'"):
        add_labels(living.platform, living.actor, living.project, "dealy", labels)
