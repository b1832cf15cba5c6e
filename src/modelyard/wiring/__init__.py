"""Settings → one Platform; the only place that chooses adapters."""

from modelyard.reactions import Metadata
from modelyard.wiring.follower import Follower
from modelyard.wiring.platform import Platform, open_platform
from modelyard.wiring.settings import Setting, Settings, read_settings

__all__ = ["Follower", "Metadata", "Platform", "Setting", "Settings", "open_platform", "read_settings"]
