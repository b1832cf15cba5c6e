"""Batch: many raw rows through the same `infer` as every other door, in chunks."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl
from numpy.typing import NDArray

from modelyard.core import Clock, IdMaker, ObjectStore, Problem, ProjectId
from modelyard.data import Column
from modelyard.data.cell import Cell
from modelyard.registry.service import get_version
from modelyard.serving.infer import LoadedVersion, load_version
from modelyard.serving.rules import live_version
from modelyard.serving.service import get_deployment, latest_revision, served_form
from modelyard.serving.store import ServingTransaction
from modelyard.tenancy import Actor, authorise
from modelyard.training import Framework

CHUNK_ROWS = 50_000
VERSION = "model_version"

Progress = Callable[[float, str], None]


class Ports(Protocol):
    """What batch scoring needs of the platform."""

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        ...

    @property
    def ids(self) -> IdMaker:
        """The maker of ids."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """The object store."""
        ...

    @property
    def framework(self) -> Callable[[str], Framework]:
        """A model framework by name."""
        ...

    def transaction(self) -> AbstractContextManager[ServingTransaction]:
        """Open or join a transaction."""
        ...


@dataclass(frozen=True)
class Scorer:
    """One version, loaded to score rows."""

    model: str
    loaded: LoadedVersion

    def chunks(self, rows: pl.DataFrame | pl.LazyFrame, chunk_rows: int = CHUNK_ROWS) -> Iterator[pl.DataFrame]:
        """Give the rows in their order with their answers, in bounded memory; the last chunk may be short.

        Each row keeps its columns and gets the outputs (`probability`) and `model_version`.

        Raises
        ------
        Problem
            `column.exists` when the rows have a column of one of these names; what `infer` raises, its row number counted
            within all rows.
        """
        taken = [name for name in (*self.loaded.outputs, VERSION) if name in rows.collect_schema()]
        if taken:
            told = ", ".join(taken)
            raise Problem(
                "column.exists", f"The rows have a column {told}", "an answer goes there", "rename it, or leave it out"
            )
        done = 0
        for chunk in _slices(rows, chunk_rows):
            try:
                answers = self.loaded.infer(chunk)
            except Problem as problem:
                raise _with_row(problem, done) from problem
            named = [_series(one, answers[one.name]) for one in self.loaded.served.signature.outputs]
            yield chunk.with_columns(*named, pl.lit(self.loaded.served.version, pl.Int64).alias(VERSION))
            done += chunk.height


def open_scorer(ports: Ports, actor: Actor, project: ProjectId, target: str, folder: Path) -> Scorer:
    """Return the scorer of a deployment (its live version) or of a model version, `MODEL@7` or `MODEL@champion`.

    `folder` keeps the version's content.

    Raises
    ------
    Problem
        `deployment.missing`, `model.missing`, `version.missing`, and what `load_version` raises.
    """
    authorise(actor, "prediction.make", project)
    if "@" in target:
        reference = target
    else:
        deployment = get_deployment(ports, actor, project, target)
        revision = latest_revision(ports, actor, project, target)
        reference = f"{deployment.model}@{live_version(revision)}"
    version = get_version(ports, actor, project, reference)
    with ports.transaction() as tx:
        served = served_form(tx, version)
    return Scorer(version.model, load_version(ports, project, served, folder))


def score(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    target: str,
    rows: pl.DataFrame | pl.LazyFrame,
    *,
    folder: Path,
    progress: Progress = lambda fraction, message: None,
) -> pl.DataFrame:
    """Return raw rows with their answers, all by one version; see `Scorer.chunks` and `open_scorer`."""
    scorer = open_scorer(ports, actor, project, target, folder)
    count = rows.height if isinstance(rows, pl.DataFrame) else int(rows.select(pl.len()).collect().item())
    found, done = [], 0
    for chunk in scorer.chunks(rows):
        found.append(chunk)
        done += chunk.height
        progress(done / max(count, 1), f"{done:,} of {count:,} rows")
    if found:
        return pl.concat(found)
    empty = rows.clear() if isinstance(rows, pl.DataFrame) else rows.clear().collect()
    outputs = [pl.Series(one.name, [], dtype=Cell.parse(one.dtype).kept) for one in scorer.loaded.served.signature.outputs]
    return empty.with_columns(*outputs, pl.Series(VERSION, [], dtype=pl.Int64()))


def _series(output: Column, values: NDArray[Any]) -> pl.Series:
    return Cell.parse(output.dtype).series(output.name, values)


def _slices(rows: pl.DataFrame | pl.LazyFrame, chunk_rows: int) -> Iterator[pl.DataFrame]:
    if isinstance(rows, pl.DataFrame):
        yield from (chunk for chunk in rows.iter_slices(chunk_rows) if chunk.height)
    else:
        yield from (chunk for chunk in rows.collect_batches(chunk_size=chunk_rows, maintain_order=True) if chunk.height)


def _with_row(problem: Problem, before: int) -> Problem:
    row = problem.detail.get("row")
    if not before or not isinstance(row, int):
        return problem
    why = f"{problem.why}; counted over all rows it is row {before + row}"
    return Problem(problem.code, problem.what, why, problem.next_step, {**problem.detail, "row": before + row})
