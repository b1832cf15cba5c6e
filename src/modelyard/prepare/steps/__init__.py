"""The declared kinds of step, in one table."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from modelyard.core import Json
from modelyard.prepare.steps.categories import CATEGORIES
from modelyard.prepare.steps.columns import COLUMNS
from modelyard.prepare.steps.dates import DATES
from modelyard.prepare.steps.definition import Definition, OneOf, Parameter, Training, definition_of
from modelyard.prepare.steps.numbers import NUMBERS
from modelyard.prepare.steps.texts import TEXTS
from modelyard.prepare.steps.units import CONVERSIONS
from modelyard.prepare.types import DeclaredStep

GROUPS: Final[Mapping[str, tuple[Definition, ...]]] = MappingProxyType(
    {
        "columns": COLUMNS,
        "numbers": NUMBERS,
        "units": CONVERSIONS,
        "categories": CATEGORIES,
        "texts": TEXTS,
        "dates and times": DATES,
    }
)
STEPS: Final[Mapping[str, Definition]] = MappingProxyType(
    {definition.kind: definition for group in GROUPS.values() for definition in group}
)


def definition(step: DeclaredStep) -> Definition:
    """Return the definition of a step's kind. Raises `Problem("step.missing")` with the nearest kinds."""
    return definition_of(step, STEPS)


def declared(kind: str, columns: str | Sequence[str], **params: Json) -> DeclaredStep:
    """Return the step of a kind with its defaults filled in. Raises `Problem("step.invalid")` for wrong arguments."""
    step = DeclaredStep(kind, (columns,) if isinstance(columns, str) else tuple(columns), params)
    return definition(step).checked(step)


__all__ = ["GROUPS", "STEPS", "Definition", "OneOf", "Parameter", "Training", "declared", "definition"]
