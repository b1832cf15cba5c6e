"""The one `infer` behind every door: rows in, answers out, by exactly one version.

REST, batch scoring and every door to come call a `LoadedVersion`; none of them prepares or predicts by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Protocol

import msgspec

from modelyard.core import Digest, ObjectStore, Problem, ProjectId, digest_file
from modelyard.data import Column
from modelyard.data.cell import Cell
from modelyard.prepare.transform import Transform
from modelyard.prepare.types import FittedPipeline, FunctionStep
from modelyard.prepare.values import InputColumn, ValueKind
from modelyard.registry.rules import CODE
from modelyard.serving.combined import combine
from modelyard.serving.direct import Direct, TensorInputs
from modelyard.serving.prepared import Prepared, RowInputs
from modelyard.serving.program import ONNX, Answers, Batch, Columns, Inputs, Program
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
    def is_apart(self) -> bool:
        """Whether it answers in a process of its own, which ends a call that takes too long."""
        return self.program.is_apart

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
    fetch_version(ports.objects, project, served, folder)
    return open_version(ports.framework, served, folder)


def fetch_version(objects: ObjectStore, project: ProjectId, served: ServedForm, folder: Path) -> None:
    """Bring the contents of a version into a folder, those that are not there, or not whole. Raises what the store raises."""
    for digest in served.contents:
        file = content_file(folder, digest)
        if not file.is_file() or digest_file(file) != digest:
            objects.fetch(project, digest, file)


def open_version(framework: Callable[[str], Framework], served: ServedForm, folder: Path) -> LoadedVersion:
    """Return a version whose contents are in the folder, loaded and warm. Raises what is wrong with its package."""
    program = _plain(framework, served, folder) if served.composition is None else _combined(framework, served, folder)
    inputs = inputs_of(served)
    loaded = LoadedVersion(served, program, inputs.columns, inputs.kinds, inputs.cells, program.outputs)
    loaded.warm()
    began = perf_counter()
    loaded.warm()
    return replace(loaded, pace_s=perf_counter() - began)


def _plain(framework: Callable[[str], Framework], served: ServedForm, folder: Path) -> Program:
    made = framework(served.framework)
    outputs = tuple(column.name for column in served.signature.outputs)
    if served.pipeline is None:
        model = made.load(content_file(folder, served.model))
        return Direct(inputs_of(served).cells, version=served.version, outputs=outputs, framework=made, model=model)
    transform = Transform(_pipeline(served, served.pipeline, folder))
    model = made.load(content_file(folder, served.model))
    columns = raw_columns(served.row)
    return Prepared(
        columns, {name: column.kind for name, column in columns.items()},
        version=served.version, outputs=outputs, transform=transform, framework=made, model=model,
    )  # fmt: skip


def _combined(framework: Callable[[str], Framework], served: ServedForm, folder: Path) -> Program:
    """Return the program of a combined version; a version that is several of its parts is opened once."""
    assert served.composition is not None  # noqa: S101 - it is asked for those only
    opened: dict[ServedForm, Program] = {}
    for place, member in enumerate(served.members):
        if member not in opened:
            try:
                opened[member] = open_version(framework, member, folder).program
            except Problem as problem:
                whose = f"{problem.what}, of the member {served.composition.parts[place].ref}"
                raise Problem(problem.code, whose, problem.why, problem.next_step, problem.detail) from problem
    parts = [(opened[member], member.signature) for member in served.members]
    return combine(served.version, served.composition, served.signature, inputs_of(served), parts)


def holds_code(served: ServedForm, folder: Path) -> bool:
    """Return whether somebody's own code is part of a version whose contents are in the folder; none of it is run for that.

    A model that may go round without end counts as code, too.

    Raises
    ------
    Problem
        `pipeline.invalid`.
    """
    if served.composition is not None:
        return any(holds_code(member, folder) for member in served.members)
    if served.framework != ONNX or _may_loop(content_file(folder, served.model)):
        return True
    if served.pipeline is None:
        return False
    return any(isinstance(step, FunctionStep) for step in _pipeline(served, served.pipeline, folder).steps)


def is_makers_code(served: ServedForm) -> bool:
    """Return whether what somebody else wrote is run when a version is loaded, itself or a member of it."""
    return served.framework == CODE or any(is_makers_code(member) for member in served.members)


def _may_loop(model: Path) -> bool:
    """Return whether an ONNX model may hold a `Loop`, the one operator that may never end: the file then holds its name."""
    with model.open("rb") as file:
        if not model.stat().st_size:
            return False
        with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            return content.find(b"Loop") >= 0


def inputs_of(served: ServedForm) -> Inputs:
    """Return how a version takes what callers send. Problem `column.invalid` for a signature with an unknown dtype."""
    if served.pipeline is None and (served.composition is None or served.composition.tensors):
        return TensorInputs({column.name: Cell.parse(column.dtype) for column in served.signature.inputs})
    columns = raw_columns(served.signature.inputs)
    return RowInputs(columns, {name: column.kind for name, column in columns.items()})


def _pipeline(served: ServedForm, digest: Digest, folder: Path) -> FittedPipeline:
    try:
        return FittedPipeline.from_json(msgspec.json.decode(content_file(folder, digest).read_bytes()))
    except (msgspec.DecodeError, RecursionError) as error:
        raise Problem("pipeline.invalid", f"The pipeline of version {served.version} cannot be read", str(error)) from error


def raw_columns(columns: Sequence[Column]) -> dict[str, InputColumn]:
    """Return raw columns by name; the `kind` of one of unknown dtype raises `Problem("column.invalid")`."""
    return {column.name: InputColumn(column.name, column.dtype) for column in columns}


def content_file(folder: Path, digest: Digest) -> Path:
    """Return where the contents of versions are kept."""
    return folder / digest.rpartition(":")[2]
