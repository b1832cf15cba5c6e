"""A metadata database that does not answer while a file is there."""

from contextlib import AbstractContextManager
from pathlib import Path

from modelyard.adapters.sql import SqlMetadata
from modelyard.core import Problem
from modelyard.reactions import ReactionTransaction


class AwayMetadata(SqlMetadata):
    """SQLite at the path of an `away:///…` URL, unless `PATH.away` exists."""

    def __init__(self, url: str) -> None:
        super().__init__(url.replace("away:", "sqlite:"))
        self._sign = Path(url.removeprefix("away://") + ".away")

    def transaction(self) -> AbstractContextManager[ReactionTransaction]:
        if self._sign.exists():
            raise Problem("metadata.unavailable", "The database does not answer", "a cable is out")
        return super().transaction()
