"""One version, loaded to answer for many raw rows: the same `infer` as behind every other door, in chunks."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl
from numpy.typing import NDArray

from modelyard.core import Clock, IdMaker, ObjectStore, Problem, ProjectId
from modelyard.core.problems import further_down
from modelyard.data import Column, DatasetVersionId, TableStore
from modelyard.data.cell import Cell
from modelyard.data.features import FeatureJoin, check_free, open_join
from modelyard.registry.service import get_version
from modelyard.serving.infer import LoadedVersion, load_version
from modelyard.serving.rules import live_version
from modelyard.serving.service import get_deployment, latest_revision, served_form
from modelyard.serving.store import ServingTransaction
from modelyard.tenancy import Actor, authorise
from modelyard.training import Framework

CHUNK_ROWS = 50_000
VERSION = "model_version"


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
    def lake(self) -> TableStore:
        """The lake."""
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
    """One version, loaded to score rows. Safe to share between threads."""

    model: str
    loaded: LoadedVersion
    join: FeatureJoin | None = None  # of what the version looks up

    def require_free(self, schema: pl.Schema) -> None:
        """Return when rows of these columns can take the answers. Problem `column.exists` where one has such a name."""
        for lookup in self.join.features.lookups if self.join else ():
            check_free(lookup, schema)
        taken = [name for name in (*self.loaded.outputs, VERSION) if name in schema]
        if taken:
            what, step = f"The rows have a column {', '.join(taken)}", "rename it, or leave it out"
            raise Problem("column.exists", what, "an answer goes there", step)

    def answered(self, rows: pl.DataFrame, *, first_row: int = 0, within: str = "") -> pl.DataFrame:
        """Return rows in their order with the outputs (`probability`) and `model_version`, in bounded memory beside them.

        What the version looks up is what was known before each row's time; it stays beside the rows as they are given.

        Raises
        ------
        Problem
            What `infer` raises; its row is counted from `first_row`, and `within` names where.
        """
        if not rows.height:
            outputs = [pl.Series(one.name, [], dtype=Cell.parse(one.dtype).kept) for one in self._outputs]
            return rows.with_columns(*outputs, pl.Series(VERSION, [], dtype=pl.Int64()))
        starts = range(0, rows.height, CHUNK_ROWS)
        return pl.concat([self._answered(rows.slice(start, CHUNK_ROWS), first_row + start, within) for start in starts])

    @property
    def _outputs(self) -> tuple[Column, ...]:
        return self.loaded.served.signature.outputs

    def _answered(self, chunk: pl.DataFrame, first_row: int, within: str) -> pl.DataFrame:
        try:
            answers = self.loaded.infer(chunk if self.join is None else self.join.joined(chunk))
        except Problem as problem:
            raise further_down(problem, first_row, within) from problem
        named = [_series(one, answers[one.name]) for one in self._outputs]
        return chunk.with_columns(*named, pl.lit(self.loaded.served.version, pl.Int64).alias(VERSION))


def open_scorer(
    ports: Ports, actor: Actor, project: ProjectId, target: str, folder: Path, features: Sequence[DatasetVersionId] = ()
) -> Scorer:
    """Return the scorer of a deployment (its live version) or of a model version, `MODEL@7` or `MODEL@champion`.

    `folder` keeps the version's content; `features` are the versions that its lookups read, by default the newest.

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
    join = None if served.features is None else open_join(ports, project, served.features, features)
    return Scorer(version.model, load_version(ports, project, served, folder), join)


def _series(output: Column, values: NDArray[Any]) -> pl.Series:
    return Cell.parse(output.dtype).series(output.name, values)
