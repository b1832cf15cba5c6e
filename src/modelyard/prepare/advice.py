"""What one column asks for: steps by what it holds, each with its reason."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from types import MappingProxyType
from typing import Final

import polars as pl

from modelyard.core import Json
from modelyard.prepare.as_polars import as_polars
from modelyard.prepare.compile_polars import evaluate
from modelyard.prepare.expressions import Column, DatePart, DatePartName
from modelyard.prepare.scope import Assignment, Scope
from modelyard.prepare.steps import Training, declared, definition
from modelyard.prepare.text_forms import date_form, number_form
from modelyard.prepare.types import DeclaredStep
from modelyard.prepare.values import InputColumn, ValueKind

FEW: Final = 20  # categories that get a column each
MANY: Final = 100_000  # over so many there is no table of them
BUCKETS: Final = 1_000
NEARLY_EMPTY: Final = 0.95
FLAGGED: Final = 0.01
LEAST_UNIQUE: Final = 20  # rows that make it no chance that each has another value
FREE_TEXT: Final = 50  # characters on average
FENCE: Final = 3.0  # distances of quartiles; Tukey's outer fence
HEAVY: Final = 0.05  # share beyond the fence from which the shape is the matter, not some rows
SKEWED: Final = 2.0
SHOWN: Final = 40  # characters of a value in a reason
YEAR_DAYS: Final = 366
_IDENTIFIER: Final = re.compile(r"(?:^|[_\W])(?:id|uuid|guid)$|[a-z]I[dD]$", re.ASCII)
_ROUND: Final = (
    (re.compile(r"(?:^|_)(?:hour|hr)s?$"), 0, 24, 24.0),
    (re.compile(r"(?:^|_)(?:weekday|dow|day_of_week)$"), 0, 7, 7.0),
    (re.compile(r"(?:^|_)month$"), 1, 12, 12.0),
    (re.compile(r"(?:^|_)(?:day_of_year|doy)$"), 1, 366, 365.25),
    (re.compile(r"(?:^|_)minute$"), 0, 59, 60.0),
    (re.compile(r"(?:^|_)(?:wind_dir|direction|bearing|azimuth)$"), 0, 360, 360.0),
)
_PARTS: Final[tuple[DatePartName, ...]] = ("month", "weekday", "hour")  # they come again
_FURTHER_PARTS: Final[tuple[DatePartName, ...]] = ("year", "day", "minute", "second")
_OF_TIMES: Final = frozenset({"hour", "minute", "second"})


class Stage(IntEnum):
    """The order in which suggested steps run."""

    DROP = 0
    READ = 1  # text as what it says
    FLAG = 2  # that something is missing
    FILL = 3
    BOUND = 4
    SHAPE = 5
    PART = 6  # dates into parts
    FILL_PARTS = 7
    TURN = 8  # what comes round again
    ENCODE = 9
    LEAVE = 10  # what was only looked at


@dataclass(frozen=True)
class Advice:
    """A step, its place and its reason: one line."""

    stage: Stage
    step: DeclaredStep
    reason: str
    flag: str = ""  # what a person is to look at


@dataclass(frozen=True)
class Look:
    """A column to advise on.

    Parameters
    ----------
    name, dtype
        As a raw column.
    kind
        What it holds, after it was read.
    values
        In the forms of `values`.
    taken
        The names of columns that there are or will be; what is added is added here.
    has_label
        Whether there is a label that categories can have means of.
    is_time
        Whether it orders the rows.
    """

    name: str
    dtype: str
    kind: ValueKind
    values: pl.Series
    taken: set[str]
    has_label: bool
    is_time: bool = False

    @property
    def present(self) -> pl.Series:
        """The values that are not missing."""
        return self.values.filter(self.values.is_not_nan()) if self.kind is ValueKind.NUMBER else self.values.drop_nulls()

    @property
    def missing(self) -> float:
        """The share of missing values."""
        return 1.0 - len(self.present) / len(self.values)

    @property
    def told_missing(self) -> str:
        """How many values are missing, as a reason."""
        return f"{len(self.values) - len(self.present):,} of {len(self.values):,} rows have no value"

    def free(self, *names: str) -> bool:
        """Take names for new columns; False, and none taken, where one is there already."""
        if self.taken & set(names) or len(set(names)) < len(names):
            return False
        self.taken.update(names)
        return True

    def advice(self, stage: Stage, kind: str, reason: str, *, flag: str = "", **params: Json) -> Advice:
        """Return advice on this column."""
        return Advice(stage, declared(kind, self.name, **params), reason, flag)


def advise(look: Look) -> list[Advice]:
    """Return the advice on a column; a single `drop` where it has nothing to tell."""
    present = look.present
    if present.is_empty():
        return [drop(look.name, "no row has a value")]
    if present.n_unique() == 1 or look.missing >= NEARLY_EMPTY:
        return _hardly(look, present)
    return _BY_KIND[look.kind](look, present)


def drop(name: str, reason: str) -> Advice:
    """Return the advice to leave a column out."""
    return Advice(Stage.DROP, declared("drop", name), reason)


def shown(value: object) -> str:
    """Return a value for a reason: on one line, and not long."""
    told = repr(value)
    return told if len(told) <= SHOWN else told[:SHOWN] + "…"


def _hardly(look: Look, present: pl.Series) -> list[Advice]:
    """Advise on a column of one value, or of nearly none: at most whether it is there can tell something."""
    is_constant = present.n_unique() == 1
    reason = f"every value is {shown(present[0])}" if is_constant else look.told_missing
    if look.missing == 0.0 or not look.free(f"{look.name}_is_null"):
        return [drop(look.name, reason)]
    return [
        look.advice(Stage.FLAG, "is_null", f"{reason}, but whether there is one may tell something"),
        look.advice(Stage.LEAVE, "drop", f"{reason}; whether there is one is kept"),
    ]


def _text(look: Look, present: pl.Series) -> list[Advice]:
    texts = present.unique(maintain_order=True).to_list()
    if dates := date_form(texts):
        forms = list(dates.formats) if len(dates.formats) > 1 else dates.formats[0]
        told = " or ".join(form or "ISO 8601" for form in dates.formats)
        doubt = "day and month could as well be the other way round" if dates.is_doubtful else ""
        reason = f"dates written as text in the form {told}, such as {shown(texts[0])}"
        return _read(look, look.advice(Stage.READ, "parse_date", reason, flag=doubt, format=forms))
    if numbers := number_form(texts):
        reason = f"numbers written as text, such as {shown(texts[0])}"
        read = look.advice(Stage.READ, "parse_number", reason, decimal=numbers.decimal, units=numbers.units)
        return _read(look, read)
    if len(texts) == len(present) >= LEAST_UNIQUE:
        return [drop(look.name, "every row has another text, as a name or an id has")]
    if float(present.str.len_chars().mean() or 0) > FREE_TEXT and len(texts) > FEW:  # type: ignore[arg-type]  # of any dtype
        return [drop(look.name, "free text; prep.contains or prep.extract can take out what matters")]
    one_form = look.advice(Stage.READ, "normalise_text", "")
    fewer = applied(look, one_form.step).present.n_unique()
    if fewer == len(texts):
        return _encoded(look, present)
    return _read(look, replace(one_form, reason=f"{len(texts):,} spellings of {fewer:,} categories"))


def _read(look: Look, first: Advice) -> list[Advice]:
    """Return the advice to read a text, and that on what it says; where that is to drop it, it need not be read."""
    read = applied(look, first.step)
    if read.kind is ValueKind.TEXT and read.present.n_unique() > 1:
        return [first, *_encoded(read, read.present)]
    rest = advise(read)
    return rest if [advice.stage for advice in rest] == [Stage.DROP] else [first, *rest]


def applied(look: Look, step: DeclaredStep) -> Look:
    """Return the column as a step in place leaves it."""
    scope, frame = Scope([InputColumn(look.name, look.dtype)]), pl.DataFrame({look.name: look.values})
    defined = definition(step)
    defined.write(replace(step, fitted=defined.learn(step, Training(scope, frame, None))), scope)
    column = scope.columns[look.name]
    values = evaluate(frame, [part for part in scope.parts if isinstance(part, Assignment)])[column.id]
    return replace(look, kind=column.kind, values=values)


def _integer(look: Look, present: pl.Series) -> list[Advice]:
    is_identifier = _IDENTIFIER.search(look.name) is not None
    if present.n_unique() == len(present) >= LEAST_UNIQUE:
        least, most = int(present.min()), int(present.max())  # type: ignore[arg-type]  # Polars types an extreme of any dtype
        if is_identifier or most - least == len(present) - 1:
            return [drop(look.name, "every row has another number, as an id has")]
    return _encoded(look, present) if is_identifier and not look.is_time else _number(look, present)


def _number(look: Look, present: pl.Series) -> list[Advice]:
    numbers = present.cast(pl.Float64)
    numbers = numbers.filter(numbers.is_finite())
    if numbers.is_empty():
        return [drop(look.name, "no row has a finite number")]
    if look.is_time:
        return [drop(look.name, "it orders the rows: those to come lie beyond all that the model has seen")]
    filled = _filled(look, "median")
    if turning := _turning(look, numbers):
        return [*filled, turning]
    return [*filled, *_shaped(look, numbers, has_infinite=len(numbers) < len(present))]


def _shaped(look: Look, numbers: pl.Series, *, has_infinite: bool) -> Iterator[Advice]:
    """Advise on the shape of finite numbers."""
    beyond = _beyond(numbers)
    is_graded = numbers.n_unique() > FEW
    is_bounded = is_graded and 0.0 < beyond <= HEAVY
    is_skewed = is_graded and bool((numbers >= 0.0).all()) and (numbers.skew() or 0.0) > SKEWED
    if is_bounded and is_skewed:  # a shape loses its far values by the logarithm, some rows gone astray stay far
        is_skewed = _beyond(numbers.log1p()) < beyond / 4
    if has_infinite and (is_skewed or not is_bounded):
        reason = "infinite values end at the least and the greatest finite one"
        yield look.advice(Stage.BOUND, "clamp_outliers", reason, method="quantile", share=0.0)
    if is_skewed:
        yield look.advice(Stage.SHAPE, "log1p", f"skewed to large values (skewness {numbers.skew():.1f}), and never below 0")
    elif is_bounded:
        reason = f"{beyond:.1%} of the values lie over {FENCE:g} distances of quartiles away"
        yield look.advice(Stage.BOUND, "clamp_outliers", reason, factor=FENCE)
    elif is_graded and beyond > HEAVY:
        reason = f"{beyond:.0%} of the values lie over {FENCE:g} distances of quartiles away: that is its shape"
        yield look.advice(Stage.SHAPE, "sign_log", reason)


def _beyond(numbers: pl.Series) -> float:
    """Return the share of finite numbers beyond the fence, 0 where the quartiles are equal."""
    first, third = (float(numbers.quantile(share, "linear") or 0.0) for share in (0.25, 0.75))
    reach = FENCE * (third - first)
    if reach == 0.0:
        return 0.0
    return float(((numbers < first - reach) | (numbers > third + reach)).mean() or 0.0)  # type: ignore[arg-type]  # as above


def _filled(look: Look, strategy: str) -> list[Advice]:
    if look.missing == 0.0:
        return []
    fill = look.advice(Stage.FILL, "fill_null", f"{look.told_missing}, and many models take none", strategy=strategy)
    return [*_flagged(look), fill]


def _flagged(look: Look) -> list[Advice]:
    """Advise to keep that values are missing, where that is no rare accident."""
    if look.missing < FLAGGED or not look.free(f"{look.name}_is_null"):
        return []
    return [look.advice(Stage.FLAG, "is_null", look.told_missing)]


def _boolean(look: Look, present: pl.Series) -> list[Advice]:
    return _filled(look, "most_frequent")


def _turning(look: Look, numbers: pl.Series) -> Advice | None:
    """Return the advice on numbers that come round again, by their name and bounds."""
    for name, least, most, period in _ROUND:
        if name.search(look.name.lower()) and numbers.is_between(least, most).all() and look.free(*_waves(look.name)):
            reason = f"it comes round again after {period:g}"
            return look.advice(Stage.TURN, "cyclical", reason, period=period)
    return None


def _waves(name: str) -> tuple[str, str]:
    return f"{name}_sin", f"{name}_cos"


def _times(look: Look, present: pl.Series) -> list[Advice]:
    parts = _varying(look, present)
    names = [f"{look.name}_{part}" for part in parts]
    if not parts or not look.free(*names):
        return [drop(look.name, "none of its parts varies" if not parts else "there are columns of the names of its parts")]
    made = [look.advice(Stage.PART, "date_parts", "a model takes numbers: parts that vary", parts=list(parts))]
    if look.missing:
        fill = declared("fill_null", names, strategy="median")
        reason = f"{look.told_missing}, and many models take none"
        made = [*_flagged(look), *made, Advice(Stage.FILL_PARTS, fill, reason)]
    if "hour" in parts and look.free(*_waves(f"{look.name}_hour")):
        hour = declared("cyclical", f"{look.name}_hour", period=24.0)
        made.append(Advice(Stage.TURN, hour, "it comes round again after 24"))
    return made


def _varying(look: Look, present: pl.Series) -> list[DatePartName]:
    """Return the parts to take: those that come again, else the coarsest that varies at all."""
    days = (present.max() - present.min()).days  # type: ignore[operator,union-attr]  # dates or times
    coming = [part for part in _PARTS if not (part == "month" and look.is_time and days < 2 * YEAR_DAYS)]
    return [part for part in coming if _varies(look, present, part)] or [
        part for part in _FURTHER_PARTS if _varies(look, present, part)
    ][:1]


def _varies(look: Look, present: pl.Series, part: DatePartName) -> bool:
    if look.kind is ValueKind.DATE and part in _OF_TIMES:
        return False
    return present.to_frame("at").select(as_polars(DatePart(part, Column("at", look.kind)))).to_series().n_unique() > 1


def _encoded(look: Look, present: pl.Series) -> list[Advice]:
    """Advise on categories."""
    count = present.n_unique()
    told = f"{count:,} categories"
    if count <= FEW:
        names = [f"{look.name}_{category}" for category in present.unique()]
        if look.free(*names):
            return [look.advice(Stage.ENCODE, "one_hot", f"{told}: a column each")]
        return [look.advice(Stage.ENCODE, "ordinal", f"{told}; there are columns of the names that they would have")]
    if look.has_label:
        return [look.advice(Stage.ENCODE, "target_mean", f"{told}, too many for a column each: the mean label of each")]
    if count <= MANY:
        return [look.advice(Stage.ENCODE, "frequency", f"{told}, too many for a column each: how frequent each is")]
    return [look.advice(Stage.ENCODE, "hash_bucket", f"{told}, too many for a table", count=BUCKETS)]


_BY_KIND: Final[Mapping[ValueKind, Callable[[Look, pl.Series], list[Advice]]]] = MappingProxyType(
    {
        ValueKind.NUMBER: _number,
        ValueKind.INTEGER: _integer,
        ValueKind.BOOLEAN: _boolean,
        ValueKind.TEXT: _text,
        ValueKind.DATE: _times,
        ValueKind.DATETIME: _times,
    }
)
