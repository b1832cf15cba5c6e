"""A fitted pipeline as one function of Polars frames."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import polars as pl

from modelyard.prepare.as_polars import as_polars
from modelyard.prepare.expressions import Column, columns_of
from modelyard.prepare.functions import Function, run_function, shown
from modelyard.prepare.inputs import working_frame
from modelyard.prepare.plan import Plan, plan
from modelyard.prepare.scope import Assignment, Call
from modelyard.prepare.types import FittedPipeline

Stage = Callable[[pl.DataFrame], pl.DataFrame]

# Columns between raw ones and features are eight bytes a value and as many as the features. Made for a million rows at once
# they are all fresh memory, and the system's page faults cost as much as the work; a portion's are used again by the next.
PORTION_ROWS: Final = 1 << 17


def compile_polars(fitted: FittedPipeline) -> Stage:
    """Return the function from raw frames to exactly the features, as Float32 with NaN as missing; rows keep their order.

    The function raises `Problem`: `column.missing`, `column.invalid` for raw columns that do not fit; `code.failed`,
    `step.invalid` for a function step that raises or is not row-wise. Columns that it does not need are ignored.
    """
    planned = plan(fitted)
    stage = frame_function(planned, load_functions(planned.calls))

    def transform(frame: pl.DataFrame) -> pl.DataFrame:
        return stage(working_frame(frame, planned.inputs))

    return transform


def load_functions(calls: Sequence[Call]) -> tuple[Function, ...]:
    """Return the user functions that are called, loaded. Raises `Problem("code.failed")` when one cannot be."""
    return tuple(Function(call.step) for call in calls)


def frame_function(planned: Plan, functions: Sequence[Function]) -> Stage:
    """Return the function from frames of `inputs.working_frame` to the features; `functions` are those of the plan's calls."""
    stages = _stages(planned.parts, functions)
    features = [as_polars(value).cast(pl.Float32).alias(name) for name, value in planned.features.items()]

    def transform(frame: pl.DataFrame) -> pl.DataFrame:
        for stage in stages:
            frame = stage(frame)
        return frame.select(features)

    # A function of a user's is called once with all rows: what it costs by the call is not known here.
    return transform if functions else partial(_in_portions, stage=transform)


def _in_portions(frame: pl.DataFrame, stage: Stage) -> pl.DataFrame:
    if frame.height <= PORTION_ROWS:
        return stage(frame)
    starts = range(0, frame.height, PORTION_ROWS)
    return pl.concat([stage(frame.slice(start, PORTION_ROWS)) for start in starts], rechunk=False)


def evaluate(frame: pl.DataFrame, parts: Sequence[Assignment]) -> pl.DataFrame:
    """Return the frame with the assignments made, in order."""
    for group in _groups(parts):
        frame = frame.with_columns([as_polars(part.value).alias(part.target.id) for part in group])
    return frame


def _stages(parts: Sequence[Assignment | Call], functions: Sequence[Function]) -> list[Stage]:
    loaded = iter(functions)
    stages: list[Stage] = []
    waiting: list[Assignment] = []
    for part in parts:
        if isinstance(part, Assignment):
            waiting.append(part)
        else:
            stages += [*map(_assign, _groups(waiting)), _call(part, next(loaded))]
            waiting = []
    return [*stages, *map(_assign, _groups(waiting))]


def _groups(parts: Sequence[Assignment]) -> list[list[Assignment]]:
    """Return the assignments in groups of which none reads its own: each group is one pass of Polars.

    A part goes to the first group after all that it reads, so that steps on different columns share a pass.
    """
    level: dict[str, int] = {}
    groups: list[list[Assignment]] = []
    for part in parts:
        place = max((level[column] + 1 for column in columns_of(part.value) if column in level), default=0)
        level[part.target.id] = place
        if place == len(groups):
            groups.append([])
        groups[place].append(part)
    return groups


def _assign(group: Sequence[Assignment]) -> Stage:
    expressions = [as_polars(part.value).alias(part.target.id) for part in group]
    return lambda frame: frame.with_columns(expressions)


def _call(call: Call, function: Function) -> Stage:
    def stage(frame: pl.DataFrame) -> pl.DataFrame:
        answer = run_function(function, shown(frame, call.reads), call.writes)
        return frame.with_columns(_named(answer, call.writes))

    return stage


def _named(answer: pl.DataFrame, writes: Mapping[str, Column]) -> list[pl.Series]:
    return [answer.get_column(name).alias(column.id) for name, column in writes.items()]
