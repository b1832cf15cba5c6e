"""A fitted pipeline as generated Python functions of a row: about a microsecond where a frame costs a millisecond.

User functions take frames: what comes before, between and after them is generated all the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from modelyard.prepare.as_python import RowWriter
from modelyard.prepare.expressions import Column
from modelyard.prepare.functions import Function, Table, TableFunction, table_function
from modelyard.prepare.inputs import WrongValueError, check_row, coerce, wrong_value
from modelyard.prepare.plan import Plan, plan
from modelyard.prepare.scope import Assignment, Call
from modelyard.prepare.types import FittedPipeline
from modelyard.prepare.values import InputColumn, ValueKind

RowFunction = Callable[[Any], list[Any]]

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
    first
        From a raw row to what the first call reads; to the features where there is no call.
    rest
        The calls and the row functions after them, each from the rows of the one before; the last gives the features.
    """

    first: RowFunction
    rest: tuple[TableFunction, ...]

    def finish(self, rows: Table) -> Table:
        """Return the features of rows that have been through `first`, as float64 before the one rounding to float32."""
        for function in self.rest:
            rows = function(rows)
        return rows


def compile_python(fitted: FittedPipeline) -> RowFunction | None:
    """Return the function from a raw row to its features in order, as float64 before the one rounding to float32.

    None when the pipeline has a function step, which takes frames only. Rounded to float32 the numbers are those of
    `compile_polars`, bit for bit. The function raises `Problem` as that of `compile_polars` does, and calls every row 0.
    """
    planned = plan(fitted)
    return None if planned.calls else row_compiled(planned, ()).first


def row_compiled(planned: Plan, functions: Sequence[Function]) -> RowCompiled:
    """Return a plan compiled for a few rows; `functions` are those of its calls."""
    row, head = _from_raw(planned.inputs)
    made: list[RowFunction] = []
    waiting = iter(functions)
    rest: list[TableFunction] = []
    for part in planned.parts:
        if isinstance(part, Assignment):
            row.assign(part.target.id, part.value)
        else:
            made.append(_made(row, head, [_shown(row, column) for column in part.reads.values()]))
            rest.append(table_function(next(waiting), part.reads, part.writes))
            row, head = _from_call(part)
    made.append(_made(row, head, [row.text(value) for value in planned.features.values()]))
    after = [partial(_each, function) for function in made[1:]]
    return RowCompiled(made[0], tuple(stage for pair in zip(rest, after, strict=True) for stage in pair))


def _each(function: RowFunction, rows: Table) -> Table:
    return [function(row) for row in rows]


def _from_raw(inputs: tuple[InputColumn, ...]) -> tuple[RowWriter, list[str]]:
    """Return the writer of a function of raw rows, and the function's first lines."""
    row = RowWriter()
    row.names |= {"refuse": _refuse(inputs)}
    reads = []
    for number, column in enumerate(inputs):
        reads.append(f"    r{number} = row[{column.name!r}]")
        row.variables[column.name] = f"r{number}"
        row.lines.append(_taken(row, column, f"r{number}"))
    return row, ["try:", *(reads or ["    pass"]), "except (KeyError, TypeError, IndexError):", "    refuse(row)", "    raise"]


def _from_call(call: Call) -> tuple[RowWriter, list[str]]:
    """Return the writer of a function of what a call has written, and the function's first line."""
    row = RowWriter()
    row.variables = {column.id: f"r{number}" for number, column in enumerate(call.writes.values())}
    return row, [f"{', '.join(row.variables.values())}, = row"]


def _shown(row: RowWriter, column: Column) -> str:
    value = row.variables[column.id]
    return f"(None if {value} != {value} else {value})" if column.kind is ValueKind.NUMBER else value


def _made(row: RowWriter, head: list[str], answers: list[str]) -> RowFunction:
    body = "\n    ".join([*head, *row.lines, f"return [{', '.join(answers)}]"])
    source = f"def function(row):\n    {body}\n"
    exec(compile(source, "<row function>", "exec"), row.names)  # noqa: S102 - our own text: columns and tables come in as objects
    function: RowFunction = row.names["function"]  # type: ignore[assignment]  # the text defines it
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


def _refuse(columns: tuple[InputColumn, ...]) -> Callable[[object], None]:
    return lambda row: check_row(row, 0, columns)
