"""The metadata database."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.exc import SQLAlchemyError

from modelyard.adapters.sql.engine import BUSY_TIMEOUT_S, READ_ONLY, open_engine, told
from modelyard.adapters.sql.locks import held
from modelyard.adapters.sql.problems import busy, problem_of
from modelyard.adapters.sql.session import Session
from modelyard.adapters.sql.transaction import SqlTransaction
from modelyard.adapters.sql.upgrade import upgrade

if TYPE_CHECKING:
    from sqlalchemy.pool import PoolProxiedConnection

LEASE_S = 90.0  # of a lock: longer than any request to a store can be under way
PATIENCE_S = 300.0  # with others who hold it, one of them killed

_VERSION_BITS = 32  # of SQLite's `data_version`


@dataclass
class _Open:
    """The transaction that a thread has open."""

    session: Session
    transaction: SqlTransaction


class _ThisThread(threading.local):
    """What is open on the thread that asks."""

    open: _Open | None = None


class SqlMetadata:
    """Transactions over every slice's store, in one SQLite file or one PostgreSQL database.

    Transactions belong to a thread: no `await` may stand inside one.

    Parameters
    ----------
    url
        `sqlite:////path/metadata.sqlite` or `postgresql://user@host:5432/name`.
    busy_timeout_s
        How long a transaction waits for others before it gives up with `metadata.unavailable`.
    """

    def __init__(self, url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._engine = open_engine(url, busy_timeout_s=busy_timeout_s)
        self._told = told(self._engine)
        self._busy_timeout_s = busy_timeout_s
        self._settle()

    def _settle(self) -> None:
        """Make what belongs to this process alone."""
        self._process = os.getpid()
        self._thread = _ThisThread()
        self._watching = threading.Lock()
        self._watch: PoolProxiedConnection | None = None  # the one that `changes` asks: what it tells is its own count
        self._watches = 0  # that were lost
        # SQLite has one writer at a time. Threads of this process wait for it here, and are woken as soon as they may go on;
        # SQLite's own waiting, in sleeps between looks, is left to other processes.
        self._writing = threading.Lock() if self._engine.dialect.name == "sqlite" else None

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        """Open a transaction that may write; inside another one of this thread, join it.

        The outermost commits, or undoes everything when it raises. A joined one that raises is undone alone, should the outer
        one carry on. Writers of one project follow one another, so what is read does not change before it is written.

        Raises
        ------
        Problem
            `metadata.unavailable` when the database does not answer, is full or stays busy; `metadata.conflict` when two
            transactions waited for each other.
        """
        joined = self._joined()
        with self._telling():
            if joined is None:
                with self._outermost(read_only=False) as tx:
                    yield tx
            elif joined.session.read_only:
                yield joined.transaction
            else:
                with joined.session.savepoint():
                    yield joined.transaction

    @contextmanager
    def reading(self) -> Iterator[SqlTransaction]:
        """Open a transaction that only reads: it sees one snapshot, waits for no writer and makes none wait.

        Transactions opened inside it join it, so a caller that knows that a use case only reads may wrap it in this.
        """
        joined = self._joined()
        with self._telling():
            if joined is not None:
                yield joined.transaction
            else:
                with self._outermost(read_only=True) as tx:
                    yield tx

    @contextmanager
    def hold(self, name: str, *, lease_s: float = LEASE_S, patience_s: float = PATIENCE_S) -> Iterator[Callable[[], None]]:
        """Keep all others, in whatever process, from holding `name`; give what makes sure that it is still held.

        A holder that is killed keeps it until its lease ends. Call what is given before each thing that nobody else may do at
        the same time: it raises Problem `lock.conflict` once the lock was lost, and else renews it.

        Raises
        ------
        Problem
            `lock.timeout` when others held it for longer than `patience_s`; as `transaction`.
        """
        if self._joined() is not None:
            raise RuntimeError("a lock inside a transaction, which would not be seen before its end")
        insert = insert_sqlite if self._writing is not None else insert_postgresql
        with held(self._change, insert, name, lease_s=lease_s, patience_s=patience_s) as renew:
            yield renew

    def _change(self, statement: sa.Executable) -> bool:
        with self._telling(), self._turn(), self._engine.begin() as connection:
            return connection.execute(statement).first() is not None

    def changes(self) -> int | None:
        """Return a number that is another one once anybody has committed a change; None: whoever wants to know has to look.

        For whoever waits for news. It says nothing of how much has changed, and is of use only beside one of this very object.
        It never raises: what is wrong with the database is told to who looks.
        """
        self._joined()  # in a forked process: makes what is its own
        if self._engine.dialect.name != "sqlite":
            return None
        with self._watching:
            try:
                if self._watch is None:
                    self._watch = self._engine.raw_connection()
                cursor = self._watch.cursor()
                cursor.execute("PRAGMA data_version")
                [[found]] = cursor.fetchall()
            except (sqlite3.Error, SQLAlchemyError):  # the driver's own, since it is asked past SQLAlchemy
                watch, self._watch = self._watch, None
                self._watches += 1
                if watch is not None:
                    watch.invalidate()
                return None
            return int(found) + (self._watches << _VERSION_BITS)

    def upgrade(self) -> None:
        """Bring the tables to this version's form. Safe to repeat and to race; one query when there is nothing to do.

        Raises
        ------
        Problem
            `metadata.conflict` when a newer Modelyard made the database; `metadata.unavailable` when it does not answer.
        """
        with self._telling():
            upgrade(self._engine)

    def close(self) -> None:
        """Give back all connections."""
        with self._watching:
            if self._watch is not None and self._process == os.getpid():
                self._watch.close()
            self._watch = None
        self._engine.dispose()

    def _joined(self) -> _Open | None:
        """Return what this thread has open. In a forked process that is nothing: its parent's connections are its parent's."""
        if self._process != os.getpid():
            self._engine.dispose(close=False)
            self._settle()
        return self._thread.open

    @contextmanager
    def _outermost(self, *, read_only: bool) -> Iterator[SqlTransaction]:
        snapshot = read_only and self._engine.dialect.name == "postgresql"
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if snapshot else {}
        with nullcontext() if read_only else self._turn(), self._engine.connect() as plain:
            connection = plain.execution_options(**{READ_ONLY: read_only}, **options)
            with connection.begin():
                session = Session(connection, read_only=read_only)
                self._thread.open = _Open(session, SqlTransaction(session))
                try:
                    yield self._thread.open.transaction
                    session.write_facts()
                finally:
                    self._thread.open = None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until no other thread of this process writes, where there is one writer at a time."""
        if self._writing is None:
            yield
            return
        if not self._writing.acquire(timeout=self._busy_timeout_s):
            raise busy(self._told)
        try:
            yield
        finally:
            self._writing.release()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell the engine's errors in the house's words."""
        try:
            yield
        except SQLAlchemyError as error:
            problem = problem_of(error, self._told)
            if problem is None:
                raise
            raise problem from error
