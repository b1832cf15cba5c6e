"""What reactions need of the platform."""

from contextlib import AbstractContextManager
from typing import Protocol

from modelyard.core import Clock, IdMaker, ObjectStore
from modelyard.data import TableStore
from modelyard.reactions.store import ReactionTransaction


class Ports(Protocol):
    """The part of the platform that reactions work with."""

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        ...

    @property
    def ids(self) -> IdMaker:
        """The maker of ids."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """The object store."""
        ...

    @property
    def lake(self) -> TableStore:
        """The lake."""
        ...

    def transaction(self) -> AbstractContextManager[ReactionTransaction]:
        """Open or join a transaction."""
        ...

    def reading(self) -> AbstractContextManager[ReactionTransaction]:
        """Open a transaction that only reads, and waits for nobody."""
        ...
