"""The outbox."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa

from modelyard.adapters.sql.session import Session
from modelyard.adapters.sql.tables import EVENT, EVENT_CURSOR
from modelyard.adapters.sql.typed_table import TypedTable, upsert
from modelyard.core import ProjectId
from modelyard.events import Event, Fact


class SqlEventStore:
    """`modelyard.events.EventStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._events = TypedTable(EVENT, Event, "event", key=("position",))

    def add(self, project: ProjectId, facts: Sequence[Fact], *, actor: str, at: datetime) -> None:
        """Write the facts in this transaction: at its end, see `Session`."""
        self._session.later(
            {
                "project": project,
                "kind": fact.kind,
                "subject": fact.subject,
                "actor": actor,
                "at": at,
                "data": msgspec.to_builtins(fact.data),
            }
            for fact in facts
        )

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
        self._session.write_facts()
        position = EVENT.c.position
        query = sa.select(EVENT).where(self._events.within(project)).limit(limit)
        if newest_first:
            query = query.order_by(position.desc()).where(*([position < after] if after > 0 else []))
        else:
            query = query.order_by(position).where(position > after)
        if kinds:
            query = query.where(EVENT.c.kind.in_(kinds))
        if subject is not None:
            query = query.where(EVENT.c.subject == subject)
        return self._events.things(self._session.execute(query))

    def cursor(self, project: ProjectId, consumer: str) -> int:
        """Return the position that `consumer` has worked up to; 0 for a new one."""
        self._session.hold(project)
        ours = (EVENT_CURSOR.c.project == project, EVENT_CURSOR.c.consumer == consumer)
        return self._session.execute(sa.select(EVENT_CURSOR.c.position).where(*ours)).scalar() or 0

    def advance(self, project: ProjectId, consumer: str, position: int) -> None:
        """Say that `consumer` has worked up to `position`, in the transaction of its work; never moves back."""
        self._session.hold(project)
        statement = upsert(self._session, EVENT_CURSOR, when=lambda new: EVENT_CURSOR.c.position < new.position)
        self._session.execute(statement, [{"project": project, "consumer": consumer, "position": position}])
