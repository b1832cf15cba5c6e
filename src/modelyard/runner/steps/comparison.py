"""Versions on the same labelled rows: what each comes to there, and which rows are fair to judge one on."""

from collections.abc import Callable, Mapping
from datetime import datetime

import numpy as np
import polars as pl

from modelyard.core import Problem
from modelyard.data import Dataset, DatasetVersion, Split, SplitKind
from modelyard.data.features import open_join
from modelyard.data.split import split_frame
from modelyard.registry import Evaluation, ModelVersion
from modelyard.registry.parts import leaves_of
from modelyard.runner.context import StepContext
from modelyard.runner.steps.fitting import dataset_of, rows_of, version_of
from modelyard.serving.infer import LoadedVersion, load_version
from modelyard.serving.service import served_form
from modelyard.training import RunId, RunKind
from modelyard.training.metrics import measure
from modelyard.training.service import get_run

LEAST_ROWS = 200  # to fit on, and to judge on: fewer say nothing about a recipe or a version
CHUNK_ROWS = 50_000
PLACE = "_row"  # one of the names that no column of a dataset may have


def measure_version(
    context: StepContext,
    version: ModelVersion,
    rows: pl.DataFrame,
    label: str,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Mapping[str, float]:
    """Return the metrics of a version on labelled rows, answered as it serves; none where an answer is no single number.

    What it looks up is what was known before each row's time.
    """
    platform, project = context.platform, context.project
    with platform.transaction() as tx:
        served = served_form(tx, version)
    if served.features is not None:
        rows = open_join(platform, project, served.features).joined(rows)
    return measure_loaded(load_version(platform, project, served, context.scratch), rows, label, progress)


def measure_loaded(
    loaded: LoadedVersion,
    rows: pl.DataFrame,
    label: str,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Mapping[str, float]:
    """Return the metrics of a version in memory on labelled rows; none where an answer is no single number."""
    if len(loaded.outputs) != 1:
        return {}
    answers = []
    for done, chunk in enumerate(rows.iter_slices(CHUNK_ROWS)):
        answers.append(loaded.infer(chunk)[loaded.outputs[0]])
        progress(min(1.0, (done + 1) * CHUNK_ROWS / rows.height))
    found = np.concatenate(answers)
    return measure(rows[label].cast(pl.Float64).to_numpy(), found) if found.ndim == 1 else {}


def beside(
    context: StepContext,
    against: ModelVersion,
    rows: pl.DataFrame,
    *,
    run: RunId | None,
    mine: Mapping[str, float],
    label: str,
    metric: str,
    window: str,
    refusal: str,
) -> Evaluation:
    """Measure `against` on the rows on which the model of `run` came to `mine`, and return both as an evaluation.

    Raises
    ------
    Problem
        `refusal` when the metric is not defined there.
    """
    its = measure_version(context, against, rows, label)
    if metric not in its or metric not in mine:
        raise Problem(
            refusal,
            f"{metric} is not defined on the {rows.height:,} rows that were to be judged on",
            "they hold one class only" if rows[label].n_unique() == 1 else "an answer is no single number",
            "take a longer stretch",
        )
    return Evaluation(
        run=run,
        against=against.number,
        rows=rows.height,
        window=window,
        metric=metric,
        value=mine[metric],
        against_value=its[metric],
        metrics=mine,
        against_metrics=its,
        at=context.platform.clock(),
    )


def rows_since(rows: pl.DataFrame, dataset: Dataset, data: DatasetVersion, moment: datetime) -> pl.DataFrame:
    """Return those of a dataset version's rows that happened from a moment on."""
    if data.event_from is not None and data.event_from >= moment:
        return rows
    return split_frame(rows, Split(SplitKind.TIME, boundary=moment), key=dataset.key, time=dataset.time)[1]


def find_leaves(context: StepContext, version: ModelVersion) -> list[ModelVersion]:
    """Return the uncombined versions that a version comes down to, itself where it is not combined."""
    with context.platform.transaction() as tx:
        return leaves_of(tx, version)


def was_fitted_on(
    context: StepContext, version: ModelVersion, data: DatasetVersion, dataset: Dataset, rows: pl.DataFrame
) -> pl.Series:
    """Return which rows of a dataset version a model version was fitted on: one truth value a row, in their order.

    Rows are known by the dataset's key, also in another dataset of the same key; those of a dataset without one by their place,
    since versions of it grow at the end. A refit was fitted on all rows of its version, every other run on those that its
    split did not hold out. Of an imported version nobody knows which they were: none is told. A combined version was fitted on
    what any of its parts was.
    """
    if version.composition is not None:
        fitted_on = pl.repeat(False, rows.height, dtype=pl.Boolean, eager=True)
        for leaf in find_leaves(context, version):
            fitted_on |= was_fitted_on(context, leaf, data, dataset, rows)
        return fitted_on
    if version.run is None or version.data is None:
        return pl.repeat(False, rows.height, dtype=pl.Boolean, eager=True)
    run = get_run(context.platform, context.actor, context.project, version.run)
    source = version_of(context, version.data)
    own = dataset_of(context, source)
    whole = (rows if source.id == data.id else rows_of(context, source)).with_row_index(PLACE)
    fitted = whole if run.kind is RunKind.REFIT else split_frame(whole, run.split, key=own.key, time=own.time)[0]
    keys = list(dataset.key)
    if keys and dataset.key == own.key and all(rows.schema[name] == whole.schema[name] for name in keys):
        known = rows.select(keys).with_row_index(PLACE).join(fitted.select(keys), on=keys, how="semi")
    elif own.id == dataset.id:
        known = fitted
    else:
        return pl.repeat(False, rows.height, dtype=pl.Boolean, eager=True)
    return pl.select(pl.int_range(rows.height).is_in(known[PLACE].implode())).to_series()
