"""Pure decisions about combined versions: what a composition needs of its parts, and what comes of them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import isfinite

import numpy as np

from modelyard.core import Problem
from modelyard.data import Column
from modelyard.data.cell import ELEMENTS, Cell
from modelyard.prepare.values import InputColumn, ValueKind
from modelyard.registry.types import Combining, Composition, ModelVersion, Part, Signature

FORM = "combined"  # the one form of a combined version
FRAMEWORK = "modelyard"  # nobody else's runs it
MOST_MEMBERS = 32
VALUE = "value"  # the output of a regression that was trained here
HEADED = (Combining.STACK, Combining.ROUTE)


def compose(wish: Composition, parts: Sequence[ModelVersion]) -> tuple[Composition, Signature]:
    """Return a composition that was looked through, and the signature of the version that it makes.

    Parameters
    ----------
    parts
        The versions that `wish.parts` names, in that order.

    Raises
    ------
    Problem
        `composition.invalid`, saying which part does not fit and why.
    """
    check_composition(wish)
    rule, members = wish.rule, parts[: len(wish.members)]
    if rule is Combining.ROUTE:
        router_output(parts[-1].signature, wish.parts[-1].ref)
    outputs = parts[-1].signature.outputs if rule is Combining.STACK else _joint_outputs(wish, members)
    asked = list(zip(wish.parts, parts, strict=True))
    for part, version in asked:
        if version.features is not None:
            tables = ", ".join(lookup.dataset for lookup in version.features.lookups)
            step = "combine versions that are sent all that they take"
            raise _invalid(f"{part.ref} looks up features", f"a combined version looks nothing up in {tables}", step)
    if rule is Combining.STACK:
        asked[-1] = (wish.parts[-1], _without_made(wish, parts))
    tensors = all(takes_tensors(part) for _, part in asked if part.signature.inputs)
    return replace(wish, tensors=tensors), Signature(_union(asked, tensors), outputs)


def check_composition(wish: Composition) -> None:
    """Return when a composition makes sense by itself. Problem `composition.invalid`."""
    rule, count, names = wish.rule, len(wish.members), [one.name for one in wish.members]
    least = 1 if rule is Combining.STACK else 2
    if not least <= count <= MOST_MEMBERS:
        raise _invalid(f"It has {_count(count, 'member')}", f"by {rule.value} there are {least} to {MOST_MEMBERS}")
    if len(set(names)) < count:
        twice = next(name for name in names if names.count(name) > 1)
        raise _invalid(f"Two members are called '{twice}'", "each has a name of its own", "name them: NAME=MODEL@NUMBER")
    if rule in HEADED and wish.head is None:
        needed = "the one that answers from the members' answers" if rule is Combining.STACK else "the router"
        raise _invalid("It has no last one", f"by {rule.value} that is {needed}", "--last MODEL@WHAT, or --router MODEL@WHAT")
    if rule not in HEADED and wish.head is not None:
        raise _invalid("It has a last one, or a router", f"by {rule.value} there is none", "leave it out")
    _check_numbers(wish)


def takes_tensors(version: ModelVersion) -> bool:
    """Return whether a version takes tensors as they are; else raw columns."""
    return version.pipeline is None if version.composition is None else version.composition.tensors


def made_columns(member: Part, signature: Signature) -> dict[str, str]:
    """Return the columns in which a stack's head finds a member's answers: outputs by column.

    >>> made_columns(Part("hops", 3, "small"), Signature((), (Column("probability", "Float64"),)))
    {'small': 'probability'}
    """
    names = [one.name for one in signature.outputs]
    return {member.name: names[0]} if len(names) == 1 else {f"{member.name}.{name}": name for name in names}


def counted(rule: Combining, signature: Signature) -> tuple[Column, ...]:
    """Return the outputs of a member that a rule goes by: a route all of them, the others those of floating point."""
    if rule is Combining.ROUTE:
        return signature.outputs
    return tuple(one for one in signature.outputs if Cell.parse(one.dtype).numpy.kind == "f")


def matched(rule: Combining, first: Signature, other: Signature) -> tuple[str, ...]:
    """Return the outputs of `other` that stand for those of `first`, in their order: by name; an only one for the only one."""
    mine, its = counted(rule, first), counted(rule, other)
    if len(mine) == len(its) == 1:
        return (its[0].name,)
    return tuple(one.name for one in mine)


def roles(composition: Composition) -> list[tuple[Part, str]]:
    """Return each part with what it does, for people.

    >>> roles(Composition(Combining.WEIGHTED, (Part("a", 3, "a"),), weights=(0.25,)))[0][1]
    'weighs 0.25'
    """
    rule, members = composition.rule, composition.members
    does = ["is asked"] * len(members)
    if rule is Combining.WEIGHTED:
        does = [f"weighs {weight:g}" for weight in composition.weights]
    if rule is Combining.VOTE:
        does = [f"votes yes from {composition.threshold:g}"] * len(members)
    if rule is Combining.ROUTE:
        does = [*(f"answers below {limit:g}" for limit in composition.limits), "answers the rest"]
    head = [] if composition.head is None else [(composition.head, "chooses" if rule is Combining.ROUTE else "answers")]
    return [*zip(members, does, strict=True), *head]


def router_output(signature: Signature, ref: str) -> str:
    """Return the output whose number chooses. Problem `composition.invalid` when there is not one number a row."""
    cells = {one.name: Cell.parse(one.dtype) for one in signature.outputs}
    numbers = [name for name, cell in cells.items() if not cell.shape and cell.numpy.kind in "iuf"]
    chosen = [name for name in numbers if cells[name].numpy.kind == "f"] if len(numbers) > 1 else numbers
    if len(chosen) != 1:
        told = ", ".join(f"{one.name}: {one.dtype}" for one in signature.outputs)
        raise _invalid(f"{ref} cannot be a router", f"a router gives one number a row, and it gives {told}")
    return chosen[0]


def _check_numbers(wish: Composition) -> None:
    rule, count = wish.rule, len(wish.members)
    if len(wish.weights) != (count if rule is Combining.WEIGHTED else 0):
        why = "each member has one" if rule is Combining.WEIGHTED else f"there are none by {rule.value}"
        raise _invalid(f"It has {_count(len(wish.weights), 'weight')}", why)
    good = all(isfinite(one) and one >= 0 for one in wish.weights)
    if wish.weights and not (good and 0 < sum(wish.weights) < float("inf")):
        raise _invalid(f"The weights {_told(wish.weights)} are not usable", "none is below 0, and their sum is above")
    if len(wish.limits) != (count - 1 if rule is Combining.ROUTE else 0):
        why = f"of {count} members all but the last have one" if rule is Combining.ROUTE else f"there are none by {rule.value}"
        raise _invalid(f"It has {_count(len(wish.limits), 'limit')}", why)
    if not all(isfinite(one) for one in wish.limits) or any(low >= high for low, high in pairwise(wish.limits)):
        raise _invalid(f"The limits {_told(wish.limits)} are not usable", "they are numbers, and each is above the one before")
    if not 0 < wish.threshold <= 1:
        raise _invalid(f"The threshold {wish.threshold:g} is not usable", "it is a probability above 0")


def _joint_outputs(wish: Composition, members: Sequence[ModelVersion]) -> tuple[Column, ...]:
    """Return the outputs of members whose answers become one."""
    rule, first = wish.rule, members[0].signature
    mine = counted(rule, first)
    if not mine:
        raise _invalid(f"{wish.members[0].ref} has no numbers to combine", "its outputs are " + _outputs(first))
    found = [Cell.parse(one.dtype) for one in mine]
    for member, version in zip(wish.members, members, strict=True):
        its = {one.name: one.dtype for one in counted(rule, version.signature)}
        names = matched(rule, first, version.signature)
        other = f"{member.ref} gives {_outputs(version.signature)}, {wish.members[0].ref} gives {_outputs(first)}"
        kinds = {name == VALUE for name in (*names, *(one.name for one in mine))}
        if set(names) != set(its) or len(kinds) > 1:
            raise _invalid(f"The answers of {member.ref} cannot be combined with the others'", other)
        for place, name in enumerate(names):
            wider = _wider(found[place], Cell.parse(its[name]))
            if wider is None:
                raise _invalid(f"The answers of {member.ref} cannot be combined with the others'", other)
            found[place] = wider
    if rule is Combining.VOTE:
        _check_votes(mine, found)
    if rule is Combining.ROUTE and any(None in cell.shape for cell in found):
        raise _invalid("The members' answers are of no fixed shape", "rows that go to different members are told together")
    kept = found if rule is Combining.ROUTE else [replace(cell, element="Float64") for cell in found]
    return tuple(Column(one.name, str(cell)) for one, cell in zip(mine, kept, strict=True))


def _check_votes(outputs: Sequence[Column], cells: Sequence[Cell]) -> None:
    """Return when outputs are one probability, or one for each class."""
    plain = all(not cell.shape for cell in cells)
    vector = len(cells) == 1 and len(cells[0].shape) == 1 and cells[0].shape[0] is not None
    if outputs[0].name == VALUE or not (plain or vector):
        why = "a vote is about classes: one probability, or one for each class; these give " + ", ".join(
            f"{one.name}: {cell}" for one, cell in zip(outputs, cells, strict=True)
        )
        raise _invalid("The members cannot vote", why, "take their mean")


def _without_made(wish: Composition, parts: Sequence[ModelVersion]) -> ModelVersion:
    """Return a stack's head with only those inputs that are no member's answer: what is asked of the caller."""
    head, ref = parts[-1], wish.parts[-1].ref
    wanted = {one.name: one.dtype for one in head.signature.inputs}
    made: set[str] = set()
    for member, version in zip(wish.members, parts, strict=False):
        types = {one.name: one.dtype for one in version.signature.outputs}
        columns = {name: types[output] for name, output in made_columns(member, version.signature).items()}
        taken = {name: dtype for name, dtype in columns.items() if name in wanted}
        if not taken:
            why = f"its answer is called {', '.join(columns)}, and {ref} takes {', '.join(wanted)}"
            raise _invalid(f"{ref} does nothing with {member.ref}", why, "name the member as the column: NAME=MODEL@NUMBER")
        for name, dtype in taken.items():
            if not _fits(dtype, InputColumn(name, wanted[name]), tensors=takes_tensors(head)):
                raise _invalid(f"{ref} cannot take '{name}'", f"{member.ref} gives {dtype}, and it takes {wanted[name]}")
        made |= taken.keys()
    for member, version in zip(wish.members, parts, strict=False):
        raw = made & {one.name for one in version.signature.inputs}
        if raw:
            why = f"'{min(raw)}' is a raw column of {member.ref} and a member's answer"
            raise _invalid("Two columns have one name", why, "train the last one on another name")
    left = tuple(one for one in head.signature.inputs if one.name not in made)
    return replace(head, signature=Signature(left, head.signature.outputs))


def _fits(dtype: str, wanted: InputColumn, *, tensors: bool) -> bool:
    cell = Cell.parse(dtype)
    kind = cell.numpy.kind
    if tensors:
        its = Cell.parse(wanted.dtype)
        same = kind == its.numpy.kind or (kind in "iu" and its.numpy.kind in "iuf")
        return same and (its.admits(tuple(size or 0 for size in cell.shape)) or cell.shape == its.shape)
    kinds = {"f": (ValueKind.NUMBER,), "b": (ValueKind.BOOLEAN,), "O": (ValueKind.TEXT,)}
    return not cell.shape and wanted.kind in kinds.get(kind, (ValueKind.NUMBER, ValueKind.INTEGER))


def _union(asked: Sequence[tuple[Part, ModelVersion]], tensors: bool) -> tuple[Column, ...]:
    """Return the inputs of all parts, each once. Problem `composition.invalid` where two disagree about one."""
    found: dict[str, str] = {}
    of: dict[str, str] = {}
    for member, version in asked:
        for column in version.signature.inputs:
            dtype = column.dtype if tensors or not takes_tensors(version) else _raw(column, member)
            if column.name in found:
                agreed = _agreed(found[column.name], dtype, tensors)
                if agreed is None:
                    why = f"it is {found[column.name]} to {of[column.name]} and {dtype} to {member.ref}"
                    raise _invalid(f"The parts disagree about the input '{column.name}'", why)
                dtype = agreed
            found[column.name] = dtype
            of.setdefault(column.name, member.ref)
    return tuple(Column(name, dtype) for name, dtype in found.items())


def _raw(column: Column, member: Part) -> str:
    """Return the type of a raw column that an input is, of a version that takes tensors, beside others that take columns."""
    cell = Cell.parse(column.dtype)
    wide = {"f": "Float64" if cell.element == "Float64" else "Float32", "b": "Boolean", "O": "String"}
    dtype = wide.get(cell.numpy.kind, "Int64")
    if cell.shape or cell.element == "UInt64":
        why = f"its input '{column.name}' is {column.dtype}, and others of its parts take raw columns, which hold plain values"
        raise _invalid(f"{member.ref} cannot be asked beside the others", why, "combine it with versions that take tensors")
    return dtype


def _agreed(one: str, other: str, tensors: bool) -> str | None:
    """Return the type that holds both; None when there is none."""
    if one == other:
        return one
    if not tensors:
        return "Float64" if {one, other} == {"Float32", "Float64"} else None
    wider = _wider(Cell.parse(one), Cell.parse(other))
    return None if wider is None else str(wider)


def _wider(one: Cell, other: Cell) -> Cell | None:
    """Return a cell of both shapes and the wider element of one kind; None when they are of different kinds or shapes."""
    if one.numpy.kind != other.numpy.kind or len(one.shape) != len(other.shape):
        return None
    if any(None not in sizes and len(set(sizes)) > 1 for sizes in zip(one.shape, other.shape, strict=True)):
        return None
    element = np.result_type(one.numpy, other.numpy)
    word = next(word for word, known in ELEMENTS.items() if known == element)
    return Cell(word, tuple(a if b is None else b for a, b in zip(one.shape, other.shape, strict=True)))


def _outputs(signature: Signature) -> str:
    return ", ".join(f"{one.name}: {one.dtype}" for one in signature.outputs)


def _told(numbers: Sequence[float]) -> str:
    return ", ".join(f"{one:g}" for one in numbers)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _invalid(what: str, why: str, step: str = "see docs/serving/ensembles.md") -> Problem:
    return Problem("composition.invalid", what, why, step)
