"""The job `deployment.retrain`: the champion's recipe on fresh rows.

Three recorded steps: the dataset grows by the labelled predictions; the recipe is fitted without the newest stretch and
judged on it beside the champion; the same recipe is fitted again with that stretch included. The refit is what is registered:
it carries the recipe's judgement to the gate, and is itself judged live, as a canary.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
import polars as pl

from modelyard.core import Problem, from_text
from modelyard.data import Dataset, DatasetVersion, Parent, Split, SplitKind
from modelyard.data.service import append, get_dataset, get_version
from modelyard.monitoring.labels import labelled_rows
from modelyard.reactions import Retraining
from modelyard.registry import Evaluation, ModelVersion
from modelyard.registry.service import get_version as get_model_version
from modelyard.registry.service import register
from modelyard.runner.context import StepContext
from modelyard.runner.steps.fitting import Trained, dataset_of, fit_recipe, rows_of
from modelyard.runner.steps.packaging import build_package
from modelyard.runner.steps.train import finish_run
from modelyard.serving import Deployment
from modelyard.serving.infer import load_version
from modelyard.serving.ledger import INPUT_PREFIX
from modelyard.serving.service import get_deployment, served_form
from modelyard.training import Recipe, Run, RunId, RunKind, Trainer
from modelyard.training.metrics import measure
from modelyard.training.service import NewRun, begin, load_trainer, start_runs

LEAST_ROWS = 200  # held back: fewer say nothing about a recipe


def retrain(context: StepContext) -> Mapping[str, object]:
    """Retrain the deployment that the payload names, and return the version for the gate."""
    payload = context.job.payload
    platform, actor, project = context.platform, context.actor, context.project
    deployment = get_deployment(platform, actor, project, payload["deployment"])
    retraining = msgspec.convert(payload["retraining"], Retraining)
    until = from_text(payload["until"])
    champion = get_model_version(platform, actor, project, f"{deployment.model}@{deployment.alias}")
    trainer = load_trainer(platform, actor, project, champion.recipe.trainer)
    context.progress(0.02, "take in the labelled predictions")
    dataset = get_dataset(platform, actor, project, retraining.dataset)
    data = take_in_labels(context, deployment, dataset, trainer, until)
    rows, boundary = _stretch(context, data, dataset, retraining)
    held_back = rows.filter(pl.col(dataset.time or "") >= boundary)
    if held_back.height < LEAST_ROWS:
        raise Problem(
            "retraining.refused",
            f"The newest {retraining.held_back_s / 86_400:g} days hold {held_back.height} labelled rows",
            f"a recipe is judged on at least {LEAST_ROWS}",
            "wait for labels, or hold back a longer stretch",
        )
    split = Split(SplitKind.TIME, boundary=boundary)
    earlier = rows.filter(pl.col(dataset.time or "") < boundary)
    judged, judged_run = _fit(
        context, trainer, champion.recipe, data, RunKind.RETRAIN, split, (earlier, held_back), (0.1, 0.45)
    )
    evaluation = _beside_champion(context, deployment, champion, trainer, judged_run, judged, held_back, boundary)
    refit, refit_run = _fit(
        context,
        trainer,
        champion.recipe,
        data,
        RunKind.REFIT,
        split,
        (rows, held_back),
        (0.5, 0.85),
        refit_of=judged_run.id,
    )
    package = build_package(
        context,
        refit_run,
        trainer,
        data,
        model=refit.model,
        framework=refit.framework,
        fitted=refit.fitted,
        test=refit.test,
        evaluations=[evaluation],
        note=f"refit of run {judged_run.number}, cause {payload['cause']}",
    )
    version = register(platform, actor, project, deployment.model, package)
    return {
        "model": version.model,
        "version": version.number,
        "run": refit_run.id,
        "judged_run": judged_run.id,
        "dataset_version": data.id,
        "rows": rows.height,
    }


def take_in_labels(
    context: StepContext, deployment: Deployment, dataset: Dataset, trainer: Trainer, until: datetime
) -> DatasetVersion:
    """Append the labelled predictions that the dataset does not hold yet, and return its newest version.

    The raw columns are those that were served, faults of the feed included: the next model meets the feed as it is.
    """
    platform, actor, project = context.platform, context.actor, context.project
    newest = get_version(platform, actor, project, f"{dataset.name}@latest")
    since = newest.event_until
    found = labelled_rows(platform, project, deployment.name, since=since, until=until)
    if not found.height:
        return newest
    known = found.filter(pl.col("label").is_not_null())
    columns = {column.name: pl.col(INPUT_PREFIX + column.name) for column in newest.schema.columns}
    served = [name for name in columns if INPUT_PREFIX + name in known.columns]
    frame = known.select(
        *(columns[name].alias(name) for name in served),
        pl.col("label").alias(trainer.label),
        *(pl.col("id").alias(key) for key in dataset.key if key not in served),
        *([pl.col("time").alias(dataset.time)] if dataset.time and dataset.time not in served else []),
    )
    if dataset.time is not None and since is not None:
        frame = frame.filter(pl.col(dataset.time) > since)
    if not frame.height:
        return newest
    parent = Parent("ledger", f"ledger/{deployment.name}", f"labelled predictions of {deployment.name} until {until:%Y-%m-%d}")
    admission = append(
        platform,
        actor,
        project,
        dataset.name,
        frame,
        parents=[parent],
        note=f"{frame.height:,} labelled predictions",
    )
    if admission.version is None:
        raise Problem(
            "retraining.refused",
            f"The labelled predictions of {deployment.name} were stopped by the checks of {dataset.name}",
            f"{admission.quarantined:,} of {admission.rows:,} rows failed",
            f"yard dataset quarantine {dataset.name}",
        )
    return admission.version


def _stretch(
    context: StepContext, data: DatasetVersion, dataset: Dataset, retraining: Retraining
) -> tuple[pl.DataFrame, datetime]:
    if dataset.time is None or data.event_until is None:
        raise Problem(
            "retraining.invalid",
            f"The dataset {dataset.name} has no time column",
            "the newest rows are held back by time",
            "declare it: project.dataset(…, time=…)",
        )
    boundary = data.event_until - timedelta(seconds=retraining.held_back_s)
    since = None if retraining.history_s is None else boundary - timedelta(seconds=retraining.history_s)
    return rows_of(context, data, since=since), boundary


def _fit(
    context: StepContext,
    trainer: Trainer,
    recipe: Recipe,
    data: DatasetVersion,
    kind: RunKind,
    split: Split,
    frames: tuple[pl.DataFrame, pl.DataFrame],
    stretch: tuple[float, float],
    refit_of: RunId | None = None,
) -> tuple[Trained, Run]:
    platform, actor, project = context.platform, context.actor, context.project
    new = NewRun(
        recipe=recipe, data=data.id, kind=kind, split=split, cause=context.job.payload["cause"], refit_of=refit_of, queued=False
    )
    [run] = start_runs(platform, actor, project, [new])
    run = begin(platform, actor, project, run.id)
    low, high = stretch

    def progress(fraction: float, message: str) -> None:
        context.progress(low + (high - low) * fraction, f"{kind.value}: {message}")

    trained = fit_recipe(context, run.id, trainer, recipe, frames, dataset_of(context, data).key, progress)
    return trained, finish_run(context, run, trainer, trained)


def _beside_champion(
    context: StepContext,
    deployment: Deployment,
    champion: ModelVersion,
    trainer: Trainer,
    run: Run,
    judged: Trained,
    held_back: pl.DataFrame,
    boundary: datetime,
) -> Evaluation:
    """Measure the champion on the rows held back, through the door that serves it."""
    context.progress(0.47, "measure the champion on the same rows")
    served = served_form(champion)
    loaded = load_version(context.platform, deployment.project, served, context.scratch)
    answers = loaded.infer(held_back)
    against = measure(judged.test.y, answers)
    return Evaluation(
        run=run.id,
        against=champion.number,
        rows=len(judged.test),
        window=f"labelled {boundary:%Y-%m-%d} … {context.job.payload['until'][:10]}",
        metric=trainer.metric,
        value=judged.metrics[trainer.metric],
        against_value=against[trainer.metric],
        metrics=judged.metrics,
        against_metrics=against,
        at=context.platform.clock(),
    )
