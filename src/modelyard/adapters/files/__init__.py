"""Sources in files: tables of a place or the web, and what a Croissant file tells of such."""

from modelyard.adapters.files.croissant import CroissantSource
from modelyard.adapters.files.tables import DownloadedSource, PlacedSource

__all__ = ["CroissantSource", "DownloadedSource", "PlacedSource"]
