"""What the judge is given to weigh: the labelled losses of both arms, like beside like, and nothing else."""

import polars as pl
import pytest

from modelyard.monitoring.canary import CanaryLosses, losses_of
from modelyard.monitoring.sequential import Arm
from modelyard.serving.service import advance_rollout, deploy, start_rollout
from tests.living import Living


@pytest.fixture
def canary(living: Living) -> Living:
    """Give a deployment with a canary at 50 % of the traffic."""
    deploy(living.platform, living.actor, living.project, "delay", model="delay", canary=[50, 80, 100], loss="brier")
    living.version(0.5)
    start_rollout(living.platform, living.actor, living.project, "delay", version=2, cause="test")
    return living


def seen(living: Living) -> CanaryLosses:
    return losses_of(living.platform, living.project, living.deployment(), living.rollout())


def total(losses: CanaryLosses) -> tuple[Arm, Arm]:
    """Return the sums of both arms over all strata."""
    canary, live = Arm(), Arm()
    for stratum in losses.strata:
        canary, live = canary + stratum.canary, live + stratum.live
    return canary, live


def day(living: Living, rows: int = 200) -> None:
    """Let a day pass, with labels at its end."""
    happened = living.ask(rows)
    living.clock.advance(days=1)
    living.label(happened)


def test_every_labelled_row_of_the_rollout_is_in_one_stratum_of_its_step_day_and_label(canary: Living) -> None:
    day(canary)
    day(canary)
    advance_rollout(canary.platform, canary.actor, canary.project, canary.rollout().id)
    day(canary)
    found = seen(canary)
    assert len(found.strata) == 3 * 2
    both = total(found)
    assert both[0].rows + both[1].rows == 600
    assert 0 < found.rows_at_step < both[0].rows
    assert both[0].mean > both[1].mean, "the canary knows less"


def test_rows_without_a_label_and_rows_before_the_rollout_do_not_count(living: Living) -> None:
    day(living)
    living.version(0.5)
    start_rollout(living.platform, living.actor, living.project, "delay", version=2, cause="test")
    assert seen(living) == CanaryLosses((), 0)
    happened = living.ask(100)
    assert seen(living) == CanaryLosses((), 0)
    living.clock.advance(days=1)
    living.label(happened[:40])
    canary, live = total(seen(living))
    assert canary.rows + live.rows == 40


def test_rows_whose_caller_named_the_version_are_no_sample(canary: Living) -> None:
    day(canary)
    before = seen(canary)
    lake, table = canary.platform.lake, "ledger/delay"
    rows = lake.scan(canary.project, table).collect()
    pinned = rows.with_columns(pl.lit("pinned").alias("route"), (pl.lit("pin-") + pl.col("id")).alias("id"))
    lake.append(canary.project, table, pinned, commit="pinned")
    canary.label([(one, 1.0, at) for one, at in pinned.select("id", "time").iter_rows()])
    assert seen(canary) == before


def test_a_label_that_is_none_of_a_classifier_does_not_weigh_in(canary: Living) -> None:
    happened = canary.ask(100)
    canary.clock.advance(days=1)
    canary.label([(one, 40.0 if row < 5 else value, at) for row, (one, value, at) in enumerate(happened)])
    both = total(seen(canary))
    assert both[0].rows + both[1].rows == 95
    assert max(both[0].mean, both[1].mean) < 1
