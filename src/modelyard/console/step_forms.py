"""Forms of steps: fields made from the kinds' own definitions, and steps read back from what was filled in."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard.core import Json, Problem
from modelyard.prepare import DeclaredStep, prep
from modelyard.prepare.steps import GROUPS, STEPS, Definition, OneOf, Parameter, definition

COLUMN = "column:"  # how the field of a chosen column begins
PLACE = "place:"  # the field of the first, second … column, where their number is fixed
PARAMETER = "parameter:"
FEW = 2  # columns that are chosen one by one


@dataclass(frozen=True)
class Choice:
    """A column that may be chosen: its kind of value, and whether it is."""

    name: str
    kind: str
    chosen: bool


@dataclass(frozen=True)
class Place:
    """A select of one column."""

    field: str
    label: str
    chosen: str


@dataclass(frozen=True)
class Field:
    """One parameter: `control` is text, select or check."""

    field: str
    name: str
    control: str
    value: str
    choices: tuple[str, ...]
    hint: str


@dataclass(frozen=True)
class StepForm:
    """The fields of a step."""

    kind: str
    meaning: str
    columns: tuple[Choice, ...]
    places: tuple[Place, ...]  # empty: any number of columns, by check boxes
    fields: tuple[Field, ...]


def meaning_of(kind: str) -> str:
    """Return what a kind does, in a line: as `help(prep.KIND)` begins.

    >>> meaning_of("sqrt")
    'Take the square root of numbers, in place: missing below 0.'
    """
    return str(getattr(prep, kind).__doc__).partition("\n")[0]


def kinds_by_group() -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Return every declared kind with its meaning, by group."""
    return tuple((group, tuple((one.kind, meaning_of(one.kind)) for one in kinds)) for group, kinds in GROUPS.items())


def form_of(kind: str, columns: Sequence[tuple[str, str]], given: Mapping[str, str]) -> StepForm:
    """Return the form of a kind, filled with `given` fields; `columns` (name, kind of value) are those that stand there."""
    defined = _definition(kind)
    named = dict(columns)
    chosen = _chosen(defined, given)
    known = [*columns, *((name, "not there") for name in chosen if name and name not in named)]
    return StepForm(
        kind=kind,
        meaning=meaning_of(kind),
        columns=tuple(Choice(name, held, name in chosen) for name, held in known),
        places=tuple(
            Place(
                f"{PLACE}{n}", f"column {n + 1}" if defined.columns[1] > 1 else "column", chosen[n] if n < len(chosen) else ""
            )
            for n in range(defined.columns[1] if defined.columns[1] <= FEW else 0)
        ),
        fields=tuple(_field(parameter, given) for parameter in defined.parameters),
    )


def fields_of_step(step: DeclaredStep) -> dict[str, str]:
    """Return the fields that a step fills a form with."""
    defined = definition(step)
    few = defined.columns[1] <= FEW
    fields = {f"{PLACE}{n}" if few else f"{COLUMN}{name}": name for n, name in enumerate(step.columns)}
    texts = ((one, text_of(one, step.params.get(one.name, one.default))) for one in defined.parameters)
    return fields | {f"{PARAMETER}{one.name}": text for one, text in texts if text or one.types != (bool,)}


def empty_fields(kind: str) -> dict[str, str]:
    """Return the fields of a step that nobody has filled in: its defaults."""
    defaults = ((one, one.default) for one in _definition(kind).parameters if isinstance(one.default, str | bool | int | float))
    return {f"{PARAMETER}{one.name}": text for one, default in defaults if (text := text_of(one, default))}


def read_step(kind: str, given: Mapping[str, str], order: Sequence[str] = ()) -> DeclaredStep:
    """Return the step that a form says. Columns in `order` keep it, further ones follow as the form has them.

    Raises
    ------
    Problem
        `step.missing` for an unknown kind; `step.invalid` for a field that does not read, and for arguments that are none.
    """
    defined = _definition(kind)
    chosen = _chosen(defined, given)
    kept = [name for name in order if name in chosen]
    columns = chosen if defined.columns[1] <= FEW else [*kept, *(name for name in chosen if name not in kept)]
    params: dict[str, Json] = {}
    for one in defined.parameters:
        text = given.get(f"{PARAMETER}{one.name}", "").strip()
        if one.types == (bool,):
            params[one.name] = bool(text)
        elif text:
            params[one.name] = _value(kind, one, text)
    return defined.checked(DeclaredStep(kind, tuple(columns), params))


def text_of(parameter: Parameter, value: Any) -> str:
    """Return a value as the text of its field; `read_step` reads it back."""
    if value is None:
        return ""
    if parameter.types == (bool,):
        return "on" if value else ""
    if isinstance(value, list) and str not in parameter.types and parameter.items is str:
        joined = ", ".join(map(str, value))
        return joined if _parsed(parameter, joined) == value else json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value and value == value.strip() and _parsed(parameter, value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _definition(kind: str) -> Definition:
    return definition(DeclaredStep(kind, (), {})) if kind not in STEPS else STEPS[kind]


def _chosen(defined: Definition, given: Mapping[str, str]) -> list[str]:
    if defined.columns[1] <= FEW:
        return [given[f"{PLACE}{n}"] for n in range(defined.columns[1]) if given.get(f"{PLACE}{n}")]
    return [field.removeprefix(COLUMN) for field in given if field.startswith(COLUMN)]


def _field(parameter: Parameter, given: Mapping[str, str]) -> Field:
    value = given.get(f"{PARAMETER}{parameter.name}", "")
    choices: tuple[str, ...] = ()
    control, hint = "text", ""
    if parameter.types == (bool,):
        control = "check"
    elif isinstance(parameter.check, OneOf):
        control, choices = "select", tuple("" if one is None else one for one in parameter.check.choices)
    elif dict in parameter.types:
        hint = 'as in {"k": 1000}'
    elif list in parameter.types:
        hint = "numbers, with commas" if parameter.items is float else "with commas between"
    elif bool in parameter.types:
        hint = 'a number, true, false or text; "5" is text'
    elif str not in parameter.types:
        hint = "a whole number" if float not in parameter.types else "a number"
    if parameter.default is None and control != "select":
        hint = f"{hint}; may be empty" if hint else "may be empty"
    return Field(f"{PARAMETER}{parameter.name}", parameter.name, control, value, choices, hint)


def _value(kind: str, parameter: Parameter, text: str) -> Json:
    found = _parsed(parameter, text)
    if found is None:
        wanted = _field(parameter, {}).hint or "text"
        what = f"The field '{parameter.name}' of {kind} does not read"
        raise Problem("step.invalid", what, f"it says {text[:80]!r}", f"write {wanted.removesuffix('; may be empty')}")
    return found


def _parsed(parameter: Parameter, text: str) -> Json:
    """Return what a text says by the types that a parameter takes; None: nothing."""
    if isinstance(parameter.check, OneOf):
        return text
    found = _json(text)
    if found is not None and (type(found) in parameter.types or (type(found) is int and float in parameter.types)):
        return found
    if str in parameter.types:
        return text
    if list not in parameter.types:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if parameter.items is str:
        return parts
    numbers = [_json(part) for part in parts]
    return numbers if all(type(number) in (int, float) for number in numbers) else None


def _json(text: str) -> Json:
    """Return what a text of JSON says; None where it says nothing."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
