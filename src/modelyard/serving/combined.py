"""The program of a version that is made of others: their answers, brought together by its rule."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.core import Problem, missing
from modelyard.data import Column
from modelyard.data.cell import Cell
from modelyard.prepare.columnar import ColumnarRows
from modelyard.prepare.inputs import check_row
from modelyard.registry import Combining, Composition, Signature
from modelyard.registry.composition import made_columns, matched, router_output
from modelyard.serving.direct import TensorInputs
from modelyard.serving.program import Answers, Batch, ByInputs, Inputs, Program

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Made:
    """An answer of a stack's member, as a column for its head."""

    column: str
    output: str
    dtype: str


@dataclass(frozen=True, eq=False)
class LoadedPart:
    """A member in memory, or the head."""

    ref: str  # `churn@7`
    program: Program
    counted: tuple[str, ...] = ()  # of its outputs those that stand for the outputs of the whole, in their order
    made: tuple[Made, ...] = ()  # of a member of a stack: what the head takes

    def answers(self, batch: Batch) -> Answers:
        """Return what it answers to a batch of the whole; a problem says whose it is."""
        try:
            return self.program.infer(self._taken(batch))
        except Problem as problem:
            detail = {"member": self.ref, **problem.detail}
            why = problem.why if "member" in problem.detail else f"{problem.why} (member {self.ref})"
            raise Problem(problem.code, problem.what, why, problem.next_step, detail) from problem

    def _taken(self, batch: Batch) -> Batch:
        """Return a batch as this part takes it: tensors as those of its own types, to one of raw columns as a frame."""
        if not isinstance(batch, Mapping):
            return batch
        own = {name: batch[name] for name in self.program.columns}
        if self.program.cells:
            return self.program.batch(own, {})
        return pl.DataFrame({name: Cell(_WORDS[values.dtype.kind]).series(name, values) for name, values in own.items()})


_WORDS: Mapping[str, str] = {"f": "Float64", "i": "Int64", "u": "Int64", "b": "Boolean", "O": "String"}


@dataclass(frozen=True, eq=False)
class Combined(ByInputs):
    """A composition and its parts, loaded. What is computed of a row does not depend on the rows beside it."""

    version: int
    composition: Composition
    signature: Signature
    inputs: Inputs  # those of all parts, but for what a stack's head takes from the members
    parts: tuple[LoadedPart, ...]  # in the order of `composition.parts`

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return tuple(column.name for column in self.signature.outputs)

    @property
    def runs_code(self) -> bool:
        """Whether somebody's own code is part of a part."""
        return any(part.program.runs_code for part in self.parts)

    @property
    def is_apart(self) -> bool:
        """Whether all that runs somebody's code answers in processes of their own."""
        return self.runs_code and all(part.program.is_apart for part in self.parts if part.program.runs_code)

    def infer(self, batch: Batch) -> Answers:
        """Return the answers.

        Raises
        ------
        Problem
            What a part raises, naming it, its row counted within the batch; `version.failed` when the parts' answers do not fit
            together.
        """
        taken = self.inputs.tensors(batch) if isinstance(self.inputs, TensorInputs) else batch
        match self.composition.rule:
            case Combining.STACK:
                return self._stack(taken)
            case Combining.ROUTE:
                return self._route(taken)
            case Combining.VOTE:
                return self._vote(taken)
            case _:
                return self._mean(taken)

    def warm(self) -> None:
        """Run every part once. Problem `version.failed` when one cannot answer."""
        for part in self.parts:
            part.program.warm()

    def _mean(self, batch: Batch) -> Answers:
        """Return the members' weighted mean, added up in their order in double precision: no other row has a part in it."""
        weights = self.composition.weights or (1.0,) * len(self.parts)
        return self._shared((weight, self._numbers(part, batch)) for weight, part in zip(weights, self.parts, strict=True))

    def _vote(self, batch: Batch) -> Answers:
        """Return the share of the members that vote for the class, or for each; of equal classes a member takes the first."""
        return self._shared((1.0, self._votes(self._numbers(part, batch))) for part in self.parts)

    def _votes(self, numbers: Sequence[Numbers]) -> list[Numbers]:
        if len(numbers) > 1:
            return list(_chosen(np.column_stack(numbers)).T)
        [only] = numbers
        return [(only >= self.composition.threshold).astype(np.float64) if only.ndim == 1 else _chosen(only)]

    def _stack(self, batch: Batch) -> Answers:
        """Return what the head answers to the raw columns and the members' answers."""
        *members, head = self.parts
        columns: dict[str, tuple[str, NDArray[Any]]] = {}
        for part in members:
            answers = part.answers(batch)
            columns |= {one.column: (one.dtype, answers[one.output]) for one in part.made}
        return head.answers(_with_columns(batch, columns))

    def _route(self, batch: Batch) -> Answers:
        """Return each row's answer from the member that the router's number chooses; no other is asked about it."""
        *members, router = self.parts
        batch = list(batch) if isinstance(batch, ColumnarRows) else batch  # its rows are asked for one by one
        self._check_columns(batch)
        routed = router.answers(batch)
        numbers = np.asarray(routed[router.counted[0]], dtype=np.float64)
        places = np.searchsorted(np.array(self.composition.limits), numbers, side="right")  # what is no number goes to the last
        taken = [(members[place], np.flatnonzero(places == place)) for place in np.unique(places).tolist()]
        found: dict[str, NDArray[Any]] = {}
        for part, rows in taken or [(members[-1], np.array([], dtype=np.int64))]:
            if part.program is router.program:  # a cascade: it has answered these rows
                answers: Answers = {name: values[rows] for name, values in routed.items()}
            else:
                answers = _of_rows(part, batch, rows, whole=len(rows) == len(numbers))
            for output, name in zip(self.signature.outputs, part.counted, strict=True):
                values = found.setdefault(output.name, _empty(output, len(numbers)))
                values[rows] = self._fitting(answers[name], values[rows].shape, part)
        return found

    def _numbers(self, part: LoadedPart, batch: Batch) -> list[Numbers]:
        """Return the numbers of a member that count, in the order of the outputs."""
        answers = part.answers(batch)
        return [np.asarray(answers[name], dtype=np.float64) for name in part.counted]

    def _shared(self, shares: Iterator[tuple[float, list[Numbers]]]) -> Answers:
        """Return the sum of the members' numbers, each by its weight, over the sum of the weights."""
        whole, first = next(shares)
        sums = [whole * values for values in first]
        for place, (weight, numbers) in enumerate(shares, start=1):
            part, pairs = self.parts[place], zip(sums, numbers, strict=True)
            sums = [own + weight * self._fitting(values, own.shape, part) for own, values in pairs]
            whole += weight
        return {name: values / whole for name, values in zip(self.outputs, sums, strict=True)}

    def _fitting(self, values: NDArray[Any], shape: tuple[int, ...], part: LoadedPart) -> NDArray[Any]:
        """Return values of this shape."""
        if values.shape == shape:
            return values
        why = f"{part.ref} gave the shape {values.shape}, where {shape} is expected"
        raise Problem(
            "version.failed", f"The answers of version {self.version}'s members do not fit together", why, "roll it back"
        )

    def _check_columns(self, batch: Batch) -> None:
        """Refuse rows that lack a column which some member needs, also where this member is not asked."""
        if isinstance(batch, pl.DataFrame):
            lacking = next((name for name in self.columns if name not in batch.columns), None)
            if lacking is not None:
                raise missing("column", lacking, batch.columns, "send every input of the model")
        elif not isinstance(batch, Mapping):
            for place, row in enumerate(batch):
                check_row(row, place, self.columns.values())


def combine(
    version: int, composition: Composition, signature: Signature, inputs: Inputs, parts: Sequence[tuple[Program, Signature]]
) -> Combined:
    """Return the program of a composition from those of its parts, each with its signature, in the order of `parts`."""
    rule, made = composition.rule, []
    first, head = parts[0][1], parts[-1]
    for place, (member, (program, own)) in enumerate(zip(composition.parts, parts, strict=True)):
        is_head = place == len(composition.members)
        columns: tuple[Made, ...] = ()
        counted: tuple[str, ...] = ()
        if is_head:
            counted = (router_output(own, member.ref),) if rule is Combining.ROUTE else ()
        elif rule is Combining.STACK:
            types = {one.name: one.dtype for one in own.outputs}
            taken = [(name, output) for name, output in made_columns(member, own).items() if name in head[0].columns]
            columns = tuple(Made(name, output, types[output]) for name, output in taken)
        else:
            counted = matched(rule, first, own)
        made.append(LoadedPart(member.ref, program, counted, columns))
    return Combined(version, composition, signature, inputs, tuple(made))


def _chosen(shares: Numbers) -> Numbers:
    """Return 1 for the highest class of each row, else 0; what is no number is chosen by nobody."""
    chosen = np.zeros_like(shares)
    chosen[np.arange(len(shares)), np.where(np.isnan(shares), -np.inf, shares).argmax(axis=1)] = 1.0
    return chosen


def _with_columns(batch: Batch, made: Mapping[str, tuple[str, NDArray[Any]]]) -> Batch:
    """Return a batch with further columns, by name their type and values."""
    if isinstance(batch, pl.DataFrame):
        return batch.with_columns(Cell.parse(dtype).series(name, values) for name, (dtype, values) in made.items())
    if isinstance(batch, Mapping):
        return {**batch, **{name: values for name, (_, values) in made.items()}}
    cells = zip(*(values.tolist() for _, values in made.values()), strict=True)
    return [{**row, **dict(zip(made, own, strict=True))} for row, own in zip(batch, cells, strict=True)]


def _of_rows(part: LoadedPart, batch: Batch, rows: NDArray[np.int64], *, whole: bool) -> Answers:
    """Return a part's answers for some rows of a batch; a problem tells its row within the batch."""
    if whole:
        return part.answers(batch)
    if isinstance(batch, Mapping):
        some: Batch = {name: values[rows] for name, values in batch.items()}
    else:
        some = batch[rows] if isinstance(batch, pl.DataFrame) else [batch[row] for row in rows.tolist()]
    try:
        return part.answers(some)
    except Problem as problem:
        row = problem.detail.get("row")
        if not isinstance(row, int):
            raise
        told = int(rows[row])
        why = problem.why if told == row else f"{problem.why}; counted over all rows it is row {told}"
        raise Problem(problem.code, problem.what, why, problem.next_step, {**problem.detail, "row": told}) from problem


def _empty(output: Column, rows: int) -> NDArray[Any]:
    cell = Cell.parse(output.dtype)
    return np.empty((rows, *(size or 0 for size in cell.shape)), dtype=cell.numpy)
