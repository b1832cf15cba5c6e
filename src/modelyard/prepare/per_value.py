"""Functions of one value that two engines would answer differently: lower case, white space, numbers and dates in text.

Python's answer is the only one. Row code calls these, and frames call them once a distinct value, so that Unicode tables and
parsers of another language never come in. Each takes a present value and returns None where it has no answer.
"""

import re
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import partial
from types import MappingProxyType
from typing import Final

from modelyard.core import Problem
from modelyard.prepare.expressions import PerValue, Value

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
    try:
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
    return at if usable_date(at) else None


def _parse_time(pattern: str | int | None) -> Function:
    if pattern is None:
        return lambda value: iso_time(str(value))
    return partial(_match_time, *date_format(str(pattern)))


def _match_time(pattern: re.Pattern[str], fields: tuple[str, ...], value: Value) -> Value:
    found = pattern.fullmatch(str(value))
    if found is None:
        return None
    parts = dict(zip(fields, found.groups(), strict=True))
    if "microsecond" in parts:
        parts["microsecond"] = parts["microsecond"].ljust(6, "0")
    try:
        at = datetime(**{field: int(digits) for field, digits in parts.items()})  # type: ignore[arg-type]
    except ValueError:
        return None
    return at if usable_date(at) else None


def _parse_date(pattern: str | int | None) -> Function:
    parse = _parse_time(pattern)

    def day(value: Value) -> Value:
        at = parse(value)
        return at.date() if isinstance(at, datetime) else None

    return day


def _to_number(value: Value) -> Value:
    return float(str(value)) if _NUMBER.fullmatch(str(value)) else None


def _to_integer(value: Value) -> Value:
    if not _INTEGER.fullmatch(str(value)):
        return None
    number = int(str(value))
    return number if -_INTEGER_LIMIT <= number < _INTEGER_LIMIT else None


def _to_text(value: Value) -> Value:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _hash_bucket(count: str | int | None) -> Function:
    divisor = int(count or 1)
    return lambda value: float(zlib.crc32(str(_to_text(value)).encode()) % divisor)


def _plain(function: Function) -> Callable[[str | int | None], Function]:
    return lambda _: function


_MAKERS: Final[Mapping[str, Callable[[str | int | None], Function]]] = MappingProxyType(
    {
        "lower": _plain(lambda value: str(value).lower()),
        "strip": _plain(lambda value: str(value).strip()),
        "length": _plain(lambda value: float(len(str(value)))),
        "hash_bucket": _hash_bucket,
        "parse_datetime": _parse_time,
        "parse_date": _parse_date,
        "to_number": _plain(_to_number),
        "to_integer": _plain(_to_integer),
        "to_boolean": _plain(lambda value: _BOOLEANS.get(str(value).strip().lower())),
        "to_text": _plain(_to_text),
    }
)
