"""Steps on text: lower case, white space, length."""

from typing import Final

from modelyard.prepare.expressions import PerValue
from modelyard.prepare.scope import Scope
from modelyard.prepare.steps.definition import Definition, told
from modelyard.prepare.types import DeclaredStep
from modelyard.prepare.values import ValueKind

_TEXT: Final = frozenset({ValueKind.TEXT})


def _replaced(function: str, kind: ValueKind) -> Definition:
    def write(step: DeclaredStep, scope: Scope) -> None:
        for name in step.columns:
            scope.set(name, PerValue(function, scope.column(name, _TEXT, told(step)), kind))

    return Definition(function, write)


TEXTS: Final = (_replaced("lower", ValueKind.TEXT), _replaced("strip", ValueKind.TEXT), _replaced("length", ValueKind.NUMBER))
