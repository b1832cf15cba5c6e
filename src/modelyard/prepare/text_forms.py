"""What the texts of a column are written in: the form of numbers or of dates that reads nearly all of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal

from modelyard.prepare.expressions import Column, PerValue
from modelyard.prepare.number_text import WrittenNumber, written_number
from modelyard.prepare.per_value import function_of
from modelyard.prepare.values import ValueKind

NEARLY_ALL: Final = 0.95
_SAMPLE: Final = 500  # distinct texts by which a form is ruled out
_CODE: Final = re.compile(r"0[0-9]+")  # a postal code, not a number
_YEARS: Final = (1900, 2100)
_LONGEST_UNIT: Final = 10
_FORMS: Final = 3  # of dates in one column
_DAYS: Final = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%Y.%m.%d")
_TIMES: Final = ("", " %H:%M", " %H:%M:%S")
_DATES: Final = (None, *(day + time for day in _DAYS for time in _TIMES))
_MAGNITUDES: Final = MappingProxyType(
    {"%": 0.01, "k": 1e3, "K": 1e3, "M": 1e6, "Mio": 1e6, "mn": 1e6, "bn": 1e9, "Mrd": 1e9}
    | {"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
)


@dataclass(frozen=True)
class NumberForm:
    """Arguments of `prep.parse_number`; `units` are needed where numbers of one column count different things."""

    decimal: Literal[".", ","]
    units: dict[str, float] | None


@dataclass(frozen=True)
class DateForm:
    """Formats of `prep.parse_date`; `is_doubtful` where day and month could as well be the other way round."""

    formats: tuple[str | None, ...]
    is_doubtful: bool


def number_form(texts: Sequence[str]) -> NumberForm | None:
    """Return the form in which nearly all of some distinct texts are numbers, None where there is none.

    >>> number_form(["1.234,50 €", "12,5"]), number_form(["900", "5.2 k"]), number_form(["01069", "80331"])
    (NumberForm(decimal=',', units=None), NumberForm(decimal='.', units={'k': 1000.0}), None)
    """
    if not texts or any(_CODE.fullmatch(text) for text in texts):
        return None
    decimals: tuple[Literal[".", ","], ...] = (".", ",")
    decimal = max(decimals, key=lambda mark: len(_units(_numbers(texts[:_SAMPLE], mark))))
    if len(_units(_numbers(texts[:_SAMPLE], decimal))) < NEARLY_ALL * len(texts[:_SAMPLE]):
        return None
    numbers = _numbers(texts, decimal)
    units = _units(numbers)
    if len(units) < NEARLY_ALL * len(texts):
        return None
    if len({number.word for number in numbers}) == 1:
        return NumberForm(decimal, None)
    known = {unit: _MAGNITUDES[unit] for unit in sorted(set(units)) if unit in _MAGNITUDES}
    return NumberForm(decimal, known) if set(units) <= {"", *known} else None


def _numbers(texts: Sequence[str], decimal: str) -> list[WrittenNumber]:
    return [found for text in texts if (found := written_number(text, decimal)) is not None]


def _units(numbers: Sequence[WrittenNumber]) -> list[str]:
    """Return the units of numbers that have nothing else beside them but a currency."""
    return [number.word for number in numbers if not number.before and len(number.word) <= _LONGEST_UNIT]


def date_form(texts: Sequence[str]) -> DateForm | None:
    """Return the formats in which nearly all of some distinct texts are dates of 1900 to 2100, None where there are none.

    >>> date_form(["24.6.2013", "2013-06-25"]), date_form(["3/4/2013"]), date_form(["12", "x"])
    (DateForm(formats=(None, '%d.%m.%Y'), is_doubtful=False), DateForm(formats=('%d/%m/%Y',), is_doubtful=True), None)
    """
    some = list(texts[:_SAMPLE])
    chosen: list[str | None] = []
    left = some
    while left and len(left) > (1 - NEARLY_ALL) * len(some) and len(chosen) < _FORMS:
        form = max((form for form in _DATES if _swapped(form) not in chosen), key=lambda form: len(_read(left, form)))
        read = _read(left, form)
        if not read:
            return None
        chosen.append(form)
        left = [text for text in left if text not in read]
    if not some or len(left) > (1 - NEARLY_ALL) * len(some):
        return None
    return DateForm(tuple(chosen), any(_is_doubtful(some, form) for form in chosen))


def _read(texts: Sequence[str], form: str | None) -> set[str]:
    reads = function_of(PerValue("parse_datetime", Column("", ValueKind.TEXT), ValueKind.DATETIME, ((form,), None)))
    at = {text: reads(text) for text in texts}
    return {text for text, time in at.items() if isinstance(time, datetime) and _YEARS[0] <= time.year < _YEARS[1]}


def _swapped(form: str | None) -> str:
    """Return a format with day and month the other way round, "" where no date is written so."""
    if form is None or form.startswith("%Y"):
        return ""
    return re.sub("%[dm]", lambda found: "%m" if found[0] == "%d" else "%d", form)


def _is_doubtful(texts: Sequence[str], form: str | None) -> bool:
    other = _swapped(form)
    return other in _DATES and len(_read(texts, other)) >= len(_read(texts, form))
