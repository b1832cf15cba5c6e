"""What it takes to define a declared step: its parameters, what it learns, and how it is written in expressions."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from modelyard.core import Json, JsonObject, Problem, missing
from modelyard.prepare.as_polars import as_polars
from modelyard.prepare.expressions import Expression
from modelyard.prepare.scope import Scope
from modelyard.prepare.types import DeclaredStep

REQUIRED: Final = object()
MANY: Final = 10_000
LARGEST: Final = sys.float_info.max


@dataclass(frozen=True)
class Training:
    """The training rows as they stand before a step: `frame` by column ids, `label` as Float64 (NaN where missing)."""

    scope: Scope
    frame: pl.DataFrame
    label: pl.Series | None

    def values(self, expression: Expression) -> pl.Series:
        """Return the values of an expression, one a row."""
        return self.frame.select(as_polars(expression).alias("")).to_series()

    def finite(self, name: str, step: DeclaredStep) -> pl.Series:
        """Return the finite numbers of a column: neither missing nor infinite values teach anything.

        Raises
        ------
        Problem
            `column.invalid` when there is none.
        """
        numbers = self.values(self.scope.number(name, told(step)))
        numbers = numbers.filter(numbers.is_finite())
        if numbers.is_empty():
            raise nothing_to_learn(name, step)
        return numbers


@dataclass(frozen=True)
class Parameter:
    """One argument of a step: its name, the Python types it takes (of JSON values), its default and further bounds.

    `check` returns what is wrong with a value, or None; `items` is the type of what a list holds.
    """

    name: str
    types: tuple[type, ...]
    default: object = REQUIRED
    check: Callable[[Any], str | None] = lambda _: None
    items: type = str


def _nothing(step: DeclaredStep, training: Training) -> JsonObject:
    return {}


def _no_objection(step: DeclaredStep) -> str | None:
    return None


@dataclass(frozen=True)
class Definition:
    """A declared kind.

    Parameters
    ----------
    kind
        Its word in `prep` and in JSON.
    write
        Puts the step's expressions into a scope; the step is fitted.
    learn
        Returns what the step keeps of the training rows, as JSON without NaN or infinity.
    parameters
        Its arguments besides the columns.
    columns
        The least and the most columns that it takes.
    check
        Returns what is wrong with the arguments taken together, or None.
    """

    kind: str
    write: Callable[[DeclaredStep, Scope], None]
    learn: Callable[[DeclaredStep, Training], JsonObject] = _nothing
    parameters: tuple[Parameter, ...] = ()
    columns: tuple[int, int] = (1, MANY)
    check: Callable[[DeclaredStep], str | None] = _no_objection

    def checked(self, step: DeclaredStep) -> DeclaredStep:
        """Return the step with its defaults filled in.

        Raises
        ------
        Problem
            `step.invalid` with what is wrong and what would be right.
        """
        least, most = self.columns
        if not least <= len(step.columns) <= most or not all(_is_name(name) for name in step.columns):
            span = f"{least}" if least == most else f"{least} or more"
            raise invalid(step, f"it takes {span} column names, and got {list(step.columns)!r}")
        if len(set(step.columns)) < len(step.columns):
            raise invalid(step, f"a column comes twice in {list(step.columns)!r}", "name each once")
        known = [parameter.name for parameter in self.parameters]
        for name in step.params:
            if name not in known:
                raise invalid(step, f"it has no argument '{name}'", f"its arguments are {', '.join(known) or 'columns only'}")
        step = replace(step, params={parameter.name: _value(step, parameter) for parameter in self.parameters})
        if objection := self.check(step):
            raise invalid(step, objection)
        return step


def definition_of(step: DeclaredStep, definitions: Mapping[str, Definition]) -> Definition:
    """Return the definition of a step's kind. Raises `Problem("step.missing")` with the nearest kinds."""
    if step.kind not in definitions:
        raise missing("step", step.kind, definitions, "see `modelyard.prepare.prep`")
    return definitions[step.kind]


def statistic(values: pl.Series, of: Callable[[pl.Series], Any]) -> float:
    """Return a statistic of finite numbers that grows as they do (mean, deviation, quantile), finite in any case.

    Where it overflows it is taken of the numbers scaled to at most 1.

    >>> statistic(pl.Series([1.5, 2.5]), pl.Series.mean), statistic(pl.Series([2.0**1023] * 4), pl.Series.mean) == 2.0**1023
    (2.0, True)
    """
    found = float(of(values))
    if math.isfinite(found):
        return found
    scale = float(values.abs().max())  # type: ignore[arg-type]  # Polars types an extreme of any dtype
    return max(-LARGEST, min(LARGEST, float(of(values / scale)) * scale))


def told(step: DeclaredStep) -> str:
    """Return a step as a person names it.

    >>> told(DeclaredStep("clip", ("a", "b"), {}))
    'prep.clip(a, b)'
    """
    return f"prep.{step.kind}({', '.join(map(str, step.columns))})"


def invalid(step: DeclaredStep, why: str, next_step: str = "") -> Problem:
    """Return the problem of a step with wrong arguments."""
    return Problem(
        "step.invalid", f"{told(step)} cannot be", why, next_step or f"see help(prep.{step.kind})", {"kind": step.kind}
    )


def nothing_to_learn(name: str, step: DeclaredStep) -> Problem:
    """Return the problem of a column without a single usable value."""
    return Problem(
        "column.invalid",
        f"{told(step)} has nothing to learn from column '{name}'",
        "no training row has a usable value there",
        f"prep.drop('{name}'), or train on other rows",
        {"column": name},
    )


def number_between(least: float, most: float = math.inf) -> Callable[[Any], str | None]:
    """Return a check that a number lies between two bounds, both included; None passes."""
    return lambda value: None if value is None or least <= value <= most else f"is to lie between {least:g} and {most:g}"


@dataclass(frozen=True)
class OneOf:
    """The check that a value is one of `choices`, which a form can offer."""

    choices: tuple[str | None, ...]

    def __call__(self, value: Any) -> str | None:
        """Return what is wrong with a value, or None."""
        return None if value in self.choices else f"is to be one of {', '.join(map(repr, self.choices))}"


def one_of(choices: Sequence[str | None]) -> OneOf:
    """Return the check that a value is one of `choices`."""
    return OneOf(tuple(choices))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _value(step: DeclaredStep, parameter: Parameter) -> Json:
    value = step.params.get(parameter.name, parameter.default)
    if value is REQUIRED:
        raise invalid(step, f"it needs the argument '{parameter.name}'")
    if value is parameter.default:
        return value
    value = list(value) if isinstance(value, tuple) else value
    names = ", ".join("None" if t is type(None) else t.__name__ for t in parameter.types)
    if type(value) is int and float in parameter.types and int not in parameter.types:
        value = float(value)
    if type(value) not in parameter.types:
        raise invalid(step, f"{parameter.name} is {value!r}", f"give it one of: {names}")
    if isinstance(value, float) and not math.isfinite(value):
        raise invalid(step, f"{parameter.name} is {value!r}", "give it a finite number")
    if objection := parameter.check(value):
        raise invalid(step, f"{parameter.name} {objection}, and is {value!r}")
    return value
