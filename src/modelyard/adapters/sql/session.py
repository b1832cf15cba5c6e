"""An open transaction as the stores know it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, CursorResult
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.dml import UpdateBase

from modelyard.adapters.sql.tables import EVENT
from modelyard.core import Problem

# The first half of PostgreSQL's advisory-lock keys: what a lock is for.
LOCK_SCOPE = 7_401
LOCK_EVENTS = 7_402
LOCK_UPGRADE = 7_403

Row = Mapping[str, Any]


class Session:
    """A connection inside a transaction, the scopes it holds, and the facts that it will write at its end.

    On PostgreSQL a transaction *holds* each project (or organisation) whose state it reads or writes, by an advisory lock that
    ends with it. So two use cases on one project follow one another, as all do on SQLite: none decides on what another is just
    changing, and `READ COMMITTED` is enough. Transactions that only read hold nothing, and see one snapshot.

    Facts are written at the very end, behind one lock for all: positions then grow in the order of commit, and the lock is
    held for one statement only.
    """

    def __init__(self, connection: Connection, *, read_only: bool) -> None:
        self.connection = connection
        self.read_only = read_only
        self.is_postgresql = connection.dialect.name == "postgresql"
        self._held: set[str] = set()
        self._facts: list[dict[str, Any]] = []

    def execute(self, statement: Executable, rows: Sequence[Row] | None = None) -> CursorResult[Any]:
        """Run one statement, for many rows at once when they are given."""
        if self.read_only and isinstance(statement, UpdateBase):
            raise RuntimeError("a write inside a transaction that only reads")
        self.check()
        return self.connection.execute(statement, rows)

    def hold(self, *scopes: str) -> None:
        """Keep other writers out of these projects or organisations until the end; in order, so that no two wait crosswise."""
        if not self.is_postgresql or self.read_only:
            return
        for scope in sorted(set(scopes) - self._held):
            self.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_SCOPE, sa.func.hashtext(scope))))
            self._held.add(scope)

    def later(self, facts: Iterable[dict[str, Any]]) -> None:
        """Keep rows of the outbox for the end of the transaction."""
        if self.read_only:
            raise RuntimeError("a write inside a transaction that only reads")
        self._facts.extend(facts)

    def write_facts(self) -> None:
        """Write the facts that are kept, after every transaction that wrote some before."""
        self.check()
        if not self._facts:
            return
        if self.is_postgresql:
            self.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_EVENTS, 0)))
        facts, self._facts = self._facts, []
        self.connection.execute(sa.insert(EVENT), facts)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block did, and nothing else, when it raises."""
        kept = list(self._facts)
        nested = self.connection.begin_nested()
        try:
            yield
        except BaseException:
            self._facts = kept
            if self._is_open():
                nested.rollback()
            raise
        nested.commit()

    def check(self) -> None:
        """Raise when the engine has undone the transaction already.

        SQLite does so by itself after some errors, a full disk among them. What came after would then be written at once, each
        statement alone, if somebody caught the error and went on.
        """
        if not self._is_open():
            what, why = "The transaction was undone", "an error before this ended it"
            raise Problem("metadata.unavailable", what, why, "do the whole of it again")

    def _is_open(self) -> bool:
        if self.is_postgresql:
            return True  # its server refuses everything by itself once a statement has failed
        driver: Any = self.connection.connection.driver_connection
        return bool(driver.in_transaction)
