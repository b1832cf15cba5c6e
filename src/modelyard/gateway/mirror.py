"""Shadows: versions that are asked, after the caller was answered, what the caller asked; nobody waits for them.

Each has a bounded queue of its own. What comes when it is full is dropped and counted: a slow shadow falls behind by itself, a
broken one is counted as failing, and neither is noticed by a caller. Those that answer in this process take turns in a thread.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock
from time import perf_counter

from modelyard.core import Problem
from modelyard.gateway.calls import Call
from modelyard.prepare.transform import ROWS_BY_PYTHON
from modelyard.serving.infer import LoadedVersion
from modelyard.serving.rules import mirrored
from modelyard.serving.types import RouteKind

MOST_WAITING_ROWS = 4096  # for one shadow
MOST_APART = 32  # shadows in processes of their own that are asked at the same time

Work = Callable[[LoadedVersion, Sequence[Call]], float]


@dataclass(eq=False)
class _Queue:
    """What waits for one shadow."""

    calls: deque[Call] = field(default_factory=deque)
    rows: int = 0


class Mirror:
    """Asks shadows. `take` returns at once, from any thread."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shadow")
        self._askers = ThreadPoolExecutor(MOST_APART, thread_name_prefix="shadow-apart")  # they wait for other processes
        self._lock = Lock()
        self._waiting: dict[LoadedVersion, _Queue] = {}  # by those that are asked now, or will be
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
        """End the threads; what waits is dropped."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
        self._thread.shutdown()
        self._askers.shutdown()

    def _ask(self, call: Call, loaded: LoadedVersion) -> None:
        try:
            rows = loaded.batch(call.columns, call.shapes)
        except Problem:
            self.rows_refused += call.count
            return
        ask = call.ask._replace(begun=perf_counter())
        asked = replace(call, ask=ask, loaded=loaded, route=RouteKind.SHADOW.value, rows=rows, looked_up=None)
        asked.answers = asked.problem = asked.waiter = None
        self._add(asked)

    def _add(self, call: Call) -> None:
        with self._lock:
            queue = self._waiting.get(call.loaded)
            if self._closed or (queue is not None and queue.rows and queue.rows + call.count > MOST_WAITING_ROWS):
                self.rows_dropped += call.count
                return
            if queue is None:
                queue = self._waiting[call.loaded] = _Queue()
                self._submit(call.loaded)
            queue.calls.append(call)
            queue.rows += call.count

    def _submit(self, loaded: LoadedVersion) -> None:
        (self._askers if loaded.is_apart else self._thread).submit(self._run, loaded)

    def _run(self, loaded: LoadedVersion) -> None:
        batch = self._next(loaded)
        if batch:
            self._work(loaded, batch)
            with self._lock:
                if not self._closed:
                    self._submit(loaded)

    def _next(self, loaded: LoadedVersion) -> list[Call]:
        """Return the calls at the head of a version's queue that it may answer together; none when nothing waits."""
        with self._lock:
            queue = self._waiting.get(loaded)
            if queue is None or not queue.calls:
                self._waiting.pop(loaded, None)
                return []
            batch = [queue.calls.popleft()]
            rows = batch[0].count
            while queue.calls and rows + queue.calls[0].count <= ROWS_BY_PYTHON:
                batch.append(queue.calls.popleft())
                rows += batch[-1].count
            queue.rows -= rows
            return batch
