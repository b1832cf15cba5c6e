"""Pure decisions about runs and studies."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from math import isfinite

from modelyard.core import Problem
from modelyard.training.types import Direction, Float, Int, Run, RunState, Space, Study, StudyState

MOVES: dict[RunState, frozenset[RunState]] = {
    # PENDING again from RUNNING: the lease lapsed and the run is retried
    RunState.PENDING: frozenset({RunState.RUNNING, RunState.FAILED, RunState.CANCELLED}),
    RunState.RUNNING: frozenset({RunState.RUNNING, RunState.PENDING, RunState.FINISHED, RunState.FAILED, RunState.CANCELLED}),
    RunState.FINISHED: frozenset(),
    RunState.FAILED: frozenset({RunState.PENDING}),
    RunState.CANCELLED: frozenset(),
}

ENDED = frozenset({RunState.FINISHED, RunState.FAILED, RunState.CANCELLED})


def move(run: Run, to: RunState, now: datetime) -> Run:
    """Return the run in its new state, with the times that go with it; Problem `run.conflict` where MOVES has no such step."""
    if to not in MOVES[run.state]:
        raise Problem(
            "run.conflict",
            f"Run {run.number} cannot become {to.value}",
            f"it is {run.state.value}",
            f"yard run show {run.id}",
        )
    moved = replace(run, state=to)
    if to is RunState.RUNNING:
        return replace(moved, started_at=now)
    return replace(moved, finished_at=now) if to in ENDED else moved


def better(a: float, b: float, direction: Direction) -> bool:
    """Return whether metric value `a` is better than `b`."""
    return a > b if direction is Direction.MAXIMISE else a < b


def best(runs: Sequence[Run], metric: str, direction: Direction) -> Run | None:
    """Return the finished run with the best latest value of `metric`, the earliest among equals; None when none has one."""
    ranked = [run for run in runs if run.state is RunState.FINISHED and metric in run.metrics]
    if not ranked:
        return None
    sign = -1 if direction is Direction.MAXIMISE else 1
    return min(ranked, key=lambda run: (sign * run.metrics[metric], run.number))


def check_space(space: Space) -> None:
    """Return when every range of a space can be searched.

    Raises
    ------
    Problem
        `study.invalid`, naming the parameter.
    """
    spans: list[tuple[str, Float | Int]] = [*space.floats.items(), *space.ints.items()]
    names = [*space.floats, *space.ints, *space.choices]
    if not names:
        raise _unsearchable("its space is empty", "Search(depth=range(3, 9), …)")
    for name in names:
        if names.count(name) > 1:
            raise _unsearchable(f"'{name}' has several ranges", "give it one")
    for name, span in spans:
        if not (isfinite(span.low) and isfinite(span.high) and span.low <= span.high):
            raise _unsearchable(f"'{name}' goes from {span.low} to {span.high}", "name the lower end first")
        if span.log and span.low <= 0:
            raise _unsearchable(f"'{name}' starts at {span.low}, which has no logarithm", "start it above 0")
    for name, choice in space.choices.items():
        if not choice.values:
            raise _unsearchable(f"'{name}' has no values to choose from", 'Choice(("boosting", "linear"))')


def _unsearchable(why: str, next_step: str) -> Problem:
    return Problem("study.invalid", "The study cannot search this space", why, next_step)


def due_trials(study: Study, runs: Sequence[Run]) -> int:
    """Return how many trials to suggest now: none while one of the last batch is under way.

    Suggestions so depend on whole batches only, not on which worker was quicker: a study repeats itself.
    """
    if study.state is not StudyState.RUNNING or any(run.state not in ENDED for run in runs):
        return 0
    return min(study.parallel, study.trials - len(runs))
