"""Settings → one Platform; the only place that chooses adapters.

Names are loaded when they are first used: who reads settings alone, as the process that starts all others does, does not pay
for the platform.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelyard.reactions import Metadata
    from modelyard.wiring.follower import Follower
    from modelyard.wiring.platform import Platform, open_platform
    from modelyard.wiring.settings import Setting, Settings, read_settings

__all__ = ["Follower", "Metadata", "Platform", "Setting", "Settings", "open_platform", "read_settings"]

_HOMES = {
    "Follower": "modelyard.wiring.follower",
    "Metadata": "modelyard.reactions",
    "Platform": "modelyard.wiring.platform",
    "Setting": "modelyard.wiring.settings",
    "Settings": "modelyard.wiring.settings",
    "open_platform": "modelyard.wiring.platform",
    "read_settings": "modelyard.wiring.settings",
}


def __getattr__(name: str) -> Any:
    """Return a public name from where it is defined (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'modelyard.wiring' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
