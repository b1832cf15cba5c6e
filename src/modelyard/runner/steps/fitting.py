"""One fit of a recipe: read the rows, split, fit the preparation, call the user's trainer, measure on the rows held out."""

import io
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.adapters import FRAMEWORK, names
from modelyard.core import Digest, Problem, digest_bytes, digest_file, missing
from modelyard.data import CheckOutcome, Dataset, DatasetVersion, Split, reading
from modelyard.data.batch_findings import find_alone
from modelyard.data.features import join_features, read_tables
from modelyard.data.quality.kinds import told_failures
from modelyard.data.split import split_frame
from modelyard.prepare import FittedPipeline, Transform, fit, load, user_code_boundary
from modelyard.runner.context import StepContext
from modelyard.training import Framework, MetricPoint, Recipe, Run, RunId, Trainer
from modelyard.training.documents import to_bytes
from modelyard.training.metrics import measure
from modelyard.training.service import log

Features = NDArray[np.float32]
RESERVED = ("model", "pipeline", "predictions", "checks")  # names of artifacts


@dataclass(frozen=True)
class Part:
    """The rows that a trainer fits or tests on."""

    frame: pl.DataFrame  # raw columns
    X: Features  # shape (n, k)
    y: NDArray[np.float64]  # shape (n,)
    features: tuple[str, ...]  # names of the k columns of X

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.y)


@dataclass
class RunHandle:
    """What a trainer is given to speak with: it logs metrics, keeps artifacts, tells how far it is."""

    context: StepContext
    run: RunId
    seed: int
    artifacts: dict[str, Digest] = field(default_factory=dict)
    _step: int = 0

    def log(self, step: int | None = None, **metrics: float) -> None:
        """Log metrics at a step; without one, at the next."""
        at = self._step if step is None else step
        self._step = at + 1
        ports = self.context.platform
        points = [MetricPoint(name, at, float(value), ports.clock()) for name, value in metrics.items()]
        log(ports, self.context.actor, self.context.project, self.run, points)

    def keep(self, name: str, content: bytes | Path) -> Digest:
        """Keep bytes or a file as an artifact of the run.

        Raises
        ------
        Problem
            `artifact.invalid` for a name under which the platform keeps its own.
        """
        if name in RESERVED:
            why = f"the platform keeps {', '.join(RESERVED)} itself"
            raise Problem("artifact.invalid", f"The trainer cannot keep an artifact '{name}'", why, "choose another name")
        return self.put(name, content)

    def put(self, name: str, content: bytes | Path) -> Digest:
        """Keep an artifact of any name."""
        objects, project = self.context.platform.objects, self.context.project
        put = objects.put_files(project, [content]) if isinstance(content, Path) else objects.put(project, [content])
        self.artifacts[name] = put[0]
        return put[0]

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far the training is, from 0 to 1."""
        self.context.progress(fraction, message)


class UnrecordedHandle(RunHandle):
    """What a trainer is given where its run has ended: it may log and keep as ever, and nothing of it is kept."""

    def log(self, step: int | None = None, **metrics: float) -> None:
        """Take metrics, and leave the run as it is."""

    def put(self, name: str, content: bytes | Path) -> Digest:
        """Return the content's digest."""
        return digest_file(content) if isinstance(content, Path) else digest_bytes(content)

    def progress(self, fraction: float, message: str = "") -> None:
        """Leave it to the job to say how far it is: this fit is one of many."""


@dataclass(frozen=True)
class Made:
    """A fitted model, the rows as it saw them, and its answers to those held out."""

    model: object
    framework: Framework
    fitted: FittedPipeline
    fit: Part
    test: Part
    answers: NDArray[np.float64]  # for the rows held out


@dataclass(frozen=True)
class Trained:
    """What one fit left."""

    model: object
    framework: Framework
    fitted: FittedPipeline
    metrics: Mapping[str, float]  # on the rows held out
    artifacts: Mapping[str, Digest]
    test: Part
    answers: NDArray[np.float64]  # for the rows held out


def rows_of(context: StepContext, version: DatasetVersion) -> pl.DataFrame:
    """Return the rows of a dataset version."""
    return reading.read(context.platform, context.project, version).collect()


def with_features(
    context: StepContext, run: Run, trainer: Trainer, dataset: Dataset, frames: Sequence[pl.DataFrame]
) -> list[pl.DataFrame]:
    """Return rows of a run's dataset with what its trainer looks up, as it was known before each row's time.

    Raises
    ------
    Problem
        What `join_features` raises.
    """
    if not trainer.lookups:
        return list(frames)
    tables = read_tables(context.platform, context.project, trainer.lookups, run.features)
    return [join_features(frame, dataset.time or "", trainer.lookups, tables) for frame in frames]


def fit_recipe(
    context: StepContext,
    run: Run,
    trainer: Trainer,
    dataset: Dataset,
    frames: tuple[pl.DataFrame, pl.DataFrame],
    *,
    rows: pl.DataFrame,
    progress: Callable[[float, str], None],
) -> Trained:
    """Fit a run's recipe on the first frame and measure it on the second; `rows` are all of its rows, which the checks judge.

    All are raw rows of the dataset: what the trainer looks up is joined here.

    Raises
    ------
    Problem
        `checks.refused` when the rows break one of the trainer's checks, with what each of them found;
        `code.failed` with the user's traceback; `model.invalid` when no framework knows what the trainer returned;
        `column.missing` and `label.invalid`; what `join_features` raises.
    """
    recipe = run.recipe
    judged = [rows] if trainer.checks else []
    fit_rows, test_rows, *judged = with_features(context, run, trainer, dataset, [*frames, *judged])
    outcomes = _keep_promises(context, trainer, judged[0]) if judged else ()
    handle = RunHandle(context, run.id, recipe.seed)
    made = fit_model(context, handle, trainer, recipe, (fit_rows, test_rows), progress=progress)
    path = context.scratch / f"{run.id}.model"
    with user_code_boundary(f"the model of the trainer {trainer.name}", "return a fitted model"):
        made.framework.save(made.model, path)
    handle.put("model", path)
    handle.put("pipeline", to_bytes(made.fitted.to_json()))
    if outcomes:
        handle.put("checks", msgspec.json.encode(outcomes))
    handle.put("predictions", _predictions(made.test, made.answers, dataset.key))
    return Trained(
        model=made.model,
        framework=made.framework,
        fitted=made.fitted,
        metrics=measure(made.test.y, made.answers) if made.answers.ndim == 1 else {},
        artifacts={**handle.artifacts},
        test=made.test,
        answers=made.answers,
    )


def fit_model(
    context: StepContext,
    handle: RunHandle,
    trainer: Trainer,
    recipe: Recipe,
    frames: tuple[pl.DataFrame, pl.DataFrame],
    *,
    progress: Callable[[float, str], None] = lambda fraction, message: None,
) -> Made:
    """Fit preparation and model on the first frame, and answer the second; only what the trainer keeps by `handle` is kept.

    Parameters
    ----------
    frames
        Raw rows with what the trainer looks up for them.

    Raises
    ------
    Problem
        As `fit_recipe` does, but for checks and lookups, of which nobody asks here.
    """
    fit_rows, test_rows = frames
    for part in frames:
        check_label(trainer, part)
    random.seed(recipe.seed)
    np.random.seed(recipe.seed % 2**32)
    progress(0.05, "fit the preparation")
    fitted = fit(trainer.pipeline, fit_rows, label=trainer.label)
    transform = Transform(fitted)
    fit_part, test = (make_part(rows, transform, fitted, trainer.label) for rows in (fit_rows, test_rows))
    progress(0.2, f"train on {fit_rows.height:,} rows")
    function = load(trainer.code)
    with user_code_boundary(f"the trainer {trainer.name}"):
        model = function(handle, fit_part, test, **recipe.params)
    progress(0.8, "measure and keep")
    framework = framework_of(context, model)
    with user_code_boundary(f"the model of the trainer {trainer.name}", "return a fitted model"):
        answers = framework.predict(model, test.X) if len(test) else np.empty(0)
    return Made(model, framework, fitted, fit_part, test, answers)


def _keep_promises(context: StepContext, trainer: Trainer, rows: pl.DataFrame) -> tuple[CheckOutcome, ...]:
    outcomes = find_alone(rows, trainer.checks, now=context.platform.clock())
    why = told_failures(outcomes)
    if why:
        step = "give the checks to the dataset, which then keeps such rows out"
        detail = {"outcomes": msgspec.to_builtins(outcomes)}
        raise Problem("checks.refused", f"The rows break what {trainer.name} promises of them", why, step, detail)
    return outcomes


def framework_of(context: StepContext, model: object) -> Framework:
    """Return the framework that knows this model. Problem `model.invalid` when none does.

    That of the package which the model comes from is asked first: estimators of XGBoost's are estimators of scikit-learn's too.
    """
    package = type(model).__module__.partition(".")[0]
    for name in sorted(names(FRAMEWORK), key=lambda name: name != package):
        try:
            framework = context.platform.framework(name)
        except Problem:
            continue  # its package is not installed, so the model is not one of its
        if framework.owns(model):
            return framework
    raise Problem(
        "model.invalid",
        f"The trainer returned {type(model).__name__}",
        "no framework here knows such a model",
        "return a fitted estimator of scikit-learn, XGBoost or LightGBM, or a PyTorch network",
    )


def split_rows(
    context: StepContext, version: DatasetVersion, split: Split, rows: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows to fit on and those to test on."""
    dataset = dataset_of(context, version)
    return split_frame(rows, split, key=dataset.key, time=dataset.time)


def load_json(context: StepContext, digest: Digest) -> Mapping[str, Any]:
    """Return a JSON document of the object store."""
    [content] = context.platform.objects.get(context.project, [digest])
    document: Mapping[str, Any] = json.loads(content)
    return document


def version_of(context: StepContext, ref: str) -> DatasetVersion:
    """Return a dataset version by id."""
    return reading.find_version(context.platform, context.project, ref)


def dataset_of(context: StepContext, version: DatasetVersion) -> Dataset:
    """Return the dataset that a version is of."""
    with context.platform.transaction() as tx:
        return next(one for one in tx.datasets.find(context.project) if one.id == version.dataset)


def make_part(rows: pl.DataFrame, transform: Transform, fitted: FittedPipeline, label: str) -> Part:
    """Return labelled rows as a trainer sees them."""
    prepared = transform.frame(rows).to_numpy() if rows.height else np.empty((0, len(fitted.features)))
    labels = rows[label].cast(pl.Float64).to_numpy() if rows.height else np.empty(0)
    return Part(rows, np.ascontiguousarray(prepared, dtype=np.float32), labels, tuple(fitted.features))


def check_label(trainer: Trainer, rows: pl.DataFrame) -> None:
    """Return when the rows have the trainer's label, each of them. Problem `column.missing`, `label.invalid`."""
    if trainer.label not in rows.columns:
        raise missing("column", trainer.label, rows.columns, "name the label's column in the trainer")
    if rows[trainer.label].null_count():
        raise Problem(
            "label.invalid",
            f"The label {trainer.label} is null in {rows[trainer.label].null_count():,} rows",
            "a trainer is fitted on labelled rows only",
            f'quality.not_null("{trainer.label}") keeps such rows out of the dataset',
        )
    dtype = rows.schema[trainer.label]
    if not (dtype.is_numeric() or dtype == pl.Boolean):
        raise Problem(
            "label.invalid", f"The label {trainer.label} holds {dtype}", "it is a number or a truth value", "map it to one"
        )


def _predictions(part: Part, answers: NDArray[Any], key: Sequence[str]) -> bytes:
    told = {"label": part.y, "answer": answers if answers.ndim == 1 else answers.tolist()}
    frame = pl.DataFrame({**{name: part.frame[name] for name in key if name in part.frame.columns}, **told})
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()
