"""Runs: one training each."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from modelyard.client.connection import Connection, part
from modelyard.client.objects import download
from modelyard.client.waiting import wait_for_job
from modelyard.core import Problem
from modelyard.jobs import Job, LogLine
from modelyard.jobs.rules import problem_from_json
from modelyard.training import MetricPoint, Run, RunState
from modelyard.training.examination import Examination, SliceHarm


class RunClient:
    """A run; `record` is what was known of it when it was last read."""

    def __init__(self, connection: Connection, project: str, record: Run) -> None:
        self.record = record
        self._connection = connection
        self._project = project
        self._path = f"{project}/runs/{part(record.id)}"

    @property
    def number(self) -> int:
        """Its number, from 1, within the project."""
        return self.record.number

    @property
    def state(self) -> RunState:
        """Where it stood when it was last read."""
        return self.record.state

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters it is trained with."""
        return self.record.recipe.params

    @property
    def metrics(self) -> Mapping[str, float]:
        """The latest value of each metric, read now while the run is under way."""
        if self.record.state in (RunState.PENDING, RunState.RUNNING):
            self.refresh()
        return self.record.metrics

    def refresh(self) -> "RunClient":
        """Read it again."""
        self.record = self._connection.get(self._path, Run)
        return self

    def wait(self, timeout_s: float | None = None) -> "RunClient":
        """Wait until it has ended.

        Raises
        ------
        Problem
            What it failed with; `run.conflict` when it was cancelled; `wait.timeout`, and the run goes on.
        """
        if self.record.job is not None:
            wait_for_job(self._connection, f"{self._project}/jobs/{part(self.record.job)}", timeout_s=timeout_s)
        self.refresh()
        if self.record.problem is not None and self.record.state is RunState.FAILED:
            raise problem_from_json({"detail": {}, **self.record.problem})
        return self

    def cancel(self) -> "RunClient":
        """Ask it to stop."""
        self.record = self._connection.post(f"{self._path}/cancel", Run)
        return self

    def points(self, metric: str) -> list[MetricPoint]:
        """Return each value that a metric was logged with, by step."""
        return self._connection.get(f"{self._path}/metrics/{part(metric)}", list[MetricPoint])

    def logs(self) -> list[LogLine]:
        """Return what it printed."""
        if self.record.job is None:
            return []
        return read_logs(self._connection, f"{self._project}/jobs/{part(self.record.job)}")

    def artifact(self, name: str) -> bytes:
        """Return an artifact. Problem `artifact.missing` with those there are."""
        if name not in self.record.artifacts:
            known = ", ".join(sorted(self.refresh().record.artifacts)) or "none"
            raise Problem("artifact.missing", f"Run {self.number} has no artifact '{name}'", f"there is {known}")
        return download(self._connection, self._project, self.record.artifacts[name])

    def examine(self, *, slices: int = 20, fits: int = 60, timeout_s: float | None = None) -> "ExaminationClient":
        """Measure what data defects do to its model, by fitting it again without the rows that have them; wait for the figures.

        Parameters
        ----------
        slices
            How many slices of its rows are measured at most, the most suspicious ones.
        fits
            How often the trainer is called at most.

        Raises
        ------
        Problem
            `examination.refused` for a run that is not finished, or whose answers have no loss; `examination.invalid`.
        """
        job = self._connection.post(f"{self._path}/examinations", Job, {"slices": slices, "fits": fits})
        wait_for_job(self._connection, f"{self._project}/jobs/{part(job.id)}", timeout_s=timeout_s)
        return self.examinations()[0]

    def examinations(self) -> "list[ExaminationClient]":
        """Return what its examinations found, newest first."""
        found = self._connection.get(f"{self._path}/examinations", list[Examination])
        return [ExaminationClient(self._connection, self._project, one) for one in found]

    @property
    def show(self) -> str:
        """The run in a few lines, for people."""
        run = self.refresh().record
        lines = [f"run {run.number} of {run.experiment}: {run.state.value}"]
        lines += [f"  {name} = {value}" for name, value in sorted(run.recipe.params.items())]
        lines += [f"  {name}: {value:.6g}" for name, value in sorted(run.metrics.items())]
        if run.problem is not None:
            lines.append(f"  {run.problem['what']}: {run.problem['why']}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Return number and state."""
        return f"<run {self.number} of {self.record.experiment}: {self.record.state.value}>"


class ExaminationClient:
    """What an examination of a run found: `record`."""

    def __init__(self, connection: Connection, project: str, record: Examination) -> None:
        self.record = record
        self._connection = connection
        self._project = project

    @property
    def slices(self) -> tuple[SliceHarm, ...]:
        """The slices: harmful ones first, then by how far the held-out loss falls without them."""
        return self.record.slices

    @property
    def harmful(self) -> tuple[SliceHarm, ...]:
        """The slices that make the model worse."""
        return tuple(one for one in self.record.slices if one.harmful)

    def rows(self) -> pl.DataFrame:
        """Return the rows to fix or relabel: the key, `row`, `reason`, `slices`, `score`, `label`, `suggested`."""
        return pl.read_parquet(download(self._connection, self._project, self.record.rows))

    def __repr__(self) -> str:
        """Return how many slices are harmful."""
        return f"<examination: {len(self.harmful)} of {len(self.slices)} slices harmful, {self.record.listed} rows listed>"


def read_logs(connection: Connection, job: str) -> list[LogLine]:
    """Return all that the job at a path printed."""
    found: list[LogLine] = []
    while batch := connection.get(f"{job}/logs", list[LogLine], after=found[-1].number if found else 0, limit=10_000):
        found += batch
    return found
