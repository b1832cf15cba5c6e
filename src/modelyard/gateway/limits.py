"""How much a token may ask: requests and rows a second, counted over all gateways of a home together.

What came is kept as one time for each of the two: until when it has used up the pace. A request of a token within its limit
moves that time on; one that finds it too far ahead is refused, and told how long to wait. Rows are counted when they have been
read, so that a request with very many of them is answered, and those after it wait until it is made up for.

Gateways of one home share the times by a small file a token, and nobody waits for anybody: of two requests that are counted in
the same microsecond in two processes, one may go uncounted. Where the file cannot be written, each counts for itself.
"""

import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from struct import Struct
from threading import Lock
from time import monotonic
from weakref import finalize

from modelyard.core import Problem
from modelyard.tenancy import Limit

log = logging.getLogger(__name__)

FOLDER = "limits"
SUFFIX = ".count"
LOCK = "lock"
AHEAD_S = 1.0  # so many seconds' worth of rows may come at once
_ROUNDING_S = 1e-9
_TIMES = Struct("<dd")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast something may come.

    >>> slow = Pace(step_s=0.5, ahead_s=0.5)
    >>> until = slow.after(slow.after(0.0, now=10.0, count=1), now=10.0, count=1)
    >>> until, slow.wait_s(until, now=10.0), slow.wait_s(until, now=10.5)
    (11.0, 0.5, 0.0)
    """

    step_s: float  # for each
    ahead_s: float  # so far ahead of now may come what is still taken

    def wait_s(self, until: float, now: float) -> float:
        """Return in how many seconds the next one fits; 0: now."""
        left = until - now - self.ahead_s
        return left if left > _ROUNDING_S else 0.0

    def after(self, until: float, now: float, count: int) -> float:
        """Return until when the pace is used up once `count` more have come."""
        return max(until, now) + count * self.step_s


class Count:
    """The two times of one token, in a file that other gateways know, too; without one, in this process alone.

    They are of the machine's monotonic clock, which all its processes share.
    """

    def __init__(self, path: Path | None) -> None:
        self._own = (0.0, 0.0)
        self._file: int | None = None
        if path is not None:
            try:
                self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                finalize(self, os.close, self._file)
            except OSError as error:
                self._go_alone(error)

    def read(self) -> tuple[float, float]:
        """Return the times for requests and for rows."""
        file = self._file
        if file is not None:
            told = os.pread(file, _TIMES.size, 0)
            if len(told) == _TIMES.size:
                requests, rows = _TIMES.unpack(told)
                return requests, rows
        return self._own

    def write(self, requests: float, rows: float) -> None:
        """Keep the times."""
        self._own = requests, rows
        file = self._file
        if file is not None:
            try:
                os.pwrite(file, _TIMES.pack(requests, rows), 0)
            except OSError as error:
                self._go_alone(error)

    def _go_alone(self, error: OSError) -> None:
        log.warning("a token's limit is counted by this gateway alone: %s", error.strerror)
        self._file = None


class Allowance:
    """What one token may still ask. Safe to share between threads."""

    def __init__(self, limit: Limit, count: Count, clock: Callable[[], float] = monotonic) -> None:
        self.limit = limit
        self.count = count
        self._requests = None if limit.requests is None else _of_requests(limit.requests, limit.burst)
        self._rows = None if limit.rows is None else Pace(1 / limit.rows, AHEAD_S)
        self._clock = clock
        self._lock = Lock()

    def take(self) -> None:
        """Count a request.

        Raises
        ------
        Problem
            `token.limited`, with the seconds until one fits as `retry_after_s`; that request does not count.
        """
        with self._lock:
            now = self._clock()
            requests, rows = self.count.read()
            wait_s = 0.0 if self._rows is None else self._rows.wait_s(rows, now)
            if self._requests is not None:
                wait_s = max(wait_s, self._requests.wait_s(requests, now))
                if not wait_s:
                    self.count.write(self._requests.after(requests, now, 1), rows)
        if wait_s:
            raise _limited(self.limit, wait_s)

    def take_rows(self, count: int) -> None:
        """Count the rows of a request that was taken."""
        if self._rows is None:
            return
        with self._lock:
            requests, rows = self.count.read()
            self.count.write(requests, self._rows.after(rows, self._clock(), count))


class Allowances:
    """The allowances of all limited tokens. One thread changes them.

    Parameters
    ----------
    folder
        Where the gateways of a home count together, see `counted_together`; None: this one counts alone.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._known: dict[str, Allowance] = {}

    def of(self, limits: Mapping[str, Limit]) -> Mapping[str, Allowance]:
        """Return the allowance of each token hash that has a limit. What a token has used up is so under a new limit, too."""
        before, self._known = self._known, {}
        for token, limit in limits.items():
            known = before.pop(token, None)
            if known is None:
                known = Allowance(limit, Count(None if self._folder is None else self._folder / f"{token[:32]}{SUFFIX}"))
            self._known[token] = known if known.limit == limit else Allowance(limit, known.count)
        return dict(self._known)


@contextmanager
def counted_together(home: Path) -> Iterator[Path]:
    """Give the folder where gateways count together while they run. The first one clears it: the clock may be a new one."""
    folder = home / "gateway" / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / LOCK).open("w") as lock:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for old in folder.glob("*" + SUFFIX):
                old.unlink(missing_ok=True)
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield folder


def _of_requests(rate: float, burst: int | None) -> Pace:
    at_once = max(1, ceil(rate)) if burst is None else burst
    return Pace(1 / rate, (at_once - 1) / rate)


def _limited(limit: Limit, wait_s: float) -> Problem:
    allowed = [
        f"{number:g} {what} a second"
        for number, what in ((limit.requests, "requests"), (limit.rows, "rows"))
        if number is not None
    ]
    step = f"try again in {wait_s:.3g} s; an admin may change the limit: yard token limit"
    why = f"it may ask {' and '.join(allowed)}"
    return Problem("token.limited", "The token asks too much", why, step, {"retry_after_s": round(wait_s, 6)})
