"""Delta Lake by deltalake: the lake itself, and tables of others as sources."""

from modelyard.adapters.delta.lake import DeltaLake
from modelyard.adapters.delta.source import DeltaSource

__all__ = ["DeltaLake", "DeltaSource"]
