"""The one `infer` behind every door: rows in, answers out, by exactly one version.

REST, batch scoring and every door to come call a `LoadedVersion`; none of them prepares or predicts by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Protocol

import msgspec

from modelyard.core import Digest, ObjectStore, Problem, ProjectId, digest_file
from modelyard.data.cell import Cell
from modelyard.prepare.transform import Transform
from modelyard.prepare.types import FittedPipeline
from modelyard.prepare.values import InputColumn, ValueKind
from modelyard.registry import Signature
from modelyard.serving.direct import Direct
from modelyard.serving.prepared import Prepared
from modelyard.serving.program import Answers, Batch, Columns, Program
from modelyard.serving.types import ServedForm
from modelyard.training import Framework

__all__ = ["Answers", "Batch", "Columns", "LoadedVersion", "Ports", "content_file", "load_version", "raw_columns"]

_NO_SHAPES: Mapping[str, Sequence[int]] = MappingProxyType({})


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
    """One version in memory, and the form of its model that runs here. Safe to share between threads."""

    served: ServedForm
    program: Program  # how it takes its rows
    columns: Mapping[str, InputColumn]  # its inputs, in the signature's order
    kinds: Mapping[str, ValueKind]  # of the same, where they are raw columns
    cells: Mapping[str, Cell]  # of the same, where they are tensors: one of the two is empty
    outputs: tuple[str, ...]
    pace_s: float = 0.0  # of a call for one row, where it was loaded

    @property
    def runs_code(self) -> bool:
        """Whether somebody's own code is part of it, which may take any time: a function step, or a native model."""
        return self.program.runs_code

    @property
    def is_direct(self) -> bool:
        """Whether it takes tensors as they are, and prepares nothing."""
        return bool(self.cells)

    def batch(self, columns: Columns, shapes: Mapping[str, Sequence[int]] = _NO_SHAPES) -> Batch:
        """Return one request's columns as what `infer` takes: rows, or for a direct version checked tensors.

        Parameters
        ----------
        columns
            By input: lists nested by row, flat lists, or arrays.
        shapes
            Of those that come flat, rows first; a direct version reads them, others have one value a row in any case.

        Raises
        ------
        Problem
            `column.missing` and `tensor.invalid`, of a direct version: naming the input and what is expected.
        """
        return self.program.batch(columns, shapes)

    def joined(self, batches: Sequence[Batch]) -> Batch:
        """Return what `batch` made of several requests as one, in their order.

        Raises
        ------
        Problem
            `batch.invalid` when tensors of a free length differ in it: ask one by one.
        """
        return self.program.joined(batches)

    def infer(self, batch: Batch) -> Answers:
        """Return the answers for a batch, for rows (each a mapping by input) or for a frame, in their order.

        Of a version that was trained here float64 of the shape (n,) for each output, all finite; of a direct one each output
        in its own type and shape, (n, …).

        Raises
        ------
        Problem
            `column.missing`, `column.invalid` and `tensor.invalid`, naming column and row, with the nearest names;
            `row.invalid` when a row has no finite answer because of what is missing in it; `version.failed` when the version's
            own code raises.
        """
        return self.program.infer(batch)

    def warm(self) -> None:
        """Run everything once, so that the first request does not pay for it.

        Raises
        ------
        Problem
            `version.failed` when the model does not take what it is given, or does not give what the signature says.
        """
        self.program.warm()


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
    if served.pipeline is None:
        program: Program = _direct(ports, project, served, folder)
    else:
        program = _prepared(ports, project, served, served.pipeline, folder)
    loaded = LoadedVersion(served, program, program.columns, program.kinds, program.cells, program.outputs)
    loaded.warm()
    began = perf_counter()
    loaded.warm()
    return replace(loaded, pace_s=perf_counter() - began)


def _prepared(ports: Ports, project: ProjectId, served: ServedForm, pipeline: Digest, folder: Path) -> Prepared:
    framework = ports.framework(served.framework)
    try:
        fitted = FittedPipeline.from_json(msgspec.json.decode(_content(ports, project, pipeline, folder).read_bytes()))
    except msgspec.DecodeError as error:
        raise Problem("pipeline.invalid", f"The pipeline of version {served.version} cannot be read", str(error)) from error
    columns = raw_columns(served.signature)
    return Prepared(
        version=served.version,
        columns=columns,
        kinds={name: column.kind for name, column in columns.items()},
        outputs=_outputs(served.signature),
        transform=Transform(fitted),
        framework=framework,
        model=framework.load(_content(ports, project, served.model, folder)),
    )


def _direct(ports: Ports, project: ProjectId, served: ServedForm, folder: Path) -> Direct:
    framework = ports.framework(served.framework)
    return Direct(
        version=served.version,
        cells={column.name: Cell.parse(column.dtype) for column in served.signature.inputs},
        outputs=_outputs(served.signature),
        framework=framework,
        model=framework.load(_content(ports, project, served.model, folder)),
    )


def _outputs(signature: Signature) -> tuple[str, ...]:
    return tuple(column.name for column in signature.outputs)


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
