"""The judge of a canary: it says whether the new version is worse than the live one, and may look again and again.

Both versions answer rows of the same days, assigned at random; their labelled losses are compared by a confidence sequence,
which holds at all looks at once, so looking early or often costs nothing. With n canary and k live rows, d the difference
of the mean losses (canary minus live) and v its variance times n, the half-width is

    w = √(2 (n r + 1) / (n² r) · log(√(n r + 1) / alpha)) · √v,   r = (-2 log alpha + log(-2 log alpha + 1)) / n_opt

(Robbins 1970; Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2021, theorem 2.2). It is narrowest, for its n, near n_opt.
Roll back when d - w > 0, promote when d + w < tolerance.

The arms are compared within strata, weighted by the rows of both. Steps of a rollout are strata: when the canary's share
changes while the world does too, pooled arms would compare different days. The labels' values should be strata as well
wherever the answer does not change the truth: most of a loss's variance is whether the case was an easy one. On flights it
took the half-width from 0.04 to 0.008 at 280 canary rows, and found models of no use in three days that the plain
comparison did not find in thirty.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from modelyard.core.problems import Problem
from modelyard.serving import Judgement, Verdict


@dataclass(frozen=True)
class Arm:
    """Labelled losses of one version, as sums that can be added: `rows`, sum, sum of squares.

    >>> Arm.of([0.0, 1.0]) + Arm.of([1.0])
    Arm(rows=3, total=2.0, squares=2.0)
    """

    rows: int = 0
    total: float = 0.0
    squares: float = 0.0

    @staticmethod
    def of(losses: npt.ArrayLike) -> "Arm":
        """Return the sums of `losses`, shape (n,), any n.

        Raises
        ------
        Problem
            `loss.invalid` for NaN or infinity.
        """
        values = np.asarray(losses, dtype=np.float64)
        if not np.isfinite(values).all():
            raise Problem("loss.invalid", "A loss is not a finite number", "the judge cannot weigh it", "drop or clip it")
        return Arm(values.size, float(values.sum()), float(np.square(values).sum()))

    def __add__(self, other: "Arm") -> "Arm":
        """Return the sums of both."""
        return Arm(self.rows + other.rows, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """Mean loss; 0 without rows."""
        return self.total / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Stratum:
    """Both arms of rows that are alike: one step of a rollout, in which the canary's share stood still, and one label."""

    canary: Arm
    live: Arm


@dataclass(frozen=True)
class Looks:
    """How a canary is judged. `tolerance` is the loss one accepts; the rows are the canary's.

    `shares` says that each loss is 0 or 1: variances are then s(1 - s) with s = (x + ½) / (n + 1), which chance cannot make
    vanish.
    """

    tolerance: float
    shares: bool = False
    alpha: float = 0.05
    narrowest_rows: int = 5_000
    first_rows: int = 200
    every_rows: int = 100
    cap_rows: int = 20_000


def judge(strata: Sequence[Stratum], looks: Looks) -> Judgement:
    """Judge a canary on the labels that have come so far.

    The difference is that within the strata, weighted by the rows of both arms: what the canary would have cost or saved on
    all of these rows. A stratum in which an arm has under two rows is left out.

    >>> rng = np.random.default_rng(1)
    >>> live, good, bad = (Arm.of(rng.random(n) < p) for n, p in [(9000, 0.2), (2000, 0.2), (1000, 0.3)])
    >>> judge([Stratum(good, live)], Looks(tolerance=0.05, shares=True)).verdict
    <Verdict.PROMOTE: 'promote'>
    >>> judge([Stratum(bad, live)], Looks(tolerance=0.05, shares=True)).verdict
    <Verdict.ROLL_BACK: 'roll_back'>
    """
    usable = [s for s in strata if min(s.canary.rows, s.live.rows) >= 2]  # noqa: PLR2004 - fewer have no variance
    n, k = sum(s.canary.rows for s in usable), sum(s.live.rows for s in usable)
    if not n:
        return Judgement(Verdict.UNDECIDED, 0.0, math.inf, n, k, looks.tolerance)
    weights = [(s.canary.rows + s.live.rows) / (n + k) for s in usable]
    difference = sum(w * (s.canary.mean - s.live.mean) for w, s in zip(weights, usable, strict=True))
    variance = sum(w**2 * _variance_of_difference(s, looks.shares) for w, s in zip(weights, usable, strict=True))
    width = half_width(n, variance * n, looks.alpha, looks.narrowest_rows)
    return Judgement(_verdict(difference, width, n, looks), difference, width, n, k, looks.tolerance)


def judge_in_order(canary: npt.ArrayLike, losses: npt.ArrayLike, looks: Looks) -> Judgement:
    """Judge one stratum as its labels come, and return the first look that decides, else the last.

    `canary` (booleans) and `losses`, both of shape (n,), are in the order of the labels. Looks are at `first_rows` canary rows
    and then every `every_rows`.

    Raises
    ------
    Problem
        `loss.invalid` for NaN or infinity.
    """
    taken, values = np.asarray(canary, dtype=bool), np.asarray(losses, dtype=np.float64)
    ends = np.flatnonzero(taken)[looks.first_rows - 1 :: looks.every_rows] + 1
    both, start, judged = Stratum(Arm(), Arm()), 0, judge([], looks)
    for end in (int(e) for e in ends):
        part, of_canary = values[start:end], taken[start:end]
        both = Stratum(both.canary + Arm.of(part[of_canary]), both.live + Arm.of(part[~of_canary]))
        start, judged = end, judge([both], looks)
        if judged.verdict is not Verdict.UNDECIDED:
            break
    return judged


def judge_pairs(differences: Arm, looks: Looks) -> Judgement:
    """Judge a shadow: both versions answered the same rows, and `differences` are of the loss of each (shadow minus live).

    >>> judge_pairs(Arm.of(np.full(500, 0.01) + np.random.default_rng(1).normal(0, 0.01, 500)), Looks(tolerance=0.02)).verdict
    <Verdict.ROLL_BACK: 'roll_back'>
    """
    n = differences.rows
    if n < 2:  # noqa: PLR2004 - fewer have no variance
        return Judgement(Verdict.UNDECIDED, 0.0, math.inf, n, n, looks.tolerance)
    width = half_width(n, _sample_variance(differences), looks.alpha, looks.narrowest_rows)
    return Judgement(_verdict(differences.mean, width, n, looks), differences.mean, width, n, n, looks.tolerance)


def half_width(rows: int, variance: float, alpha: float = 0.05, narrowest_rows: int = 5_000) -> float:
    """Return the half-width, valid at all looks with probability 1 - alpha, of a mean of `rows` values of this variance.

    >>> round(half_width(5_000, 1.0) / (1.96 / math.sqrt(5_000)), 2)
    1.55
    """
    spread = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / narrowest_rows
    grown = rows * spread + 1
    return math.sqrt(2 * grown / (rows**2 * spread) * math.log(math.sqrt(grown) / alpha)) * math.sqrt(variance)


def _verdict(difference: float, width: float, rows: int, looks: Looks) -> Verdict:
    if rows < looks.first_rows:  # the widths rest on normal sums, which small numbers are not
        return Verdict.UNDECIDED
    if difference - width > 0:
        return Verdict.ROLL_BACK
    if difference + width < looks.tolerance:
        return Verdict.PROMOTE
    return Verdict.HOLD if rows >= looks.cap_rows else Verdict.UNDECIDED


def _variance_of_difference(stratum: Stratum, shares: bool) -> float:
    of = _share_variance if shares else _sample_variance
    return of(stratum.canary) / stratum.canary.rows + of(stratum.live) / stratum.live.rows


def _sample_variance(arm: Arm) -> float:
    """Return the sample variance; never under 0, where the subtraction has rounded."""
    return max(arm.squares - arm.total**2 / arm.rows, 0.0) / (arm.rows - 1)


def _share_variance(arm: Arm) -> float:
    share = (arm.total + 0.5) / (arm.rows + 1)
    return share * (1 - share)
