"""What commands print: tables for people, JSON for scripts, problems in full."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

from modelyard.core import Problem

WIDE = 240  # columns of a table that goes into a file or a pipe


def show(value: Any, as_json: bool, table: Sequence[str] | Mapping[str, str] | None = None) -> None:
    """Print what a command found.

    Parameters
    ----------
    value
        One of the slices' dataclasses, or many, or a mapping.
    as_json
        Print it as one line of JSON.
    table
        For many: the fields to show, in order, or their headings; a dot goes into a field's own fields.
    """
    if as_json:
        import msgspec

        sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    elif table is not None:
        columns = table if isinstance(table, Mapping) else {name: name.rpartition(".")[2] for name in table}
        _print_table(list(columns.values()), [[_cell(_field(row, name)) for name in columns] for row in value])
    else:
        fields = value if isinstance(value, Mapping) else _fields(value)
        _print_table([], [[name, _cell(one)] for name, one in fields.items()])


def say(text: str) -> None:
    """Print a line for people; scripts read standard output and do not see it."""
    sys.stderr.write(text + "\n")


def tell_problem(problem: Problem, as_json: bool) -> None:
    """Print a problem on standard error: what, why, next step; or the same as JSON."""
    if as_json:
        import msgspec

        parts = {part: getattr(problem, part) for part in ("code", "what", "why", "next_step", "detail")}
        sys.stderr.write(msgspec.json.encode({"problem": parts}).decode() + "\n")
        return
    lines = [f"Problem: {problem.what}"]
    lines += [f"   why:  {problem.why}"] if problem.why else []
    lines += [f"   next: {problem.next_step}"] if problem.next_step else []
    traceback = problem.detail.get("traceback")
    sys.stderr.write((f"{traceback}\n" if traceback else "") + "\n".join(lines) + "\n")


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _field(row: Any, path: str) -> Any:
    if isinstance(row, Mapping) and path in row:
        return row[path]  # a user's column, whose name may have a dot of its own
    for name in path.split("."):
        row = row.get(name) if isinstance(row, Mapping) else getattr(row, name, None)
    return row


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return str(value.value)
    return _many(value) or _one(value)


def _many(value: Any) -> str:
    if hasattr(value, "__dataclass_fields__"):
        value = _fields(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_cell(one)}" for name, one in value.items()) or " "
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(_cell(one) for one in value) or " "
    return ""


def _one(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console() if sys.stdout.isatty() else Console(width=WIDE, no_color=True)
    if not rows:
        console.print("none", style="dim")
        return
    table = Table(box=SIMPLE_HEAD if headings else None, show_header=bool(headings), pad_edge=False)
    for heading in headings or [""] * len(rows[0]):
        table.add_column(heading.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*[_escaped(cell) for cell in row])
    console.print(table)


def _escaped(text: str) -> Any:
    from rich.text import Text

    return Text(text)
