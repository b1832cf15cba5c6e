"""Try a pipeline on some rows: what each step makes of which columns, and where it stops.

Nothing of a user's code runs here: a function step is where trying ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from modelyard.core import Problem
from modelyard.data import CategoryProfile, NumericProfile
from modelyard.data.profile import ColumnProfile, profile
from modelyard.prepare.expressions import Column
from modelyard.prepare.fit import Fitting, begin
from modelyard.prepare.types import FunctionStep, Pipeline, Step

EXAMPLES: Final = 3
MOST_CHANGES: Final = 24  # columns told of a step
_SHOWN: Final = 40  # characters of a value


@dataclass(frozen=True)
class TriedColumn:
    """A column at one point of a pipeline.

    Parameters
    ----------
    name, kind
        As a step knows it; the kind is a word of `ValueKind`.
    numbers, categories
        Its profile: one of them.
    examples
        The values of the first rows, as texts; None is missing. The same rows at every point.
    """

    name: str
    kind: str
    numbers: NumericProfile | None
    categories: CategoryProfile | None
    examples: tuple[str | None, ...]

    @property
    def profile(self) -> ColumnProfile:
        """What its values look like."""
        found = self.numbers or self.categories
        assert found is not None  # noqa: S101 - made with one of them
        return found


@dataclass(frozen=True)
class ColumnChange:
    """What a step did to a column: added (`before` is None), removed (`after` is None) or changed it in place."""

    before: TriedColumn | None
    after: TriedColumn | None

    @property
    def name(self) -> str:
        """The column's name."""
        found = self.after or self.before
        assert found is not None  # noqa: S101 - made with one of them
        return found.name


@dataclass(frozen=True)
class TriedStep:
    """A step that worked.

    Parameters
    ----------
    before
        The columns that it found: name and kind, in order.
    after
        How many columns it left.
    changes
        What it did to columns, at most `MOST_CHANGES`; `more` is how many are not told.
    nulls
        How many values are missing after it, in all columns.
    learned
        What it keeps of the rows.
    """

    before: tuple[tuple[str, str], ...]
    after: int
    changes: tuple[ColumnChange, ...]
    more: int
    nulls: int
    learned: Mapping[str, Any]


@dataclass(frozen=True)
class TriedProblem:
    """Why trying stopped: a problem's words, and the number of the step, from 1; None: the rows, or what is left at the end."""

    step: int | None
    code: str
    what: str
    why: str
    next_step: str


@dataclass(frozen=True)
class Tried:
    """What became of some rows.

    Parameters
    ----------
    rows
        How many; a step keeps each.
    raw
        The columns before the first step.
    nulls
        How many values are missing before the first step, in all columns.
    steps
        The steps that worked, up to the first that did not.
    columns
        Name and kind of the columns after the last of them.
    problem
        None: every step worked, and what is left at the end are features.
    """

    rows: int
    raw: tuple[TriedColumn, ...]
    nulls: int
    steps: tuple[TriedStep, ...]
    columns: tuple[tuple[str, str], ...]
    problem: TriedProblem | None


def try_steps(pipeline: Pipeline, frame: pl.DataFrame, label: str | None = None) -> Tried:
    """Return what each step does to these rows, learned from these rows. A step that fails ends it, and is told.

    >>> from modelyard.prepare import prep
    >>> rows = pl.DataFrame({"tenure": [12, None], "late": [0, 1]})
    >>> tried = try_steps(Pipeline((prep.fill_null("tenure", 0), prep.log1p("tenur"))), rows, "late")
    >>> [(change.name, change.before.profile.null, change.after.profile.null) for change in tried.steps[0].changes]
    [('tenure', 1, 0)]
    >>> tried.problem.step, tried.problem.why
    (2, "did you mean 'tenure'?")
    """
    try:
        fitting = begin(frame, label)
    except Problem as problem:
        return Tried(frame.height, (), 0, (), (), _told(None, problem))
    looking = _Looking({})
    raw = looking.at(fitting.frame, fitting.scope.columns, list(fitting.scope.columns))
    nulls = _nulls(fitting.frame)
    done: list[TriedStep] = []
    failed: TriedProblem | None = None
    for number, step in enumerate(pipeline.steps, 1):
        try:
            done.append(_tried(fitting, looking, step))
        except Problem as problem:
            failed = _told(number, problem)
            break
    left = _names(fitting.scope.columns)
    if failed is None:
        try:
            fitting.plan(label)
        except Problem as problem:
            failed = _told(None, problem)
    return Tried(frame.height, tuple(raw.values()), nulls, tuple(done), left, failed)


@dataclass(frozen=True)
class _Looking:
    """What columns look like, by id: an id is written once, so each is looked at once."""

    known: dict[str, tuple[ColumnProfile, tuple[str | None, ...]]]

    def at(self, frame: pl.DataFrame, columns: Mapping[str, Column], names: Sequence[str]) -> dict[str, TriedColumn]:
        """Return the columns of these names, in a frame by ids."""
        new = {columns[name].id for name in names} - self.known.keys()
        for id_, found in profile(frame.select(sorted(new))).columns.items():
            self.known[id_] = (found, tuple(_text(value) for value in frame[id_].head(EXAMPLES)))
        return {name: self._column(name, columns[name]) for name in names}

    def _column(self, name: str, column: Column) -> TriedColumn:
        found, examples = self.known[column.id]
        numbers = found if isinstance(found, NumericProfile) else None
        categories = found if isinstance(found, CategoryProfile) else None
        return TriedColumn(name, column.kind.value, numbers, categories, examples)


def _tried(fitting: Fitting, looking: _Looking, step: Step) -> TriedStep:
    if isinstance(step, FunctionStep):
        why = "a function of yours runs where runs do, and not in the server"
        raise Problem(
            "step.refused", f"The function '{step.name}' was not tried", why, "start a run, or call it where you wrote it"
        )
    before, rows = dict(fitting.scope.columns), fitting.frame
    fitted = fitting.step(step)
    after = fitting.scope.columns
    touched = [name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)]
    told = touched[:MOST_CHANGES]
    old = looking.at(rows, before, [name for name in told if name in before])
    new = looking.at(fitting.frame, after, [name for name in told if name in after])
    changes = tuple(ColumnChange(old.get(name), new.get(name)) for name in told)
    return TriedStep(
        before=_names(before),
        after=len(after),
        changes=changes,
        more=len(touched) - len(told),
        nulls=_nulls(fitting.frame),
        learned=fitted.fitted or {},
    )


def _names(columns: Mapping[str, Column]) -> tuple[tuple[str, str], ...]:
    return tuple((name, column.kind.value) for name, column in columns.items())


def _nulls(frame: pl.DataFrame) -> int:
    """Return how many values are missing: null in most columns, NaN in those of numbers."""
    return sum(column.null_count() + (int(column.is_nan().sum()) if column.dtype.is_float() else 0) for column in frame)


def _told(step: int | None, problem: Problem) -> TriedProblem:
    return TriedProblem(step, problem.code, problem.what, problem.why, problem.next_step)


def _text(value: object) -> str | None:
    """Return a value as a person reads it; None where it is missing."""
    if value is None or value != value:  # noqa: PLR0124 - NaN differs from itself
        return None
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
