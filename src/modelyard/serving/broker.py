"""Streams: the port of a message broker that reads, answers and remembers where it stood in one transaction.

A worker is one name in a group: at most one instance of it may work. What a transaction committed (answers, dead letters, the
place in the topic, a mark) is seen whole or not at all by readers of committed messages.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias

from modelyard.core.stop import Stop

Headers: TypeAlias = tuple[tuple[str, bytes | None], ...]  # in order; a name may come twice


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the topic that is read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    time: datetime | None  # when it was sent or stored, UTC

    @property
    def place(self) -> str:
        """Where it stands: the same text each time it is read.

        >>> Message("requests", 3, 1042, None, b"{}", (), None).place
        'requests-3-1042'
        """
        return f"{self.topic}-{self.partition}-{self.offset}"


@dataclass(frozen=True, slots=True)
class Record:
    """What is written for one message."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    is_dead: bool = False  # a dead letter, not an answer


@dataclass(frozen=True)
class Link:
    """What one worker of a stream is between. The URLs may hold secrets: they are not for logs.

    Parameters
    ----------
    source, target
        URLs of the topics that are read and written.
    dead
        URL of the topic of dead letters; None: the source's name with `-dead` after it. It is made when it is not there.
    group
        The workers that share the source's messages.
    worker
        This one's name in the group, the same after each restart.
    ending
        Once set, nothing waits for a broker that is away any longer.
    """

    source: str = field(repr=False)
    target: str = field(repr=False)
    dead: str | None = field(repr=False)
    group: str
    worker: str
    ending: Stop


class Broker(Protocol):
    """One worker's door to the broker. All verbs belong to one thread.

    While the broker does not answer, they wait with growing pauses, and say so once.
    """

    def claim(self) -> str | None:
        """Become the one instance of this worker, also when this object was so before.

        An instance before is shut out, and what it had not committed is undone. Return the mark of the worker's last
        transaction; None where none is known.

        Raises
        ------
        Problem
            `topic.missing`; `broker.refused` when the broker does not let us in; `transaction.unavailable` at the end.
        """
        ...

    def mark(self) -> str | None:
        """Return the mark of the worker's last transaction, by whichever instance; None where none is known."""
        ...

    def poll(self, most: int, wait_s: float) -> list[Message]:
        """Return what is there to answer, in the order of each partition; none when nothing came in `wait_s`.

        Raises
        ------
        Problem
            `transaction.unavailable`: claim again.
        """
        ...

    def lag(self) -> int:
        """Return how many messages of this worker's part wait behind what `poll` gave, as far as is known without asking."""
        ...

    def commit(self, messages: Sequence[Message], records: Sequence[Record], mark: str) -> None:
        """Write one record for each message, and that all up to these are answered, in one transaction with a mark.

        Raises
        ------
        Problem
            `transaction.conflict`: nothing was done, and `poll` gives the messages again, to whomever they belong now;
            `message.too_large`, likewise: the broker does not take one of the records, or not all of them at once;
            `transaction.unavailable`: this instance was shut out, or ends: what came of it shows `mark`.
        """
        ...

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        ...
