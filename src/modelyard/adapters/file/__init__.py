"""Local files: what a laptop, or a folder shared by its processes, keeps things in."""

from modelyard.adapters.file.objects import FileObjects

__all__ = ["FileObjects"]
