"""The port of the online store: the last rows of each entity of a feature table, for lookups one by one.

It holds nothing that the lake does not hold: what is lost is published again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from modelyard.core import Problem, ProjectId, canonical_json

KEPT: Final = 8  # rows of an entity: who asks about a moment shortly before now is answered as of then
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)

Entity: TypeAlias = str  # what names one, as `entity_of_values` writes it


@dataclass(frozen=True)
class FeatureRow:
    """What was known of an entity from a moment on."""

    entity: Entity
    at: datetime  # UTC
    values: Mapping[str, Any]  # by column of the table: numbers, truth values, texts, times


@dataclass(frozen=True)
class Published:
    """How far a feature table can be looked up online."""

    number: int  # of the dataset version whose rows are all there
    newest: datetime | None  # the time of its newest row; None: it has none


class OnlineStore(Protocol):
    """Rows of feature tables by entity and time. Safe to share between threads and processes.

    Raises
    ------
    Problem
        From every verb: `features.unavailable` when the store does not answer.
    """

    def put(self, project: ProjectId, table: str, rows: Sequence[FeatureRow], *, number: int) -> None:
        """Keep rows as they are in a version of the dataset; of each entity the newest `KEPT` of all that came stay.

        The order of calls is all the same: of two rows of one entity and time that of the later version stays.
        """
        ...

    def forget(self, project: ProjectId, table: str, *, before: int) -> None:
        """Drop the rows that came with versions before this one, as it stands in for all of them."""
        ...

    def publish(self, project: ProjectId, table: str, published: Published) -> None:
        """Say that all rows of a version are there, and of those before it; what was said of a later one stays."""
        ...

    def published(self, project: ProjectId) -> Mapping[str, Published]:
        """Return the tables that can be looked up, by name."""
        ...

    def get(self, project: ProjectId, table: str, wanted: Sequence[tuple[Entity, datetime]]) -> list[FeatureRow | None]:
        """Return, for each entity and moment, its last row strictly before; None: there is none.

        Problem `features.unavailable` also for a table that was never published: nobody knows what it has.
        """
        ...

    def close(self) -> None:
        """Give back what is held."""
        ...


def entity_of_values(values: Sequence[object]) -> Entity:
    """Return the name of the entity that these values name, in the order of the table's entity.

    >>> entity_of_values(["JFK", 7, date(2013, 6, 24)])
    '["JFK",7,"2013-06-24"]'
    """
    return canonical_json([one.isoformat() if isinstance(one, date) else one for one in values])


def ticks_of(at: datetime) -> int:
    """Return a moment as a store orders it: microseconds since 1970, of which every one up to the year 2255 is a float, too."""
    return (at - _EPOCH) // _TICK


def moment_of(ticks: int) -> datetime:
    """Return the moment of so many microseconds.

    >>> moment_of(ticks_of(datetime(1969, 12, 31, tzinfo=UTC)))
    datetime.datetime(1969, 12, 31, 0, 0, tzinfo=datetime.timezone.utc)
    """
    return _EPOCH + ticks * _TICK


def packed(values: Mapping[str, Any]) -> bytes:
    """Return values as a store keeps them: every float as it is; dates and times without a zone become ISO 8601 texts."""
    return msgspec.msgpack.encode(values)


def unpacked(content: bytes) -> Mapping[str, Any]:
    """Return the values that `packed` was given."""
    values: Mapping[str, Any] = msgspec.msgpack.decode(content)
    return values


def not_published(table: str) -> Problem:
    """Return the problem of a lookup in a table that the store does not hold."""
    what, why = f"Nothing can be looked up in {table} now", "the online store does not hold it"
    return Problem("features.unavailable", what, why, f"yard feature publish {table}", {"table": table})


def store_away(error: Exception) -> Problem:
    """Return the problem of a store that does not answer."""
    what, why = "Features cannot be looked up now", f"the online store does not answer ({type(error).__name__})"
    return Problem("features.unavailable", what, why, "see that it runs: MODELYARD_ONLINE names it (yard settings)")
