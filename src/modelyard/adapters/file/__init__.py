"""Local files: what a laptop, or a folder shared by its processes, keeps things in; and places of named files."""

from modelyard.adapters.file.objects import FileObjects
from modelyard.adapters.file.places import FilePlace

__all__ = ["FileObjects", "FilePlace"]
