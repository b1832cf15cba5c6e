"""Where code comes from: an installed package, which a worker has too, or the user's own files, which must travel."""

import importlib.util
import inspect
import linecache
import site
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Final

HOUSE: Final = __name__.partition(".")[0]
_SITE_FOLDERS: Final = frozenset({"site-packages", "dist-packages"})


def is_installed(module: ModuleType) -> bool:
    """Whether a module belongs to Python, to an installed package or to this one; `__main__` never does."""
    return module.__name__ != "__main__" and is_installed_name(module.__name__, _files(module))


def is_installed_name(name: str, files: tuple[str, ...]) -> bool:
    """Whether a module of this name in these files (none: built in) is installed.

    Tests of this package beside its code count as a user's.
    """
    top = name.partition(".")[0]
    if top == HOUSE:
        return is_house_name(name)
    if not files:
        return top in sys.stdlib_module_names
    return all(is_installed_file(file) for file in files)


def is_house_name(name: str) -> bool:
    """Whether a module of this name is this package's own, its tests apart.

    >>> is_house_name("modelyard.prepare.fit"), is_house_name("modelyard.prepare.test_fit"), is_house_name("polars")
    (True, False, False)
    """
    return name.partition(".")[0] == HOUSE and not name.rpartition(".")[2].startswith("test_")


def is_installed_file(file: str) -> bool:
    """Whether a file lies in Python's own library or in a folder of installed packages."""
    if file.startswith("<"):
        return file.startswith("<frozen ")  # others are notebook cells, doctests, text run by exec
    path = Path(file).resolve()
    return bool(_SITE_FOLDERS & set(path.parts)) or any(path.is_relative_to(folder) for folder in _library_folders())


def is_house_file(file: str) -> bool:
    """Whether a file is this package's own code, its tests apart."""
    path = Path(file)
    return path.is_relative_to(Path(__file__).parents[1]) and not path.name.startswith("test_")


def source_of_module(module: ModuleType) -> str | None:
    """Return a module's whole text, None where it has none."""
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):
        get_source = getattr(getattr(module.__spec__, "loader", None), "get_source", None)
        text = get_source(module.__name__) if get_source else None
        return text if isinstance(text, str) else ("" if hasattr(module, "__path__") else None)


def find_module(name: str) -> ModuleType | None:
    """Return an imported module, or one that could be imported, without running it; None where there is none."""
    if name in sys.modules:
        return sys.modules[name]
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None
    return None if spec is None else importlib.util.module_from_spec(spec)


def source_lines(function: FunctionType) -> list[str] | None:
    """Return the lines of the file or notebook cell that a function was defined in, None where they are gone."""
    try:
        lines, _ = inspect.findsource(function)
    except (OSError, TypeError):
        lines = linecache.getlines(function.__code__.co_filename, function.__globals__)
    return lines or None


def _files(module: ModuleType) -> tuple[str, ...]:
    file = getattr(module, "__file__", None)
    return (file,) if file else tuple(getattr(module, "__path__", ()))


@cache
def _library_folders() -> tuple[Path, ...]:
    folders = [sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple(
        {Path(folder).resolve() for folder in (*folders, *site.getsitepackages(), site.getusersitepackages()) if folder}
    )
