"""A declared step as the Python text that writes it."""

from typing import Final

from modelyard.core import Json
from modelyard.prepare.segments import literal
from modelyard.prepare.steps import definition
from modelyard.prepare.types import DeclaredStep

# Kinds that take several columns as one list; others take them one by one.
_LISTED: Final = frozenset(
    {"bucket", "cast", "clip", "convert", "cyclical", "date_parts", "fill_null", "hash_bucket", "parse_date", "parse_number"}
)
_NAMED: Final = {"from": "from_"}  # what is no name in Python


def step_text(step: DeclaredStep) -> str:
    """Return the call of `prep` that makes an unfitted step, without the arguments that have their default.

    >>> step_text(DeclaredStep("one_hot", ("a", "b"), {"limit": 10, "min_count": 1}))
    "prep.one_hot('a', 'b', limit=10)"
    """
    params = dict(step.params)
    if step.kind == "rename":
        return f"prep.rename({_told(dict(zip(step.columns, params['to'], strict=True)))})"
    columns: list[Json] = [list(step.columns)] if step.kind in _LISTED and len(step.columns) > 1 else list(step.columns)
    arguments = [*columns, *params.pop("parts", [])]
    texts = [_told(argument) for argument in arguments]
    for parameter in definition(step).parameters:
        if parameter.name in params and params[parameter.name] != parameter.default:
            texts.append(f"{_NAMED.get(parameter.name, parameter.name)}={_told(params[parameter.name])}")
    return f"prep.{step.kind}({', '.join(texts)})"


def _told(value: Json) -> str:
    return literal(value) or repr(value)
