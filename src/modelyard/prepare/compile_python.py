"""A fitted pipeline as one generated Python function of a row: about a microsecond where a frame costs a millisecond."""

from collections.abc import Callable, Mapping
from typing import Final

from modelyard.prepare.as_python import RowWriter
from modelyard.prepare.inputs import WrongValueError, check_row, coerce, wrong_value
from modelyard.prepare.plan import Plan, plan
from modelyard.prepare.scope import Assignment
from modelyard.prepare.types import FittedPipeline
from modelyard.prepare.values import InputColumn, ValueKind

Row = Mapping[str, object]
RowFunction = Callable[[Row], list[float]]

# What a value may be taken as it stands; anything else goes through `inputs.coerce`.
_PLAIN: Final = {
    ValueKind.NUMBER: "{0}.__class__ is float",
    ValueKind.INTEGER: "{0}.__class__ is int and -9223372036854775808 <= {0} <= 9223372036854775807",
    ValueKind.BOOLEAN: "{0} is True or {0} is False",
    ValueKind.TEXT: "{0}.__class__ is str and {0}.isascii()",
}


def compile_python(fitted: FittedPipeline) -> RowFunction | None:
    """Return the function from a raw row to its features in order, as float64 before the one rounding to float32.

    None when the pipeline has a function step, which takes frames only. Rounded to float32 the numbers are those of
    `compile_polars`, bit for bit. The function raises `Problem` as that of `compile_polars` does, and calls every row 0.
    """
    return row_function(plan(fitted))


def row_function(planned: Plan) -> RowFunction | None:
    """Return the row function of a plan, None when it calls user functions."""
    if planned.has_calls:
        return None
    source, names = row_source(planned)
    exec(compile(source, "<row function>", "exec"), names)  # noqa: S102 - our own text: columns and tables come in as objects
    function: RowFunction = names["features"]  # type: ignore[assignment]  # the text defines it
    return function


def row_source(planned: Plan) -> tuple[str, dict[str, object]]:
    """Return the text of the row function, and the names that it reaches."""
    row = RowWriter()
    row.names |= {"refuse": _refuse(planned.inputs)}
    for number, column in enumerate(planned.inputs):
        row.lines.append(f"r{number} = row[{column.name!r}]")
        row.variables[column.name] = f"r{number}"
    reads, row.lines = row.lines, []
    for number, column in enumerate(planned.inputs):
        row.lines.append(_taken(row, column, f"r{number}"))
    for part in planned.parts:
        if isinstance(part, Assignment):
            row.assign(part.target.id, part.value)
    answers = ", ".join([row.text(value) for value in planned.features.values()])
    body = "\n    ".join(row.lines)
    tried = "\n        ".join(reads) or "pass"
    source = (
        f"def features(row):\n    try:\n        {tried}\n    except (KeyError, TypeError, IndexError):\n"
        f"        refuse(row)\n        raise\n    {body}\n    return [{answers}]\n"
    )
    return source, row.names


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
