"""Capture a user's function as `Code`: its text, and just what it needs of the things around it."""

import ast
import builtins
import inspect
import logging
import re
import sys
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final

from modelyard.core import Problem
from modelyard.prepare.code import CAPTURED, PRIVATE, Code
from modelyard.prepare.origins import (
    find_module,
    is_house_file,
    is_house_name,
    is_installed,
    is_installed_file,
    source_of_module,
)
from modelyard.prepare.segments import FUTURE, Segment, class_segment, function_segment, imports_of, literal

MAX_SIZE_BYTES: Final = 4 << 20
_ABSENT: Final = object()


def capture(function: Callable[..., Any]) -> Code:
    """Return a function's text with what it needs, ready to travel.

    What its text names travels so: an installed package or a thing of one as an import; a function or class of the same
    file as its text, and what that needs in turn; a module of the user's own, whole; literals (None, bool, int, float, str,
    bytes and tuples, lists, dicts, sets of them), loggers and compiled patterns by their values now, closures and defaults
    likewise.
    Decorators of modelyard are left out, other decorators stay. The same function gives the same digest on every call.

    Limits: the function is written with `def` in a file, notebook or doctest that has not changed since; names are looked
    up when this is called, so they are defined by then; annotations of arguments are not evaluated when it is loaded; data
    files beside the user's modules, `importlib.import_module` and `from . import` inside the function do not find those
    modules.

    Raises
    ------
    Problem
        `code.invalid` with the name and type of what cannot travel and what to do; `code.too_large` over 4 MiB.
    """
    inner = _unwrapped(function)
    known = getattr(inner, "__globals__", {}).get(CAPTURED)
    if isinstance(known, Code) and known.entry == getattr(inner, "__name__", None):
        return known
    if not isinstance(inner, FunctionType | BuiltinFunctionType) or inspect.ismethod(function):
        raise Problem(
            "code.invalid",
            f"{function!r:.80} cannot travel",
            f"it is a {type(function).__name__}, and only a function can",
            "write it as a def at the top of a file or notebook cell",
        )
    slice_ = _Slice(inner.__name__)
    slice_.take(inner.__name__, function)
    return slice_.code()


class _Slice:
    """What has been taken along so far, each thing under the name that the texts know it by."""

    def __init__(self, entry: str) -> None:
        self.entry = entry
        self.taken: dict[str, object] = {}
        self.imports: set[str] = set()
        self.values: dict[str, str] = {}
        self.definitions: list[str] = []
        self.modules: dict[str, str] = {}

    def code(self) -> Code:
        values = [f"{name} = {self.values[name]}\n" for name in sorted(self.values)]
        head = FUTURE + "".join(f"{line}\n" for line in sorted(self.imports)) + "".join(values)
        code = Code("\n\n".join([head, *self.definitions]), self.entry, dict(sorted(self.modules.items())))
        size = len(code.source) + sum(map(len, code.modules.values()))
        if size > MAX_SIZE_BYTES:
            raise Problem(
                "code.too_large",
                f"The code of '{self.entry}' is too large",
                f"it has {size} bytes, over the limit of {MAX_SIZE_BYTES}",
                "pass large values as parameters or artifacts",
            )
        return code

    def take(self, name: str, value: object) -> None:
        """Take one thing along under a name. Raises `Problem("code.invalid")`."""
        text = _value_text(value)
        if name in self.taken:
            if self.taken[name] is not value and (text is None or _value_text(self.taken[name]) != text):
                raise Problem(
                    "code.invalid",
                    f"The code of '{self.entry}' knows two things as '{name}'",
                    "they come from different files or closures",
                    "rename one of them",
                )
            return
        self.taken[name] = value
        inner = _unwrapped(value)
        if text is not None:
            self.values[name] = text
        elif isinstance(value, ModuleType):
            self._take_module(name, value)
        elif isinstance(inner, FunctionType) and _is_users(inner):
            self._take_function(name, value, inner)
        elif isinstance(value, type) and _is_users_class(value):
            self._take_class(name, value)
        elif line := _import_line(name, value):
            self.imports.add(line)
        else:
            raise self._stays(name, value)

    def _stays(self, name: str, value: object) -> Problem:
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        return Problem(
            "code.invalid",
            f"'{name}', which '{self.entry}' uses, cannot travel",
            f"it is a {kind}",
            "pass it as a parameter, import it from an installed package, or define it inside the function",
            {"name": name, "type": kind, "function": self.entry},
        )

    def _take_module(self, name: str, module: ModuleType) -> None:
        if module.__name__ == "__main__":
            raise self._stays(name, module)
        if not is_installed(module):
            self._bundle(module)
        real = _real_name(module.__name__)
        self.imports.add(f"import {real}" if real == name else f"import {real} as {name}")

    def _take_function(self, name: str, value: object, function: FunctionType) -> None:
        if self._from_module(name, value, function.__globals__):
            return
        segment = function_segment(function, lambda decorator: _is_ours(decorator, _scope_of(function)))
        self._take_segment(segment, _scope_of(function), function.__name__)
        if name != function.__name__:
            self.definitions.append(f"{name} = {function.__name__}\n")

    def _take_class(self, name: str, kind: type) -> None:
        names = vars(sys.modules[kind.__module__]) if kind.__module__ in sys.modules else {}
        if self._from_module(name, kind, names):
            return
        methods = (_function(member) for member in vars(kind).values())
        scope = next((_scope_of(m) for m in methods if m is not None and m.__module__ == kind.__module__), names)
        segment = class_segment(kind, lambda decorator: _is_ours(decorator, scope))
        self._take_segment(segment, scope, kind.__name__)
        if name != kind.__name__:
            self.definitions.append(f"{name} = {kind.__name__}\n")

    def _from_module(self, name: str, value: object, names: Mapping[str, object]) -> bool:
        """Bundle the whole module of a thing that another file of the user's defines, and say whether it is so."""
        first = self.taken.get(self.entry)
        home = getattr(_unwrapped(first), "__globals__", None)
        module = sys.modules.get(_word(value, "__module__"))
        attribute = _word(value, "__qualname__")
        if module is None or module.__name__ == "__main__" or vars(module) is not names or names is home:
            return False
        if getattr(module, attribute, _ABSENT) is not value:
            return False
        self._bundle(module)
        self.imports.add(f"from {_real_name(module.__name__)} import {attribute} as {name}")
        return True

    def _take_segment(self, segment: Segment, scope: Mapping[str, object], name: str) -> None:
        self.taken.setdefault(name, scope.get(name, _ABSENT))
        for statement in segment.imports:
            if isinstance(statement, ast.ImportFrom) and statement.level:
                raise Problem(
                    "code.invalid",
                    f"'{name}' imports from '.', which cannot travel",
                    "a function on its own is in no package",
                    "write the full name of the package in the import",
                )
            self._bundle_imported(statement, "")
        for used in segment.names:
            if used in scope:
                self._take_used(used, scope[used], segment.text)
            elif used not in vars(builtins) and used not in _MODULE_NAMES:
                raise Problem(
                    "code.invalid",
                    f"'{name}' uses '{used}', which is not defined",
                    "names are looked up when the code is captured",
                    f"define '{used}' before",
                )
        for hint in segment.hints:
            if hint in scope:
                self._take_used(hint, scope[hint], segment.text)
        self.definitions.append(segment.text)

    def _take_used(self, name: str, value: object, text: str) -> None:
        self.take(name, value)
        if isinstance(value, ModuleType):
            for inner in _submodules(name, value, text):
                if is_installed(inner):
                    self.imports.add(f"import {inner.__name__}")
                else:
                    self._bundle(inner)

    def _bundle(self, module: ModuleType) -> None:
        """Take the whole text of a user's module, of its packages, and of the user's modules that it imports."""
        name = _real_name(module.__name__)
        is_package = hasattr(module, "__path__")
        key = f"{name}.__init__" if is_package else name
        if key in self.modules:
            return
        text = source_of_module(module)
        if text is None:
            raise Problem(
                "code.invalid",
                f"The module '{name}', which '{self.entry}' uses, cannot travel",
                "it has no Python text",
                "install it as a package where the code runs",
            )
        self.modules[key] = text
        parent = name.rpartition(".")[0]
        if parent and (package := find_module(parent)):
            self._bundle(package)
        for statement in imports_of(ast.parse(text)):
            self._bundle_imported(statement, name if is_package else parent)

    def _bundle_imported(self, statement: ast.Import | ast.ImportFrom, package: str) -> None:
        for name in _imported(statement, package):
            module = find_module(name)
            if module is not None and module.__name__ == name and name != "__main__" and not is_installed(module):
                self._bundle(module)


_MODULE_NAMES: Final = frozenset({"__name__", "__file__", "__doc__", "__package__", "__spec__", "__loader__"})


def _value_text(value: object) -> str | None:
    if isinstance(value, logging.Logger):
        return f"__import__('logging').getLogger({value.name!r})"
    if isinstance(value, re.Pattern):
        return f"__import__('re').compile({value.pattern!r}, {value.flags})"
    return literal(value)


def _is_users(function: FunctionType) -> bool:
    file = function.__code__.co_filename
    return not (is_house_file(file) or is_installed_file(file))


def _is_users_class(kind: type) -> bool:
    for member in vars(kind).values():
        function = _function(member)
        if (
            function is not None
            and function.__module__ == kind.__module__
            and not function.__code__.co_filename.startswith("<string>")
        ):
            return _is_users(function)
    module = sys.modules.get(kind.__module__)
    return module is None or not is_installed(module)


def _function(member: object) -> FunctionType | None:
    found = _unwrapped(member if callable(member) else getattr(member, "__func__", getattr(member, "fget", None)))
    return found if isinstance(found, FunctionType) else None


def _unwrapped(value: object) -> object:
    """Return what a decorator has wrapped, told by `functools.wraps`. Objects that answer to any name (`polars.col`) stay."""
    while (inner := inspect.getattr_static(value, "__wrapped__", None)) is not None:
        value = inner
    return value


def _word(value: object, attribute: str) -> str:
    """Return an attribute that is text, else the empty text."""
    word = getattr(value, attribute, None)
    return word if isinstance(word, str) else ""


def _scope_of(function: FunctionType) -> dict[str, object]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    closure = {}
    for name, cell in cells:
        try:
            closure[name] = cell.cell_contents
        except ValueError:  # not yet assigned; told as undefined when it is used
            continue
    return function.__globals__ | closure


def _is_ours(decorator: ast.expr, scope: Mapping[str, object]) -> bool:
    """Whether a decorator is modelyard's own: its name, or what its name is an attribute of, is of this package."""
    root, attributes = _chain(decorator.func if isinstance(decorator, ast.Call) else decorator)
    if root is None:
        return False
    value = scope[root] if root in scope else _of_callers(root)
    for attribute in [None, *attributes]:
        value = value if attribute is None else inspect.getattr_static(value, attribute, None)
        name = value.__name__ if isinstance(value, ModuleType) else _word(value, "__module__")
        if is_house_name(name) or is_house_name(type(value).__module__):
            return True
    return False


def _chain(node: ast.AST) -> tuple[str | None, list[str]]:
    """Return the name that a chain of attributes begins with (None: it begins with no name), and the attributes."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.insert(0, node.attr)
        node = node.value
    return (node.id if isinstance(node, ast.Name) else None), attributes


def _of_callers(name: str) -> object:
    """Return a variable of the functions that called: a decorator's name in a function is known to that function only."""
    frame = inspect.currentframe()
    while frame is not None:
        if name in frame.f_locals and not is_house_file(frame.f_code.co_filename):
            return frame.f_locals[name]
        frame = frame.f_back
    return None


def _import_line(name: str, value: object) -> str | None:
    """Return the import that binds a thing of an installed package, None where there is none."""
    own = (_word(value, "__module__"), _word(value, "__qualname__"))
    home = sys.modules.get(own[0])
    places = [own] if home is not None and own[1] and getattr(home, own[1], _ABSENT) is value else _places(name, value)
    for module, attribute in places:
        if is_installed(sys.modules[module]):
            return f"from {module} import {attribute}" + (f" as {name}" if attribute != name else "")
    return None


def _places(name: str, value: object) -> list[tuple[str, str]]:
    """Return where else a thing may be had, for those that do not know it: `polars.col`, `numpy.log`."""
    roots = {type(value).__module__.partition(".")[0], _word(value, "__module__").partition(".")[0]}
    modules = sorted((m for m in list(sys.modules) if m.partition(".")[0] in roots), key=lambda m: (m.count("."), m))
    attributes = (name, _word(value, "__name__"))
    # Only what a module has already: asking one for more may import half of the world.
    return [
        (module, word) for module in modules for word in attributes if vars(sys.modules[module]).get(word, _ABSENT) is value
    ]


def _submodules(name: str, module: ModuleType, text: str) -> list[ModuleType]:
    """Return the modules that a text reaches as attributes of a package: `xml.etree.ElementTree` of `xml`."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        root, chain = _chain(node)
        value: object = module
        for attribute in chain if root == name else []:
            inner = vars(value).get(attribute) if isinstance(value, ModuleType) else None
            if not isinstance(inner, ModuleType) or inner.__name__ != f"{value.__name__}.{attribute}":  # type: ignore[attr-defined]
                break
            value = found[inner.__name__] = inner
    return [found[name] for name in sorted(found)]


def _imported(statement: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    """Return the full names of the modules that a statement may import, packages before their modules."""
    if isinstance(statement, ast.Import):
        names = [alias.name for alias in statement.names]
    else:
        parts = package.split(".") if package else []
        base = ".".join(parts[: len(parts) - statement.level + 1]) if statement.level else ""
        module = ".".join(part for part in (base, statement.module or "") if part)
        names = [module, *(f"{module}.{alias.name}" for alias in statement.names)]
    pieces = [name.split(".") for name in names if name]
    return [".".join(parts[: i + 1]) for parts in pieces for i in range(len(parts))]


def _real_name(name: str) -> str:
    return name.partition(".")[2] if name.startswith(PRIVATE) else name
