"""User code as text: what a function needs of its surroundings, and how it is made a function again elsewhere.

No pickle: a `Code` can be read, compared, digested and run by another Python version. `capture` makes one, `load` runs it.
"""

import builtins
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final, cast

from modelyard.core import Digest, Json, JsonObject, Problem, digest_json

PRIVATE: Final = "yardcode_"
CAPTURED: Final = "__captured__"  # the global in which a loaded module keeps its `Code`


@dataclass(frozen=True)
class Code:
    """The source of a function with all that it needs.

    Parameters
    ----------
    source
        The text of a module that defines `entry` and what it calls; it imports installed packages only, and `modules`.
    entry
        The name of the function in it.
    modules
        The texts of the user's own modules that it imports, by their full names; a package stands under the name
        `package.__init__`.
    """

    source: str
    entry: str
    modules: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> Digest:
        """The digest of its JSON form: equal code has equal digests."""
        return digest_json(self.to_json())

    def to_json(self) -> JsonObject:
        """Return its one JSON form."""
        return {"source": self.source, "entry": self.entry, "modules": dict(sorted(self.modules.items()))}

    @staticmethod
    def from_json(value: Json) -> "Code":
        """Return the code that `to_json` told."""
        return Code(value["source"], value["entry"], dict(value["modules"]))


def load(code: Code) -> Callable[..., Any]:
    """Return the function, run in a namespace of its own.

    Two versions of one step can be loaded at once: each has its own copies of the user's modules, which nothing outside
    can import. Tracebacks and `inspect.getsource` show the user's lines.

    Raises
    ------
    Problem
        `code.failed` when the text does not run here: a package is not installed, or its top level raises.
    """
    return _Loaded(code).entry()


class _Loaded:
    """One loading of a code: its modules, made when they are first imported."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self._root = f"{PRIVATE}{code.digest.rpartition(':')[2][:16]}"
        self._builtins = vars(builtins) | {"__import__": self._import}
        self._modules: dict[str, ModuleType] = {}

    def entry(self) -> Callable[..., Any]:
        module = self._made("", self._code.source, is_package=False)
        setattr(module, CAPTURED, self._code)
        try:
            self._run(module)
        except Exception as error:
            missing = isinstance(error, ModuleNotFoundError)
            next_step = (
                f"install the package '{error.name}' here" if isinstance(error, ModuleNotFoundError) else "mend the code"
            )
            why = "a package that it imports is not installed" if missing else f"{type(error).__name__}: {error}"
            raise Problem("code.failed", f"The code of '{self._code.entry}' cannot be loaded", why, next_step) from error
        return cast("Callable[..., Any]", getattr(module, self._code.entry))

    def _made(self, name: str, source: str, *, is_package: bool) -> ModuleType:
        private = f"{self._root}.{name}" if name else self._root
        module = ModuleType(private)
        spec = ModuleSpec(private, _Source(source), origin=f"{self._root}/{name or self._code.entry}.py", is_package=is_package)
        vars(module).update(
            __builtins__=self._builtins,
            __spec__=spec,
            __loader__=spec.loader,
            __file__=spec.origin,
            __package__=private if is_package else private.rpartition(".")[0],
        )
        if is_package:
            module.__path__ = []
        # Under its private name, so that dataclasses, tracebacks and `inspect` find the module of what it defines.
        sys.modules[private] = module
        return module

    def _run(self, module: ModuleType) -> None:
        names = vars(module)
        exec(compile(names["__loader__"].text, names["__file__"], "exec", dont_inherit=True), names)  # noqa: S102 - the user's code

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        absolute = self._absolute(name, globals or {}, level) if level else name
        top = absolute.partition(".")[0]
        if not self._has(top):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = self._module(absolute)
        for attribute in fromlist or ():
            inner = f"{absolute}.{attribute}"
            if self._has(inner) and not hasattr(module, attribute):
                self._module(inner)
        return module if fromlist else self._module(top)

    def _absolute(self, name: str, names: Mapping[str, object], level: int) -> str:
        package = str(names.get("__package__") or "").removeprefix(self._root).lstrip(".")
        parts = package.split(".")
        base = ".".join(parts[: len(parts) - level + 1])
        return f"{base}.{name}" if name else base

    def _has(self, name: str) -> bool:
        return name in self._code.modules or f"{name}.__init__" in self._code.modules

    def _module(self, name: str) -> ModuleType:
        """Return a bundled module, run once; its packages first. Raises `ModuleNotFoundError`."""
        if name in self._modules:
            return self._modules[name]
        if not self._has(name):
            raise ModuleNotFoundError(f"No module named '{name}' was captured", name=name)
        parent, _, last = name.rpartition(".")
        package = self._module(parent) if parent else None
        is_package = f"{name}.__init__" in self._code.modules
        source = self._code.modules[f"{name}.__init__" if is_package else name]
        module = self._modules[name] = self._made(name, source, is_package=is_package)
        try:
            self._run(module)
        except BaseException:
            del self._modules[name]
            raise
        if package is not None:
            setattr(package, last, module)
        return module


class _Source(Loader):
    """The loader of a module made from text: it only tells the text, to tracebacks and `inspect`."""

    def __init__(self, text: str) -> None:
        self.text = text

    def get_source(self, name: str) -> str:
        """Return the module's text."""
        return self.text

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave making the module to Python, as `importlib` asks of a loader."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Refuse: the module has been run by `load`."""
        raise ImportError(f"{module.__name__} is run by modelyard.prepare.load only")
