"""The small language in which every declared step is written once; both compilers speak all of it.

A step is a handful of these nodes. `as_polars` turns a node into a Polars expression and `as_python` into Python text, so a
new step needs no code of its own in either, and a difference between the two can only hide in one of these nodes, each of
which is tested over edge values.

Meaning, the same in both: numbers are IEEE float64 with NaN as missing, each operation rounded once, in the order written.
A comparison with a missing value is False. A category (text, integer, boolean) equals by its bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal, TypeAlias

from modelyard.prepare.values import ValueKind

Value: TypeAlias = float | int | bool | str | date | datetime | None
Argument: TypeAlias = "float | int | bool | str | tuple[Argument, ...] | None"
MathName: TypeAlias = Literal["abs", "log1p", "sqrt", "sin", "cos"]
DatePartName: TypeAlias = Literal["year", "month", "day", "day_of_year", "weekday", "hour", "minute", "second"]


@dataclass(frozen=True)
class Column:
    """The value that stands under an id. `zone`: of an instant, the zone its column was stored in."""

    id: str
    kind: ValueKind
    zone: str | None = None


@dataclass(frozen=True)
class Constant:
    """A value of its own."""

    value: Value
    kind: ValueKind = ValueKind.NUMBER


@dataclass(frozen=True)
class ToNumber:
    """An integer as the nearest float64, a boolean as 0 or 1; missing is NaN."""

    of: "Expression"
    kind = ValueKind.NUMBER


@dataclass(frozen=True)
class Arithmetic:
    """One IEEE operation on two numbers; `/` by zero is missing.

    A constant stands only on the right of `-` (and is not -0.0) or of `*`. Elsewhere Polars takes short cuts that round
    differently: it multiplies by the reciprocal of a constant divisor, and leaves out `+ 0.0` and `- -0.0`, which Python
    does not, since they change the sign of -0.0.
    """

    operator: Literal["+", "-", "*", "/"]
    left: "Expression"
    right: "Expression"
    kind = ValueKind.NUMBER

    def __post_init__(self) -> None:
        constant = self.right.value if isinstance(self.right, Constant) else None
        if isinstance(self.left, Constant) or (constant is not None and self.operator not in {"-", "*"}):
            raise ValueError(f"no constant may stand there: {self}")
        if self.operator == "-" and repr(constant) == "-0.0":
            raise ValueError(f"Polars does not take -0.0 from a number: {self}")


@dataclass(frozen=True)
class Math:
    """A function of a number; outside its domain the answer is missing, but log1p(-1) is -inf."""

    name: MathName
    of: "Expression"
    kind = ValueKind.NUMBER


@dataclass(frozen=True)
class Compare:
    """Whether a value stands so to a constant; False where it is missing. `<` and `>` take numbers only."""

    operator: Literal["<", ">", "=="]
    of: "Expression"
    constant: Value
    kind = ValueKind.BOOLEAN


@dataclass(frozen=True)
class IsMissing:
    """Whether a value is missing: NaN in a number, null elsewhere."""

    of: "Expression"
    kind = ValueKind.BOOLEAN


@dataclass(frozen=True)
class Choose:
    """One value where the condition holds, another elsewhere; both of one kind."""

    condition: "Compare | IsMissing"
    yes: "Expression"
    no: "Expression"

    @property
    def kind(self) -> ValueKind:
        """The kind of both values."""
        return self.no.kind

    @property
    def zone(self) -> str | None:
        """Of an instant, the zone that the value elsewhere was told in."""
        return getattr(self.no, "zone", None)


@dataclass(frozen=True)
class Lookup:
    """The number of a category: `numbers` by `keys`, `missing` for null, `unseen` for any other."""

    of: "Expression"
    keys: tuple[Value, ...]
    numbers: tuple[float, ...]
    missing: float
    unseen: float
    kind = ValueKind.NUMBER


@dataclass(frozen=True)
class Bucket:
    """How many of the ascending `edges` a number has reached (edge ≤ number); missing stays so."""

    of: "Expression"
    edges: tuple[float, ...]
    kind = ValueKind.NUMBER


@dataclass(frozen=True)
class Rank:
    """The rank of a number on the line through `ranks` over the ascending `at`: 0 before the first, 1 after the last.

    Between two of them it is `rank + (number - at) / span * step`, in this order; no span of `at` overflows.
    """

    of: "Expression"
    at: tuple[float, ...]
    ranks: tuple[float, ...]
    kind = ValueKind.NUMBER


@dataclass(frozen=True)
class Pair:
    """Two texts as one, `left|right`, that no other two give: `|` and a backslash in them get a backslash before them.

    Missing where one of them is.
    """

    left: "Expression"
    right: "Expression"
    kind = ValueKind.TEXT


@dataclass(frozen=True)
class Truncate:
    """A number without its fraction, as an integer; missing where it is missing or leaves 64 bits."""

    of: "Expression"
    kind = ValueKind.INTEGER


@dataclass(frozen=True)
class DatePart:
    """A part of a date or time as a number. Weekdays count from Monday = 1, days of the year from 1."""

    part: DatePartName
    of: "Expression"
    kind = ValueKind.NUMBER


@dataclass(frozen=True)
class Localise:
    """The wall clock of an instant: `offsets_s[i]` seconds are added from `transitions[i - 1]` on (UTC, ascending).

    The table travels with the pipeline: another machine's time zone database cannot change an answer.
    """

    of: "Expression"
    transitions: tuple[datetime, ...]
    offsets_s: tuple[int, ...]
    kind = ValueKind.DATETIME


@dataclass(frozen=True)
class Elapsed:
    """The time from one instant to another, in units of `unit_us` microseconds."""

    later: "Expression"
    earlier: "Expression"
    unit_us: int
    kind = ValueKind.NUMBER


@dataclass(frozen=True)
class DayOf:
    """The date of a time."""

    of: "Expression"
    kind = ValueKind.DATE


@dataclass(frozen=True)
class MidnightOf:
    """The first moment of a date."""

    of: "Expression"
    kind = ValueKind.DATETIME


@dataclass(frozen=True)
class PerValue:
    """A function of `per_value` on each distinct value: both compilers call the same Python. Missing stays missing.

    `zone`: of an instant, the zone that its value was told in.
    """

    function: str
    of: "Expression"
    kind: ValueKind
    argument: Argument = None
    zone: str | None = None


Expression: TypeAlias = (
    Column
    | Constant
    | ToNumber
    | Arithmetic
    | Math
    | Compare
    | IsMissing
    | Choose
    | Lookup
    | Bucket
    | Rank
    | Pair
    | Truncate
    | DatePart
    | Localise
    | Elapsed
    | DayOf
    | MidnightOf
    | PerValue
)


def columns_of(expression: Expression) -> frozenset[str]:
    """Return the ids that an expression reads.

    >>> a, b = Column("a", ValueKind.NUMBER), Column("b", ValueKind.NUMBER)
    >>> sorted(columns_of(Arithmetic("*", a, b)))
    ['a', 'b']
    """
    match expression:
        case Column(id=name):
            return frozenset({name})
        case Constant():
            return frozenset()
        case Arithmetic(left=first, right=second) | Pair(left=first, right=second) | Elapsed(later=first, earlier=second):
            return columns_of(first) | columns_of(second)
        case Choose(condition=condition, yes=yes, no=no):
            return columns_of(condition) | columns_of(yes) | columns_of(no)
        case _:
            return columns_of(expression.of)


def written_out(expression: Expression, known: Mapping[str, Expression]) -> Expression:
    """Return an expression with what is known in the place of columns.

    >>> a, b = Column("a", ValueKind.NUMBER), Column("b", ValueKind.NUMBER)
    >>> written_out(Math("sqrt", b), {"b": Math("abs", a)}) == Math("sqrt", Math("abs", a))
    True
    """
    match expression:
        case Column(id=name):
            return known.get(name, expression)
        case Constant():
            return expression
        case Arithmetic(left=first, right=second) | Pair(left=first, right=second):
            return replace(expression, left=written_out(first, known), right=written_out(second, known))
        case Elapsed(later=first, earlier=second):
            return replace(expression, later=written_out(first, known), earlier=written_out(second, known))
        case Choose(condition=condition, yes=yes, no=no):
            whether = replace(condition, of=written_out(condition.of, known))
            return Choose(whether, written_out(yes, known), written_out(no, known))
        case _:
            return replace(expression, of=written_out(expression.of, known))
