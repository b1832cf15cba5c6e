"""The ports of training: runs and studies, samplers, and model frameworks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from modelyard.core import Page, PageRequest, ProjectId
from modelyard.data import Column
from modelyard.prepare import PrepareTransaction
from modelyard.training.types import Direction, MetricPoint, Run, RunId, RunState, Space, Study, StudyId


class RunStore(Protocol):
    """Runs, their metric points, and studies."""

    def add(self, project: ProjectId, runs: Sequence[Run]) -> None:
        """Insert."""
        ...

    def next_number(self, project: ProjectId) -> int:
        """Return the number for the project's next run."""
        ...

    def save(self, project: ProjectId, runs: Sequence[Run]) -> None:
        """Replace by id."""
        ...

    def get(self, project: ProjectId, ids: Sequence[RunId]) -> list[Run]:
        """Return them in order. Problem `run.missing` for an unknown one."""
        ...

    def find(
        self,
        project: ProjectId,
        page: PageRequest,
        *,
        states: Sequence[RunState] = (),
        study: StudyId | None = None,
        experiment: str | None = None,
        where: Sequence[tuple[str, str, float]] = (),
        sort: str | None = None,
    ) -> Page[Run]:
        """Return runs, newest first, or by the latest value of a metric: `sort` is `name` or `-name` (descending).

        `where` holds (metric, one of `< <= > >= = !=`, value) on latest values. Runs without the metric come last.
        """
        ...

    def log(self, project: ProjectId, run: RunId, points: Sequence[MetricPoint]) -> None:
        """Append points; a point with the same name and step replaces the older one."""
        ...

    def points(self, project: ProjectId, runs: Sequence[RunId], name: str) -> Mapping[RunId, list[MetricPoint]]:
        """Return each run's points of one metric, by step."""
        ...

    def add_studies(self, project: ProjectId, studies: Sequence[Study]) -> None:
        """Insert."""
        ...

    def save_studies(self, project: ProjectId, studies: Sequence[Study]) -> None:
        """Replace by id."""
        ...

    def get_studies(self, project: ProjectId, ids: Sequence[StudyId]) -> list[Study]:
        """Return them in order. Problem `study.missing` for an unknown one."""
        ...

    def studies(self, project: ProjectId, page: PageRequest) -> Page[Study]:
        """Return studies, newest first."""
        ...


class Sampler(Protocol):
    """Suggests parameters from what was tried."""

    def suggest(
        self,
        space: Space,
        tried: Sequence[tuple[Mapping[str, Any], float | None]],
        *,
        count: int,
        seed: int,
        direction: Direction,
    ) -> list[dict[str, Any]]:
        """Return `count` parameter sets. `tried` holds each earlier set and its value (None: it failed), in trial order.

        The answer depends on the arguments alone.
        """
        ...


class Framework(Protocol):
    """A model framework: how its models are kept, asked, and converted."""

    name: str

    def owns(self, model: object) -> bool:
        """Return whether `model` is one of this framework's."""
        ...

    def save(self, model: object, to: Path) -> None:
        """Write the model to a file, without pickle where that can be."""
        ...

    def load(self, path: Path) -> object:
        """Read what `save` wrote. Problem `model.refused` for a type that is not trusted."""
        ...

    def predict(self, model: object, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the answers for rows of features, shape (n, k).

        Of a binary classifier the positive class's probability, shape (n,); with more than two classes the probabilities, shape
        (n, classes); of a regressor the value, shape (n,).
        """
        ...

    def to_onnx(self, model: object, features: int) -> bytes:
        """Return the model as ONNX: float32 input `features` (n, k). Problem `model.invalid` when it cannot be converted."""
        ...

    def thresholds(self, model: object, features: int) -> list[NDArray[np.float32]]:
        """Return for each feature the values where answers may jump: the split values of trees; else nothing."""
        ...

    def describe(self, model: object) -> tuple[Column, ...]:
        """Return the tensors that a model takes when it is asked by `run`; each dtype is a `data.cell.Cell` in its notation.

        What it gives shows when it is asked. Problem `model.invalid` for a model that cannot be asked row by row.
        """
        ...

    def run(self, model: object, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Return the model's own outputs for tensors by input, each with the rows first: nothing is prepared or cast."""
        ...


class Compactor(Protocol):
    """Makes a smaller form of a model that is nearly the same: what it gives is held against the native one by who asks."""

    form: str  # what such a form is called

    def compact(self, source: bytes, rows: NDArray[np.float32]) -> bytes:
        """Return an ONNX model of one matrix in fewer bits; `rows`, shape (n, k), stand for those that it will be asked.

        Problem `model.invalid` for a model that has no such form.
        """
        ...


class TrainingTransaction(PrepareTransaction, Protocol):
    """The part of a transaction that this slice needs."""

    @property
    def runs(self) -> RunStore:
        """Runs and studies."""
        ...
