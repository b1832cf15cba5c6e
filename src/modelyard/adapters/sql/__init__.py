"""The metadata adapter: every slice's store over one definition of tables, on SQLite and on PostgreSQL."""

from modelyard.adapters.sql.metadata import SqlMetadata
from modelyard.adapters.sql.transaction import SqlTransaction

__all__ = ["SqlMetadata", "SqlTransaction"]
