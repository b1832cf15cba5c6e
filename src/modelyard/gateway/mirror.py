"""Shadows: versions that are asked, after the caller was answered, what the caller asked; nobody waits for them.

They have one thread and a bounded queue of their own. What comes when it is full is dropped and counted: a slow shadow falls
behind by itself, a broken one is counted as failing, and neither is noticed by a caller.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from time import perf_counter

from modelyard.core import Problem
from modelyard.gateway.calls import Call
from modelyard.prepare.transform import ROWS_BY_PYTHON
from modelyard.serving.infer import LoadedVersion
from modelyard.serving.rules import mirrored
from modelyard.serving.types import RouteKind

MOST_WAITING_ROWS = 4096

Work = Callable[[LoadedVersion, Sequence[Call]], float]


class Mirror:
    """Asks shadows. `take` returns at once, from any thread."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shadow")
        self._lock = Lock()
        self._waiting: deque[Call] = deque()
        self._rows = 0
        self._running = False
        self._closed = False
        self.rows_dropped = 0  # there were too many
        self.rows_refused = 0  # a shadow takes other inputs

    def take(self, calls: Sequence[Call]) -> None:
        """Take in answered calls, of which some may be for shadows too."""
        for call in calls:
            target = call.ask.target
            if target.shadows and call.problem is None:
                for route, loaded in target.shadows:
                    if mirrored(route, call.request):
                        self._ask(call, loaded)

    def close(self) -> None:
        """End the thread; what waits is dropped."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
        self._thread.shutdown()

    def _ask(self, call: Call, loaded: LoadedVersion) -> None:
        try:
            rows = loaded.batch(call.columns, call.shapes)
        except Problem:
            self.rows_refused += call.count
            return
        ask = call.ask._replace(begun=perf_counter())
        route = RouteKind.SHADOW.value
        self._add(replace(call, ask=ask, loaded=loaded, route=route, rows=rows, answers=None, problem=None, waiter=None))

    def _add(self, call: Call) -> None:
        with self._lock:
            if self._closed or (self._rows and self._rows + call.count > MOST_WAITING_ROWS):
                self.rows_dropped += call.count
                return
            self._waiting.append(call)
            self._rows += call.count
            if self._running:
                return
            self._running = True
        self._thread.submit(self._run)

    def _run(self) -> None:
        while batch := self._next():
            self._work(batch[0].loaded, batch)

    def _next(self) -> list[Call]:
        """Return the calls at the head of the queue that one version may answer together; none ends the run."""
        with self._lock:
            batch: list[Call] = []
            rows = 0
            while self._waiting and (not batch or self._fits(batch, rows)):
                batch.append(self._waiting.popleft())
                rows += batch[-1].count
            self._rows -= rows
            self._running = bool(batch)
            return batch

    def _fits(self, batch: Sequence[Call], rows: int) -> bool:
        following = self._waiting[0]
        return following.loaded is batch[0].loaded and rows + following.count <= ROWS_BY_PYTHON
