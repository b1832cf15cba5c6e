"""Leave-slice-out: a recipe fitted again and again, each time without some of its rows, in the order of suspicion."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.core import Problem
from modelyard.data.sample import sample_places
from modelyard.data.split import places, salted_hash
from modelyard.training.examination import Control, Difference, SliceHarm, chance_of, difference, judge
from modelyard.training.influence import MOST_ASKED, Array, Features, agreeable, row_values, scaled
from modelyard.training.metrics import ROW_LOSSES
from modelyard.training.relabelling import Doubts, doubt_labels
from modelyard.training.slices import Roles, Suspected, by_suspicion, find_slices, suspicions

FOLDS = 5
CONTROLS = 10
SEEDS = 2  # where the trainer gives another model under another seed
LEAST_FITS = SEEDS + FOLDS + SEEDS * (CONTROLS + 1)  # one slice can be measured, whatever the trainer
MOST_LISTED = 1_000  # rows to relabel, and of each harmful slice to fix
LISTED = ("row", "reason", "slices", "score", "label", "suggested")  # a key of one of these names is told as key.NAME
PLACE = "_row"  # of a row in its dataset version, from 0; one of the names that no column of a dataset may have

Fit = Callable[[pl.DataFrame, pl.DataFrame, int], Array]
"""Fit on the first frame and return the answers to the second, under the seed that lies so far from the recipe's."""


@dataclass(frozen=True, eq=False)
class Ground:
    """What is examined: the rows that a run was fitted on and those held out, with `BATCH` and `PLACE`."""

    fitted: pl.DataFrame
    held_out: pl.DataFrame
    features: Features  # of the fitted rows, prepared; shape (n, k)
    roles: Roles
    loss: str  # a name of `ROW_LOSSES`


@dataclass(frozen=True, eq=False)
class Found:
    """What the fits have shown."""

    slices: tuple[SliceHarm, ...]
    controls: tuple[Control, ...]
    inflation: float
    held_out_loss: float
    seeds: int
    fits: int
    listed: pl.DataFrame  # rows to fix or relabel: see `_listed`


def leave_out(
    ground: Ground, fit: Fit, progress: Callable[[float, str], None], *, slices: int, fits: int, now: datetime
) -> Found:
    """Measure at most so many slices by at most so many fits, and list the rows to fix or relabel.

    All fits are judged on the held-out rows, which stay the same. What is examined first is chosen by the fitted rows alone, so
    that the held-out ones are asked once.
    """
    fitting = _Fitting(ground, fit, progress, fits)
    labels = ground.fitted[ground.roles.label].cast(pl.Float64).to_numpy()
    base = fitting.base()
    answers = fitting.out_of_fold()
    values = row_values(scaled(ground.features), agreeable(labels), sample_places(len(labels), MOST_ASKED))
    known = find_slices(ground.fitted, ground.roles, now=now)
    worth = (values, -ROW_LOSSES[ground.loss](labels, answers))
    suspicious = suspicions([mask for _, mask in known], worth)
    ranked = by_suspicion([Suspected(*one, suspicion) for one, suspicion in zip(known, suspicious, strict=True)])[:slices]
    most = fitting.affordable(CONTROLS)
    sizes = control_sizes([one.slice.rows for one in ranked[:most]])
    controls = [fitting.control(size, number, base) for number, size in enumerate(sizes)]
    measured: list[tuple[SliceHarm, Difference]] = []
    failed: list[SliceHarm] = []
    for one in ranked[:most]:
        harm = SliceHarm(one.slice, one.suspicion)
        try:
            measured.append((harm, fitting.without(one.mask, f"without {one.slice.name}", base)))
        except Problem as problem:
            failed.append(replace(harm, told=f"{problem.what}: {problem.why}"))
    judged = judge(measured, [one for _, one in controls])
    unmeasured = [SliceHarm(one.slice, one.suspicion, told="not measured: more fits would reach it") for one in ranked[most:]]
    masks = {one.slice.name: one.mask.to_numpy() for one in ranked}
    harmful = {one.slice.name: masks[one.slice.name] for one in judged if one.harmful}
    return Found(
        slices=(*judged, *failed, *unmeasured),
        controls=tuple(Control(size, one.mean, one.error) for size, one in controls),
        inflation=chance_of([one for _, one in controls]).inflation if controls else 1.0,
        held_out_loss=float(base.mean()),
        seeds=fitting.seeds,
        fits=fitting.done,
        listed=list_rows(ground, harmful, values, doubt_labels(labels, answers)),
    )


def control_sizes(sizes: list[int]) -> list[int]:
    """Return how many rows each control leaves out: as slices do, spread over their sizes; none without slices.

    >>> control_sizes([20, 400, 30])
    [20, 20, 20, 30, 30, 30, 30, 400, 400, 400]
    """
    ordered = sorted(sizes)
    return [ordered[int((number + 0.5) / CONTROLS * len(ordered))] for number in range(CONTROLS)] if ordered else []


class _Fitting:
    """Counts the fits, and repeats each under as many seeds as the trainer makes necessary."""

    def __init__(self, ground: Ground, fit: Fit, progress: Callable[[float, str], None], fits: int) -> None:
        self.ground, self.fits, self.done, self.seeds = ground, fits, 0, 1
        self._fit, self._progress = fit, progress
        self._labels = ground.held_out[ground.roles.label].cast(pl.Float64).to_numpy()
        time = ground.roles.time
        self._order = None if time is None else ground.held_out[time].to_physical().cast(pl.Float64).to_numpy()

    def base(self) -> Array:
        """Return the held-out losses with all rows, and learn whether the trainer goes by its seed."""
        answers = [self._answers(self.ground.fitted, self.ground.held_out, seed, "on all rows") for seed in range(SEEDS)]
        self.seeds = SEEDS if any(not np.array_equal(one, answers[0]) for one in answers) else 1
        return self._mean_loss(answers[: self.seeds])

    def out_of_fold(self) -> Array:
        """Return for each fitted row the answer of a model that was fitted without its fold."""
        rows = self.ground.fitted
        folds = salted_hash(places(rows.height), "fold") % np.uint64(FOLDS)
        answers = np.zeros(rows.height)
        for fold in range(FOLDS):
            inside = folds == fold
            answers[inside] = self._answers(rows.filter(~inside), rows.filter(inside), 0, f"fold {fold + 1} of {FOLDS}")
        return answers

    def affordable(self, controls: int) -> int:
        """Return how many slices can be measured by the fits that are left when so many controls are taken."""
        return max(0, (self.fits - self.done) // self.seeds - controls)

    def control(self, size: int, number: int, base: Array) -> tuple[int, Difference]:
        """Return what leaving out so many rows at random does."""
        drawn = np.zeros(self.ground.fitted.height, dtype=np.bool_)
        drawn[sample_places(len(drawn), size, seed=number + 1)] = True
        return size, self.without(pl.Series(drawn), f"without {size:,} rows at random", base)

    def without(self, mask: pl.Series, told: str, base: Array) -> Difference:
        """Return what leaving out the rows of a mask does to the held-out losses."""
        rows = self.ground.fitted.filter(~mask)
        answers = [self._answers(rows, self.ground.held_out, seed, told) for seed in range(self.seeds)]
        return difference(base, self._mean_loss(answers), self._order)

    def _mean_loss(self, answers: list[Array]) -> Array:
        losses: Array = np.mean([ROW_LOSSES[self.ground.loss](self._labels, one) for one in answers], axis=0)
        return losses

    def _answers(self, rows: pl.DataFrame, answered: pl.DataFrame, seed: int, told: str) -> Array:
        self._progress(self.done / self.fits, f"fit {self.done + 1}: {told}")
        self.done += 1
        return self._fit(rows, answered, seed)


def list_rows(ground: Ground, harmful: dict[str, NDArray[np.bool_]], values: Array, doubts: Doubts) -> pl.DataFrame:
    """Return the rows to fix or relabel, the most urgent of each reason first.

    Columns: those of the key; `row`, its place in the dataset version, from 0; `reason`, `relabel` (the other rows speak
    against its label) or `fix` (it is of a harmful slice); `slices`, the harmful ones that it is of; `score`, from 0 to 1: how
    far its label is doubted, or the share of rows that are worth more to a nearest-neighbour model; `label`; `suggested`, the
    label that the other rows speak for, to relabel only.

    Parameters
    ----------
    harmful
        The mask of each harmful slice, the worst first, each of shape (n,).
    values
        What each row is worth, shape (n,).
    """
    rows, label = ground.fitted, ground.roles.label
    dtype = rows.schema[label]
    suggested = pl.Series("suggested", doubts.suggested)
    names = pl.Series("slices", ["; ".join(name for name, mask in harmful.items() if mask[n]) for n in range(rows.height)])
    worth_less = 1 - (np.argsort(np.argsort(values, kind="stable"), kind="stable") + 1) / len(values)
    key = [pl.col(name).alias(f"key.{name}" if name in LISTED else name) for name in ground.roles.key]
    every = rows.select(*key, pl.col(PLACE).alias("row"), pl.col(label).alias("label")).with_columns(
        slices=names,
        suggested=(suggested.round() if dtype.is_integer() else suggested)
        .cast(pl.Int64 if dtype == pl.Boolean else dtype)
        .cast(dtype),
        doubt=pl.Series(doubts.score),
        worth_less=pl.Series(worth_less),
    )
    relabel = every.filter(pl.Series(doubts.disputed)).select(pl.all(), reason=pl.lit("relabel"), score=pl.col("doubt"))
    parts = [relabel.sort("score", "row", descending=[True, False]).head(MOST_LISTED)]
    taken = parts[0]["row"]
    for mask in harmful.values():
        here = every.filter(pl.Series(mask) & ~pl.col("row").is_in(taken.implode()))
        fix = here.select(pl.all(), reason=pl.lit("fix"), score=pl.col("worth_less")).with_columns(
            suggested=pl.lit(None, dtype=dtype)
        )
        parts.append(fix.sort("score", "row", descending=[True, False]).head(MOST_LISTED))
        taken = pl.concat([taken, parts[-1]["row"]])
    return pl.concat(parts).select(*every.columns[: len(key)], *LISTED)
