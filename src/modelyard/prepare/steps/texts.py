"""Steps on text: lower case, white space, length, numbers in it, one form of it, parts by pattern."""

import math
import re
import warnings
from typing import Any, Final

from modelyard.core import JsonObject, Problem
from modelyard.prepare.expressions import Column, Compare, PerValue, ToNumber
from modelyard.prepare.number_text import written_number
from modelyard.prepare.scope import Scope
from modelyard.prepare.steps.definition import Definition, Parameter, Training, one_of, told
from modelyard.prepare.types import DeclaredStep
from modelyard.prepare.values import ValueKind

_TEXT: Final = frozenset({ValueKind.TEXT})
_SHOWN: Final = 5  # words in a problem


def _text(step: DeclaredStep, scope: Scope, name: str) -> Column:
    return scope.column(name, _TEXT, told(step))


def _replaced(function: str, kind: ValueKind) -> Definition:
    def write(step: DeclaredStep, scope: Scope) -> None:
        for name in step.columns:
            scope.set(name, PerValue(function, _text(step, scope, name), kind))

    return Definition(function, write)


def _thousands_check(mark: Any) -> str | None:
    return None if mark is None or (len(mark) <= 1 and not mark.isdecimal()) else "is to be one mark, or empty"


def _parse_number_check(step: DeclaredStep) -> str | None:
    if step.params["thousands"] == step.params["decimal"]:
        return "one mark cannot part both thousands and the fraction"
    for word, factor in (step.params["units"] or {}).items():
        if not isinstance(word, str) or not word.strip() or any(sign.isdecimal() for sign in word):
            return f"a unit is a word without digits, and not {word!r}"
        if type(factor) not in {int, float} or not math.isfinite(factor):
            return f"a unit stands for a finite number, and {word!r} for {factor!r}"
    return None


def _parse_number_learn(step: DeclaredStep, training: Training) -> JsonObject:
    """Learn the one word behind the numbers; refuse several, and a column in which nothing reads."""
    learned = {}
    for name in step.columns:
        texts = training.values(_text(step, training.scope, name)).drop_nulls().unique(maintain_order=True)
        found = [written_number(text, step.params["decimal"], step.params["thousands"]) for text in texts]
        words = sorted({number.word for number in found if number is not None})
        if len(texts) and not words:
            raise Problem(
                "column.invalid",
                f"{told(step)} can read no value of column '{name}'",
                f"'{texts[0]}' is no number with '{step.params['decimal']}' before its fraction",
                f"prep.parse_number('{name}', decimal=…), or prep.extract the number first",
                {"column": name, "value": texts[0]},
            )
        if step.params["units"] is None and len(words) > 1:
            shown = ", ".join(f"'{word}'" if word else "nothing" for word in words[:_SHOWN])
            raise Problem(
                "column.invalid",
                f"{told(step)} cannot tell what the numbers of column '{name}' count",
                f"behind them stands {shown}{' …' if len(words) > _SHOWN else ''}",
                f"prep.parse_number('{name}', units={{'{words[-1]}': 1}}), with what each stands for",
                {"column": name, "words": words},
            )
        learned[name] = words[0] if words else ""
    return learned


def _parse_number(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        units = step.params["units"]
        factors = {(step.fitted or {})[name]: 1.0} if units is None else {"": 1.0} | {w.strip(): float(units[w]) for w in units}
        argument = (step.params["decimal"], step.params["thousands"], tuple(factors.items()))
        scope.set(name, PerValue("parse_number", _text(step, scope, name), ValueKind.NUMBER, argument))


def _normalise_text(step: DeclaredStep, scope: Scope) -> None:
    what = (step.params["case"], step.params["accents"], step.params["spaces"])
    for name in step.columns:
        scope.set(name, PerValue("normalise", _text(step, scope, name), ValueKind.TEXT, what))


def _pattern_check(pattern: str) -> str | None:
    """Return what is wrong with a pattern; one that other engines read otherwise, which Python warns of, is wrong too."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError, FutureWarning) as error:
            return f"is no regular expression ({error})"
    return None


def _extract_check(step: DeclaredStep) -> str | None:
    found, group = re.compile(step.params["pattern"]), step.params["group"]
    if group in found.groupindex or (isinstance(group, int) and 0 <= group <= found.groups):
        return None
    return f"the pattern has no group {group!r}: put a part of it in (…), or take group=0 for all of it"


def _extract(step: DeclaredStep, scope: Scope) -> None:
    [name], group = step.columns, step.params["group"]
    value = PerValue("extract", _text(step, scope, name), ValueKind.TEXT, (step.params["pattern"], group))
    scope.add(step.params["name"] or f"{name}_{group if isinstance(group, str) else 'extracted'}", value, told(step))


def _contains(step: DeclaredStep, scope: Scope) -> None:
    [name], pattern = step.columns, step.params["pattern"]
    found = PerValue("contains", _text(step, scope, name), ValueKind.BOOLEAN, pattern)
    scope.add(step.params["name"] or f"{name}_contains_{pattern}", ToNumber(Compare("==", found, True)), told(step))


_PATTERN: Final = Parameter("pattern", (str,), check=_pattern_check)
_NAME: Final = Parameter("name", (str, type(None)), None)

TEXTS: Final = (
    _replaced("lower", ValueKind.TEXT),
    _replaced("strip", ValueKind.TEXT),
    _replaced("length", ValueKind.NUMBER),
    Definition(
        "parse_number",
        _parse_number,
        _parse_number_learn,
        check=_parse_number_check,
        parameters=(
            Parameter("decimal", (str,), ".", one_of((".", ","))),
            Parameter("thousands", (str, type(None)), None, _thousands_check),
            Parameter("units", (dict, type(None)), None),
        ),
    ),
    Definition(
        "normalise_text",
        _normalise_text,
        parameters=tuple(Parameter(name, (bool,), default=True) for name in ("case", "accents", "spaces")),
    ),
    Definition(
        "extract",
        _extract,
        columns=(1, 1),
        check=_extract_check,
        parameters=(_PATTERN, _NAME, Parameter("group", (int, str), 1)),
    ),
    Definition("contains", _contains, columns=(1, 1), parameters=(_PATTERN, _NAME)),
)
