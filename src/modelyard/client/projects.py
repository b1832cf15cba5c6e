"""The project: where everything begins."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from modelyard.client.connection import Connection, part
from modelyard.client.datasets import Data, DatasetClient, open_dataset, ref_of
from modelyard.client.decisions import DecisionClient
from modelyard.client.deployments import DeploymentClient
from modelyard.client.gate import direction_of
from modelyard.client.models import ModelClient
from modelyard.client.monitors import MonitorClient
from modelyard.client.policies import PolicyClient, WrittenRule, apply
from modelyard.client.resources import limits_of
from modelyard.client.runs import RunClient
from modelyard.client.steps import (
    DeclaredPipeline,
    SavedPipeline,
    StepFunction,
    declare_pipeline,
    save_pipeline,
    saved_pipeline,
    try_pipeline,
)
from modelyard.client.studies import StudyClient, StudyWithTrials
from modelyard.client.trainers import TrainerClient
from modelyard.core import Problem, missing
from modelyard.data import Check, Dataset, Graph, Split
from modelyard.data.features import Lookup
from modelyard.monitoring import Alert, Monitor
from modelyard.prepare import DeclaredStep, FunctionStep, PipelineVersion, SetStep
from modelyard.prepare.trying import Tried
from modelyard.reactions import Decision
from modelyard.registry import Model
from modelyard.registry.rules import parse_reference
from modelyard.serving import Deployment
from modelyard.serving.lookups import FeatureTable
from modelyard.tenancy import Project
from modelyard.training import Run


class ProjectClient:
    """A project by name."""

    def __init__(self, connection: Connection, record: Project) -> None:
        self.record = record
        self.connection = connection
        self.path = f"/v1/projects/{part(record.id)}"

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    # data

    def dataset(
        self,
        name: str,
        *,
        source: str | Path | None = None,
        key: str | Sequence[str] = (),
        time: str | None = None,
        checks: Sequence[Check] = (),
        stop_share: float | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> DatasetClient:
        """Return a dataset; the first time, say what it is.

        Parameters
        ----------
        source
            Where `snapshot()` reads, as the server sees it: a path or pattern of files, or a URL such as `s3://lake/*.parquet`,
            `https://…#sha256=…`, `delta+s3://lake/flights`, `postgresql://host/shop?table=orders&watermark=changed_at`,
            `kafka://host:9092/orders`; None: rows come by `append`.
        key
            The columns that name a row.
        time
            The column of event time.
        checks
            What rows must keep, of `quality`; those that do not are quarantined.
        stop_share
            A batch with a larger share of bad rows is stopped as a whole.
        columns
            The columns that `snapshot()` reads, name to type: `{"id": "Int64", "at": "Datetime[UTC]", "paid": "Decimal(9, 2)"}`
            None: those that the source has, in the types that it tells.

        Raises
        ------
        Problem
            `dataset.missing` when it is not there and nothing else was said of it; `dataset.conflict` when it was declared
            otherwise; `dtype.invalid`; and what the source says of its URL.
        """
        return open_dataset(
            self.connection,
            self.path,
            name,
            source=source,
            key=key,
            time=time,
            checks=checks,
            stop_share=stop_share,
            columns=columns,
        )

    def datasets(self) -> list[DatasetClient]:
        """Return the datasets, by name."""
        found = self.connection.get(f"{self.path}/datasets", list[Dataset])
        return [DatasetClient(self.connection, self.path, record) for record in found]

    def features(self) -> list[FeatureTable]:
        """Return the datasets that are published online, or looked up by a deployed version: how fresh, and by whom."""
        return self.connection.get(f"{self.path}/features", list[FeatureTable])

    def lineage(
        self, of: str, *, up: bool = True, down: bool = True, hops: int | None = None, column: str | None = None
    ) -> Graph:
        """Return what a thing came from (`up`) and what came of it (`down`), through the whole life.

        `of` is `file:january.csv`, `source:URL`, `dataset:flights@3`, `run:12`, `model:delay@7`, `deployment:delay` or
        `prediction:ID`; with `column` only what that column of raw rows goes through. Problem `lineage.missing`,
        `lineage.invalid`.
        """
        query = {"of": of, "up": up, "down": down, "hops": hops, "column": column}
        told = {name: value for name, value in query.items() if value is not None}
        return self.connection.get(f"{self.path}/lineage", Graph, **told)

    def lineage_events(self, since: datetime | None = None) -> Iterator[Mapping[str, Any]]:
        """Give what happened in the project as OpenLineage's run events, oldest first, from `since` on."""
        begin = since.isoformat() if since is not None else None
        return self.connection.pages(f"{self.path}/lineage/events", dict[str, Any], since=begin)

    # prepare and train

    def step(self, function: Callable[[pl.DataFrame], pl.DataFrame]) -> StepFunction:
        """Declare a row-wise function as a step: `@project.step`."""
        return StepFunction(function)

    def pipeline(
        self,
        *steps: DeclaredStep | FunctionStep | SetStep | StepFunction | Callable[[pl.DataFrame], pl.DataFrame],
        checks: Sequence[Check] = (),
    ) -> DeclaredPipeline:
        """Return the pipeline of these steps, in order.

        `checks`, of `quality`, are promises about the raw rows: a run on rows that break one fails before anything is fitted.
        """
        return declare_pipeline(self.connection, self.path, steps, checks)

    def save_pipeline(self, name: str, pipeline: DeclaredPipeline, *, note: str = "") -> PipelineVersion:
        """Keep a pipeline in the project, as the next version of this name; equal to the newest it is that one.

        Raises
        ------
        Problem
            `pipeline.invalid` for a name that is none; `step.invalid` for a step that cannot be; what `capture` finds.
        """
        return save_pipeline(self.connection, self.path, name, pipeline, note)

    def saved_pipeline(self, ref: str) -> SavedPipeline:
        """Return a pipeline of the project, for a trainer as one that is written: `flights@3`, or `flights` for the newest.

        Problem `pipeline.missing` with the nearest names; `pipeline_version.missing`.
        """
        return saved_pipeline(self.connection, self.path, ref)

    def try_pipeline(
        self, pipeline: DeclaredPipeline, data: Data, *, label: str | None = None, rows: int = 1_000, seed: int = 0
    ) -> Tried:
        """Return what each step does to a sample of a dataset version: which columns, what they look like before and after.

        Parameters
        ----------
        pipeline
            Written or saved. The server runs no code of yours: a function step is where trying ends.
        data
            A version; a dataset (its latest version); or `NAME@NUMBER`, `NAME@latest`.
        label
            The column to predict, which no step but `target_mean` sees.
        rows
            Of the sample, up to 10,000: the same for the same version, `rows` and `seed`.

        Raises
        ------
        Problem
            `sample.invalid`; `step.invalid` for wrong arguments; `try.timeout`. A step that fails on the rows is told in
            `problem`, with what the steps before it did.
        """
        return try_pipeline(self.connection, self.path, pipeline, ref_of(data), label=label, rows=rows, seed=seed)

    def pipelines(self) -> list[PipelineVersion]:
        """Return the newest version of each saved pipeline, by name."""
        return self.connection.get(f"{self.path}/pipelines", list[PipelineVersion])

    def trainer(
        self,
        features: DeclaredPipeline,
        *,
        label: str,
        metric: str,
        direction: str | None = None,
        resources: Mapping[str, Any] | None = None,
        split: Split | None = None,
        lookups: Sequence[Lookup] = (),
        name: str | None = None,
    ) -> Callable[[Callable[..., Any]], TrainerClient]:
        """Declare a function `(run, fit, test, **params)` as a trainer: `@project.trainer(features, label=…, metric=…)`.

        Parameters
        ----------
        features
            The preparation: fitted on the rows to fit on, and part of the model from then on.
        label
            The column to predict.
        metric
            What runs are ranked by: one that every run is measured by, or one that the function logs.
        direction
            `maximise` or `minimise`; known for the usual metrics.
        resources
            What one run may use: `{"time": "1h", "memory": "4GiB"}`.
        split
            Which rows to fit and to test on, as in `Split(SplitKind.GROUP, column="carrier")`. None: the last fifth by time is
            tested on; of a dataset without time a fifth of the keys, without a key a fifth of the rows, always the same.
        lookups
            What is joined to the rows from other datasets, as it was known before each row's time, and looked up where the
            model serves: `weather.lookup("wind_speed", max_age="6h")`.
        name
            None: the function's.
        """
        way = direction_of(metric, direction)
        limits = limits_of(resources or {})

        def declare(function: Callable[..., Any]) -> TrainerClient:
            return TrainerClient(
                self.connection,
                self.path,
                function,
                pipeline=features,
                label=label,
                metric=metric,
                direction=way,
                limits=limits,
                split=split,
                lookups=lookups,
                name=name or function.__name__,
            )

        return declare

    def run(self, what: int | str) -> RunClient:
        """Return a run by number or id."""
        return RunClient(self.connection, self.path, self.connection.get(f"{self.path}/runs/{part(what)}", Run))

    def runs(
        self,
        *,
        where: str | Sequence[str] = (),
        sort: str | None = None,
        experiment: str | None = None,
        most: int | None = None,
    ) -> Iterator[RunClient]:
        """Yield runs, newest first, or by a metric: `runs(where="roc_auc > 0.9", sort="-roc_auc")`."""
        conditions = [where] if isinstance(where, str) else list(where)
        query = {"where": conditions or None, "sort": sort, "experiment": experiment}
        for record in self.connection.pages(f"{self.path}/runs", Run, most=most, **query):
            yield RunClient(self.connection, self.path, record)

    def study(self, what: str) -> StudyClient:
        """Return a study by id."""
        found = self.connection.get(f"{self.path}/studies/{part(what)}", StudyWithTrials)
        return StudyClient(self.connection, self.path, found.study)

    # register and serve

    def model(self, name: str) -> ModelClient:
        """Return the model of this name; it comes to be with its first version."""
        return ModelClient(self.connection, self.path, name)

    def models(self) -> list[ModelClient]:
        """Return the models, by name."""
        return [self.model(record.name) for record in self.connection.get(f"{self.path}/models", list[Model])]

    def deploy(
        self,
        reference: str,
        *,
        name: str | None = None,
        canary: Sequence[int] | None = None,
        time: str | None = None,
        tolerance: float | None = None,
        loss: str | None = None,
        form: str | None = None,
    ) -> DeploymentClient:
        """Serve what an alias names, from now on and as it moves: `deploy("churn@champion", canary=[5, 25, 100])`.

        Parameters
        ----------
        reference
            `MODEL@ALIAS`.
        name
            Of the deployment, in requests; None: the model's.
        canary
            Per cent of each step on a new version's way.
        time
            The raw column of event time; None: the time of answering.
        tolerance
            A canary's mean loss may be worse by less than this.
        loss
            How a canary is judged: log_loss, brier, squared_error or absolute_error.
        form
            The form of a version that answers: `native`, `onnx`; None: the fastest.
        """
        model, alias = parse_reference(reference)
        if "@" not in reference or alias.isdecimal():
            why = "a deployment follows an alias"
            raise Problem("reference.invalid", f"'{reference}' cannot be deployed", why, f"deploy('{model}@champion')")
        said = {
            "canary": tuple(canary) if canary is not None else None,
            "time": time,
            "tolerance": tolerance,
            "loss": loss,
            "form": form,
        }
        body: dict[str, Any] = {"name": name or model, "model": model, "alias": alias}
        body |= {key: value for key, value in said.items() if value is not None}
        return self._deployment(self.connection.post(f"{self.path}/deployments", Deployment, body))

    def deployment(self, name: str) -> DeploymentClient:
        """Return a deployment by name."""
        return self._deployment(self.connection.get(f"{self.path}/deployments/{part(name)}", Deployment))

    def deployments(self) -> list[DeploymentClient]:
        """Return the deployments, by name."""
        return [self._deployment(one) for one in self.connection.get(f"{self.path}/deployments", list[Deployment])]

    # monitor and react

    def monitor(self, name: str) -> MonitorClient:
        """Return a monitor by name."""
        found = {one.name: one for one in self.monitors()}
        if name not in found:
            raise missing("monitor", name, found, "yard monitor list")
        return found[name]

    def monitors(self) -> list[MonitorClient]:
        """Return the monitors, by name."""
        found = self.connection.get(f"{self.path}/monitors", list[Monitor])
        return [MonitorClient(self.connection, self.path, record) for record in found]

    def alerts(self) -> Iterator[Alert]:
        """Yield all that monitors raised, newest first."""
        return self.connection.pages(f"{self.path}/alerts", Alert)

    def policy(
        self,
        *rules: WrittenRule,
        budget: str = "4/month",
        deployment: str | DeploymentClient | None = None,
        name: str | None = None,
        enabled: bool = True,
    ) -> PolicyClient:
        """Declare the loop of a deployment; one of this name takes the new form.

        Parameters
        ----------
        rules
            `on(watch.degraded).do(train.retrain()).at_most("1/14d")`, and the like.
        budget
            How many retrainings in which time, over all rules.
        deployment
            None: the one that the rules are about.
        name
            None: the deployment's.
        """
        return apply(self.connection, self.path, rules, budget=budget, deployment=deployment, name=name, enabled=enabled)

    def decisions(self, *, deployment: str | None = None) -> Iterator[DecisionClient]:
        """Yield what was decided, newest first."""
        for record in self.connection.pages(f"{self.path}/decisions", Decision, deployment=deployment):
            yield DecisionClient(self.connection, self.path, record)

    def _deployment(self, record: Deployment) -> DeploymentClient:
        return DeploymentClient(self.connection, self.path, self.record.name, record)

    def __repr__(self) -> str:
        """Return its name."""
        return f"<project {self.name}>"


def open_project(connection: Connection, name: str) -> ProjectClient:
    """Return the project of this name, made when it is not there."""
    return ProjectClient(connection, connection.post("/v1/projects", Project, {"name": name, "ensure": True}))
