"""A fitted pipeline as generated Python, row by row: about a microsecond a row where a frame costs a millisecond.

User functions take frames: what comes before, between and after them is generated all the same.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, TypeAlias

from modelyard.prepare.as_python import RowWriter, indicated_text
from modelyard.prepare.columnar import Row, row_reader
from modelyard.prepare.expressions import Column
from modelyard.prepare.functions import Function, Table, TableFunction, TableRow, table_function
from modelyard.prepare.inputs import WrongValueError, check_row, coerce, wrong_value
from modelyard.prepare.plan import Plan, plan
from modelyard.prepare.scope import Assignment, Call
from modelyard.prepare.types import FittedPipeline
from modelyard.prepare.values import InputColumn, ValueKind

# Appends what it makes of each row's values: where it raises, those that it has appended are the rows that were fine.
RowsFunction: TypeAlias = Callable[[Iterable[Sequence[Any]], list[Any]], None]

# What a value may be taken as it stands; anything else goes through `inputs.coerce`.
_PLAIN: Final = {
    ValueKind.NUMBER: "{0}.__class__ is float",
    ValueKind.INTEGER: "{0}.__class__ is int and -9223372036854775808 <= {0} <= 9223372036854775807",
    ValueKind.BOOLEAN: "{0} is True or {0} is False",
    ValueKind.TEXT: "{0}.__class__ is str and {0}.isascii()",
}


@dataclass(frozen=True)
class RowCompiled:
    """A plan compiled for a few rows: generated Python before, between and after the calls of user functions.

    Parameters
    ----------
    inputs
        The raw columns.
    values
        From raw rows to the values of those columns.
    first
        From these to what the first call reads; to the features where there is no call.
    rest
        The calls and the row functions after them, each from the rows of the one before; the last gives the features.
    """

    inputs: tuple[InputColumn, ...]
    values: Callable[[Sequence[Row]], Iterable[tuple[Any, ...]]]
    first: RowsFunction
    rest: tuple[TableFunction, ...]

    def read(self, rows: Sequence[Row], made: list[TableRow]) -> None:
        """Append what `first` makes of raw rows to `made`.

        Raises
        ------
        Problem
            `column.invalid`, which calls every row 0; `column.missing` and `row.invalid`, which tell the row.
        """
        try:
            self.first(self.values(rows), made)
        except (KeyError, TypeError, IndexError):
            check_row(rows[len(made)], len(made), self.inputs)
            raise

    def finish(self, rows: Table) -> Table:
        """Return the features of rows that have been through `first`, as float64 before the one rounding to float32."""
        for function in self.rest:
            rows = function(rows)
        return rows


def compile_python(fitted: FittedPipeline) -> Callable[[Row], Sequence[Any]] | None:
    """Return the function from a raw row to its features in order, as float64 before the one rounding to float32.

    None when the pipeline has a function step, which takes frames only. Rounded to float32 the numbers are those of
    `compile_polars`, bit for bit. The function raises `Problem` as that of `compile_polars` does, and calls every row 0.
    """
    planned = plan(fitted)
    if planned.calls:
        return None
    compiled = row_compiled(planned, ())

    def function(row: Row) -> Sequence[Any]:
        made: list[TableRow] = []
        compiled.read([row], made)
        return made[0]

    return function


def row_compiled(planned: Plan, functions: Sequence[Function]) -> RowCompiled:
    """Return a plan compiled for a few rows; `functions` are those of its calls."""
    row = _from_raw(planned.inputs)
    made: list[RowsFunction] = []
    waiting = iter(functions)
    rest: list[TableFunction] = []
    for column, parts in groupby(planned.parts, indicated_text):
        if column is not None:
            row.assign_indicators(column, [part for part in parts if isinstance(part, Assignment)])
            continue
        for part in parts:
            if isinstance(part, Assignment):
                row.assign(part.target.id, part.value)
            else:
                made.append(_made(row, [_shown(row, column) for column in part.reads.values()]))
                rest.append(table_function(next(waiting), part.reads, part.writes))
                row = _from_call(part)
    made.append(_made(row, [row.text(value) for value in planned.features.values()]))
    after = [_whole(function) for function in made[1:]]
    values = row_reader([column.name for column in planned.inputs])
    stages = tuple(stage for pair in zip(rest, after, strict=True) for stage in pair)
    return RowCompiled(planned.inputs, values, made[0], stages)


def _whole(function: RowsFunction) -> TableFunction:
    def stage(rows: Table) -> Table:
        made: list[TableRow] = []
        function(rows, made)
        return made

    return stage


def _from_raw(inputs: tuple[InputColumn, ...]) -> RowWriter:
    """Return the writer of a function of raw rows."""
    row = RowWriter({column.name: f"r{number}" for number, column in enumerate(inputs)})
    for column in inputs:
        row.lines.append(_taken(row, column, row.variables[column.name]))
    return row


def _from_call(call: Call) -> RowWriter:
    """Return the writer of a function of what a call has written."""
    return RowWriter({column.id: f"r{number}" for number, column in enumerate(call.writes.values())})


def _shown(row: RowWriter, column: Column) -> str:
    value = row.variables[column.id]
    return f"(None if {value} != {value} else {value})" if column.kind is ValueKind.NUMBER else value


def _made(row: RowWriter, answers: list[str]) -> RowsFunction:
    body = "\n        ".join([*row.lines, f"append([{', '.join(answers)}])"])
    head = "def function(rows, made):\n    append = made.append\n"
    source = f"{head}    for {', '.join(row.taken)}, in rows:\n        {body}\n"
    exec(compile(source, "<row function>", "exec"), row.names)  # noqa: S102 - our own text: columns and tables come in as objects
    function: RowsFunction = row.names["function"]  # type: ignore[assignment]  # the text defines it
    return function


def _taken(row: RowWriter, column: InputColumn, variable: str) -> str:
    function = row.name(_checked(column))
    plain = None if column.is_single else _PLAIN.get(column.kind)
    if plain is None:
        return f"{variable} = {function}({variable})"
    return f"{variable} = {variable} if {plain.format(variable)} else {function}({variable})"


def _checked(column: InputColumn) -> Callable[[object], object]:
    function = coerce(column)

    def checked(raw: object) -> object:
        try:
            return function(raw)
        except WrongValueError:
            raise wrong_value(column, 0, raw) from None

    return checked
