"""A first pipeline for a frame: steps with a reason each, told as the code that a user would write."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

import polars as pl

from modelyard.core import Problem, missing
from modelyard.prepare.advice import Advice, Look, Stage, advise, applied, drop
from modelyard.prepare.fit import numeric_label, raw_columns
from modelyard.prepare.inputs import working_frame
from modelyard.prepare.leaks import share_told
from modelyard.prepare.segments import literal
from modelyard.prepare.step_text import step_text
from modelyard.prepare.types import DeclaredStep
from modelyard.prepare.values import InputColumn

LEAK: Final = 0.95  # share of the label that no honest column tells alone
_LARGEST_LABEL: Final = 1e100  # sums of larger ones may leave float64


@dataclass(frozen=True)
class Suggested:
    """A step, and why it is suggested: one line."""

    step: DeclaredStep
    reason: str


@dataclass(frozen=True)
class Flag:
    """A column that a person is to look at before a model is trained, and why."""

    column: str
    reason: str


@dataclass(frozen=True)
class Suggestion:
    """Steps to begin with. `str` tells them as Python code, with the reasons as comments.

    Parameters
    ----------
    suggested
        The steps in order, each with its reason.
    flags
        Columns to look at first.
    rows
        How many rows were looked at.
    """

    suggested: tuple[Suggested, ...]
    flags: tuple[Flag, ...]
    rows: int

    @property
    def steps(self) -> tuple[DeclaredStep, ...]:
        """The steps alone: `project.pipeline(*suggestion.steps)`."""
        return tuple(each.step for each in self.suggested)

    def __str__(self) -> str:
        """Return the code."""
        lines = ["from modelyard import prep", "", f"# Suggested by {self.rows:,} rows."]
        lines += [f"# Look at {literal(flag.column)}: {flag.reason}." for flag in self.flags]
        lines.append("steps = (")
        for each in self.suggested:
            lines += [f"    # {each.reason}", f"    {step_text(each.step)},"]
        return "\n".join([*lines, ")"])


def suggest(
    data: pl.DataFrame, label: str | None = None, *, key: str | Sequence[str] = (), time: str | None = None
) -> Suggestion:
    """Suggest the steps of a first pipeline by what the columns of some rows hold, with a reason for each.

    The steps fit on these very rows. They are a beginning, to be read and changed: what a column means, no row says.

    - Left out: keys, ids, free text, columns of one value or none, columns that no step can use, and columns that tell 95 % of
      the label alone, which are flagged: most such were written down after it.
    - Text is read as the numbers or dates that it says, and brought into one form where categories come in several spellings.
    - Missing values are flagged by `is_null` and filled; of a column with nearly none only the flag stays.
    - Categories: up to 20 become a column each; more, the mean label of each (their frequency without a label).
    - Numbers: skewed ones by `log1p`, outliers by `clamp_outliers`, hours, months and directions by `cyclical`.

    Parameters
    ----------
    data
        Training rows, or a sample of them: some thousands are plenty.
    label
        The column to predict, when the rows have it.
    key
        The columns that name a row.
    time
        The column that orders the rows.

    Raises
    ------
    Problem
        `column.missing` with the nearest names; `frame.invalid` without rows, or where no column has anything to tell;
        `column.invalid` for a value that no step can use, or a column without a name.

    >>> import polars as pl
    >>> rows = pl.DataFrame({"id": range(40), "fare": ["$7.25", "$71.28"] * 20, "deck": ["A", "B", None, "C"] * 10})
    >>> print(suggest(rows, key="id"))
    from modelyard import prep
    <BLANKLINE>
    # Suggested by 40 rows.
    steps = (
        # a key: it names rows
        prep.drop('id'),
        # numbers written as text, such as '$7.25'
        prep.parse_number('fare'),
        # 3 categories: a column each
        prep.one_hot('deck'),
    )
    """
    keys = (key,) if isinstance(key, str) else tuple(key)
    _check(data, [name for name in (label, time, *keys) if name is not None])
    columns, absent = raw_columns(data, label)
    absent.pop(label or "", None)
    left_out = [drop(name, why) for name, why in absent.items()]
    left_out += [drop(column.name, "a key: it names rows") for column in columns if column.name in keys]
    columns = tuple(column for column in columns if column.name not in keys)
    advised = {look.name: (look, advise(look)) for look in _looks(data, columns, label, time)}
    leaks = {} if label is None else dict(_leaks(advised, data[label]))
    kept = [advice for name, (_, advice) in advised.items() if name not in leaks]
    if not any(map(_has_feature, kept)):  # then what is suspicious is better than nothing
        kept = [advice for _, advice in advised.values()]
    else:
        left_out += [drop(name, why) for name, why in leaks.items()]
    if not any(map(_has_feature, kept)):
        raise Problem("frame.invalid", "No step can be suggested", "no column has anything to tell", "add columns, or rows")
    everything = sorted([*left_out, *(advice for each in kept for advice in each)], key=lambda advice: advice.stage)
    flags = [Flag(name, why) for name, why in leaks.items()]
    flags += [Flag(advice.step.columns[0], advice.flag) for advice in everything if advice.flag]
    return Suggestion(tuple(Suggested(each.step, each.reason) for each in everything), tuple(flags), data.height)


def _check(data: pl.DataFrame, named: Sequence[str]) -> None:
    if data.is_empty():
        raise Problem("frame.invalid", "No step can be suggested", "there is no row", "give some training rows")
    for name in named:
        if name not in data.columns:
            raise missing("column", name, data.columns, "name it as the rows do")
    if "" in data.columns:
        raise Problem("column.invalid", "No step can be suggested", "a column has no name", "rename it before")


def _looks(data: pl.DataFrame, columns: tuple[InputColumn, ...], label: str | None, time: str | None) -> Iterator[Look]:
    frame, numbers = working_frame(data, columns), numeric_label(data, label)
    finite = pl.Series() if numbers is None else numbers.filter(numbers.is_finite()).abs()
    has_label = len(finite) > 0 and bool((finite < _LARGEST_LABEL).all())
    taken = set(data.columns)
    for column in columns:
        yield Look(column.name, column.dtype, column.kind, frame[column.name], taken, has_label, column.name == time)


def _leaks(advised: Mapping[str, tuple[Look, Sequence[Advice]]], label: pl.Series) -> Iterator[tuple[str, str]]:
    for name, (look, advice) in advised.items():
        if _has_feature(advice):
            read = reduce(applied, [each.step for each in advice if each.stage is Stage.READ], look)
            share = share_told(read.values, label)
            if share >= LEAK:
                yield name, f"it tells {share:.0%} of the label alone, as what was written down after it does"


def _has_feature(advice: Sequence[Advice]) -> bool:
    """Whether advice on a column leaves anything of it."""
    return [each.stage for each in advice] != [Stage.DROP]
