"""Examinations: what data defects do to a model, measured by fitting its recipe again without the rows that have them.

The question to each slice is whether the model is better on held-out rows without it, by more than chance. Chance has two
parts. Other held-out rows would have given another difference: its standard error is that of the paired differences of the
rows' losses, or of the means of 50 stretches of them where they come in time. And a fit on other rows is another model, also
where the rows left out are as good as any: how far that carries is seen from *controls*, fits without as many rows drawn at
random. Each control's difference in its own standard errors is z; their standard deviation is κ, 1 at least. The variance of a
slice's difference is its squared standard error, and κ² - 1 times that besides, or times the mean of the controls' squared
ones where that is less: a slice whose rows change the model much has a large standard error for that alone. The difference,
less the controls' mean where that is above 0, is held against Student's t; Holm 1979 over the slices measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import atan, cos, pi, sin, sqrt

import numpy as np

from modelyard.core import Digest
from modelyard.data import DatasetVersionId
from modelyard.training.influence import Array
from modelyard.training.slices import RowSlice
from modelyard.training.types import RunId

ALPHA = 0.05  # the chance that any harmless slice of an examination is called harmful
STRETCHES = 50
MOST_FREEDOM = 200  # Student's t is the normal law from there on


@dataclass(frozen=True)
class Difference:
    """Mean loss with some rows less that without them, over the held-out rows."""

    mean: float
    error: float  # standard error, as if both models were given

    @property
    def z(self) -> float:
        """The mean in standard errors; 0 where nothing differs."""
        return self.mean / self.error if self.error else 0.0


@dataclass(frozen=True)
class SliceHarm:
    """A slice, and what its rows do to the model."""

    slice: RowSlice
    suspicion: float  # by how many standard errors its rows are worth less than others to a nearest-neighbour model
    gain: float | None = None  # by how much the loss on held-out rows falls without it; None: not measured
    low: float | None = None  # of the interval of the gain: with 95 % those of all slices hold theirs
    high: float | None = None
    p_value: float | None = None  # adjusted for how many slices were measured; one-sided
    harmful: bool = False
    told: str = ""  # why it could not be measured


@dataclass(frozen=True)
class Control:
    """A fit without rows drawn at random."""

    rows: int
    gain: float
    error: float


@dataclass(frozen=True)
class Examination:
    """What an examination of a run found."""

    run: RunId
    data: DatasetVersionId
    loss: str  # of a row, as `training.metrics.ROW_LOSSES` names it
    fitted: int  # rows
    held_out: int  # rows
    held_out_loss: float  # mean, fitted on all rows
    seeds: int  # fits that each figure is a mean of: 1 where the trainer gives the same model under every seed
    fits: int
    inflation: float  # κ: by how much chance is larger than the held-out rows alone tell
    controls: tuple[Control, ...]
    slices: tuple[SliceHarm, ...]  # harmful ones first, by what the loss falls
    listed: int  # rows to fix or relabel
    rows: Digest  # those, as Parquet in the object store
    by: str
    at: datetime


def difference(losses: Array, without: Array, order: Array | None = None) -> Difference:
    """Return by how much held-out losses fall: `losses` with some rows, `without` them, each of shape (n,), n at least 2.

    `order` are the rows' times: errors of one storm are one piece of evidence, so stretches of rows are compared then.
    """
    fall = losses - without
    errors = [float(fall.std(ddof=1)) / sqrt(len(fall))]
    if order is not None and len(fall) >= 2 * STRETCHES:
        means = np.array([part.mean() for part in np.array_split(fall[np.argsort(order, kind="stable")], STRETCHES)])
        errors.append(float(means.std(ddof=1)) / sqrt(STRETCHES))
    return Difference(float(fall.mean()), max(errors))


@dataclass(frozen=True)
class Chance:
    """How differences fall where the rows left out are as good as any."""

    shift: float  # mean difference of the controls; above 0 where the model of all rows is an unlucky one, else 0
    inflation: float  # κ: standard deviation of the controls' z, 1 at least
    error: float  # root mean square of the controls' standard errors
    controls: int

    def excess_of(self, found: Difference) -> float:
        """Return the variance of a difference beyond that of other held-out rows: that of other rows to fit on."""
        return (self.inflation**2 - 1) * min(found.error, self.error) ** 2 * (1 + 1 / self.controls)

    def error_of(self, found: Difference) -> float:
        """Return the standard error of a difference, both parts of chance counted."""
        return sqrt(found.error**2 + self.excess_of(found))

    def freedom_of(self, found: Difference) -> int:
        """Return the degrees of freedom of that standard error. Satterthwaite 1946."""
        seen = (self.inflation * min(found.error, self.error)) ** 2  # the part whose size the controls have told
        known = (self.controls - 1) * (self.error_of(found) ** 2 / seen) ** 2 if seen else MOST_FREEDOM
        return int(min(max(known, self.controls - 1), MOST_FREEDOM))

    def tail_of(self, found: Difference) -> float:
        """Return how often chance makes a difference as large as this."""
        error = self.error_of(found)
        return student_tail((found.mean - self.shift) / error, self.freedom_of(found)) if error else 1.0


def chance_of(controls: Sequence[Difference]) -> Chance:
    """Return how differences fall by chance, from at least two controls."""
    means, errors = np.array([one.mean for one in controls]), np.array([one.error for one in controls])
    spread = float(np.array([one.z for one in controls]).std(ddof=1))
    return Chance(max(0.0, float(means.mean())), max(1.0, spread), float(np.sqrt((errors**2).mean())), len(controls))


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return p-values for many questions at once: calling those up to 0.05 significant is wrong anywhere with 5 % at most.

    Holm 1979, "A simple sequentially rejective multiple test procedure".

    >>> adjusted([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    kept, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda n: p_values[n])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        kept[place] = highest
    return kept


def student_tail(t: float, freedom: int) -> float:
    """Return the chance that Student's t with whole degrees of freedom is above `t`. Abramowitz and Stegun 26.7.3 and 26.7.4.

    >>> round(student_tail(2.228, 10), 4), student_tail(0.0, 3)
    (0.025, 0.5)
    """
    angle = atan(abs(t) / sqrt(freedom))
    squared, odd = cos(angle) ** 2, freedom % 2
    term = cos(angle) if odd else 1.0
    total = 0.0
    for step in range(2 + odd, freedom + 1, 2):
        total += term
        term *= squared * (step - 1) / step
    inside = 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total
    tail = max(0.0, (1 - inside) / 2)
    return tail if t >= 0 else 1 - tail


def student_quantile(chance: float, freedom: int) -> float:
    """Return the t that Student's t is above with this chance, 0 < chance < 0.5; to 1e-9."""
    low, high = 0.0, 1.0
    while student_tail(high, freedom) > chance:
        high *= 2
    while high - low > 1e-9 * max(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if student_tail(middle, freedom) > chance else (low, middle)
    return high


def judge(measured: Sequence[tuple[SliceHarm, Difference]], controls: Sequence[Difference]) -> list[SliceHarm]:
    """Return the slices with their gains, intervals and verdicts: the harmful ones first, then by what the loss falls.

    Parameters
    ----------
    measured
        Each slice with its difference.
    controls
        What leaving out as many rows at random did, at least two.
    """
    if not measured:
        return []
    chance, told = chance_of(controls), []
    tails = adjusted([chance.tail_of(found) for _, found in measured])
    for (one, found), p_value in zip(measured, tails, strict=True):
        reach = student_quantile(ALPHA / 2 / len(measured), chance.freedom_of(found)) * chance.error_of(found)
        middle = found.mean - chance.shift
        harm = replace(one, gain=found.mean, low=middle - reach, high=middle + reach, p_value=p_value, harmful=p_value <= ALPHA)
        told.append(harm)
    return sorted(told, key=lambda one: (not one.harmful, -(one.gain or 0.0)))
