"""Ledger segments whose lines count only when the transaction they belong to was committed elsewhere.

Lines of a transaction are appended before it is committed, and its commit carries a `Mark`: the segment, and how long it is
then. So the broker's commit is the ledger's, too. A transaction that was undone is cut off again, and after a crash what lies
behind the last committed mark. Nothing of a committed transaction is lost when a process ends, and nothing is shipped twice.
"""

import logging
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from modelyard.gateway.segments import SUFFIX, SegmentWriter

log = logging.getLogger(__name__)

_NUMBERED = re.compile(r"seg_(\d{12})_")


@dataclass(frozen=True, slots=True)
class Mark:
    """What a transaction commits of the ledger: which instance made it, and that this segment is good up to so many bytes.

    >>> Mark.parse(Mark("str_1", "seg_000000000007_x.jsonl", 512).text())
    Mark(instance='str_1', segment='seg_000000000007_x.jsonl', size=512)
    """

    instance: str
    segment: str = ""  # "": nothing was written yet
    size: int = 0

    def text(self) -> str:
        """Return it as the broker keeps it."""
        return f"{self.instance} {self.segment or '-'} {self.size}"

    @classmethod
    def parse(cls, text: str) -> "Mark":
        """Return what `text` made."""
        instance, segment, size = text.split(" ")
        return cls(instance, "" if segment == "-" else segment, int(size))


def settle(folder: Path, mark: Mark | None) -> None:
    """Cut off what an instance before left behind the last committed mark.

    Without a mark everything stays: the broker forgets the place of a group that stood still for long (a week, by Kafka's
    default), and a row that is there twice is better than one that is not.
    """
    for path in sorted(folder.glob("*" + SUFFIX)):
        if mark is None:
            log.warning("the broker has forgotten what was committed: ledger segment %s is kept whole", path.name)
            continue
        with suppress(FileNotFoundError):  # the carrier of an instance before still ships what that one had closed
            if path.name > mark.segment:
                path.unlink()
            elif path.name == mark.segment and path.stat().st_size > mark.size:
                os.truncate(path, mark.size)


class SettledSegments(SegmentWriter):
    """A segment writer whose segments end between two transactions. One thread works on transactions."""

    def __init__(self, folder: Path, make_id: Callable[[str], str], instance: str, mark: Mark | None) -> None:
        self._number = _last_number(folder, mark)
        super().__init__(folder, self._next_name)
        self._make_unique = make_id
        self._mark = Mark(instance, mark.segment, mark.size) if mark else Mark(instance)
        self._turn = Lock()
        self._busy = False
        self._wanted = False  # the shipper asked for the segment meanwhile
        self._before = (0, frozenset[tuple[str, str, int]](), 0, 0)

    def begin(self) -> None:
        """Begin a transaction."""
        with self._turn:
            self._busy = True
        with self._lock:
            self._before = self._end, frozenset(self._told), self.rows_open, self.rows_written

    def mark(self) -> Mark:
        """Return the mark that commits what was written so far."""
        with self._lock:
            if self._path is None or self._end == 0:
                return self._mark
            return Mark(self._mark.instance, self._path.name, self._end)

    def commit(self, mark: Mark) -> None:
        """End the transaction: what it wrote, counts."""
        self._mark = mark
        self._finish()

    def undo(self) -> None:
        """End the transaction: what was written since it began, is cut off."""
        with self._lock:
            end, told, self.rows_open, self.rows_written = self._before
            if self._file is not None:
                os.ftruncate(self._file, end)
                self._end, self._told = end, set(told)
        self._finish()

    def rotate(self) -> Path | None:
        """Close the open segment, now or when the transaction ends; see `SegmentWriter.rotate`."""
        with self._turn:
            self._wanted = self._busy
            return None if self._busy else super().rotate()

    def _finish(self) -> None:
        with self._turn:
            self._busy = False
            if self._wanted:
                self._wanted = False
                super().rotate()

    def _next_name(self, prefix: str) -> str:
        """Return a name that sorts after all before it, whatever the clock says, and that no other worker uses."""
        self._number += 1
        return f"{prefix}_{self._number:012d}_{self._make_unique(prefix)}"


def _last_number(folder: Path, mark: Mark | None) -> int:
    names = [path.name for path in folder.glob("*" + SUFFIX)]
    found = [_NUMBERED.match(name) for name in (*names, mark.segment if mark else "")]
    return max((int(one[1]) for one in found if one), default=0)
