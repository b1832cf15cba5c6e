"""The one `infer` behind every door: raw columns in, answers out, by exactly one version.

REST, batch scoring and every door to come call a `LoadedVersion`; none of them prepares or predicts by itself.
"""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol, TypeAlias

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.core import Digest, ObjectStore, Problem, ProjectId, digest_file
from modelyard.prepare.transform import Transform
from modelyard.prepare.types import FittedPipeline
from modelyard.prepare.values import InputColumn, ValueKind
from modelyard.registry import Signature
from modelyard.serving.types import ServedForm
from modelyard.training import Framework

Answers: TypeAlias = Mapping[str, NDArray[Any]]  # by output, in the signature's order; the first axis is the rows
Features: TypeAlias = NDArray[np.float32]

_NEUTRAL: Mapping[ValueKind, Any] = {
    ValueKind.NUMBER: 0.0,
    ValueKind.INTEGER: 0,
    ValueKind.BOOLEAN: False,
    ValueKind.TEXT: "",
    ValueKind.DATE: "2000-01-01",
    ValueKind.DATETIME: "2000-01-01T00:00:00",
}


class Ports(Protocol):
    """What loading a version needs of the platform."""

    @property
    def objects(self) -> ObjectStore:
        """The object store."""
        ...

    @property
    def framework(self) -> Callable[[str], Framework]:
        """A model framework by name."""
        ...


@dataclass(frozen=True, eq=False)
class LoadedVersion:
    """One version in memory: its fitted preparation and the form of its model that runs here. Safe to share between threads."""

    served: ServedForm
    columns: Mapping[str, InputColumn]  # the raw inputs, in the signature's order
    kinds: Mapping[str, ValueKind]  # of the same
    outputs: tuple[str, ...]
    transform: Transform
    features: int  # how many the model takes
    framework: Framework
    model: object
    pace_s: float = 0.0  # of a call for one row, where it was loaded

    def infer(self, rows: Sequence[Mapping[str, Any]] | pl.DataFrame) -> Answers:
        """Return the answers for raw rows, in their order: float64 of the shape (n,) for each output; all finite.

        Values are taken as the pipeline takes them: numbers also as NaN or infinity, times also as ISO 8601 texts, None for
        what is missing. Columns that it does not know are passed over.

        Raises
        ------
        Problem
            `column.missing` and `column.invalid`, naming column and row, with the nearest names; `row.invalid` when a row has
            no finite answer because of what is missing in it; `version.failed` when the version's own code raises.
        """
        prepare: Callable[[], Features]
        if isinstance(rows, pl.DataFrame):
            prepare, count = (lambda: self.transform.matrix(rows)), rows.height
        else:
            prepare, count = (lambda: self.transform.rows(rows)), len(rows)
        answers = self._shaped(self._predict(self._guarded("preparation", prepare)), count)
        finite = isfinite(answers[0]) if answers.shape == (1,) else bool(np.isfinite(answers).all())
        if not finite:
            row = int(np.flatnonzero(~np.isfinite(answers.reshape(count, -1)).all(axis=1))[0])
            raise self._no_answer(row, rows.row(row, named=True) if isinstance(rows, pl.DataFrame) else rows[row])
        if answers.ndim == 1:
            return {self.outputs[0]: answers}
        return dict(zip(self.outputs, answers.T, strict=True))

    def warm(self) -> None:
        """Run everything once, so that the first request does not pay for it.

        A function step may rightly refuse the made-up row; the model has to answer.

        Raises
        ------
        Problem
            `version.failed` when the model does not take what the pipeline gives, or does not give what the signature says.
        """
        row = {name: _NEUTRAL[kind] for name, kind in self.kinds.items()}
        try:
            features = self._guarded("preparation", lambda: self.transform.rows([row]))
        except Problem:
            features = np.zeros((1, self.features), dtype=np.float32)
        self._shaped(self._predict(features), 1)

    def _predict(self, features: Features) -> NDArray[np.float64]:
        return self._guarded("model", lambda: self.framework.predict(self.model, features))

    def _guarded(self, part: str, work: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        try:
            return work()
        except Problem:
            raise
        except Exception as error:
            raise Problem(
                "version.failed",
                f"The {part} of version {self.served.version} raised {type(error).__name__}",
                str(error)[:500],
                "mend it and register a new version",
                {"version": self.served.version, "traceback": "".join(traceback.format_exception(error))[-8000:]},
            ) from error

    def _shaped(self, answers: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        wanted = (count,) if len(self.outputs) == 1 else (count, len(self.outputs))
        if answers.shape == wanted:
            return answers
        raise Problem(
            "version.failed",
            f"Version {self.served.version} gave answers of the shape {answers.shape} for {count} rows",
            f"its signature names the outputs {', '.join(self.outputs)}",
            "register the run again",
        )

    def _no_answer(self, row: int, raw: Mapping[str, Any]) -> Problem:
        gaps = [name for name in self.columns if _is_gap(raw.get(name))]
        what = f"Row {row} has no finite answer"
        if not gaps:
            step = "look at the version's metrics, and roll it back"
            return Problem("version.failed", what, f"version {self.served.version} had every input", step, {"row": row})
        return Problem(
            "row.invalid",
            what,
            f"the model cannot do without what is missing there: {', '.join(gaps)}",
            "send the values, or fill them in the pipeline (fill_null) and train again",
            {"row": row, "columns": gaps},
        )


def load_version(ports: Ports, project: ProjectId, served: ServedForm, folder: Path) -> LoadedVersion:
    """Return a version, loaded and warm.

    Parameters
    ----------
    served
        Which version, in which form.
    folder
        Keeps its content by digest. What is there already, and whole, is not fetched again: so a version loads also while
        the object store is away.

    Raises
    ------
    Problem
        Whatever is wrong with its package: `pipeline.invalid`, `model.invalid`, `model.refused`, `version.failed`, or what the
        object store raises.
    """
    framework = ports.framework(served.framework)
    try:
        fitted = FittedPipeline.from_json(msgspec.json.decode(_content(ports, project, served.pipeline, folder).read_bytes()))
    except msgspec.DecodeError as error:
        raise Problem("pipeline.invalid", f"The pipeline of version {served.version} cannot be read", str(error)) from error
    columns = raw_columns(served.signature)
    loaded = LoadedVersion(
        served=served,
        columns=columns,
        kinds={name: column.kind for name, column in columns.items()},
        outputs=tuple(column.name for column in served.signature.outputs),
        transform=Transform(fitted),
        features=len(fitted.features),
        framework=framework,
        model=framework.load(_content(ports, project, served.model, folder)),
    )
    loaded.warm()
    began = perf_counter()
    loaded.warm()
    return replace(loaded, pace_s=perf_counter() - began)


def raw_columns(signature: Signature) -> dict[str, InputColumn]:
    """Return the raw inputs of a signature by name; the `kind` of one of unknown dtype raises `Problem("column.invalid")`."""
    return {column.name: InputColumn(column.name, column.dtype) for column in signature.inputs}


def content_file(folder: Path, digest: Digest) -> Path:
    """Return where `load_version` keeps a content."""
    return folder / digest.rpartition(":")[2]


def _content(ports: Ports, project: ProjectId, digest: Digest, folder: Path) -> Path:
    file = content_file(folder, digest)
    if not file.is_file() or digest_file(file) != digest:
        file.unlink(missing_ok=True)
        ports.objects.fetch(project, digest, file)
    return file


def _is_gap(value: object) -> bool:
    return value is None or (isinstance(value, float) and not isfinite(value))
