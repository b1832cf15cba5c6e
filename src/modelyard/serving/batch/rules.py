"""How rows are cut into parts, and when a plan may be gone on with."""

import re
from collections.abc import Iterator

import msgspec

from modelyard.core import Digest, Problem, digest_json
from modelyard.serving.batch.types import Input, Part, Plan

MOST_ROWS = 250_000  # of a part
MOST_BYTES = 64 << 20  # of a part's rows in memory
_STEM = re.compile(r"[^A-Za-z0-9.-]+")


def rows_of_part(row_bytes: float) -> int:
    """Return how many rows a part has: few where they are large, so that memory stays bounded.

    >>> rows_of_part(100), rows_of_part(600_000)
    (250000, 111)
    """
    return max(1, min(MOST_ROWS, int(MOST_BYTES / max(row_bytes, 1.0))))


def parts_of(plan: Plan) -> list[Part]:
    """Return the parts, in the order of the rows. None spans two inputs; where no input has rows there is an empty one.

    A name tells the place, and where there are several files also which one, so that names in order give the rows in order.
    """
    return list(_parts(plan)) or [Part(0, 0, 0, 0, _name(plan, 0, plan.inputs[0]))]


def _parts(plan: Plan) -> Iterator[Part]:
    number = 0
    for place, one in enumerate(plan.inputs):
        for first_row in range(0, one.rows, plan.part_rows):
            rows = min(plan.part_rows, one.rows - first_row)
            yield Part(number, place, first_row, rows, _name(plan, number, one))
            number += 1


def _name(plan: Plan, number: int, one: Input) -> str:
    stem = one.name.rpartition("/")[2].partition(".")[0]
    told = f"-{_STEM.sub('_', stem)[:80]}" if len(plan.inputs) > 1 else ""
    return f"part-{number:06}{told}.{plan.part_form.value}"


def key_of(plan: Plan) -> str:
    """Return what two plans share that come to the same answers, whoever asked: 64 hex digits."""
    told = msgspec.to_builtins(plan)
    same = {name: value for name, value in told.items() if name not in {"job", "source", "part_rows"}}
    if not plan.features:
        del same["features"]  # so that plans from before there were any stay the same
    return digest_json(same).rpartition(":")[2]


def require_same(before: Plan, now: Plan, told: str) -> None:
    """Return when the work that `before` began may be gone on with.

    Raises
    ------
    Problem
        `target.conflict` when the answers there are by another version, form or kind of file; `source.conflict` when they are
        of other rows, naming the first file that differs.
    """
    step = "name another target, or begin again with --anew"
    if (before.model, before.version) != (now.model, now.version):
        by, asked = f"{before.model}@{before.version}", f"{now.model}@{now.version}"
        what, why = f"{told} holds answers by {by}", f"{asked} was asked for, and answers of two versions are not mixed"
        raise Problem("target.conflict", what, why, f"go on with {by}, {step}")
    if (before.form, before.content, before.part_form) != (now.form, now.content, now.part_form):
        was, is_now = (f"{one.form} in {one.part_form.value}" for one in (before, now))
        raise Problem("target.conflict", f"{told} holds answers by another form of the version", f"{was}, now {is_now}", step)
    if before.features != now.features:
        what, why = f"{told} holds answers by features as they were then", "the tables that are looked up have newer versions"
        raise Problem("target.conflict", what, why, step)
    if before.inputs != now.inputs:
        raise Problem("source.conflict", f"The rows are not those that {told} was begun with", _change(before, now), step)


def _change(before: Plan, now: Plan) -> str:
    was, are = ({one.name: one for one in plan.inputs} for plan in (before, now))
    for name, one in was.items():
        if name not in are:
            return f"{name} is not there any more"
        if are[name] != one:
            return f"{name} has changed"
    more = [name for name in are if name not in was]
    return f"{more[0]} is new" if more else "its files stand in another order"


def to_json(value: object) -> bytes:
    """Return a plan, report or listing as JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1)


def plan_from_json(content: bytes, told: str) -> Plan:
    """Return the plan that `to_json` wrote. Problem `target.invalid`."""
    try:
        return msgspec.json.decode(content, type=Plan)
    except msgspec.DecodeError as error:
        what, step = f"{told} was begun by something else", "name another target"
        raise Problem("target.invalid", what, str(error), step) from error


def content_of(digests: tuple[Digest, ...]) -> Digest:
    """Return one digest for what a version is loaded from."""
    return digest_json(list(digests))
