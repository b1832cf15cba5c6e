"""A fitted pipeline as a straight list of assignments and calls, with what no feature needs left out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from modelyard.core import Problem
from modelyard.prepare.expressions import Column, Expression, columns_of
from modelyard.prepare.scope import Assignment, Call, Scope, as_number
from modelyard.prepare.steps import definition
from modelyard.prepare.types import FittedPipeline, FunctionStep, Step
from modelyard.prepare.values import NUMERIC, InputColumn, ValueKind


@dataclass(frozen=True)
class Plan:
    """What both compilers compile.

    Parameters
    ----------
    inputs
        The raw columns to read; each stands under its own name as id.
    parts
        What to compute, in order.
    features
        The number expressions of the output columns, by name, in order.
    """

    inputs: tuple[InputColumn, ...]
    parts: tuple[Assignment | Call, ...]
    features: Mapping[str, Expression]

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls of user functions, in order."""
        return tuple(part for part in self.parts if isinstance(part, Call))

    def raw_columns(self) -> dict[str, frozenset[str]]:
        """Return the raw columns that each feature is computed from; of a function step, any that it reads."""
        raw = {column.name: frozenset({column.name}) for column in self.inputs}
        for part in self.parts:
            if isinstance(part, Assignment):
                raw[part.target.id] = _together(raw, columns_of(part.value))
            else:
                read = {name: raw[column.id] for name, column in part.reads.items()}
                every = frozenset().union(*read.values())
                raw |= {column.id: read[name] if name in part.own else every for name, column in part.writes.items()}
        return {name: _together(raw, columns_of(feature)) for name, feature in self.features.items()}


def plan(fitted: FittedPipeline) -> Plan:
    """Return the plan of a fitted pipeline.

    Raises
    ------
    Problem
        `pipeline.invalid` when its steps do not give its features; `step.invalid` when one has not been fitted.
    """
    scope = Scope((*fitted.inputs, *fitted.unused))
    try:
        for step in fitted.steps:
            apply(step, scope)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"what a step learned is not in its form ({type(error).__name__}: {error})"
        raise Problem("pipeline.invalid", "The fitted pipeline does not fit together", why, "fit it again") from error
    found = trimmed(scope, (*fitted.inputs, *fitted.unused))
    short = {column.name for column in found.inputs} - {column.name for column in fitted.inputs}
    if tuple(found.features) != fitted.features or short:
        why = "its steps give other features, or read other columns"
        raise Problem("pipeline.invalid", "The fitted pipeline does not fit together", why, "fit it again")
    return replace(found, inputs=fitted.inputs)


def apply(step: Step, scope: Scope) -> None:
    """Walk through one fitted step. Raises `Problem("step.invalid")` when it has not been fitted."""
    if step.fitted is None:
        raise Problem("step.invalid", "A step of the pipeline has learned nothing yet", next_step="fit the pipeline")
    if isinstance(step, FunctionStep):
        writes = {column["name"]: InputColumn.from_json(column) for column in step.fitted["writes"]}
        scope.call(step, writes, step.fitted["needs"], step.fitted["own"])
    else:
        defined = definition(step)
        defined.write(defined.checked(step), scope)  # checked: one of an older version gets the defaults of new parameters


def trimmed(scope: Scope, inputs: tuple[InputColumn, ...]) -> Plan:
    """Return the plan of a scope at its end: all its columns become features.

    Raises
    ------
    Problem
        `column.invalid` when a column is no number, with the step that would turn it into one; `pipeline.invalid` when
        there is no column at all.
    """
    for name, why in scope.absent.items():
        if why:
            raise Problem(
                "column.invalid", f"Column '{name}' cannot be a feature", why, f"end with prep.drop('{name}') or prep.keep(…)"
            )
    for name, column in scope.columns.items():
        if column.kind not in NUMERIC:
            raise _left_over(name, column)
    if not scope.columns:
        raise Problem("pipeline.invalid", "The pipeline has no feature", "no column is left at its end", "drop fewer columns")
    features = {name: as_number(column) for name, column in scope.columns.items()}
    live = {column for feature in features.values() for column in columns_of(feature)}
    parts: list[Assignment | Call] = []
    for part in reversed(scope.parts):
        if isinstance(part, Assignment):
            if part.target.id in live:
                live |= columns_of(part.value)
                parts.append(part)
        elif call := _trimmed_call(part, live):
            live |= {column.id for column in call.reads.values()}
            parts.append(call)
    read = tuple(column for column in inputs if column.name in live)
    if not read:
        raise Problem("pipeline.invalid", "The pipeline reads no raw column", "its features are the same for every row")
    return Plan(read, tuple(reversed(parts)), features)


def _together(raw: Mapping[str, frozenset[str]], ids: Iterable[str]) -> frozenset[str]:
    return frozenset().union(*(raw[id_] for id_ in ids))


def _trimmed_call(call: Call, live: set[str]) -> Call | None:
    writes = {name: column for name, column in call.writes.items() if column.id in live}
    if not writes:
        return None
    reads = {name: column for name, column in call.reads.items() if name not in call.own or name in writes}
    return replace(call, reads=reads, writes=writes)


def _left_over(name: str, column: Column) -> Problem:
    if column.kind is ValueKind.TEXT:
        way = f"prep.one_hot('{name}'), prep.ordinal('{name}') or prep.target_mean('{name}')"
    else:
        way = f"prep.date_parts('{name}', 'hour', 'weekday') or prep.elapsed('{name}', …)"
    return Problem(
        "column.invalid",
        f"Column '{name}' is no number at the end of the pipeline",
        f"it holds {column.kind.value}",
        f"{way} makes numbers of it, prep.drop('{name}') leaves it out",
        {"column": name, "kind": column.kind.value},
    )
