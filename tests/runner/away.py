"""A metadata database that does not answer while a file is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard.adapters.sql import SqlMetadata
from modelyard.adapters.sql.transaction import SqlTransaction
from modelyard.core import Problem


class AwayMetadata(SqlMetadata):
    """SQLite at the path of an `away:////path` URL, unless `PATH.away` exists."""

    def __init__(self, url: str) -> None:
        super().__init__(url.replace("away:", "sqlite:"))
        self._sign = Path("/" + url.removeprefix("away:").lstrip("/") + ".away")

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        if self._sign.exists():
            raise Problem("metadata.unavailable", "The database does not answer", "a cable is out")
        with super().transaction() as tx:
            yield tx
