"""Online stores of features: a SQLite file for one host, Redis for many."""

from modelyard.adapters.online.sqlite import SqliteOnline

__all__ = ["SqliteOnline"]
