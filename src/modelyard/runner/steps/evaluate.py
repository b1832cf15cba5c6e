"""The job `model.evaluate`: two versions of a model on the same labelled rows, which the first was not fitted on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import msgspec
import polars as pl

from modelyard.core import Problem
from modelyard.registry import Evaluation, ModelVersion
from modelyard.registry.parts import trained_leaf
from modelyard.registry.rules import trained
from modelyard.registry.service import add_evaluations, get_version
from modelyard.runner.context import StepContext
from modelyard.runner.steps.comparison import LEAST_ROWS, PLACE, beside, find_leaves, measure_version, rows_since, was_fitted_on
from modelyard.runner.steps.fitting import check_label, dataset_of, rows_of, version_of
from modelyard.training import Trainer
from modelyard.training.service import load_trainer

REFUSED = "evaluation.refused"
USUAL = ("log_loss", "rmse")  # told of where the trainer's own metric can be measured by nobody else


@dataclass(frozen=True)
class Fair:
    """The rows that a version may be judged on, and which they are."""

    rows: pl.DataFrame
    window: str


def evaluate_version(context: StepContext) -> Mapping[str, object]:
    """Measure the version that the payload names beside another, and keep what they came to with the version."""
    payload = context.job.payload
    platform, actor, project, model = context.platform, context.actor, context.project, payload["model"]
    candidate = get_version(platform, actor, project, f"{model}@{payload['version']}")
    against = get_version(platform, actor, project, f"{model}@{payload['against']}")
    with platform.transaction() as tx:
        judge = trained_leaf(tx, candidate) or trained_leaf(tx, against) or against
    trainer = load_trainer(platform, actor, project, trained(judge, "be measured beside another", REFUSED).recipe.trainer)
    context.progress(0.05, "read the rows")
    fair = fair_rows(context, candidate, against, trainer)
    told = f"{fair.rows.height:,} rows"

    def progress(done: float) -> None:
        context.progress(0.2 + 0.3 * done, f"{told}, v{candidate.number}")

    mine = measure_version(context, candidate, fair.rows, trainer.label, progress)
    context.progress(0.5, f"{told}, v{against.number}")
    found = beside(
        context,
        against,
        fair.rows,
        run=candidate.run,
        mine=mine,
        label=trainer.label,
        metric=next((one for one in (trainer.metric, *USUAL) if one in mine), trainer.metric),
        window=fair.window,
        refusal=REFUSED,
    )
    return {"model": model, "version": candidate.number, "evaluation": msgspec.to_builtins(_kept(context, candidate, found))}


def fair_rows(context: StepContext, candidate: ModelVersion, against: ModelVersion, trainer: Trainer) -> Fair:
    """Return the labelled rows of the asked stretch that the candidate was not fitted on.

    How many of them the other version was fitted on is told, and they stay: that can only speak for the version that stands.

    Raises
    ------
    Problem
        `column.missing` and `label.invalid` for rows without such a label; `evaluation.refused` for a stretch of a dataset
        that has no times, for too few rows, and for rows of one class.
    """
    payload = context.job.payload
    data = version_of(context, payload["data"])
    dataset, whole = dataset_of(context, data), rows_of(context, data)
    check_label(trainer, whole.drop_nulls(trainer.label) if trainer.label in whole.columns else whole)
    taken = whole.with_row_index(PLACE)
    told = f"{data.name} v{data.number}"
    if payload.get("newest_s"):
        if dataset.time is None or data.event_until is None:
            why = f"the dataset {dataset.name} has no time column"
            raise Problem(REFUSED, "There is no newest stretch to judge on", why, "leave --newest out")
        since = data.event_until - timedelta(seconds=payload["newest_s"])
        taken = rows_since(taken, dataset, data, since)
        told += f", {since:%Y-%m-%d} … {data.event_until:%Y-%m-%d}"
    labelled = taken.drop_nulls(trainer.label)
    mine = was_fitted_on(context, candidate, data, dataset, whole)
    rows = labelled.filter(~mine.gather(labelled[PLACE]))
    left_out = labelled.height - rows.height
    _demand(candidate, trainer, rows, left_out, told)
    seen = int(was_fitted_on(context, against, data, dataset, whole).gather(rows[PLACE]).sum())
    if left_out:
        aside = f"{told}, {left_out:,} rows left out that it was fitted on"
        told = f"held-out rows of {told}" if candidate.data == data.id else aside
    if seen:
        told += f"; v{against.number} was fitted on {seen:,} of them"
    if any(one.data is None for one in find_leaves(context, candidate)):
        told += f"; which of them v{candidate.number} was fitted on is not known: it was imported"
    return Fair(rows.drop(PLACE), told)


def _demand(candidate: ModelVersion, trainer: Trainer, rows: pl.DataFrame, left_out: int, told: str) -> None:
    """Return when the rows are enough to judge by."""
    name = f"{candidate.model}@{candidate.number}"
    newer = "name rows that came later, or a longer stretch: --data DATASET@latest --newest 30d"
    if rows.height < LEAST_ROWS:
        held = f"{told} has {rows.height + left_out:,} labelled rows, and {name} was fitted on {left_out:,} of them"
        raise Problem(
            REFUSED,
            f"{rows.height:,} rows are left to judge {name} on",
            f"{held}; a version is judged on at least {LEAST_ROWS}",
            newer,
        )
    if rows[trainer.label].n_unique() == 1:
        what = f"The {rows.height:,} rows to judge {name} on all have the same {trainer.label}"
        raise Problem(REFUSED, what, "which version knows better cannot show there", newer)


def _kept(context: StepContext, candidate: ModelVersion, made: Evaluation) -> Evaluation:
    """Record the evaluation; one that a lost try of this job had recorded already is not doubled."""
    since = context.job.created_at
    twins = [one for one in candidate.evaluations if one.at >= since and replace(one, at=made.at) == made]
    if context.job.attempts > 1 and twins:
        return twins[-1]
    add_evaluations(context.platform, context.actor, context.project, candidate.model, candidate.number, [made])
    return made
