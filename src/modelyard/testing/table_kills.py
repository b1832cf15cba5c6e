"""Kill -9 while a process writes to a lake and vacuums it, again and again.

What was acknowledged is there, what was dropped is not.
"""

import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from time import sleep

import polars as pl

from modelyard.core import Problem
from modelyard.data import TableStore
from modelyard.testing.table_store import DAY, FLIGHTS, TABLE, Opener, rows

KEPT = 4  # commits that are held before the oldest is dropped
SIZE = 50  # rows of a commit
BEGUN, DONE = "begun", "done"


@dataclass
class Churn:
    """What is known of a table that killed processes wrote."""

    opener: Opener
    table: str = TABLE
    held: list[int] = field(default_factory=list)  # numbers of the acknowledged commits that were not dropped
    next: int = 0
    kills: int = 0
    in_append: int = 0  # kills that hit an append
    in_vacuum: int = 0
    untold: int = 0  # of these, whose deed was done already

    def kill(self, after_s: float) -> None:
        """Let a process append and vacuum, kill it so many seconds after it began, and look at what it left.

        Raises
        ------
        AssertionError
            Where an acknowledged row is lost, a dropped one is back, or the table cannot be read or written.
        """
        context = get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=churn, args=(self.opener, self.table, self.next, list(self.held), there))
        process.start()
        there.close()
        assert here.recv() == "ready"
        here.poll(None)  # it has begun
        sleep(after_s)  # the moment of the kill is the input
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        self.kills += 1
        under_way = self._follow(here)
        self._look(under_way)

    def _follow(self, here: Connection) -> tuple[str, int] | None:
        """Read what the process told until it died, and return what it had begun and not told to be done."""
        under_way: tuple[str, int] | None = None
        while here.poll():
            try:
                state, deed, number = here.recv()
            except EOFError:
                break
            under_way = (deed, number) if state == BEGUN else None
            if state == DONE and deed == "append":
                self.held.append(number)
                self.next = number + 1
            elif state == DONE:
                self.held.remove(number)
        return under_way

    def _look(self, under_way: tuple[str, int] | None) -> None:
        lake = self.opener()
        there = {int(name) for name in lake.commits(FLIGHTS, self.table)}
        certain = set(self.held)
        if under_way is None:
            assert there == certain, (there, certain)
        else:
            deed, number = under_way
            assert there in (certain | {number}, certain - {number}), (there, certain, under_way)
            self.in_append += deed == "append"
            self.in_vacuum += deed == "vacuum"
            self.untold += (number in there) == (deed == "append")
        for number in sorted(there):
            assert lake.scan(FLIGHTS, self.table, commits=[str(number)]).collect().equals(rows_of(number))
        if under_way is not None:
            self._finish(lake, *under_way)
        expected = pl.concat([rows_of(number) for number in self.held]) if self.held else rows(0, 0)
        assert lake.version(FLIGHTS, self.table) is None or lake.scan(FLIGHTS, self.table).sort("id").collect().equals(expected)

    def _finish(self, lake: TableStore, deed: str, number: int) -> None:
        """Do again what was under way."""
        if deed == "append":
            lake.append(FLIGHTS, self.table, rows_of(number), commit=str(number))
            self.held.append(number)
            self.next = number + 1
            return
        lake.vacuum(FLIGHTS, self.table, [str(number)], left_for=DAY)
        self.held.remove(number)
        assert code_of(lambda: lake.scan(FLIGHTS, self.table, commits=[str(number)])) == "commit.missing"


def rows_of(number: int) -> pl.DataFrame:
    """Return the rows of a commit."""
    return rows(number * SIZE, (number + 1) * SIZE)


def churn(opener: Opener, table: str, first: int, held: list[int], tell: Connection) -> None:
    """Append without end, drop what is older than the newest few, and tell of each deed before and after it."""
    lake = opener()
    tell.send("ready")
    number = first
    while True:
        tell.send((BEGUN, "append", number))
        lake.append(FLIGHTS, table, rows_of(number), commit=str(number))
        tell.send((DONE, "append", number))
        held.append(number)
        while len(held) > KEPT:
            oldest = held.pop(0)
            tell.send((BEGUN, "vacuum", oldest))
            lake.vacuum(FLIGHTS, table, [str(oldest)], left_for=DAY)
            tell.send((DONE, "vacuum", oldest))
        number += 1


def code_of(deed: Callable[[], object]) -> str:
    """Return the code of the problem that a deed raises; "" where it raises none."""
    try:
        deed()
    except Problem as problem:
        return problem.code
    return ""


def churned(opener: Opener, kills: int, *, seed: int = 0, within_s: float = 0.5, table: str = TABLE) -> Churn:
    """Kill so many processes one after another, each at a random moment within its first seconds. Raises as `Churn.kill`."""
    moments = random.Random(seed)  # noqa: S311 - moments, not secrets
    found = Churn(opener, table)
    for _ in range(kills):
        found.kill(moments.uniform(0, within_s))
    return found
