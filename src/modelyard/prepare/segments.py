"""The text of one function or class, cut out of the file, notebook cell or doctest that it was written in."""

import __future__

import ast
import inspect
import symtable
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from types import CodeType, FunctionType
from typing import Final

from modelyard.core import Problem
from modelyard.prepare.origins import source_lines

FUTURE: Final = "from __future__ import annotations\n"
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_FUTURE_FLAGS: Final = reduce(or_, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names))


@dataclass(frozen=True)
class Segment:
    """A definition's text on its own.

    Parameters
    ----------
    text
        The text, starting at the margin, without the decorators that were dropped.
    names
        The global names that it reads when it is defined or called; the free variables of a closure are among them.
    hints
        Names in the annotations of its class bodies: wanted where they can be had.
    imports
        The import statements inside.
    """

    text: str
    names: tuple[str, ...]
    hints: tuple[str, ...]
    imports: tuple[ast.Import | ast.ImportFrom, ...]


def function_segment(function: FunctionType, drops: Callable[[ast.expr], bool]) -> Segment:
    """Return the text of a function; `drops` tells which decorators do not belong to it.

    Raises
    ------
    Problem
        `code.invalid` for a lambda, when the text cannot be found, or when the file has changed since it was imported.
    """
    name = function.__name__
    if name == "<lambda>":
        raise Problem(
            "code.invalid", "A lambda cannot travel", "its text cannot be told from the line around it", "write it as a def"
        )
    lines = source_lines(function)
    if lines is None:
        raise _no_source(name)
    node = _find(lines, name, lambda found: _first_line(found) == function.__code__.co_firstlineno)
    if node is None or _has_changed(lines, node, function):
        raise Problem(
            "code.invalid",
            f"The text of '{name}' is not what runs",
            "its file has changed since it was imported",
            "start Python (or the notebook's kernel) again",
        )
    return _segment(lines, node, drops, _defaults(function))


def class_segment(kind: type, drops: Callable[[ast.expr], bool]) -> Segment:
    """Return the text of a class. Raises `Problem("code.invalid")` when it cannot be found."""
    methods = [method for member in vars(kind).values() if (method := _method(member)) is not None]
    methods = [method for method in methods if method.__qualname__.startswith(kind.__qualname__)]
    lines = next((lines for method in methods if (lines := source_lines(method))), None) or _class_lines(kind)
    firsts = {method.__code__.co_firstlineno for method in methods}
    node = _find(
        lines, kind.__name__, lambda found: not firsts or bool(firsts & {_first_line(inner) for inner in _definitions(found)})
    )
    if node is None:
        raise _no_source(kind.__name__)
    return _segment(lines, node, drops, {})


def imports_of(tree: ast.AST) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """Return the import statements of a text, at any depth."""
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def _method(member: object) -> FunctionType | None:
    for inner in (member, getattr(member, "__func__", None), getattr(member, "fget", None)):
        found = inspect.unwrap(inner) if callable(inner) else None
        if isinstance(found, FunctionType):
            return found
    return None


def _class_lines(kind: type) -> list[str]:
    try:
        return inspect.findsource(kind)[0]
    except (OSError, TypeError) as error:
        raise _no_source(kind.__name__) from error


def _no_source(name: str) -> Problem:
    return Problem(
        "code.invalid",
        f"The text of '{name}' cannot be found",
        "it was not written in a file, a notebook or a doctest",
        "put it in a file and import it",
    )


def _definitions(tree: ast.AST) -> Iterator[Definition]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef))


def _find(lines: Sequence[str], name: str, wanted: Callable[[Definition], bool]) -> Definition | None:
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:
        return None
    found = [node for node in _definitions(tree) if node.name == name and wanted(node)]
    return found[-1] if found else None


def _first_line(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _has_changed(lines: Sequence[str], node: Definition, function: FunctionType) -> bool:
    """Whether the text compiles to another function; unknown (pytest rewrites asserts) counts as no."""
    if any(isinstance(inner, ast.Assert) for inner in ast.walk(node)):
        return False
    code = function.__code__
    try:
        whole = compile("".join(lines), code.co_filename, "exec", flags=code.co_flags & _FUTURE_FLAGS, dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    same_place = [
        found for found in _codes(whole) if (found.co_name, found.co_firstlineno) == (code.co_name, code.co_firstlineno)
    ]
    return bool(same_place) and not any(_same(found, code) for found in same_place)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _same(first: CodeType, second: CodeType) -> bool:
    if (first.co_code, first.co_names, first.co_varnames) != (second.co_code, second.co_names, second.co_varnames):
        return False
    pairs = zip(first.co_consts, second.co_consts, strict=False)
    return all(_same(a, b) if isinstance(a, CodeType) and isinstance(b, CodeType) else repr(a) == repr(b) for a, b in pairs)


def _defaults(function: FunctionType) -> Mapping[str, object]:
    positional = function.__code__.co_varnames[: function.__code__.co_argcount]
    given = function.__defaults__ or ()
    return dict(zip(positional[len(positional) - len(given) :], given, strict=True)) | (function.__kwdefaults__ or {})


def _segment(
    lines: Sequence[str], node: Definition, drops: Callable[[ast.expr], bool], defaults: Mapping[str, object]
) -> Segment:
    whole = "".join(lines)
    kept = [ast.get_source_segment(whole, decorator) or "" for decorator in node.decorator_list if not drops(decorator)]
    body = "".join(_with_defaults(lines, node, defaults)[node.lineno - 1 : node.end_lineno])
    body = body if body.endswith("\n") else body + "\n"
    text = "".join(f"@{decorator}\n" for decorator in kept) + _at_margin(body, node)
    tree = ast.parse(text)
    return Segment(text, _global_names(text), _hints(tree), imports_of(tree))


def _with_defaults(lines: Sequence[str], node: Definition, defaults: Mapping[str, object]) -> list[str]:
    """Return the lines with each default that is a name put as its value: a loop's or closure's variable may have moved on."""
    changed = list(lines)
    if isinstance(node, ast.ClassDef):
        return changed
    positional = [*node.args.posonlyargs, *node.args.args]
    pairs = [*zip(positional[len(positional) - len(node.args.defaults) :], node.args.defaults, strict=True)]
    pairs += [(a, d) for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d is not None]
    for argument, default in sorted(pairs, key=lambda pair: (pair[1].lineno, pair[1].col_offset), reverse=True):
        value = literal(defaults.get(argument.arg, ...))
        if isinstance(default, ast.Name) and value is not None:
            line = changed[default.lineno - 1].encode()
            changed[default.lineno - 1] = (
                line[: default.col_offset] + value.encode() + line[default.end_col_offset :]
            ).decode()
    return changed


def _at_margin(body: str, node: Definition) -> str:
    if not node.col_offset:
        return body
    text = textwrap.dedent(body)
    try:
        same = _told(ast.parse(text)) == _told(ast.parse(f"if True:\n{body}").body[0].body[0])  # type: ignore[attr-defined]
    except SyntaxError:
        same = False
    # A string over several lines would lose blanks of its own; an indented block keeps it as it is.
    return text if same else f"if True:\n{body}"


def _told(tree: ast.AST) -> str:
    for node in _definitions(tree):
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree.body[0] if isinstance(tree, ast.Module) else tree)


def _global_names(text: str) -> tuple[str, ...]:
    names: set[str] = set()
    top = symtable.symtable(FUTURE + text, "<captured>", "exec")
    defined = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned()}
    names |= {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    waiting = top.get_children()
    while waiting:
        table = waiting.pop()
        if "annotation" in str(table.get_type()).lower():  # never evaluated; Python 3.14 has tables for them all the same
            continue
        names |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
        waiting += table.get_children()
    return tuple(sorted(names - defined))


def _hints(tree: ast.AST) -> tuple[str, ...]:
    bodies = [statement for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for statement in node.body]
    notes = [statement.annotation for statement in bodies if isinstance(statement, ast.AnnAssign)]
    return tuple(sorted({inner.id for note in notes for inner in ast.walk(note) if isinstance(inner, ast.Name)}))


def literal(value: object) -> str | None:
    """Return a value of literals as Python text, equal values of one type as equal text; None where it is of other things.

    >>> literal({"b": (1, 2.5), "a": {"y", "x"}})
    "{'b': (1, 2.5), 'a': {'x', 'y'}}"
    """
    kind = type(value)
    if value is None or kind in {bool, int, str, bytes}:
        return repr(value)
    if kind is float:
        return repr(value) if value == value and abs(value) != float("inf") else f"float('{value}')"  # type: ignore[arg-type]  # noqa: PLR0124
    if kind is dict:
        pairs = [(literal(key), literal(item)) for key, item in value.items()]  # type: ignore[attr-defined]
        return None if any(None in pair for pair in pairs) else "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}"
    if kind in {tuple, list, set, frozenset}:
        return _literal_items(kind, [literal(item) for item in value])  # type: ignore[attr-defined]
    return None


def _literal_items(kind: type, texts: list[str | None]) -> str | None:
    items = [text for text in texts if text is not None]
    if len(items) < len(texts):
        return None
    if kind in {set, frozenset}:
        items.sort()
        return (
            f"{kind.__name__}()"
            if not items
            else "{" + ", ".join(items) + "}"
            if kind is set
            else "frozenset({" + ", ".join(items) + "})"
        )
    joined = ", ".join(items)
    if kind is tuple:
        return f"({joined},)" if len(items) == 1 else f"({joined})"
    return f"[{joined}]"
