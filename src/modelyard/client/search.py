"""What a study searches, as a user writes it."""

from collections.abc import Sequence
from typing import Any

from modelyard.core import Problem
from modelyard.training import Choice, Float, Int, Space


class Search:
    """Parameter names with their ranges: `Float`, `Int`, `Choice`, a `range`, or a list of values.

    >>> Search(depth=range(3, 9), family=["boosting", "linear"]).space.ints
    {'depth': Int(low=3, high=8, log=False)}
    """

    def __init__(self, **ranges: Float | Int | Choice | range | Sequence[Any]) -> None:
        floats: dict[str, Float] = {}
        ints: dict[str, Int] = {}
        choices: dict[str, Choice] = {}
        for name, told in ranges.items():
            found = _range(name, told)
            if isinstance(found, Float):
                floats[name] = found
            elif isinstance(found, Int):
                ints[name] = found
            else:
                choices[name] = found
        self.space = Space(floats, ints, choices)


def _range(name: str, told: Any) -> Float | Int | Choice:
    if isinstance(told, Float | Int):
        if not told.low <= told.high or (told.log and told.low <= 0):
            raise _invalid(name, f"{told.low} … {told.high} is no range" + (" of a logarithm" if told.log else ""))
        return told
    if isinstance(told, range) and told:
        return Int(told[0], told[-1]) if told.step == 1 else Choice(tuple(told))
    if isinstance(told, Choice):
        told = told.values
    if isinstance(told, Sequence) and not isinstance(told, str | bytes) and len(told):
        return Choice(tuple(told))
    raise _invalid(name, f"{told!r:.60} names no values")


def _invalid(name: str, why: str) -> Problem:
    step = f'write {name}=range(3, 9), {name}=Float(0.01, 0.3, log=True) or {name}=["a", "b"]'
    return Problem("search.invalid", f"The parameter '{name}' cannot be searched", why, step)
