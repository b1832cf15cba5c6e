"""The columns that stand at one point of a pipeline, while its steps are walked through without any rows.

Names are the user's; behind each stands an expression over ids, and an id is written once. So renaming, dropping and keeping
columns cost nothing at run time, and what no feature needs can be left out.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from modelyard.core import Problem, missing
from modelyard.prepare.expressions import Column, Expression, ToNumber
from modelyard.prepare.types import FunctionStep
from modelyard.prepare.values import NUMERIC, InputColumn, ValueKind


@dataclass(frozen=True)
class Assignment:
    """An id and the expression of its value."""

    target: Column
    value: Expression


@dataclass(frozen=True)
class Call:
    """A call of a function step: the columns that it may read and those that it writes, by the names it knows.

    `own` names columns that it only passes on, each made from nothing but the column of the same name.
    """

    step: FunctionStep
    reads: Mapping[str, Column]
    writes: Mapping[str, Column]
    own: frozenset[str]


class Scope:
    """The columns by name, in order, and the parts that make them.

    Parameters
    ----------
    columns
        The raw columns.
    absent
        Columns that a user may expect here and why they are not: the label, columns of a dtype that cannot be prepared.
    """

    def __init__(self, columns: Iterable[InputColumn], absent: Mapping[str, str] | None = None) -> None:
        self.columns = {column.name: Column(column.name, column.kind, column.zone) for column in columns}
        self.parts: list[Assignment | Call] = []
        self.absent = dict(absent or {})
        self._ids = {column.id: 0 for column in self.columns.values()}

    def column(self, name: str, kinds: Collection[ValueKind] = frozenset(ValueKind), asker: str = "the step") -> Column:
        """Return the column that stands under `name`.

        Raises
        ------
        Problem
            `column.missing` with the nearest names; `column.invalid` when it is of none of `kinds`.
        """
        if name in self.absent:
            raise Problem("column.invalid", f"{asker} cannot use column '{name}'", self.absent[name], "drop or replace it")
        if name not in self.columns:
            raise missing("column", name, self.columns, f"mend the name in {asker}")
        column = self.columns[name]
        if column.kind not in kinds:
            wanted = " or ".join(kind.value for kind in ValueKind if kind in kinds)
            raise Problem(
                "column.invalid",
                f"{asker} cannot use column '{name}'",
                f"it takes {wanted}, and the column holds {column.kind.value}",
                _way(column, kinds),
                {"column": name, "kind": column.kind.value},
            )
        return column

    def number(self, name: str, asker: str = "the step") -> Expression:
        """Return the value under `name` as a number. Raises as `column` does."""
        return as_number(self.column(name, NUMERIC, asker))

    def set(self, name: str, value: Expression) -> None:
        """Put a value under `name`, at the place of the column that stands there, else at the end."""
        if isinstance(value, Column):
            self.columns[name] = value
            return
        target = self._fresh(name, value.kind, getattr(value, "zone", None))
        self.parts.append(Assignment(target, value))
        self.columns[name] = target

    def let(self, name: str, value: Expression) -> Column:
        """Keep a value that has no name of its own (`name` only tells where it comes from), and return its column."""
        column = self._fresh(name, value.kind, None)
        self.parts.append(Assignment(column, value))
        return column

    def add(self, name: str, value: Expression, asker: str = "the step") -> None:
        """Put a value under a new name. Raises `Problem("column.exists")` when the name is taken."""
        if name in self.columns or name in self.absent:
            raise Problem(
                "column.exists", f"{asker} cannot add column '{name}'", "there is one of that name", "drop or rename it before"
            )
        self.set(name, value)

    def call(self, step: FunctionStep, writes: Mapping[str, InputColumn], needs: Collection[str], own: Collection[str]) -> Call:
        """Let a function step write all columns anew, and return its call."""
        reads = {name: column for name, column in self.columns.items() if name in needs or name in own}
        written = {name: self._fresh(name, column.kind, column.zone) for name, column in writes.items()}
        call = Call(step, reads, written, frozenset(own))
        self.parts.append(call)
        self.columns = dict(written)
        return call

    def _fresh(self, name: str, kind: ValueKind, zone: str | None) -> Column:
        count = self._ids[name] = self._ids.get(name, -1) + 1
        fresh = f"{name}\x00{count}" if count else name  # a raw name cannot hold NUL, so no id is met twice
        return Column(fresh, kind, zone)


def as_number(column: Column) -> Expression:
    """Return a numeric column's value as a number."""
    return column if column.kind is ValueKind.NUMBER else ToNumber(column)


def _way(column: Column, kinds: Collection[ValueKind]) -> str:
    name, kind = column.id.partition("\x00")[0], column.kind
    if kind is ValueKind.TEXT:
        return f"turn it into numbers first: prep.one_hot, prep.ordinal or prep.cast('{name}', 'number')"
    if kind is ValueKind.NUMBER and ValueKind.INTEGER in kinds:
        return f"turn it into a category first: prep.cast('{name}', 'integer') or prep.bucket"
    if kind in {ValueKind.DATE, ValueKind.DATETIME}:
        return f"turn it into numbers first: prep.date_parts('{name}', 'hour', 'weekday') or prep.elapsed"
    return "choose another step or column"
