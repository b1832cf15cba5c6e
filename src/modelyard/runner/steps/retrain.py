"""The job `deployment.retrain`: the champion's recipe on fresh rows.

Three recorded steps: the dataset grows by the labelled predictions; the recipe is fitted without the newest stretch and
judged on it beside the champion; the same recipe is fitted again with that stretch included. The refit is what is registered:
it carries the recipe's judgement to the gate, and is itself judged live, as a canary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import polars as pl

from modelyard.core import PageRequest, Problem, from_text
from modelyard.data import Dataset, DatasetVersion, Parent, Split, SplitKind, reading
from modelyard.data.admission import without_quarantined
from modelyard.data.quality.kinds import told_failures
from modelyard.data.rules import quarantine_of
from modelyard.data.schema import conform
from modelyard.data.service import append, get_dataset, get_version
from modelyard.data.split import split_frame
from modelyard.monitoring.labels import labelled_rows
from modelyard.reactions import Retraining
from modelyard.registry import Evaluation, ModelVersion
from modelyard.registry.rules import trained
from modelyard.registry.service import find_versions, register
from modelyard.registry.service import get_version as get_model_version
from modelyard.runner.context import StepContext
from modelyard.runner.steps.comparison import LEAST_ROWS, beside, rows_since
from modelyard.runner.steps.fitting import Trained, fit_recipe, rows_of
from modelyard.runner.steps.packaging import build_package
from modelyard.runner.steps.train import ending_badly, finish_run
from modelyard.serving import Deployment
from modelyard.serving.ledger import INPUT_PREFIX
from modelyard.serving.service import get_deployment
from modelyard.training import Recipe, Run, RunId, RunKind, Trainer
from modelyard.training.metrics import DIRECTIONS
from modelyard.training.service import NewRun, begin, end_runs_of, load_trainer, start_runs

STRETCHES = {RunKind.RETRAIN: (0.1, 0.45), RunKind.REFIT: (0.5, 0.85)}  # of the job's progress
NEW_LABEL = "_row"  # one of the names that no column of a dataset may have


@dataclass(frozen=True)
class Material:
    """What a retraining works with."""

    deployment: Deployment
    champion: ModelVersion
    recipe: Recipe  # the champion's
    trainer: Trainer
    dataset: Dataset
    data: DatasetVersion
    rows: pl.DataFrame  # all that is fitted on in the end
    boundary: datetime  # rows from here on are held back for the judgement

    @property
    def parts(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows before the boundary, and those held back."""
        return split_frame(self.rows, self.split, key=self.dataset.key, time=self.dataset.time)

    @property
    def split(self) -> Split:
        """The split at the boundary."""
        return Split(SplitKind.TIME, boundary=self.boundary)


def retrain(context: StepContext) -> Mapping[str, object]:
    """Retrain the deployment that the payload names, and return the version for the gate."""
    platform, actor, project = context.platform, context.actor, context.project
    lost = end_runs_of(platform, actor.member, project, context.job)
    found = _registered(context) if context.job.attempts > 1 else None
    if found is not None:
        return found
    material = _gather(context)
    context.progress(0.1, f"{len(lost)} runs of a lost try ended" if lost else "judge the recipe")
    judged, judged_run = _fit(context, material, RunKind.RETRAIN, material.parts)
    evaluation = _beside_champion(context, material, judged_run, judged)
    both = (material.rows, material.parts[1])
    refit, refit_run = _fit(context, material, RunKind.REFIT, both, refit_of=judged_run)
    package = build_package(
        context,
        refit_run,
        material.trainer,
        material.data,
        model=refit.model,
        framework=refit.framework,
        fitted=refit.fitted,
        test=refit.test,
        evaluations=[evaluation],
        reference=material.champion.reference or material.champion.metrics,
        note=f"refit of run {judged_run.number}, cause {context.job.payload['cause']}",
    )
    version = register(platform, actor, project, material.deployment.model, package)
    return _told(version, judged_run.id, material.rows.height)


def take_in_labels(
    context: StepContext, deployment: Deployment, dataset: Dataset, trainer: Trainer, until: datetime
) -> DatasetVersion:
    """Append the labelled predictions that the dataset does not hold yet, and return its newest version.

    They are known by the dataset's key, so that a label which comes months late still counts, and one that was mended since its
    row was taken in mends the row; without a key they are known by their time, and stay as they are. The raw columns are those
    that were served, faults of the feed included: the next model meets the feed as it is. Columns that no model takes are not
    known of served rows: they are null.
    """
    platform, actor, project = context.platform, context.actor, context.project
    newest = get_version(platform, actor, project, f"{dataset.name}@latest")
    held = reading.read(platform, project, newest)
    since = None if dataset.key else newest.event_until
    found = labelled_rows(platform, project, deployment.name, since=since, until=until)
    if not found.height:
        return newest
    known = found.filter(pl.col("label").is_not_null())
    if since is not None:
        known = known.filter(pl.col("time") > since)
    frame = as_dataset_rows(known, dataset, held.collect_schema(), trainer.label)
    note = f"{frame.height:,} labelled predictions"
    if dataset.key:
        fresh, mended = _unknown(frame, dataset, held), mended_rows(frame, dataset, held, trainer.label)
        frame = _beyond_quarantine(context, dataset, pl.concat([fresh, mended]))
        note = f"{fresh.height:,} labelled predictions" + (f", {mended.height:,} labels mended" if mended.height else "")
    if not frame.height:
        return newest
    parent = Parent("ledger", f"ledger/{deployment.name}", f"labelled predictions of {deployment.name} until {until:%Y-%m-%d}")
    admission = append(platform, actor, project, dataset.name, frame, parents=[parent], note=note, replacing=bool(dataset.key))
    if admission.version is None:
        raise Problem(
            "retraining.refused",
            f"The labelled predictions of {deployment.name} were stopped by the checks of {dataset.name}",
            told_failures(admission.outcomes),
            f"yard dataset quarantine {dataset.name}",
        )
    return admission.version


def as_dataset_rows(labelled: pl.DataFrame, dataset: Dataset, schema: pl.Schema, label: str) -> pl.DataFrame:
    """Return labelled predictions as rows of a dataset: its columns, from inputs, label, id and event time."""

    def column(name: str, dtype: pl.DataType) -> pl.Expr:
        if name == label:
            return pl.col("label").cast(dtype)
        if INPUT_PREFIX + name in labelled.columns:
            return pl.col(INPUT_PREFIX + name)
        if name in dataset.key:
            return pl.col("id")
        if name == dataset.time:
            zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
            return pl.col("time") if zone else pl.col("time").dt.replace_time_zone(None)
        return pl.lit(None, dtype=dtype)

    return labelled.select(column(name, dtype).alias(name) for name, dtype in schema.items())


def _unknown(frame: pl.DataFrame, dataset: Dataset, held: pl.LazyFrame) -> pl.DataFrame:
    """Return the rows whose key the dataset does not hold."""
    keys = list(dataset.key)
    known = held.select(keys).unique().collect()
    return conform(frame, held.collect_schema()).join(known, on=keys, how="anti", maintain_order="left")


def mended_rows(frame: pl.DataFrame, dataset: Dataset, held: pl.LazyFrame, label: str) -> pl.DataFrame:
    """Return the rows held whose label is another by now, with that label and else as they are held.

    Only where one prediction has the key: of several about one thing, the dataset's row cannot be told to be of the last.
    """
    keys, rows = list(dataset.key), conform(frame, held.collect_schema())
    once = rows.filter(pl.len().over(keys) == 1).select(*keys, pl.col(label).alias(NEW_LABEL))
    met = held.join(once.lazy(), on=keys, how="inner", maintain_order="left").collect()
    changed = met.filter(pl.col(label).ne_missing(pl.col(NEW_LABEL)))
    return changed.with_columns(pl.col(NEW_LABEL).alias(label)).drop(NEW_LABEL).select(rows.columns)


def _beyond_quarantine(context: StepContext, dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that did not go to the dataset's quarantine before."""
    table = quarantine_of(dataset.name)
    if context.platform.lake.version(context.project, table) is None:
        return rows
    return without_quarantined(rows, context.platform.lake.scan(context.project, table))


def _gather(context: StepContext) -> Material:
    payload = context.job.payload
    platform, actor, project = context.platform, context.actor, context.project
    deployment = get_deployment(platform, actor, project, payload["deployment"])
    retraining = msgspec.convert(payload["retraining"], Retraining)
    champion = get_model_version(platform, actor, project, f"{deployment.model}@{deployment.alias}")
    recipe = trained(champion, "be retrained", "retraining.refused").recipe
    trainer = load_trainer(platform, actor, project, recipe.trainer)
    if trainer.metric not in DIRECTIONS:
        raise Problem(
            "retraining.refused",
            f"The recipe of {deployment.model} is judged by {trainer.metric}, which only its trainer can measure",
            f"recipe and champion are held against each other by one of {', '.join(sorted(DIRECTIONS))}",
            "name one of them as the trainer's metric",
        )
    context.progress(0.02, "take in the labelled predictions")
    dataset = get_dataset(platform, actor, project, retraining.dataset)
    data = take_in_labels(context, deployment, dataset, trainer, from_text(payload["until"]))
    if dataset.time is None or data.event_until is None:
        raise Problem(
            "retraining.refused",
            f"The dataset {dataset.name} has no time column",
            "the newest rows are held back by time",
            "declare it: project.dataset(…, time=…)",
        )
    boundary = data.event_until - timedelta(seconds=retraining.held_back_s)
    rows = rows_of(context, data)
    if retraining.history_s is not None:
        oldest = boundary - timedelta(seconds=retraining.history_s)
        rows = rows_since(rows, dataset, data, oldest)
    material = Material(deployment, champion, recipe, trainer, dataset, data, rows, boundary)
    _demand_rows(material, retraining)
    return material


def _demand_rows(material: Material, retraining: Retraining) -> None:
    stretch = f"the newest {retraining.held_back_s / 86_400:g} days"
    try:
        fitted, held_back = (part.height for part in material.parts)
    except Problem as problem:
        if problem.code != "split.invalid":
            raise
        what = f"The {material.rows.height:,} labelled rows cannot be parted before {stretch}"
        raise Problem("retraining.refused", what, problem.why, "hold back a shorter stretch") from problem
    if held_back < LEAST_ROWS:
        what = f"{stretch.capitalize()} hold {held_back} labelled rows"
        why = f"a recipe is judged on at least {LEAST_ROWS}"
        raise Problem("retraining.refused", what, why, "wait for labels, or hold back a longer stretch")
    if fitted < LEAST_ROWS:
        what = f"Before {stretch} there are {fitted} labelled rows"
        why = f"a recipe is fitted on at least {LEAST_ROWS}"
        raise Problem("retraining.refused", what, why, "wait for labels, or hold back a shorter stretch")


def _registered(context: StepContext) -> Mapping[str, object] | None:
    """Return the result of an earlier try that had registered its version when its worker was lost."""
    payload = context.job.payload
    platform, actor, project = context.platform, context.actor, context.project
    deployment = get_deployment(platform, actor, project, payload["deployment"])
    newest = find_versions(platform, actor, project, deployment.model, PageRequest(limit=100)).items
    version = next((one for one in newest if one.cause == payload["cause"] and one.refit_of is not None), None)
    if version is None or version.refit_of is None or version.data is None:
        return None
    return _told(version, version.refit_of, get_version(platform, actor, project, version.data).rows)


def _told(version: ModelVersion, judged: RunId, rows: int) -> Mapping[str, object]:
    return {
        "model": version.model,
        "version": version.number,
        "run": version.run,
        "judged_run": judged,
        "dataset_version": version.data,
        "rows": rows,
    }


def _fit(
    context: StepContext,
    material: Material,
    kind: RunKind,
    frames: tuple[pl.DataFrame, pl.DataFrame],
    refit_of: Run | None = None,
) -> tuple[Trained, Run]:
    platform, actor, project = context.platform, context.actor, context.project
    new = NewRun(
        recipe=material.recipe,
        data=material.data.id,
        kind=kind,
        split=material.split,
        cause=context.job.payload["cause"],
        refit_of=refit_of.id if refit_of else None,
        features=refit_of.features if refit_of else None,
        queued=False,
        job=context.job.id,
    )
    [run] = start_runs(platform, actor, project, [new])
    run = begin(platform, actor, project, run.id)
    low, high = STRETCHES[kind]

    def progress(fraction: float, message: str) -> None:
        context.progress(low + (high - low) * fraction, f"{kind.value}: {message}")

    with ending_badly(context, run):
        trainer, dataset = material.trainer, material.dataset
        trained = fit_recipe(context, run, trainer, dataset, frames, rows=material.rows, progress=progress)
        return trained, finish_run(context, run, trainer, trained)


def _beside_champion(context: StepContext, material: Material, run: Run, judged: Trained) -> Evaluation:
    """Measure the champion on the rows held back, through the door that serves it."""
    context.progress(0.47, "measure the champion on the same rows")
    return beside(
        context,
        material.champion,
        material.parts[1],
        run=run.id,
        mine=judged.metrics,
        label=material.trainer.label,
        metric=material.trainer.metric,
        window=f"labelled {material.boundary:%Y-%m-%d} … {context.job.payload['until'][:10]}",
        refusal="retraining.refused",
    )
