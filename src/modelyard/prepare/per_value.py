"""Functions of one value that two engines would answer differently: case, white space, patterns, numbers and dates in text.

Python's answer is the only one. Row code calls these, and frames call them once a distinct value, so that Unicode tables and
parsers of another language never come in. Each takes a present value and returns None where it has no answer.
"""

import re
import unicodedata
import zlib
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from modelyard.core import Problem
from modelyard.prepare.expressions import PerValue, Value
from modelyard.prepare.number_text import written_number

Function = Callable[[Value], Value]

FIRST_DAY: Final = date(1, 1, 2)
LAST_DAY: Final = date(9999, 12, 30)
_INTEGER_LIMIT: Final = 1 << 63
_NUMBER: Final = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_INTEGER: Final = re.compile(r"\s*[+-]?\d{1,19}\s*", re.ASCII)
_BOOLEANS: Final = MappingProxyType(
    {
        "true": True,
        "t": True,
        "yes": True,
        "y": True,
        "1": True,
        "false": False,
        "f": False,
        "no": False,
        "n": False,
        "0": False,
    }
)
_DIRECTIVES: Final = MappingProxyType(
    {
        "Y": (r"(\d{4})", "year"),
        "m": (r"(\d{1,2})", "month"),
        "d": (r"(\d{1,2})", "day"),
        "H": (r"(\d{1,2})", "hour"),
        "M": (r"(\d{1,2})", "minute"),
        "S": (r"(\d{1,2})", "second"),
        "f": (r"(\d{1,6})", "microsecond"),
    }
)


def function_of(node: PerValue) -> Function:
    """Return the function that a node names, with its argument bound."""
    maker = _MAKERS[node.function]
    return maker(node.argument)


def usable_date(value: date) -> bool:
    """Whether a date or time can be shifted by any zone's offset without leaving the years 1 to 9999.

    >>> usable_date(date(2013, 6, 24)), usable_date(date(9999, 12, 31))
    (True, False)
    """
    return FIRST_DAY <= (value.date() if isinstance(value, datetime) else value) <= LAST_DAY


def date_format(text: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """Return the pattern and the fields of a date format.

    Only the numeric directives `%Y %m %d %H %M %S %f` are known: names of months follow a machine's language.

    Raises
    ------
    Problem
        `step.invalid` for another directive, one that comes twice, or a format without year, month and day.

    >>> pattern, fields = date_format("%d.%m.%Y")
    >>> fields, bool(pattern.fullmatch("24.6.2013"))
    (('day', 'month', 'year'), True)
    """
    pieces, fields = [], []
    for literal, letter in re.findall(r"([^%]+)|%(.)", text):
        if literal:
            pieces.append(re.escape(literal))
        elif letter in _DIRECTIVES and _DIRECTIVES[letter][1] not in fields:
            pieces.append(_DIRECTIVES[letter][0])
            fields.append(_DIRECTIVES[letter][1])
        else:
            raise Problem(
                "step.invalid",
                f"The date format '{text}' cannot be read",
                f"%{letter} is not known there, or comes twice",
                "use %Y %m %d %H %M %S %f once each, or None for ISO 8601",
            )
    if not {"year", "month", "day"} <= set(fields):
        raise Problem("step.invalid", f"The date format '{text}' names no full date", "it lacks a part", "use %Y, %m and %d")
    return re.compile("".join(pieces), re.ASCII), tuple(fields)


def iso_time(text: str) -> datetime | None:
    """Return the naive time of an ISO 8601 text, in UTC where it names an offset; None where it is none, or not usable.

    >>> iso_time("2013-06-24T05:00:00+02:00")
    datetime.datetime(2013, 6, 24, 3, 0)
    """
    at = _iso_told(text)
    return None if at is None else _in_utc(at, None)


def _iso_told(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _in_utc(at: datetime, clock: "_Clock | None") -> datetime | None:
    """Return a time as naive UTC, one without an offset read on a clock where there is one; None where it is not usable."""
    try:
        if at.tzinfo is not None:
            at = at.astimezone(UTC).replace(tzinfo=None)
        elif clock is not None and usable_date(at):
            at -= clock.offsets[bisect_right(clock.changes, at)]
    except OverflowError:
        return None
    return at if usable_date(at) else None


@dataclass(frozen=True)
class _Clock:
    """A zone's wall clock: its readings from which the next offset holds, and the offsets.

    A reading that comes twice, when the clock is put back, is the first of both; one that the clock leaps over is read by the
    offset before the leap, so 2:30 is what 3:30 is called after it. Both are `fold=0` of PEP 495.
    """

    changes: tuple[datetime, ...]
    offsets: tuple[timedelta, ...]


def _clock(at: tuple[int, ...], offsets_s: tuple[int, ...]) -> _Clock:
    offsets = tuple(timedelta(seconds=seconds) for seconds in offsets_s)
    moments = (datetime.fromtimestamp(moment, UTC).replace(tzinfo=None) for moment in at)
    later = map(max, offsets, offsets[1:])
    return _Clock(tuple(moment + offset for moment, offset in zip(moments, later, strict=True)), offsets)


def _parse_time(argument: Any) -> Function:
    formats, table = argument
    readers = [_iso_told if form is None else partial(_match_time, *date_format(form)) for form in formats]
    clock = None if table is None else _clock(*table)

    def time(value: Value) -> Value:
        for reader in readers:
            told = reader(str(value))
            at = None if told is None else _in_utc(told, clock)
            if at is not None:
                return at
        return None

    return time


def _match_time(pattern: re.Pattern[str], fields: tuple[str, ...], text: str) -> datetime | None:
    found = pattern.fullmatch(text)
    if found is None:
        return None
    parts = dict(zip(fields, found.groups(), strict=True))
    if "microsecond" in parts:
        parts["microsecond"] = parts["microsecond"].ljust(6, "0")
    try:
        return datetime(**{field: int(digits) for field, digits in parts.items()})  # type: ignore[arg-type]
    except ValueError:
        return None


def _parse_date(argument: Any) -> Function:
    parse = _parse_time(argument)

    def day(value: Value) -> Value:
        at = parse(value)
        return at.date() if isinstance(at, datetime) else None

    return day


def _to_number(value: Value) -> Value:
    return float(str(value)) if _NUMBER.fullmatch(str(value)) else None


def _normalise(argument: Any) -> Function:
    case, accents, spaces = argument

    def normal(value: Value) -> Value:
        text = unicodedata.normalize("NFKC", str(value))
        if case:
            text = unicodedata.normalize("NFKC", text.casefold())
        if accents:
            letters = (sign for sign in unicodedata.normalize("NFD", text) if unicodedata.category(sign) != "Mn")
            text = unicodedata.normalize("NFC", "".join(letters))
        return " ".join(text.split()) if spaces else text

    return normal


def _extract(argument: Any) -> Function:
    pattern, group = re.compile(argument[0]), argument[1]

    def extract(value: Value) -> Value:
        found = pattern.search(str(value))
        return None if found is None else found[group]

    return extract


def _contains(argument: Any) -> Function:
    pattern: re.Pattern[str] = re.compile(argument)
    return lambda value: pattern.search(str(value)) is not None


def _parse_number(argument: Any) -> Function:
    decimal, thousands, pairs = argument
    factors: dict[str, float] = dict(pairs)

    def number(value: Value) -> Value:
        found = written_number(str(value), decimal, thousands)
        return None if found is None or found.word not in factors else found.number * factors[found.word]

    return number


def _to_integer(value: Value) -> Value:
    if not _INTEGER.fullmatch(str(value)):
        return None
    number = int(str(value))
    return number if -_INTEGER_LIMIT <= number < _INTEGER_LIMIT else None


def _to_text(value: Value) -> Value:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _hash_bucket(count: Any) -> Function:
    divisor = int(count or 1)
    return lambda value: float(zlib.crc32(str(_to_text(value)).encode()) % divisor)


def _plain(function: Function) -> Callable[[Any], Function]:
    return lambda _: function


_MAKERS: Final[Mapping[str, Callable[[Any], Function]]] = MappingProxyType(
    {
        "lower": _plain(lambda value: str(value).lower()),
        "strip": _plain(lambda value: str(value).strip()),
        "length": _plain(lambda value: float(len(str(value)))),
        "hash_bucket": _hash_bucket,
        "normalise": _normalise,
        "extract": _extract,
        "contains": _contains,
        "parse_number": _parse_number,
        "parse_datetime": _parse_time,
        "parse_date": _parse_date,
        "to_number": _plain(_to_number),
        "to_integer": _plain(_to_integer),
        "to_boolean": _plain(lambda value: _BOOLEANS.get(str(value).strip().lower())),
        "to_text": _plain(_to_text),
    }
)
