"""The job `run.examine`: which defects of its rows harm the model of a run, and which rows to fix or relabel."""

import io
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from modelyard.core import Problem
from modelyard.data import DatasetVersion, reading
from modelyard.prepare import FittedPipeline, Transform
from modelyard.runner.context import StepContext
from modelyard.runner.steps.fitting import (
    UnrecordedHandle,
    check_label,
    dataset_of,
    fit_model,
    load_json,
    split_rows,
    version_of,
    with_features,
)
from modelyard.training import Run, Trainer
from modelyard.training.examination import Examination
from modelyard.training.examining import Wanted, check_examinable, check_wanted, keep_examination
from modelyard.training.influence import Array
from modelyard.training.leave_out import PLACE, Found, Ground, leave_out
from modelyard.training.service import get_run, load_trainer
from modelyard.training.slices import BATCH, Roles

ABSOLUTE = ("mae", "absolute_error")  # metrics of trainers that the absolute error is the loss of


def examine_run(context: StepContext) -> Mapping[str, object]:
    """Examine the run that the payload names, and keep what was found beside it."""
    payload = context.asked(Wanted, "what to examine", "ask by yard run examine")
    check_wanted(payload)
    platform, actor, project = context.platform, context.actor, context.project
    run = get_run(platform, actor, project, payload.run)
    check_examinable(run)
    trainer = load_trainer(platform, actor, project, run.recipe.trainer)
    context.progress(0.01, "read the rows")
    ground = _ground(context, run, trainer)

    def fit(rows: pl.DataFrame, answered: pl.DataFrame, seed: int) -> Array:
        recipe = replace(run.recipe, seed=run.recipe.seed + seed)
        frames = (rows.drop(BATCH, PLACE), answered.drop(BATCH, PLACE))
        answers = fit_model(context, UnrecordedHandle(context, run.id, recipe.seed), trainer, recipe, frames).answers
        if answers.ndim != 1 or not np.isfinite(answers).all():
            why = "an answer is no single finite number, and has no loss"
            raise Problem("examination.refused", f"The answers of {trainer.name} cannot be judged", why, "yard run show")
        return answers

    def progress(done: float, told: str) -> None:
        context.progress(0.02 + 0.96 * done, told)

    found = leave_out(ground, fit, progress, slices=payload.slices, fits=payload.fits, now=platform.clock())
    context.progress(0.99, "keep what was found")
    return _kept(context, run, ground, found)


def _ground(context: StepContext, run: Run, trainer: Trainer) -> Ground:
    platform, project = context.platform, context.project
    data = version_of(context, run.data)
    dataset = dataset_of(context, data)
    parts = split_rows(context, data, run.split, _rows_with_batches(context, data))
    fitted, held_out = with_features(context, run, trainer, dataset, parts)
    for part in (fitted, held_out):
        check_label(trainer, part)
    pipeline = FittedPipeline.from_json(load_json(context, run.artifacts["pipeline"]))
    batches = reading.batches_until(platform, project, data)
    roles = Roles(
        label=trainer.label,
        key=dataset.key,
        time=dataset.time,
        checks=(*dataset.checks, *trainer.checks),
        batches={one.number: ", ".join(parent.told or parent.ref for parent in one.parents) for one in batches},
    )
    labels = pl.concat([fitted[trainer.label], held_out[trainer.label]]).cast(pl.Float64)
    absolute = run.metric in ABSOLUTE
    loss = "log_loss" if labels.is_in([0.0, 1.0]).all() else "absolute_error" if absolute else "squared_error"
    return Ground(fitted, held_out, Transform(pipeline).matrix(fitted), roles, loss)


def _rows_with_batches(context: StepContext, data: DatasetVersion) -> pl.DataFrame:
    """Return the rows of a dataset version with `BATCH` and `PLACE`, in their order."""
    return reading.read_with_batches(context.platform, context.project, data, BATCH).with_row_index(PLACE)


def _kept(context: StepContext, run: Run, ground: Ground, found: Found) -> Mapping[str, object]:
    buffer = io.BytesIO()
    found.listed.write_parquet(buffer)
    [listed] = context.platform.objects.put(context.project, [buffer.getvalue()])
    made = Examination(
        run=run.id,
        data=run.data,
        loss=ground.loss,
        fitted=ground.fitted.height,
        held_out=ground.held_out.height,
        held_out_loss=found.held_out_loss,
        seeds=found.seeds,
        fits=found.fits,
        inflation=found.inflation,
        controls=found.controls,
        slices=found.slices,
        listed=found.listed.height,
        rows=listed,
        by=context.actor.member,
        at=context.platform.clock(),
    )
    return {"run": run.id, "examination": keep_examination(context.platform, context.actor, context.project, made)}
