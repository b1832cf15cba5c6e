"""Locks by name: each is a row with its holder, for as long as a lease by the database's clock lasts."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex
from time import monotonic, sleep

import sqlalchemy as sa

from modelyard.adapters.sql.columns import database_now
from modelyard.adapters.sql.tables import NAMED_LOCK
from modelyard.core import Problem

_RENEWALS = 3  # in a lease
_LEAST_PAUSE_S = 0.5
_FIRST_KNOCK_S, _LONGEST_KNOCK_S = 0.005, 0.1

Insert = Callable[[sa.Table], sa.Insert]  # of the database's kind
Change = Callable[[sa.Executable], bool]  # does a statement in a transaction of its own; whether it returned a row


@contextmanager
def held(change: Change, insert: Insert, name: str, *, lease_s: float, patience_s: float) -> Iterator[Callable[[], None]]:
    """Hold the lock of a name; give what makes sure that it is held, for another whole lease.

    A thread renews it meanwhile. Who is killed leaves it taken until its lease ends, so that what it had under way elsewhere
    has ended too. What is given raises Problem `lock.conflict` when the lease lapsed and somebody else has the lock.

    Raises
    ------
    Problem
        `lock.timeout` when others have held it for longer than `patience_s`.
    """
    owner, ending = token_hex(16), threading.Event()
    mine = (NAMED_LOCK.c.name == name, NAMED_LOCK.c.owner == owner)
    again = sa.update(NAMED_LOCK).where(*mine).values(lease_until=database_now() + lease_s).returning(NAMED_LOCK.c.name)

    def renew() -> None:
        if not change(again):
            why = "it stood still for longer than its lease, and somebody else has it now"
            raise Problem("lock.conflict", f"The lock of '{name}' was lost", why, "do it again")

    def renew_on() -> None:
        while not ending.wait(max(lease_s / _RENEWALS, _LEAST_PAUSE_S)):
            with suppress(Problem):  # the holder asks itself before what matters
                renew()

    _take(change, insert, name, owner, lease_s, patience_s)
    renewing = threading.Thread(target=renew_on, name="named-lock", daemon=True)
    renewing.start()
    try:
        yield renew
    finally:
        ending.set()
        renewing.join()
        change(sa.delete(NAMED_LOCK).where(*mine).returning(NAMED_LOCK.c.name))


def _take(change: Change, insert: Insert, name: str, owner: str, lease_s: float, patience_s: float) -> None:
    new = insert(NAMED_LOCK).values(name=name, owner=owner, lease_until=database_now() + lease_s)
    free = NAMED_LOCK.c.lease_until <= database_now()
    taken = {"owner": owner, "lease_until": database_now() + lease_s}
    statement = new.on_conflict_do_update(index_elements=["name"], set_=taken, where=free)  # type: ignore[attr-defined]
    statement = statement.returning(NAMED_LOCK.c.name)
    until, pause = monotonic() + patience_s, _FIRST_KNOCK_S
    while not change(statement):
        if monotonic() > until:
            why = f"others held it for {patience_s:.0f} s"
            raise Problem("lock.timeout", f"The lock of '{name}' was not to be had", why, "try again")
        sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - so that those who wait do not knock together
        pause = min(2 * pause, _LONGEST_KNOCK_S)
