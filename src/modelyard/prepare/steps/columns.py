"""Steps on whole columns: rename, drop, keep, cast, fill_null, is_null, equals."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import polars as pl

from modelyard.core import JsonObject
from modelyard.prepare.expressions import (
    Choose,
    Column,
    Compare,
    Constant,
    DayOf,
    Expression,
    IsMissing,
    MidnightOf,
    PerValue,
    ToNumber,
    Truncate,
    Value,
)
from modelyard.prepare.per_value import iso_time
from modelyard.prepare.scope import Scope, as_number
from modelyard.prepare.steps.definition import (
    Definition,
    Parameter,
    Training,
    invalid,
    nothing_to_learn,
    one_of,
    statistic,
    told,
)
from modelyard.prepare.types import DeclaredStep
from modelyard.prepare.values import CATEGORICAL, NUMERIC, ValueKind

NUMBER, INTEGER, BOOLEAN, TEXT, DATE, DATETIME = ValueKind
_SCALARS: Final = (str, bool, int, float)


def _rename(step: DeclaredStep, scope: Scope) -> None:
    names = dict(zip(step.columns, step.params["to"], strict=True))
    for name in step.columns:
        scope.column(name, asker=told(step))
    renamed = {names.get(name, name): column for name, column in scope.columns.items()}
    if len(renamed) < len(scope.columns):
        raise invalid(step, "two columns would have one name", "drop the other one before")
    scope.columns = renamed


def _rename_check(step: DeclaredStep) -> str | None:
    to = step.params["to"]
    if len(to) != len(step.columns) or not all(isinstance(name, str) and name for name in to):
        return "it needs one new name a column"
    return "a new name comes twice" if len(set(to)) < len(to) else None


def _drop_learn(step: DeclaredStep, training: Training) -> JsonObject:
    return {"absent": [name for name in step.columns if name in training.scope.absent]}


def _drop(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        if name in (step.fitted or {})["absent"]:
            scope.absent.pop(name, None)
        else:
            scope.column(name, asker=told(step))
            del scope.columns[name]


def _keep(step: DeclaredStep, scope: Scope) -> None:
    scope.columns = {name: scope.column(name, asker=told(step)) for name in step.columns}
    scope.absent = {}


def _cast(step: DeclaredStep, scope: Scope) -> None:
    to = ValueKind(step.params["to"])
    for name in step.columns:
        sources = frozenset(source for source, target in _CASTS if target is to) | {to}
        column = scope.column(name, sources, told(step))
        if column.kind is not to:
            scope.set(name, _CASTS[column.kind, to](column))


def _per_value(function: str, kind: ValueKind) -> Callable[[Column], Expression]:
    return lambda column: PerValue(function, column, kind)


def _not_zero(column: Column) -> Expression:
    number = as_number(column)
    return Choose(
        IsMissing(column), Constant(None, BOOLEAN), Choose(Compare("==", number, 0.0), _constant(False), _constant(True))
    )


def _constant(value: bool) -> Constant:
    return Constant(value, BOOLEAN)


_CASTS: Final[Mapping[tuple[ValueKind, ValueKind], Callable[[Column], Expression]]] = {
    (INTEGER, NUMBER): ToNumber,
    (BOOLEAN, NUMBER): ToNumber,
    (TEXT, NUMBER): _per_value("to_number", NUMBER),
    (NUMBER, INTEGER): Truncate,
    (BOOLEAN, INTEGER): lambda column: Truncate(ToNumber(column)),
    (TEXT, INTEGER): _per_value("to_integer", INTEGER),
    (NUMBER, BOOLEAN): _not_zero,
    (INTEGER, BOOLEAN): _not_zero,
    (TEXT, BOOLEAN): _per_value("to_boolean", BOOLEAN),
    (INTEGER, TEXT): _per_value("to_text", TEXT),
    (BOOLEAN, TEXT): _per_value("to_text", TEXT),
    (DATETIME, DATE): DayOf,
    (DATE, DATETIME): MidnightOf,
}


def _fill_null_check(step: DeclaredStep) -> str | None:
    given = [name for name in ("value", "strategy") if step.params[name] is not None]
    return None if len(given) == 1 else "it needs either a value or a strategy"


def _fill_null_learn(step: DeclaredStep, training: Training) -> JsonObject:
    strategy = step.params["strategy"]
    if strategy is None:
        return {}
    if strategy == "most_frequent":
        return {name: _most_frequent(name, step, training) for name in step.columns}
    found = {name: training.finite(name, step) for name in step.columns}
    return {
        name: statistic(values, pl.Series.mean if strategy == "mean" else pl.Series.median) for name, values in found.items()
    }


def _most_frequent(name: str, step: DeclaredStep, training: Training) -> Any:
    column = training.scope.column(name, CATEGORICAL | {NUMBER}, told(step))
    values = training.values(column)
    values = values.filter(values.is_finite()) if column.kind is NUMBER else values.drop_nulls()
    if values.is_empty():
        raise nothing_to_learn(name, step)
    return values.mode().sort()[0]


def _fill_null(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        column = scope.column(name, asker=told(step))
        value = step.params["value"] if step.params["strategy"] is None else (step.fitted or {})[name]
        scope.set(name, _filled(step, column, value))


def _filled(step: DeclaredStep, column: Column, value: Any) -> Expression:
    if column.kind is INTEGER and type(value) is float and not (value.is_integer() and -(2.0**63) <= value < 2.0**63):
        number = as_number(column)
        return Choose(IsMissing(number), Constant(value), number)
    return Choose(IsMissing(column), Constant(constant_of(step, column, value), column.kind), column)


def constant_of(step: DeclaredStep, column: Column, value: Any) -> Value:
    """Return a JSON value as a value of the column's kind.

    Raises
    ------
    Problem
        `step.invalid` when it is none.
    """
    kind = column.kind
    found: Value = None
    if kind is NUMBER and type(value) in {int, float}:
        found = float(value)
    elif kind is INTEGER and type(value) in {int, float} and value == int(value) and -(1 << 63) <= value < 1 << 63:
        found = int(value)
    elif (kind is BOOLEAN and type(value) is bool) or (kind is TEXT and type(value) is str):
        found = value
    elif kind in {DATE, DATETIME} and type(value) is str:
        at = iso_time(value)
        found = at.date() if isinstance(at, datetime) and kind is DATE else at
    if found is None:
        raise invalid(step, f"{value!r} is no {kind.value}, and the column holds those", f"give a {kind.value}")
    return found


def _is_null(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        scope.add(f"{name}_is_null", IsMissing(scope.column(name, asker=told(step))), told(step))


def _equals(step: DeclaredStep, scope: Scope) -> None:
    [name] = step.columns
    column = scope.column(name, CATEGORICAL | NUMERIC, told(step))
    value = constant_of(step, column, step.params["value"])
    scope.add(step.params["name"] or f"{name}_equals_{step.params['value']}", Compare("==", column, value), told(step))


COLUMNS: Final = (
    Definition("rename", _rename, parameters=(Parameter("to", (list,)),), check=_rename_check),
    Definition("drop", _drop, _drop_learn),
    Definition("keep", _keep),
    Definition("cast", _cast, parameters=(Parameter("to", (str,), check=one_of([kind.value for kind in ValueKind])),)),
    Definition(
        "fill_null",
        _fill_null,
        _fill_null_learn,
        check=_fill_null_check,
        parameters=(
            Parameter("value", _SCALARS, None),
            Parameter("strategy", (str, type(None)), None, one_of(("mean", "median", "most_frequent", None))),
        ),
    ),
    Definition("is_null", _is_null),
    Definition(
        "equals", _equals, columns=(1, 1), parameters=(Parameter("value", _SCALARS), Parameter("name", (str, type(None)), None))
    ),
)
