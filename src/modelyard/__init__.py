"""Modelyard: data → prepare → train → register → serve → monitor → react, in one place.

Names are loaded when they are first used, so that `import modelyard` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from modelyard.core import Problem
from modelyard.version import __version__

if TYPE_CHECKING:
    from modelyard.client import Search, drift, gate, on, performance, schedule
    from modelyard.data import Split, SplitKind, quality
    from modelyard.embedded.door import project
    from modelyard.prepare import prep
    from modelyard.training import Choice, Float, Int

__all__ = [
    "Choice",
    "Float",
    "Int",
    "Problem",
    "Search",
    "Split",
    "SplitKind",
    "__version__",
    "drift",
    "gate",
    "on",
    "performance",
    "prep",
    "project",
    "quality",
    "schedule",
]

_HOMES = {
    "Choice": "modelyard.training",
    "Float": "modelyard.training",
    "Int": "modelyard.training",
    "Search": "modelyard.client",
    "Split": "modelyard.data",
    "SplitKind": "modelyard.data",
    "drift": "modelyard.client",
    "gate": "modelyard.client",
    "on": "modelyard.client",
    "performance": "modelyard.client",
    "prep": "modelyard.prepare",
    "project": "modelyard.embedded.door",
    "quality": "modelyard.data",
    "schedule": "modelyard.client",
}


def __getattr__(name: str) -> Any:
    """Return a public name from where it is defined (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'modelyard' has no attribute '{name}'")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
