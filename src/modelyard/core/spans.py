"""Spans and rates as people write them: `7d`, `1/14d`, `12/year`."""

import re
from typing import Final

from modelyard.core.problems import Problem

UNITS_S: Final = {
    "s": 1,
    "m": 60,
    "h": 3_600,
    "d": 86_400,
    "w": 7 * 86_400,
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "week": 7 * 86_400,
    "month": 30 * 86_400,
    "year": 365 * 86_400,
}
_NO_SPAN = re.compile(r"\s*0\s*[a-z]*\s*")
_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)?\s*([a-z]+?)s?\s*")


def span_s(text: str) -> int:
    """Return the seconds of a span: a number and a unit (s, m, h, d, w), or a word from minute to year.

    Raises
    ------
    Problem
        `span.invalid`.

    >>> span_s("7d"), span_s("90 minutes"), span_s("day"), span_s("30s")
    (604800, 5400, 86400, 30)
    """
    found = _SPAN.fullmatch(text)
    unit = UNITS_S.get(found[2]) if found else None
    if found and unit is None and text.strip().endswith("s"):
        unit = UNITS_S.get(f"{found[2]}s")
    seconds = float(found[1] or 1) * unit if found and unit is not None else 0.0
    if seconds < 1:
        why = f"a span is a number and one of {', '.join(UNITS_S)}"
        raise Problem("span.invalid", f"'{text}' is no span of time", why, "write it as in 7d, 12h or 30m")
    return round(seconds)


def age_s(text: str) -> int:
    """Return the seconds of an age: a span, or none at all. Problem `span.invalid`.

    >>> age_s("90d"), age_s("0d"), age_s("0")
    (7776000, 0, 0)
    """
    return 0 if _NO_SPAN.fullmatch(text) else span_s(text)


def rate(text: str) -> tuple[int, int]:
    """Return how often, and in how many seconds, a rate such as `12/year` allows something.

    Raises
    ------
    Problem
        `rate.invalid`, `span.invalid`.

    >>> rate("1/14d"), rate("12/year")
    ((1, 1209600), (12, 31536000))
    """
    count, slash, span = text.partition("/")
    if not slash or not count.strip().isdecimal():
        raise Problem("rate.invalid", f"'{text}' is no rate", "a rate is COUNT/SPAN", "write it as in 1/14d or 12/year")
    return int(count), span_s(span)
