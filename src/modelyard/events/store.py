"""The port of the outbox."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from modelyard.core import ProjectId
from modelyard.events.types import Event, Fact


class EventStore(Protocol):
    """Events, and where their consumers stand. Positions grow in the order of commit: no reader overtakes a writer."""

    def add(self, project: ProjectId, facts: Sequence[Fact], *, actor: str, at: datetime) -> None:
        """Write the facts in this transaction."""
        ...

    def read(
        self,
        project: ProjectId,
        *,
        after: int = 0,
        limit: int = 100,
        kinds: Sequence[str] = (),
        subject: str | None = None,
        newest_first: bool = False,
    ) -> list[Event]:
        """Return events with a position above `after` (below it when `newest_first` and `after` > 0), in order."""
        ...

    def cursor(self, project: ProjectId, consumer: str) -> int:
        """Return the position that `consumer` has worked up to; 0 for a new one."""
        ...

    def advance(self, project: ProjectId, consumer: str, position: int) -> None:
        """Say that `consumer` has worked up to `position`, in the transaction of its work; never moves back."""
        ...


class EventTransaction(Protocol):
    """The part of a transaction that this slice needs."""

    @property
    def events(self) -> EventStore:
        """The outbox."""
        ...
