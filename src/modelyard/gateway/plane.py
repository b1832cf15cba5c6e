"""The inference plane: every door's calls, put together by version, answered, and written to the ledger.

Calls that arrive in the same turn of the event loop are answered by one call of the version: no timer is waited for, so one
call alone is not delayed. A version that takes long is asked in a thread, and what arrives meanwhile is its next batch; so its
batches grow with its load, and the loop goes on.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from math import inf
from time import perf_counter
from weakref import WeakKeyDictionary

from modelyard.core import Clock, Problem
from modelyard.data.features.online import OnlineStore
from modelyard.gateway.calls import FALLBACK, Ask, Call
from modelyard.gateway.lookups import look_up
from modelyard.gateway.metrics import Metrics
from modelyard.gateway.mirror import Mirror
from modelyard.gateway.segments import Failure, SegmentWriter
from modelyard.gateway.spans import end_refused
from modelyard.prepare.transform import ROWS_BY_PYTHON
from modelyard.serving.infer import LoadedVersion

log = logging.getLogger(__name__)

BATCH_ROWS = ROWS_BY_PYTHON  # more rows at once are no cheaper by the row
HEAVY_S = 0.002  # a version whose calls take longer is not asked on the loop
MOST_WAITING_ROWS = 16_384  # for one heavy version
THREADS = 2
MOST_APART = 128  # versions in processes of their own that are asked at the same time
LONGEST_S = 60.0  # nobody waits longer
LOOK_S = 0.02  # between two looks for callers whose deadline has passed
_SMOOTHING = 0.2


@dataclass(eq=False)
class Lane:
    """What is known of one loaded version's pace, and who waits for it."""

    seconds: float  # of one call of the version, smoothed
    waiting: deque[Call] = field(default_factory=deque)
    rows: int = 0  # that wait
    busy: bool = False
    running: Sequence[Call] = ()
    most_rows: float = MOST_WAITING_ROWS  # that wait

    def took(self, seconds: float) -> None:
        """Take one measured call into the pace."""
        self.seconds += _SMOOTHING * (seconds - self.seconds)

    @property
    def heavy(self) -> bool:
        """Whether the version is asked in a thread."""
        return self.seconds > HEAVY_S


class Plane:
    """Answers calls. `take` and `take_large` belong to the event loop; `answer_batch` may be called from any thread."""

    def __init__(self, *, writer: SegmentWriter, metrics: Metrics, clock: Clock, online: Callable[[], OnlineStore]) -> None:
        self._writer = writer
        self._metrics = metrics
        self._clock = clock
        self._online = online  # opened by the first version that looks anything up
        self._arrived: list[Call] = []  # in this turn of the loop
        self._lanes: WeakKeyDictionary[LoadedVersion, Lane] = WeakKeyDictionary()
        self._large: WeakKeyDictionary[LoadedVersion, Lane] = WeakKeyDictionary()  # of calls that the loop must not answer
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="infer")
        self._askers = ThreadPoolExecutor(MOST_APART, thread_name_prefix="ask")  # they wait for other processes
        self._mirror = Mirror(self._work)
        self._looking = False
        metrics.watch(self._figures)

    def take(self, call: Call) -> None:
        """Answer a call together with the others of its turn; its waiter is called when that is done."""
        if not self._arrived:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._turn, loop)
        self._arrived.append(call)

    def take_large(self, call: Call) -> None:
        """Answer a call of so many rows that the loop must not do it; its waiter is called when that is done."""
        loaded = call.loaded
        lanes = self._lanes if loaded.is_apart else self._large
        lane = lanes.get(loaded)
        if lane is None:
            lane = lanes[loaded] = Lane(loaded.pace_s, most_rows=MOST_WAITING_ROWS if loaded.is_apart else inf)
        self._queue(asyncio.get_running_loop(), loaded, lane, [call])

    def answer_batch(self, calls: Sequence[Call]) -> None:
        """Answer calls now, in this thread, those to one version together. Shadows are left to `mirror`."""
        for loaded, group in _by_version(calls).items():
            for batch in _batches(group):
                self._work(loaded, batch)

    def mirror(self, calls: Sequence[Call]) -> None:
        """Ask the shadows of calls whose answers were told."""
        self._mirror.take(calls)

    def refused(self, ask: Ask, problem: Problem) -> None:
        """Keep that a request was refused before it became a call."""
        served = ask.target.served
        self._metrics.failed((served.project_name, served.name, "", ""), problem)
        self._writer.write_failures(served, [Failure(None, "", self._clock(), problem)])
        if ask.span is not None:
            end_refused(ask.span, ask, problem)

    def close(self) -> None:
        """End the threads, once nothing more is asked."""
        self._threads.shutdown()
        self._askers.shutdown()
        self._mirror.close()

    def _all_lanes(self) -> list[Lane]:
        return [*list(self._lanes.values()), *list(self._large.values())]

    @property
    def queue(self) -> float:
        """How full the fullest queue is, as a share of what may wait in it."""
        return max((lane.rows / lane.most_rows for lane in self._all_lanes()), default=0.0)

    def _figures(self) -> dict[str, float]:
        return {
            "modelyard_shadow_rows_dropped_total": self._mirror.rows_dropped,
            "modelyard_shadow_rows_refused_total": self._mirror.rows_refused,
            "modelyard_waiting_rows": sum(lane.rows for lane in self._all_lanes()),
        }

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        calls, self._arrived = self._arrived, []
        for loaded, group in _by_version(calls).items():
            lane = self._lanes.get(loaded)
            if lane is None:
                lane = self._lanes[loaded] = Lane(loaded.pace_s)
            if lane.heavy or lane.busy or loaded.runs_code or loaded.served.features is not None:
                self._queue(loop, loaded, lane, group)
                continue
            for batch in _batches(group):
                lane.took(self._work(loaded, batch))
                _wake(batch)
                self._mirror.take(batch)

    def _queue(self, loop: asyncio.AbstractEventLoop, loaded: LoadedVersion, lane: Lane, calls: Sequence[Call]) -> None:
        refused = []
        for call in calls:
            if lane.rows and lane.rows + call.count > lane.most_rows:
                call.problem = _busy(lane.rows)
                refused.append(call)
            else:
                lane.waiting.append(call)
                lane.rows += call.count
        if refused:
            self._failed(refused)
            _wake(refused)
        if not lane.busy and lane.waiting:
            lane.busy = True
            self._start(loop, loaded, lane)
        if not self._looking:
            self._looking = True
            loop.call_later(LOOK_S, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let go of callers whose deadline has passed."""
        now = perf_counter()
        busy = [lane for lane in self._all_lanes() if lane.busy]
        for lane in busy:
            gone = [call for call in (*lane.running, *lane.waiting) if now > call.ask.deadline and call.problem is None]
            for call in gone:
                call.problem, call.given_up = late(now - call.ask.begun), True
            if gone:
                self._failed(gone)
                _wake(gone)
                lane.waiting = deque(call for call in lane.waiting if not call.given_up)
                lane.rows = sum(call.count for call in lane.waiting)
        self._looking = bool(busy)
        if self._looking:
            loop.call_later(LOOK_S, self._look, loop)

    def _start(self, loop: asyncio.AbstractEventLoop, loaded: LoadedVersion, lane: Lane) -> None:
        batch = [lane.waiting.popleft()]
        rows = batch[0].count
        while lane.waiting and rows + lane.waiting[0].count <= BATCH_ROWS:
            batch.append(lane.waiting.popleft())
            rows += batch[-1].count
        lane.rows -= rows
        lane.running = batch
        done = loop.run_in_executor(self._askers if loaded.is_apart else self._threads, self._work, loaded, batch)
        done.add_done_callback(lambda future: self._ended(loop, loaded, lane, batch, future))

    def _ended(
        self,
        loop: asyncio.AbstractEventLoop,
        loaded: LoadedVersion,
        lane: Lane,
        batch: Sequence[Call],
        future: "asyncio.Future[float]",
    ) -> None:
        lane.took(future.result())
        lane.running = ()
        _wake(batch)
        self._mirror.take([call for call in batch if not call.given_up])
        if lane.waiting:
            self._start(loop, loaded, lane)
        else:
            lane.busy = False

    def _work(self, loaded: LoadedVersion, calls: Sequence[Call]) -> float:
        """Answer calls to one version and write them down; return the seconds that the version took. Never raises."""
        began = perf_counter()
        try:
            self._infer(loaded, calls)
        except Exception as error:
            log.exception("version %s of %s", loaded.served.version, calls[0].ask.target.served.name)
            for call in calls:
                call.problem = Problem("gateway.failed", "The gateway made a mistake", type(error).__name__, "see its log")
        ended = perf_counter()
        now = self._clock()
        answered: list[Call] = []
        failed: list[Call] = []
        for call in calls:
            if call.given_up:
                continue
            call.answered_at, call.seconds, call.began_at = now, ended - call.ask.begun, began
            (answered if call.problem is None else failed).append(call)
        if answered:
            self._writer.write(answered)
            self._metrics.answered(answered)
        if failed:
            self._failed(failed)
            self._fall_back(failed)
        return ended - began

    def _fall_back(self, failed: Sequence[Call]) -> None:
        """Ask the live version where a canary failed by its own fault: the caller is answered, and the failure stays told."""
        again = [call for call in failed if call.may_fall_back]
        for call in again:
            live = call.ask.target.live
            try:
                asked = replace(call, rows=live.batch(call.columns, call.shapes), looked_up=None, problem=None)
            except Problem as problem:
                call.problem = problem
                continue
            self._infer(live, [asked])
            if asked.problem is not None:
                call.problem = asked.problem
                continue
            call.rows, call.looked_up, call.answers = asked.rows, asked.looked_up, asked.answers
            call.loaded, call.route, call.problem = live, FALLBACK, None
            call.answered_at, call.seconds = self._clock(), perf_counter() - call.ask.begun
        for answered in _by_version([call for call in again if call.problem is None]).values():
            self._writer.write(answered)
            self._metrics.answered(answered)

    def _failed(self, calls: Sequence[Call]) -> None:
        """Count and keep calls to one deployment that came to a problem."""
        now = self._clock()
        failures = []
        for call in calls:
            if call.problem is not None:
                self._metrics.failed(call.labels, call.problem)
                failures.append(Failure(call.loaded.served.version, call.route, now, call.problem))
        self._writer.write_failures(calls[0].ask.target.served, failures)

    def _infer(self, loaded: LoadedVersion, calls: Sequence[Call]) -> None:
        if loaded.served.features is not None:
            try:
                look_up(self._online(), loaded, loaded.served.features, calls, self._clock())
            except Problem as problem:
                for call in calls:
                    call.problem = problem
            calls = [call for call in calls if call.problem is None]
        if len(calls) > 1:
            try:
                answers = loaded.infer(loaded.joined([call.rows for call in calls]))
            except Problem:
                pass  # whose row it is shows when each is asked alone; the others are answered all the same
            else:
                start = 0
                for call in calls:
                    end = start + call.count
                    call.answers = {name: values[start:end] for name, values in answers.items()}
                    start = end
                return
        for call in calls:
            if call.given_up:
                continue
            try:
                call.answers = loaded.infer(call.rows)
            except Problem as problem:
                call.problem = problem


def _by_version(calls: Sequence[Call]) -> dict[LoadedVersion, list[Call]]:
    found: dict[LoadedVersion, list[Call]] = {}
    for call in calls:
        found.setdefault(call.loaded, []).append(call)
    return found


def _batches(calls: Sequence[Call]) -> list[list[Call]]:
    """Return the calls in batches of about as many rows as are answered well at once."""
    batches: list[list[Call]] = [[]]
    rows = 0
    for call in calls:
        if rows and rows + call.count > BATCH_ROWS:
            batches.append([])
            rows = 0
        batches[-1].append(call)
        rows += call.count
    return batches


def _wake(calls: Sequence[Call]) -> None:
    for call in calls:
        waiter, call.waiter = call.waiter, None
        if waiter is not None:
            waiter()


def late(seconds: float) -> Problem:
    """Return the problem of a request that was not answered in time."""
    why = f"{seconds:.1f} s have passed"
    return Problem("gateway.timeout", "The answer did not come in time", why, "try again, wait longer, or send less at once")


def _busy(rows: int) -> Problem:
    why = f"{rows:,} rows wait for this version"
    return Problem("gateway.unavailable", "The version is busy", why, "try again in a second, or send less at once")
