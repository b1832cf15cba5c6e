"""The declared kinds of step, in one table."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from modelyard.prepare.steps.categories import CATEGORIES
from modelyard.prepare.steps.columns import COLUMNS
from modelyard.prepare.steps.dates import DATES
from modelyard.prepare.steps.definition import Definition, Training, definition_of
from modelyard.prepare.steps.numbers import NUMBERS
from modelyard.prepare.steps.texts import TEXTS
from modelyard.prepare.types import DeclaredStep

STEPS: Final[Mapping[str, Definition]] = MappingProxyType(
    {definition.kind: definition for definition in (*COLUMNS, *NUMBERS, *CATEGORIES, *TEXTS, *DATES)}
)


def definition(step: DeclaredStep) -> Definition:
    """Return the definition of a step's kind. Raises `Problem("step.missing")` with the nearest kinds."""
    return definition_of(step, STEPS)


__all__ = ["STEPS", "Definition", "Training", "definition"]
