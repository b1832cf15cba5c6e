"""Keeps the process of one version up: starts it again when it has ended, replaces it when it has grown, lets it rest.

A version whose process has ended is started again at once the first times; one that goes on ending rests, longer each time, and
whoever asks it meanwhile is told so at once.
"""

import logging
import pickle
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock, Thread
from time import monotonic
from typing import Any

from modelyard.core import Problem
from modelyard.gateway.children import Child, Ended
from modelyard.gateway.frames import LARGEST, Order, read_answers
from modelyard.serving.program import Answers, Batch, rows_in
from modelyard.serving.types import ServedForm
from modelyard.wiring import process_tree

log = logging.getLogger(__name__)

WINDOW_S = 60.0
AT_ONCE = 3  # ends within the window after which a version is started again at once
LONGEST_REST_S = 60.0
NEXT_STEP = "look at the gateway's log, mend the version and register a new one, or roll it back"
_MIB = 1 << 20


@dataclass(frozen=True)
class Bounds:
    """What the process of a version may take."""

    call_s: float = 60.0  # for one call
    load_s: float = 600.0  # to load
    memory_mb: float = 2048.0  # beyond what it held when it was loaded: then it is replaced, at twice as much ended


@dataclass(frozen=True)
class Named:
    """Whose process it is."""

    project: str
    deployment: str
    version: int

    def __str__(self) -> str:
        """Return it for people."""
        return f"version {self.version} of {self.project}/{self.deployment}"


def rest_s(ends: Sequence[float], now: float) -> float:
    """Return for how long a version rests whose process has ended at these times.

    >>> rest_s([0, 1, 2], 2), rest_s([0, 1, 2, 3], 3), rest_s([0, 1, 2, 3, 4], 4), rest_s([0, 1, 2, 90], 90)
    (0.0, 2.0, 4.0, 0.0)
    """
    over = sum(now - at <= WINDOW_S for at in ends) - AT_ONCE
    return 0.0 if over <= 0 else min(LONGEST_REST_S, 2.0**over)


def _frameworks(served: ServedForm) -> list[str]:
    return sorted({served.framework, *(one for member in served.members for one in _frameworks(member))})


class Keeper:
    """One version's process. Safe to share between threads; one call at a time.

    Parameters
    ----------
    bring
        Brings the version's contents to where the order says, those that are missing.
    start
        Starts a process for versions of some frameworks.
    started
        Told project, deployment and version each time that a process was started in place of another.
    """

    def __init__(
        self,
        named: Named,
        order: Order,
        bounds: Bounds,
        *,
        bring: Callable[[], None],
        start: Callable[[Sequence[str]], Child],
        started: Callable[[str, str, int], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.named = named
        self._order = order
        self._bounds = bounds
        self._bring = bring
        self._start = start
        self._started = started
        self._clock = clock
        self._turn = Lock()  # held by who asks
        self._child: Child | None = None
        self._ends: deque[float] = deque(maxlen=32)
        self._down_until = 0.0
        self._why = ""
        self._first_mb = self._memory_mb = 0.0
        self._restarts = 0
        self._busy = False  # somebody is starting or replacing it
        self._replaced_at = -LONGEST_REST_S
        self._closed = False

    @property
    def served(self) -> ServedForm:
        """Which version, in which form."""
        return self._order.served

    def open(self) -> None:
        """Start the process and have it load the version. Raises what is wrong with it."""
        with self._turn:
            self._child = self._begin()

    def infer(self, batch: Batch) -> Answers:
        """Return the process' answers.

        Raises
        ------
        Problem
            What the version raises; `version.failed` when its process ends in this call, or rests; `version.unavailable` when
            others ask it for too long.
        """
        content = pickle.dumps(batch, pickle.HIGHEST_PROTOCOL)
        if len(content) > LARGEST:
            why = f"at most {LARGEST:,} bytes are handed to a version at once"
            raise Problem("batch.too_large", "The rows are too many for one call", why, "send less at once")
        if not self._turn.acquire(timeout=self._bounds.call_s):
            raise Problem("version.unavailable", f"Version {self.served.version} is busy", "others ask it", "try again")
        try:
            child = self._running()
            try:
                told = child.ask(content, self._bounds.call_s)
            except Ended as error:
                self._note(str(error))
                raise self._lost("in this call", str(error)) from error
        finally:
            self._turn.release()
        return read_answers(told, self.served.version, [one.name for one in self.served.signature.outputs], rows_in(batch))

    def look(self) -> None:
        """See whether it is up, and how much memory it holds; have done what is to be done. Returns at once."""
        child = self._child
        if self._closed or self._busy:
            return
        if child is None:
            if self._clock() >= self._down_until:
                self._in_thread(self._revive)
            return
        self._memory_mb = process_tree.resident_mb(child.pid)
        grown = self._memory_mb - self._first_mb
        if not self._memory_mb:
            self._in_thread(self._revive)
        elif grown > 2 * self._bounds.memory_mb:
            child.kill(f"was ended at {self._memory_mb:,.0f} MiB, {grown:,.0f} more than when it was loaded")
        elif grown > self._bounds.memory_mb and self._clock() - self._replaced_at > LONGEST_REST_S:
            self._in_thread(self._replace)

    def close(self) -> None:
        """End the process, also in the middle of a call; it is not started again."""
        self._closed = True
        child = self._child
        if child is not None:
            child.kill("was ended, since nobody needs it any more")
            if self._turn.acquire(blocking=False):  # else who asks finds its end
                child.end()
                self._turn.release()

    def own_mb(self) -> float:
        """Return how much memory the process holds, in MiB, what it shares with others by their number; 0 when it is down."""
        child = self._child
        return 0.0 if child is None else process_tree.memory_mb(child.pid, 0.0)

    def status(self) -> dict[str, Any]:
        """Return how it stands, as JSON."""
        child, left = self._child, self._down_until - self._clock()
        return {
            "project": self.named.project,
            "deployment": self.named.deployment,
            "version": self.named.version,
            "pid": None if child is None else child.pid,
            "memory_mb": round(self._memory_mb, 1),
            "restarts": self._restarts,
            "last_end": self._why or None,
            "rests_s": round(left, 1) if child is None and left > 0 else 0.0,
        }

    def _in_thread(self, work: Callable[[], None]) -> None:
        self._busy = True

        def run() -> None:
            try:
                work()
            except Problem as problem:
                log.error("%s: %s", self.named, problem)
            finally:
                self._busy = False

        Thread(target=run, name="version", daemon=True).start()

    def _revive(self) -> None:
        """Start it before it is asked; where its process has ended while nobody asked it, take note of that."""
        with self._turn:
            child = self._child
            if child is not None and not process_tree.resident_mb(child.pid):
                self._note(child.end())
            if self._clock() >= self._down_until and not self._closed:
                self._running()

    def _replace(self) -> None:
        """Start another process beside one that has grown, and end that when nobody asks it."""
        self._replaced_at = self._clock()
        log.warning("%s holds %.0f MiB, %.0f when it was loaded: replaced", self.named, self._memory_mb, self._first_mb)
        why = f"was replaced at {self._memory_mb:,.0f} MiB"
        new = self._begin()
        with self._turn:
            old, self._child = self._child, new
            self._counted(why)
        if old is not None:
            old.end()
        if self._closed:
            new.end()

    def _running(self) -> Child:
        """Return the process, started if it is not up. Raises what is wrong with it."""
        if self._child is None:
            left = self._down_until - self._clock()
            if left > 0:
                what = f"Version {self.served.version} rests for {left:.1f} s more"
                raise Problem("version.failed", what, f"its process does not stay up: the last one {self._why}", NEXT_STEP)
            try:
                self._child = self._begin()
            except Problem as problem:
                self._note(f"could not be started: {problem.why}")
                raise
            self._counted(self._why)
        return self._child

    def _begin(self) -> Child:
        """Return a new process that has loaded the version. Raises what is wrong with it."""
        self._check_needed()
        self._bring()
        child = self._start(_frameworks(self.served))
        try:
            told = child.ask(pickle.dumps(self._order, pickle.HIGHEST_PROTOCOL), self._bounds.load_s)
            read_answers(told, self.served.version, (), 0)
            self._check_needed()
        except Ended as error:
            raise self._lost("while it was loaded", str(error)) from error
        except Problem:
            child.end()
            raise
        self._first_mb = self._memory_mb = process_tree.resident_mb(child.pid)
        return child

    def _check_needed(self) -> None:
        if self._closed:
            raise Problem("version.unavailable", f"Version {self.served.version} is served no more", "", "ask again")

    def _counted(self, why: str) -> None:
        self._why = why
        self._restarts += 1
        self._started(self.named.project, self.named.deployment, self.named.version)
        log.warning("%s has a new process: the one before %s", self.named, why)

    def _note(self, why: str) -> None:
        """Take note of an end."""
        self._child, self._why, now = None, why, self._clock()
        self._ends.append(now)
        rest = rest_s(self._ends, now)
        self._down_until = now + rest
        if not self._closed:
            log.error("the process of %s %s%s", self.named, why, f"; it rests for {rest:.0f} s" if rest else "")

    def _lost(self, when: str, why: str) -> Problem:
        return Problem("version.failed", f"Version {self.served.version} was lost", f"{when} its process {why}", NEXT_STEP)
