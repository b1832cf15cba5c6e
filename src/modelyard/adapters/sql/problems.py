"""What the engines' errors mean to the house."""

import sqlite3
from dataclasses import dataclass
from enum import Enum

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from modelyard.core import Problem

_CODE = "metadata.unavailable"


class Violation(Enum):
    """Which promise of a table a statement broke."""

    TAKEN = "taken"  # a unique key is there already
    ORPHAN = "orphan"  # what the row points at is not there


_VIOLATIONS = {
    "23505": Violation.TAKEN,
    "SQLITE_CONSTRAINT_UNIQUE": Violation.TAKEN,
    "SQLITE_CONSTRAINT_PRIMARYKEY": Violation.TAKEN,
    "23503": Violation.ORPHAN,
    "SQLITE_CONSTRAINT_FOREIGNKEY": Violation.ORPHAN,
}


@dataclass(frozen=True)
class _Told:
    """What to tell of some errors: SQLite's names, and PostgreSQL's five characters (appendix A of its manual)."""

    states: frozenset[str]
    what: str
    why: str  # empty: what the engine said
    next_step: str
    code: str = _CODE


_TOLD = (
    _Told(
        frozenset({"53100", "SQLITE_FULL"}),
        "could not be written: its disk is full",
        "",
        "make room, then do it again; nothing was kept of this",
    ),
    _Told(
        frozenset({"40001", "40P01"}),
        "met two changes that waited for each other",
        "this one gave way",
        "do it again",
        "metadata.conflict",
    ),
    _Told(
        frozenset({"25006", "SQLITE_READONLY", "SQLITE_READONLY_DBMOVED", "SQLITE_READONLY_DIRECTORY", "SQLITE_PERM"}),
        "cannot be written",
        "",
        "give this user the right to write there",
    ),
    _Told(frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"}), "is not a sound database", "", "restore it from a copy"),
)


_BUSY = frozenset({"55P03", "57014", "SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_BUSY_RECOVERY", "SQLITE_LOCKED"})


def busy(where: str) -> Problem:
    """Return the problem of a transaction that had to wait for too long."""
    what, why = f"{where} is busy", "another transaction has held it for too long"
    return Problem(_CODE, what, why, "do it again in a moment")


def violation(error: DBAPIError) -> Violation | None:
    """Return the promise that was broken; None: the error is of another kind."""
    return _VIOLATIONS.get(_state(error))


def problem_of(error: SQLAlchemyError, where: str) -> Problem | None:
    """Return what to tell of an engine's error, or None when it is a fault of ours. `where` names the database for people."""
    if isinstance(error, PoolTimeout):
        return Problem(_CODE, f"{where} has no free connection", "too many transactions are open", "do it again in a moment")
    if not isinstance(error, DBAPIError):
        return None
    state, said = _state(error), str(error.orig).strip()
    if state in _BUSY:
        return busy(where)
    for told in _TOLD:
        if state in told.states:
            return Problem(told.code, f"{where} {told.what}", told.why or said, told.next_step)
    if error.connection_invalidated or _is_connection(error, state):
        return Problem(_CODE, f"{where} does not answer", said, "see that the server runs and the URL is right: yard settings")
    return None


def _state(error: DBAPIError) -> str:
    """Return SQLite's error name, or PostgreSQL's five characters; empty when there is neither."""
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return str(getattr(cause, "sqlite_errorname", ""))
    return str(getattr(cause, "sqlstate", None) or "")


def _is_connection(error: DBAPIError, state: str) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        return state.startswith(("SQLITE_CANTOPEN", "SQLITE_IOERR"))
    # Class 08: connection; 57P: the server shuts down or starts; 28: refused at the door; 3D: no such database; 53: out of
    # memory or connections. A driver that never reached a server has no state at all.
    return state.startswith(("08", "57P", "28", "3D", "53")) or (not state and type(error.orig).__name__ == "OperationalError")
