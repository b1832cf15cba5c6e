"""A fitted pipeline as one function of Polars frames."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Final

import polars as pl

from modelyard.core import Problem
from modelyard.core.problems import further_down
from modelyard.prepare.as_polars import as_polars
from modelyard.prepare.expressions import Column, Compare, Constant, Expression, IsMissing, ToNumber, columns_of, written_out
from modelyard.prepare.functions import Function, run_function, shown
from modelyard.prepare.inputs import working_frame
from modelyard.prepare.plan import Plan, plan
from modelyard.prepare.scope import Assignment, Call
from modelyard.prepare.types import FittedPipeline

Stage = Callable[[pl.DataFrame], pl.DataFrame]

# Raw columns in the forms of `values`, and those between them and the features, are eight bytes a value. Made for a million
# rows at once they are all fresh memory, and the system's page faults cost as much as the work; a portion's are used again.
PORTION_ROWS: Final = 1 << 18
DEEPEST: Final = 32  # steps written into each other: who walks through them does so by recursion


def compile_polars(fitted: FittedPipeline) -> Stage:
    """Return the function from raw frames to exactly the features, as Float32 with NaN as missing; rows keep their order.

    The function raises `Problem`: `column.missing`, `column.invalid` for raw columns that do not fit; `code.failed`,
    `step.invalid` for a function step that raises or is not row-wise. Columns that it does not need are ignored.
    """
    planned = plan(fitted)
    return frame_function(planned, load_functions(planned.calls), raw=True)


def load_functions(calls: Sequence[Call]) -> tuple[Function, ...]:
    """Return the user functions that are called, loaded. Raises `Problem("code.failed")` when one cannot be."""
    return tuple(Function(call.step) for call in calls)


def frame_function(planned: Plan, functions: Sequence[Function], *, raw: bool = False) -> Stage:
    """Return the function from frames of `inputs.working_frame`, or raw ones, to the features.

    `functions` are those of the plan's calls.
    """
    planned = planned if functions else _short(planned)
    stages = _stages(planned.parts, functions)
    features = [_feature(value).alias(name) for name, value in planned.features.items()]

    def transform(frame: pl.DataFrame) -> pl.DataFrame:
        frame = working_frame(frame, planned.inputs) if raw else frame
        for stage in stages:
            frame = stage(frame)
        return frame.select(features)

    # A function of a user's is called once with all rows: what it costs by the call is not known here.
    return transform if functions else partial(_in_portions, stage=transform)


def _short(planned: Plan) -> Plan:
    """Return the same plan, where what is read once is written where it is read: no column is made of it.

    A constant stays a column, since a constant may not stand everywhere; so does what Polars is told twice (`as_polars` of a
    division names the divisor twice).
    """
    parts = [part for part in planned.parts if isinstance(part, Assignment)]
    read = Counter(chain.from_iterable(as_polars(value).meta.root_names() for value in _values(parts, planned)))
    known: dict[str, Expression] = {}
    kept: list[Assignment] = []
    depths: dict[str, int] = {}
    for part in parts:
        value, name = written_out(part.value, known), part.target.id
        depth = 1 + max((depths[column] for column in columns_of(part.value) & known.keys()), default=0)
        if read[name] == 1 and not isinstance(value, Constant) and depth < DEEPEST:
            known[name], depths[name] = value, depth
        else:
            kept.append(replace(part, value=value))
    features = {name: written_out(one, known) for name, one in planned.features.items()}
    return replace(planned, parts=tuple(kept), features=features)


def _values(parts: Sequence[Assignment], planned: Plan) -> list[Expression]:
    return [*(part.value for part in parts), *planned.features.values()]


def _feature(value: Expression) -> pl.Expr:
    if isinstance(value, ToNumber) and isinstance(value.of, Compare | IsMissing):
        one, zero = (pl.lit(number, dtype=pl.Float32) for number in (1.0, 0.0))
        return pl.when(as_polars(value.of)).then(one).otherwise(zero)  # a Float64 column of each would have to be cast
    return as_polars(value).cast(pl.Float32)


def _in_portions(frame: pl.DataFrame, stage: Stage) -> pl.DataFrame:
    if frame.height <= PORTION_ROWS:
        return stage(frame)
    parts = []
    for start in range(0, frame.height, PORTION_ROWS):
        try:
            parts.append(stage(frame.slice(start, PORTION_ROWS)))
        except Problem as problem:
            if not start:
                raise
            raise further_down(problem, start) from None
    return pl.concat(parts, rechunk=False)


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
