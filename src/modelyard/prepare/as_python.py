"""An expression as Python says it: text for the body of a row function.

Every text is one Python expression; what it needs besides (tables, functions) goes to the namespace that the row function is
made in. An operand that a text names twice is given a variable first.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

from modelyard.prepare.expressions import (
    Arithmetic,
    Bucket,
    Choose,
    Column,
    Compare,
    Constant,
    DatePart,
    DayOf,
    Elapsed,
    Expression,
    IsMissing,
    Localise,
    Lookup,
    Math,
    MidnightOf,
    Pair,
    PerValue,
    Rank,
    ToNumber,
    Truncate,
)
from modelyard.prepare.per_value import function_of
from modelyard.prepare.scope import Assignment, Call
from modelyard.prepare.values import ValueKind

_NAN: Final = float("nan")
_INDICATED: Final = 32  # columns by one lookup: its table has as many rows as columns
_PARTS: Final = MappingProxyType(
    {
        "year": "float({0}.year)",
        "month": "float({0}.month)",
        "day": "float({0}.day)",
        "day_of_year": "float({0}.toordinal() - date({0}.year, 1, 1).toordinal() + 1)",
        "weekday": "float({0}.isoweekday())",
        "hour": "float({0}.hour)",
        "minute": "float({0}.minute)",
        "second": "float({0}.second)",
    }
)


class RowWriter:
    """The body of one row function while it is written.

    `lines` are its statements so far, `names` the objects it reaches by name, `variables` the variable of each column id;
    `taken` are the variables that a row's values come in, in their order.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.taken = tuple(variables.values())
        self.lines: list[str] = []
        self.names: dict[str, object] = {
            "NAN": _NAN,
            "bisect_right": bisect_right,
            "date": date,
            "datetime": datetime,
            "MICROSECOND": timedelta(microseconds=1),
            "escaped": _escaped,
            "log1p": _log1p,
            "sqrt": _sqrt,
            "sin": _sin,
            "cos": _cos,
        }
        self.variables = dict(variables)

    def assign(self, column_id: str, value: Expression) -> None:
        """Write the statement that gives a column its value."""
        self.variables[column_id] = self.variable(self.text(value))

    def assign_indicators(self, column_id: str, parts: Sequence[Assignment]) -> None:
        """Write the statements that give columns their 0 or 1 by what one text is: a lookup for many, not one a comparison."""
        for start in range(0, len(parts), _INDICATED):
            some = parts[start : start + _INDICATED]
            texts = [_text_of(part) for part in some]
            table = {text: tuple([float(text == other) for other in texts]) for text in texts}
            names = [f"v{len(self.lines)}_{place}" for place in range(len(some))]
            get, none = self.name(table.get), self.name((0.0,) * len(some))
            self.lines.append(f"{', '.join(names)}, = {get}({self.variables[column_id]}, {none})")
            self.variables |= {part.target.id: name for part, name in zip(some, names, strict=True)}

    def variable(self, text: str) -> str:
        """Write a statement that keeps `text`'s value, and return the variable's name."""
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        return name

    def name(self, value: object) -> str:
        """Return a name under which the function reaches `value`."""
        name = f"n{len(self.names)}"
        self.names[name] = value
        return name

    def text(self, expression: Expression) -> str:
        """Return the expression as Python text."""
        return _WRITERS[type(expression)](self, expression)

    def atom(self, expression: Expression) -> str:
        """Return the expression as a text that may be repeated."""
        text = self.text(expression)
        return text if text.isidentifier() else self.variable(text)


def indicated_text(part: Assignment | Call) -> str | None:
    """Return the id of the text column whose being equal to a constant is all that a part tells, as 0 or 1; else None."""
    if isinstance(part, Assignment) and isinstance(part.value, ToNumber) and isinstance(part.value.of, Compare):
        compared = part.value.of
        if compared.operator == "==" and isinstance(compared.of, Column) and compared.of.kind is ValueKind.TEXT:
            return compared.of.id
    return None


def _text_of(part: Assignment) -> object:
    """Return the constant of a part that `indicated_text` tells of."""
    assert isinstance(part.value, ToNumber)  # noqa: S101 - as told there
    assert isinstance(part.value.of, Compare)  # noqa: S101
    return part.value.of.constant


def _column(row: RowWriter, node: Column) -> str:
    return row.variables[node.id]


def _constant(row: RowWriter, node: Constant) -> str:
    return _literal(row, node.value)


def _literal(row: RowWriter, value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "NAN" if math.isnan(value) else row.name(value)
    if isinstance(value, datetime | date):
        return row.name(value)
    return f"({value!r})" if isinstance(value, int | float) and value < 0 else repr(value)


def _to_number(row: RowWriter, node: ToNumber) -> str:
    if isinstance(node.of, Compare | IsMissing):
        return f"(1.0 if {row.text(node.of)} else 0.0)"
    of = row.atom(node.of)
    present = f"1.0 if {of} else 0.0" if node.of.kind is ValueKind.BOOLEAN else f"float({of})"
    return f"(NAN if {of} is None else {present})"


def _arithmetic(row: RowWriter, node: Arithmetic) -> str:
    if node.operator == "/":
        right = row.atom(node.right)
        return f"({row.text(node.left)} / {right} if {right} else NAN)"
    return f"({row.text(node.left)} {node.operator} {row.text(node.right)})"


def _math(row: RowWriter, node: Math) -> str:
    return f"{node.name}({row.text(node.of)})"


def _compare(row: RowWriter, node: Compare) -> str:
    return f"({row.text(node.of)} {node.operator} {_literal(row, node.constant)})"


def _is_missing(row: RowWriter, node: IsMissing) -> str:
    of = row.atom(node.of)
    return f"({of} != {of})" if node.of.kind is ValueKind.NUMBER else f"({of} is None)"


def _choose(row: RowWriter, node: Choose) -> str:
    return f"({row.text(node.yes)} if {row.text(node.condition)} else {row.text(node.no)})"


def _lookup(row: RowWriter, node: Lookup) -> str:
    table: dict[object, float] = dict(zip(node.keys, node.numbers, strict=True))
    get = row.name((table | {None: node.missing}).get)
    return f"{get}({row.text(node.of)}, {_literal(row, node.unseen)})"


def _bucket(row: RowWriter, node: Bucket) -> str:
    of, edges = row.atom(node.of), row.name(node.edges)
    return f"(float(bisect_right({edges}, {of})) if {of} == {of} else NAN)"


def _rank(row: RowWriter, node: Rank) -> str:
    return f"{row.name(_ranking(node.at, node.ranks))}({row.text(node.of)})"


def _ranking(at: tuple[float, ...], ranks: tuple[float, ...]) -> Callable[[float], float]:
    spans = [high - low for low, high in pairwise(at)]
    steps = [high - low for low, high in pairwise(ranks)]
    first, last = at[0], at[-1]

    def rank(number: float) -> float:
        if number < first:
            return 0.0
        if number < last:
            place = bisect_right(at, number) - 1
            return ranks[place] + (number - at[place]) / spans[place] * steps[place]
        if number > last:
            return 1.0
        return ranks[-1] if number == last else _NAN

    return rank


def _pair(row: RowWriter, node: Pair) -> str:
    left, right = row.atom(node.left), row.atom(node.right)
    return f"(None if {left} is None or {right} is None else f'{{escaped({left})}}|{{escaped({right})}}')"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _truncate(row: RowWriter, node: Truncate) -> str:
    of = row.atom(node.of)
    return f"(int({of}) if -9223372036854775808.0 <= {of} < 9223372036854775808.0 else None)"


def _date_part(row: RowWriter, node: DatePart) -> str:
    of = row.atom(node.of)
    return f"(NAN if {of} is None else {_PARTS[node.part].format(of)})"


def _localise(row: RowWriter, node: Localise) -> str:
    of, transitions = row.atom(node.of), row.name(node.transitions)
    offsets = row.name(tuple(timedelta(seconds=s) for s in node.offsets_s))
    return f"(None if {of} is None else {of} + {offsets}[bisect_right({transitions}, {of})])"


def _elapsed(row: RowWriter, node: Elapsed) -> str:
    later, earlier = row.atom(node.later), row.atom(node.earlier)
    spent = f"(({later} - {earlier}) // MICROSECOND) / {float(node.unit_us)!r}"
    return f"(NAN if {later} is None or {earlier} is None else {spent})"


def _day_of(row: RowWriter, node: DayOf) -> str:
    of = row.atom(node.of)
    return f"(None if {of} is None else {of}.date())"


def _midnight_of(row: RowWriter, node: MidnightOf) -> str:
    of = row.atom(node.of)
    return f"(None if {of} is None else datetime({of}.year, {of}.month, {of}.day))"


def _per_value(row: RowWriter, node: PerValue) -> str:
    of, function = row.atom(node.of), row.name(function_of(node))
    if node.kind is not ValueKind.NUMBER:
        return f"(None if {of} is None else {function}({of}))"
    answer = row.variable(f"None if {of} is None else {function}({of})")
    return f"(NAN if {answer} is None else {answer})"


def _log1p(value: float) -> float:
    if value > -1.0:
        return math.log1p(value)
    return -math.inf if value == -1.0 else _NAN


def _sqrt(value: float) -> float:
    return math.sqrt(value) if value >= 0.0 else _NAN


def _sin(value: float) -> float:
    return math.sin(value) if math.isfinite(value) else _NAN


def _cos(value: float) -> float:
    return math.cos(value) if math.isfinite(value) else _NAN


_WRITERS: Final[Mapping[type, Callable[[RowWriter, Any], str]]] = MappingProxyType(
    {
        Column: _column,
        Constant: _constant,
        ToNumber: _to_number,
        Arithmetic: _arithmetic,
        Math: _math,
        Compare: _compare,
        IsMissing: _is_missing,
        Choose: _choose,
        Lookup: _lookup,
        Bucket: _bucket,
        Rank: _rank,
        Pair: _pair,
        Truncate: _truncate,
        DatePart: _date_part,
        Localise: _localise,
        Elapsed: _elapsed,
        DayOf: _day_of,
        MidnightOf: _midnight_of,
        PerValue: _per_value,
    }
)
