"""The models, made once a run in Modelyard, and given to the peers as files: the same trees, the same preparation."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import joblib  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
import polars as pl
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.sklapi import CastTransformer
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from bench.data.preparation import CATEGORIES, NUMBERS, sample
from modelyard.adapters.sklearn import SklearnFramework
from modelyard.client.models import VersionClient
from modelyard.client.objects import download
from modelyard.client.projects import ProjectClient
from modelyard.data import Split
from modelyard.prepare import prep

Row: TypeAlias = dict[str, Any]

MATRIX = ("x0", "x1", "x2", "x3")
ROWS = 6_000
SECOND = timedelta(seconds=1)
START = datetime(2024, 1, 1, tzinfo=UTC)
TESTED_FROM = START + SECOND * (ROWS * 4 // 5)
SEED = 2013


@dataclass(frozen=True)
class Model:
    """One model as a peer is given it."""

    name: str  # small, churn, native
    form: str  # matrix-onnx, columns-onnx, columns-sklearn
    file: Path

    @property
    def is_matrix(self) -> bool:
        """Return whether it takes one matrix of features."""
        return self.form == "matrix-onnx"


@dataclass(frozen=True)
class Made:
    """Everything that the works need."""

    files: Mapping[tuple[str, str], Model]  # by name and form
    versions: tuple[VersionClient, VersionClient]  # of churn, to switch between

    def at(self, project: ProjectClient) -> "Made":
        """Return the same with the versions on another connection."""
        first, second = (project.model(one.record.model).version(one.number) for one in self.versions)
        return Made(self.files, (first, second))


def small_rows(count: int, seed: int = SEED) -> pl.DataFrame:
    """Return rows of four numbers that float32 holds exactly."""
    drawn = np.random.default_rng(seed).normal(0, 1, (count, len(MATRIX))).astype(np.float32).astype(np.float64)
    return pl.DataFrame(drawn, schema=list(MATRIX))


def customer_rows(count: int) -> pl.DataFrame:
    """Return raw rows of customers, as of the benchmark of preparation; float32 holds the numbers exactly."""
    return sample(count).with_columns(pl.col(NUMBERS).cast(pl.Float32).cast(pl.Float64))


def asked_rows(name: str, count: int) -> list[Row]:
    """Return rows to ask about, without gaps: not every peer has a word for a missing value."""
    drawn = small_rows(count, SEED + 1) if name == "small" else customer_rows(count * 2 + 200).drop_nans().head(count)
    return drawn.to_dicts()


def small_file(folder: Path) -> Model:
    """Keep a logistic classifier of four float32 features as ONNX."""
    rows = labelled(small_rows(ROWS), MATRIX)
    trained = LogisticRegression().fit(rows.select(MATRIX).to_numpy().astype(np.float32), rows["label"].to_numpy())
    inputs = [("x", FloatTensorType([None, len(MATRIX)]))]
    file = folder / "small.onnx"
    options = {id(trained): {"zipmap": False}}
    file.write_bytes(convert_sklearn(trained, initial_types=inputs, options=options).SerializeToString())
    return Model("small", "matrix-onnx", file)


def train_churn(run: Any, fit: Any, test: Any, rate: float = 0.1, native: bool = False) -> Any:
    """Train histogram boosting; `native`: inside an estimator that skl2onnx cannot convert, at no cost of its own."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - runs in a worker
    from sklearn.model_selection import FixedThresholdClassifier  # noqa: PLC0415

    trees = HistGradientBoostingClassifier(learning_rate=rate, early_stopping=False, random_state=run.seed)
    return (FixedThresholdClassifier(trees, threshold=0.4) if native else trees).fit(fit.X, fit.y)


def make(project: ProjectClient, folder: Path) -> Made:
    """Train, register and deploy the models, and write what the peers load into `folder`."""
    customers = labelled(customer_rows(ROWS), NUMBERS)
    project.dataset("customers", key="id", time="at").append(customers)
    steps = (prep.fill_null(NUMBERS, strategy="median"), prep.standardise(*NUMBERS), prep.one_hot(*CATEGORIES))
    prepared = project.pipeline(prep.drop("id", "at"), *steps)
    split = Split(boundary=TESTED_FROM)
    churn = project.trainer(prepared, label="label", metric="log_loss", split=split)(train_churn)
    runs = {
        "churn": churn.run("customers"),
        "native": churn.run("customers", native=True),
        "other": churn.run("customers", rate=0.05),
    }
    other = project.model("churn").register(runs.pop("other"))
    files = [small_file(folder)]
    project.model("small").add(files[0].file, alias="champion")
    project.deploy("small@champion", canary=[100])
    versions = {name: project.model(name).register(run, alias="champion") for name, run in runs.items()}
    for name, version in versions.items():
        project.deploy(f"{name}@champion", canary=[100])
        expected = "native" if name == "native" else "onnx"
        if expected not in forms(version) or (expected == "native" and "onnx" in forms(version)):
            raise SystemExit(f"{name} was registered as {', '.join(forms(version))}: nothing was timed")
    frame = customers.filter(pl.col("at") < TESTED_FROM)
    for name in ("churn", "native"):
        trees: Any = SklearnFramework().load(kept(project, versions[name], "native", folder))
        files.append(pipeline_file(name, trees, frame, folder))
        if name == "churn":
            files.append(onnx_file(name, trees, frame, folder))
    return Made({(one.name, one.form): one for one in files}, (versions["churn"], other))


def labelled(frame: pl.DataFrame, numbers: "tuple[str, ...] | list[str]") -> pl.DataFrame:
    """Return the rows with id, time and a label that hangs on the first numbers."""
    generator = np.random.default_rng(SEED)
    score = sum(np.nan_to_num((frame[name] - frame[name].mean()).to_numpy()) / 20 for name in numbers[:4])
    label = (generator.random(frame.height) < 1 / (1 + np.exp(-np.asarray(score)))).astype(np.int64)
    times = [START + SECOND * place for place in range(frame.height)]
    return frame.with_columns(id=pl.int_range(frame.height), at=pl.Series(times), label=pl.Series(label)).fill_nan(None)


def forms(version: VersionClient) -> list[str]:
    """Return the names of a version's forms."""
    return [one.name for one in version.record.forms]


def kept(project: ProjectClient, version: VersionClient, form: str, folder: Path) -> Path:
    """Write a form of a version to a file."""
    [found] = [one for one in version.record.forms if one.name == form]
    file = folder / f"{version.record.model}.{form}"
    file.write_bytes(download(project.connection, project.path, found.digest))
    return file


def pipeline_file(name: str, trees: Any, frame: pl.DataFrame, folder: Path) -> Model:
    """Keep the trees behind scikit-learn's own preparation, as one pipeline over a pandas frame."""
    inner = getattr(trees, "estimator_", trees)
    inner._feature_subsample_rng = None  # used in training alone, and not read by a peer's NumPy 1
    model = Pipeline([("prepare", fitted(frame, FunctionTransformer(np.float32))), ("trees", trees)])
    file = folder / f"{name}.joblib"
    joblib.dump(model, file)
    return Model(name, "columns-sklearn", file)


def onnx_file(name: str, trees: object, frame: pl.DataFrame, folder: Path) -> Model:
    """Keep the same as ONNX with one input a raw column. It standardises in float64, as scikit-learn and we do."""
    model = Pipeline(
        [("prepare", fitted(frame, CastTransformer(dtype=np.float32), CastTransformer())), ("trees", copy.deepcopy(trees))]
    )
    inputs = [(column, FloatTensorType([None, 1])) for column in NUMBERS]
    inputs += [(column, StringTensorType([None, 1])) for column in CATEGORIES]
    converted = convert_sklearn(model, initial_types=inputs, options={id(model.steps[-1][1]): {"zipmap": False}})
    file = folder / f"{name}-columns.onnx"
    file.write_bytes(converted.SerializeToString())
    return Model(name, "columns-onnx", file)


def fitted(frame: pl.DataFrame, to_single: object, to_double: object = "passthrough") -> ColumnTransformer:
    """Return the preparation as scikit-learn does it, ending in float32 as ours does."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), to_double, StandardScaler(), to_single)
    categories = OneHotEncoder(sparse_output=False, handle_unknown="ignore", dtype=np.float32)
    raw = pd.DataFrame(frame.select(*NUMBERS, *CATEGORIES).to_dict(as_series=False))
    return ColumnTransformer([("numbers", numbers, NUMBERS), ("categories", categories, list(CATEGORIES))]).fit(raw)


def batches(name: str, rows: int, count: int) -> list[list[Row]]:
    """Return `count` requests' rows, no two the same."""
    drawn = asked_rows(name, rows * count)
    return [drawn[start : start + rows] for start in range(0, rows * count, rows)]
