"""Harm: has the labelled loss risen above what held-out data promised? Detectors that are fed each label's loss, in [0, 1].

A detector is a frozen value: `update` returns the next one and the places of the alarms, so a monitor can keep it as JSON
and go on from there. After an alarm the evidence starts from nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from typing import cast

import numpy as np
import numpy.typing as npt

from modelyard.core.json import JsonObject
from modelyard.core.problems import Problem

Array = npt.NDArray[np.float64]

BETS = (0.02, 0.05, 0.1, 0.2, 0.4)
BLOCK_BETS = (0.1, 0.2, 0.4, 0.8)
_CHUNK_LABELS = 4_096  # an alarm makes the rest of its chunk be counted again
_LEAST_EXPECTED = 0.02  # a bet in proportion to 1/p would be ruinous for rarer losses


@dataclass(frozen=True)
class EDetector:
    """E-detector: alarms on a mean loss above p = expected + tolerance, with a stated mean time between false alarms.

    For each λ in `bets`, with s = min(λ / max(p, 0.02), 0.99 / p), each loss L moves the evidence R ← (1 + R)(1 + s (L - p));
    the alarm is raised when the mean of R over λ reaches `threshold`. As long as the mean of L given the past stays at or
    under p, whatever the losses' distribution, false alarms are at least `threshold` labels apart on average. Shin, Ramdas
    and Rinaldo 2024, "E-detectors: a nonparametric framework for sequential change detection".

    Rows that err together (the flights of one stormy day) break that promise: then feed the mean loss of each block, such as
    a day, with `BLOCK_BETS` (means vary less than rows, so bolder bets pay), and `threshold` counts blocks.

    >>> quiet, harm = EDetector(expected=0.2).update([0.2] * 500)
    >>> harm
    ()
    >>> quiet.update([0.5] * 100)[1]
    (15, 38, 61, 84)
    """

    expected: float
    tolerance: float = 0.01
    threshold: float = 1e4
    bets: tuple[float, ...] = BETS
    evidence: tuple[float, ...] = ()  # one for each bet; empty at the start
    labels: int = 0
    alarms: int = 0

    @property
    def level(self) -> float:
        """Mean evidence over the bets: the alarm is at `threshold`."""
        return sum(self.evidence) / len(self.bets)

    def update(self, losses: Sequence[float] | Array) -> "tuple[EDetector, tuple[int, ...]]":
        """Return the detector after `losses` (shape (n,), in the order of their labels), and the indices that raised an alarm.

        Raises
        ------
        Problem
            `loss.invalid` when a loss is outside [0, 1].
        """
        nothing = np.zeros(len(self.bets))
        values, evidence, alarms, start = _checked(losses), np.array(self.evidence or nothing), [], 0
        while start < values.size:
            path = self._path(values[start : start + _CHUNK_LABELS], evidence)
            crossed = np.flatnonzero(path.mean(axis=1) >= self.threshold)
            if not crossed.size:
                start, evidence = start + len(path), path[-1]
                continue
            start += int(crossed[0]) + 1
            alarms.append(start - 1)
            evidence = nothing
        after = replace(
            self,
            evidence=tuple(evidence.tolist()),
            labels=self.labels + values.size,
            alarms=self.alarms + len(alarms),
        )
        return after, tuple(alarms)

    def _path(self, losses: Array, before: Array) -> Array:
        """Return the evidence after each loss, shape (n, bets).

        With factors x, products P and R₀ before, R_t = P_t (R₀ + Σ_{j ≤ t} 1 / P_{j-1}): sums of logarithms, without a loop.
        """
        p = min(max(self.expected + self.tolerance, 1e-9), 1.0)
        sizes = np.minimum(np.array(self.bets) / max(p, _LEAST_EXPECTED), 0.99 / p)
        products = np.cumsum(np.log1p(sizes * (losses[:, None] - p)), axis=0)
        with np.errstate(divide="ignore"):
            started = np.log(before)
        earlier = np.vstack([started, np.zeros(len(self.bets)), -products[:-1]])
        with np.errstate(over="ignore"):
            return cast("Array", np.exp(products + np.logaddexp.accumulate(earlier, axis=0)[1:]))

    def to_json(self) -> JsonObject:
        """Return the JSON form of settings and state."""
        return {**vars(self), "bets": list(self.bets), "evidence": list(self.evidence)}

    @staticmethod
    def from_json(value: JsonObject) -> "EDetector":
        """Return the detector whose JSON form is `value`."""
        lists = {name: tuple(cast("Sequence[float]", value[name])) for name in ("bets", "evidence")}
        return EDetector(**{**value, **lists})


@dataclass(frozen=True)
class Cusum:
    """CUSUM: the strict detector, with fewer false alarms and more delay than `EDetector`.

    The log-likelihood ratio of a loss rate of expected + `rise` against the expected one, llr = L log(p₁ / p₀) + (1 - L)
    log((1 - p₁) / (1 - p₀)), moves the score g ← max(0, g + llr); the alarm is raised when g passes `threshold`. Page 1954.

    >>> Cusum(expected=0.2).update([1.0] * 60)[1][0]
    35
    """

    expected: float
    rise: float = 0.05
    threshold: float = 8.0
    score: float = 0.0
    labels: int = 0
    alarms: int = 0

    @property
    def level(self) -> float:
        """The score: the alarm is past `threshold`."""
        return self.score

    def update(self, losses: Sequence[float] | Array) -> "tuple[Cusum, tuple[int, ...]]":
        """Return the detector after `losses` (shape (n,), in the order of their labels), and the indices that raised an alarm.

        Raises
        ------
        Problem
            `loss.invalid` when a loss is outside [0, 1].
        """
        values, score, alarms, start = _checked(losses), self.score, [], 0
        while start < values.size:
            path = self._path(values[start : start + _CHUNK_LABELS], score)
            crossed = np.flatnonzero(path > self.threshold)
            if not crossed.size:
                start, score = start + len(path), float(path[-1])
                continue
            start += int(crossed[0]) + 1
            alarms.append(start - 1)
            score = 0.0
        return replace(self, score=score, labels=self.labels + values.size, alarms=self.alarms + len(alarms)), tuple(alarms)

    def _path(self, losses: Array, before: float) -> Array:
        """Return the score after each loss: the walk of the ratios, less its lowest point so far where that is below 0."""
        p0 = min(max(self.expected, 1e-6), 1 - 2e-6)
        p1 = min(p0 + self.rise, 1 - 1e-6)
        walk = before + np.cumsum(losses * log(p1 / p0) + (1 - losses) * log((1 - p1) / (1 - p0)))
        return walk - np.minimum(np.minimum.accumulate(walk), 0.0)

    def to_json(self) -> JsonObject:
        """Return the JSON form of settings and state."""
        return {**vars(self)}

    @staticmethod
    def from_json(value: JsonObject) -> "Cusum":
        """Return the detector whose JSON form is `value`."""
        return Cusum(**value)


def _checked(losses: Sequence[float] | Array) -> Array:
    values = np.asarray(losses, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise Problem(
            "loss.invalid",
            "A loss is outside 0 to 1",
            "the detectors' false-alarm rates hold for bounded losses only",
            "watch the Brier loss or the error rate, or clip the loss and divide by the clip",
        )
    return values
