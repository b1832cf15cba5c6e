"""What a check of another package becomes, and what the translations of several packages share."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ParamSpec

import numpy as np
import polars as pl

from modelyard.core import Problem, first_line
from modelyard.data.quality import one_of
from modelyard.data.schema import stored_type
from modelyard.data.types import Check

P = ParamSpec("P")
UNIQUE = "the first of several rows that are alike passes here, and rows are compared within a batch"


@dataclass(frozen=True)
class Counterpart:
    """A check that was taken over."""

    name: str  # as the other package calls it: `expect_column_values_to_be_unique(flight_id)`
    check: Check
    differs: str = ""  # where the two are not quite the same, how


@dataclass(frozen=True)
class LeftOut:
    """What was not taken over, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class Imported:
    """What a file of another package becomes."""

    taken: tuple[Counterpart, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks that were taken over."""
        return tuple(one.check for one in self.taken)


class NoCounterpart(Exception):
    """Why there is no check for something, in its only argument."""


Translated = Counterpart | LeftOut


def translated(name: str, differs: str, make: Callable[P, Check], *args: P.args, **kwargs: P.kwargs) -> Translated:
    """Return what `make` makes of something that the other package calls `name`, or why it makes nothing."""
    try:
        return Counterpart(name, make(*args, **kwargs), differs)
    except NoCounterpart as none:
        return LeftOut(name, str(none))
    except Problem as problem:
        return LeftOut(name, problem.why)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return LeftOut(name, f"it is not written as expected ({type(error).__name__}: {first_line(error)})")


def ends(given: Mapping[str, Any], kind: str = "Float64") -> tuple[Any, Any]:
    """Return the ends of a range of values of a type, an excluded one as the next number inside."""
    return (
        _end(given.get("min_value"), math.inf, kind, excluded=bool(given.get("strict_min"))),
        _end(given.get("max_value"), -math.inf, kind, excluded=bool(given.get("strict_max"))),
    )


def _end(end: Any, toward: float, kind: str, *, excluded: bool) -> Any:
    if isinstance(end, str):
        try:
            end = date.fromisoformat(end) if len(end) == len("2013-01-01") else datetime.fromisoformat(end)
        except ValueError:
            raise NoCounterpart(f"its end {end!r} is neither a number nor a time") from None
    if end is None or not excluded:
        return end
    if isinstance(end, bool) or not isinstance(end, int | float):
        raise NoCounterpart("it leaves out the end of its range, which is no number")
    if kind.startswith("Int"):
        return math.floor(end) + 1 if toward > 0 else math.ceil(end) - 1
    return float(np.nextafter(np.float32(end), np.float32(toward))) if kind == "Float32" else math.nextafter(end, toward)


def counts(given: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return the ends of a range of counts, both included."""
    low, high = given.get("min_value"), given.get("max_value")
    low = None if low is None else math.floor(low) + 1 if given.get("strict_min") else math.ceil(low)
    return low, None if high is None else math.ceil(high) - 1 if given.get("strict_max") else math.floor(high)


def searched(regex: str) -> str:
    """Return the pattern whose whole match is a match of `regex` anywhere."""
    whole = re.fullmatch(r"\^([^|^$]*[^|^$\\])\$", regex)
    return whole[1] if whole else f"(?s:.*)(?:{regex})(?s:.*)"


def listed(column: str, values: Sequence[Any]) -> Check:
    """Return the check that values are among these; null passes anyway."""
    return one_of(column, [value for value in values if value is not None])


_NUMBERS = (
    pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.Float32, pl.Float64,
)  # fmt: skip
_TYPES: Mapping[str, pl.DataType] = {
    **{kind.__name__.lower(): kind() for kind in _NUMBERS},
    **dict.fromkeys(("int", "integer", "bigint", "long", "longtype", "integertype"), pl.Int64()),
    **dict.fromkeys(("float", "double", "doubletype", "double precision"), pl.Float64()),
    **dict.fromkeys(("bool", "boolean", "booleantype"), pl.Boolean()),
    **dict.fromkeys(
        ("str", "string", "text", "varchar", "stringtype", "utf8", "string[python]", "string[pyarrow]"), pl.String()
    ),
    **dict.fromkeys(("date", "datetype"), pl.Date()),
}


def type_of(name: str) -> str:
    """Return the type in which a dataset keeps what pandas, Polars or a database call `name`."""
    if re.match(r"(?i)datetime|timestamp", name):
        zoned = re.search(r"\[\w+, *[^\]]+\]|time_zone='", name) is not None
        return str(pl.Datetime("us", "UTC" if zoned else None))
    found = _TYPES.get(name.lower())
    stored = stored_type(found) if found is not None else None
    if stored is None:
        raise NoCounterpart(f"the type {name} is not known here")
    return str(stored)
