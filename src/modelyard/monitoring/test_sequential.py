"""The judge: its widths, its verdicts, and how often it errs when it looks all the time."""

import math

import numpy as np
import pytest

from modelyard.core import Problem, canonical_json
from modelyard.monitoring.sequential import (
    Arm,
    Looks,
    Stratum,
    half_width,
    judge,
    judge_in_order,
    judge_pairs,
)
from modelyard.serving import Verdict


def replay(seed: int, worse_by: float, looks: Looks, share: float = 0.3, rows: int = 30_000) -> Verdict:
    rng = np.random.default_rng(seed)
    canary = rng.random(rows) < share
    return judge_in_order(canary, rng.random(rows) < 0.2 + worse_by * canary, looks).verdict


def test_equal_arms_are_seldom_rolled_back_and_mostly_promoted() -> None:
    looks = Looks(tolerance=0.03, shares=True)
    verdicts = [replay(seed, 0.0, looks) for seed in range(100)]
    assert verdicts.count(Verdict.ROLL_BACK) <= 3
    assert verdicts.count(Verdict.PROMOTE) >= 95


def test_arms_worse_by_the_tolerance_are_seldom_promoted() -> None:
    verdicts = [replay(seed, 0.03, Looks(tolerance=0.03, shares=True)) for seed in range(100)]
    assert verdicts.count(Verdict.PROMOTE) <= 6


def test_a_bad_canary_is_rolled_back_early() -> None:
    rng = np.random.default_rng(1)
    canary = rng.random(20_000) < 0.1
    found = judge_in_order(canary, rng.random(20_000) < 0.2 + 0.15 * canary, Looks(tolerance=0.03, shares=True))
    assert found.verdict is Verdict.ROLL_BACK
    assert found.canary_rows < 800


def test_losses_of_any_kind_are_judged_by_their_sample_variance() -> None:
    rng = np.random.default_rng(2)
    live, same, worse = rng.gamma(2, 0.3, 9_000), rng.gamma(2, 0.3, 5_000), rng.gamma(2, 0.36, 5_000)
    looks = Looks(tolerance=0.04)
    assert judge([Stratum(Arm.of(same), Arm.of(live))], looks).verdict is Verdict.PROMOTE
    assert judge([Stratum(Arm.of(worse), Arm.of(live))], looks).verdict is Verdict.ROLL_BACK


def test_steps_of_a_rollout_are_compared_each_within_itself() -> None:
    rng = np.random.default_rng(3)
    calm, storm = rng.random(3_000) < 0.1, rng.random(3_000) < 0.5
    strata = [Stratum(Arm.of(calm[:300]), Arm.of(calm[300:])), Stratum(Arm.of(storm[:1_500]), Arm.of(storm[1_500:]))]
    pooled = [Stratum(strata[0].canary + strata[1].canary, strata[0].live + strata[1].live)]
    looks = Looks(tolerance=0.05, shares=True)
    assert judge(pooled, looks).verdict is Verdict.ROLL_BACK  # the storm is taken for the canary's fault
    assert abs(judge(strata, looks).difference) < 0.05
    assert judge(strata, looks).verdict is not Verdict.ROLL_BACK


def test_labels_as_strata_find_a_canary_that_knows_nothing_in_a_tenth_of_the_rows() -> None:
    rng = np.random.default_rng(9)
    late = rng.random(4_000) < 0.25
    knowing = np.clip(np.where(late, 0.3, 0.22) + rng.normal(0, 0.1, 4_000), 0.01, 0.99)
    canary = rng.random(4_000) < 0.1
    losses = np.square(late - np.where(canary, 0.25, knowing))
    looks = Looks(tolerance=0.02, narrowest_rows=1_000)
    plain = [Stratum(Arm.of(losses[canary]), Arm.of(losses[~canary]))]
    by_label = [Stratum(Arm.of(losses[canary & of]), Arm.of(losses[~canary & of])) for of in (late, ~late)]
    assert judge(plain, looks).verdict is Verdict.UNDECIDED
    assert judge(by_label, looks).half_width < 0.4 * judge(plain, looks).half_width
    assert judge(by_label, looks).verdict is Verdict.ROLL_BACK


def test_there_is_no_verdict_before_the_first_look_nor_without_an_arm() -> None:
    zeros, ones = Arm.of(np.zeros(199)), Arm.of(np.ones(199))
    assert judge([Stratum(ones, zeros)], Looks(tolerance=0.03)).verdict is Verdict.UNDECIDED
    alone = judge([Stratum(Arm.of(np.ones(900)), Arm())], Looks(tolerance=0.03))
    assert (alone.verdict, alone.half_width) == (Verdict.UNDECIDED, math.inf)
    assert "too few" in alone.why
    assert alone.to_json()["half_width"] is None


def test_undecided_at_the_cap_is_put_to_a_person() -> None:
    rng = np.random.default_rng(4)
    arms = Stratum(Arm.of(rng.random(20_000) < 0.2), Arm.of(rng.random(20_000) < 0.2))
    looks = Looks(tolerance=0.001, shares=True)
    assert judge([arms], looks).verdict is Verdict.HOLD
    assert judge([arms], Looks(tolerance=0.001, shares=True, cap_rows=30_000)).verdict is Verdict.UNDECIDED


def test_pairs_decide_on_fewer_rows_than_arms() -> None:
    rng = np.random.default_rng(5)
    hard = rng.random(600)
    live, shadow = hard + rng.normal(0, 0.02, 600), hard + 0.02 + rng.normal(0, 0.02, 600)
    looks = Looks(tolerance=0.03)
    assert judge_pairs(Arm.of(shadow - live), looks).verdict is Verdict.ROLL_BACK
    assert judge([Stratum(Arm.of(shadow), Arm.of(live))], looks).verdict is Verdict.UNDECIDED
    assert judge_pairs(Arm.of([0.1]), looks).verdict is Verdict.UNDECIDED


def test_shares_that_cannot_vary_by_chance_still_have_a_width() -> None:
    zeros = Stratum(Arm.of(np.zeros(300)), Arm.of(np.zeros(300)))
    assert judge([zeros], Looks(tolerance=0.001, shares=True)).verdict is Verdict.UNDECIDED
    assert judge([zeros], Looks(tolerance=0.001)).half_width == 0.0


def test_the_width_holds_at_all_looks_at_once() -> None:
    rng = np.random.default_rng(6)
    rows = np.arange(200, 10_001, 100)
    widths = np.array([half_width(int(n), 1.0) for n in rows])
    ever = [np.any(np.abs(np.cumsum(rng.normal(size=10_000))[rows - 1] / rows) > widths) for _ in range(200)]
    assert np.mean(ever) <= 0.05


def test_the_looks_are_at_the_first_rows_and_then_every_so_many() -> None:
    canary = np.array([True, False] * 450)
    found = judge_in_order(canary, np.random.default_rng(7).random(900), Looks(tolerance=0.001))
    assert (found.canary_rows, found.live_rows) == (400, 399)
    assert judge_in_order(canary[:50], np.zeros(50), Looks(tolerance=1)).verdict is Verdict.UNDECIDED


def test_the_evidence_is_told_in_words_and_json() -> None:
    rng = np.random.default_rng(8)
    found = judge([Stratum(Arm.of(rng.random(500) < 0.5), Arm.of(rng.random(4_000) < 0.2))], Looks(tolerance=0.03))
    assert found.to_json()["verdict"] == "roll_back"
    assert "500 canary and 4000 live labels" in found.why
    assert canonical_json(found.to_json())


def test_a_loss_that_is_no_number_is_refused() -> None:
    with pytest.raises(Problem, match="finite"):
        Arm.of([0.1, float("nan")])
