"""A worker's watch over one leased job: from the start of its try until the outcome is recorded."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from modelyard.core import Problem, ProblemKind, TraceContext
from modelyard.core.stop import Stop
from modelyard.jobs import Job, Lease, Progress, lease
from modelyard.jobs.rules import problem_from_json, problem_to_json
from modelyard.jobs.service import Ports
from modelyard.runner.assignment import Assignment
from modelyard.runner.disk import disk_problem
from modelyard.runner.launcher import Launcher
from modelyard.runner.lines import LineBatch
from modelyard.runner.masking import Mask
from modelyard.runner.steps import TRUSTED
from modelyard.runner.tries import Try

LINES_AT_ONCE = 500
MAX_WAITING_LINES = 20_000
LEAVE_S = 10.0  # a process that told its result and does not end is ended
KILL_AGAIN_S = 1.0
NEVER = float("inf")
LAST_WORD_S = 5.0  # a worker that is to stop tries this long to reach a database that does not answer


@dataclass(frozen=True)
class Pace:
    """How often a worker does what, in seconds."""

    lease_s: float = 15.0
    heartbeat_s: float = 1.0
    first_retry_s: float = 1.0  # the pause after a first failed try
    poll_s: float = 0.05  # between two looks for work, of about 2 ms each; doubled up to the next while there is none
    longest_poll_s: float = 0.5  # a database that can tell whether anything has changed is asked that every `poll_s` meanwhile
    limits_s: float = 0.25
    disk_s: float = 1.0
    log_s: float = 0.5
    away_s: float = 0.5  # before a database that did not answer is asked again


class Say(Protocol):
    """Writes a line of the worker's own log."""

    def __call__(self, event: str, /, **facts: object) -> None:
        """Say what happened."""
        ...


class Verdict(Enum):
    """Why a try was ended, when it did not end by itself."""

    LIMIT = "limit"
    CANCELLED = "cancelled"
    STOPPED = "stopped"  # the worker is to end
    LOST = "lost"  # the lease is another worker's now


@dataclass
class Watch:
    """One lease, the try under it, and what is due when (by the monotonic clock)."""

    ports: Ports
    held: Lease
    pace: Pace
    mask: Mask
    stop: Stop
    say: Say
    trace: TraceContext | None = None  # to which the try belongs
    peak_mb: float = 0.0
    verdict: Verdict | None = None
    _problem: Problem | None = None
    _progress: Progress | None = None  # the newest that is recorded
    _due: dict[str, float] = field(default_factory=dict)

    def run(self, launcher: Launcher, scratch: Path) -> Job | None:
        """Run the try to its end and record what came of it; return the job, or None when the lease is another worker's now."""
        job = self.held.job
        if job.cancel_requested:  # in a try whose worker was lost before it saw that
            self.verdict = Verdict.CANCELLED
            return self._record(lambda: lease.stop(self.ports, self.held))
        lines = LineBatch(self.ports.clock, self.mask)
        folder = scratch / f"{job.id}-{self.held.fence}"
        assignment = Assignment(job.project, job.id, self.held.fence, folder, memory_mb=job.limits.memory_mb, trace=self.trace)
        running = launcher.start(assignment, lines, with_secrets=job.kind in TRUSTED)
        self._begin(time.monotonic())
        while not running.ended:
            wait_s = min(self._due[what] for what in ("heartbeat", "log", "limits", "disk")) - time.monotonic()
            running.poll(max(0.0, wait_s), None if self.stop.asked else self.stop.descriptor)
            if not running.ended:
                self._look(running, folder)
        return self._close(running)

    def _begin(self, now: float) -> None:
        limits = self.held.job.limits
        watched = limits.memory_mb is not None or limits.time_s is not None
        self._due = {
            "heartbeat": now + self.pace.heartbeat_s,
            "log": now + self.pace.log_s,
            "limits": now if watched else NEVER,
            "disk": now + self.pace.disk_s,
            "time": now + limits.time_s if limits.time_s is not None else NEVER,
            "leave": NEVER,
            "kill": now,
        }

    def _look(self, running: Try, folder: Path) -> None:
        if self._is_due("log", self.pace.log_s):
            self._keep_lines(running)
        if self._is_due("heartbeat", self.pace.heartbeat_s):
            self._keep_lease(running)
        if self._is_due("limits", self.pace.limits_s) and not running.told.over:
            self._check_limits(running)
        if self._is_due("disk", self.pace.disk_s) and not running.told.over:
            problem = disk_problem(folder, self.held.job.limits)
            if problem is not None:
                self._end(running, Verdict.LIMIT, problem)
        if running.told.over:
            self._due["leave"] = min(self._due["leave"], time.monotonic() + LEAVE_S)
            if time.monotonic() > self._due["leave"]:
                self._end(running, self.verdict)
        if self.stop.asked:
            self._end(running, Verdict.STOPPED)

    def _check_limits(self, running: Try) -> None:
        limits = self.held.job.limits
        if limits.memory_mb is not None:
            used = running.memory_mb(limits.memory_mb)
            self.peak_mb = max(self.peak_mb, used)
            if used > limits.memory_mb:
                self._end(running, Verdict.LIMIT, over_memory(used, limits.memory_mb))
        if limits.time_s is not None and time.monotonic() > self._due["time"]:
            self._end(running, Verdict.LIMIT, over_time(limits.time_s))

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due[what]:
            return False
        self._due[what] = now + every_s
        return True

    def _end(self, running: Try, verdict: Verdict | None, problem: Problem | None = None) -> None:
        if self.verdict is None:
            self.verdict, self._problem = verdict, problem
        if self._is_due("kill", KILL_AGAIN_S):
            running.kill()

    def _keep_lease(self, running: Try) -> None:
        told = running.told.progress
        fresh = Progress(told.fraction, self.mask(told.message)) if told is not None and told != self._progress else None
        try:
            cancel = lease.keep(self.ports, self.held, lease_s=self.pace.lease_s, progress=fresh)
        except Problem as problem:
            if problem.code == "lease.conflict":
                self._end(running, Verdict.LOST)
            else:
                self._wait_for_database(problem, "heartbeat")
            return
        self._progress = told
        if cancel:
            self._end(running, Verdict.CANCELLED)

    def _keep_lines(self, running: Try) -> None:
        waiting = running.lines
        try:
            while batch := waiting.take(LINES_AT_ONCE):
                lease.log(self.ports, self.held, batch)
                waiting.drop(len(batch))
        except Problem as problem:
            self._wait_for_database(problem, "log")
            waiting.drop(max(0, len(waiting.lines) - MAX_WAITING_LINES))

    def _wait_for_database(self, problem: Problem, what: str) -> None:
        if not is_passing(problem):
            raise problem
        self.say("database.away", what=what, why=str(problem))
        self._due[what] = time.monotonic() + self.pace.away_s

    def _close(self, running: Try) -> Job | None:
        self._keep_lines(running)
        told = running.told
        if self.verdict is Verdict.LOST:
            return None
        if told.result is not None:
            result = told.result
            return self._record(lambda: lease.finish(self.ports, self.held, result))
        if self.verdict is Verdict.CANCELLED:
            return self._record(lambda: lease.stop(self.ports, self.held))
        if self.verdict is Verdict.STOPPED:
            return self._record(lambda: lease.give_back(self.ports, self.held))
        problem = self._problem or told.problem or ended_badly(running.status)
        masked = problem_from_json(self.mask.all_in(problem_to_json(problem)))
        return self._record(lambda: lease.fail(self.ports, self.held, masked, first_retry_s=self.pace.first_retry_s))

    def _record(self, close: Callable[[], Job]) -> Job | None:
        give_up: float | None = None
        while give_up is None or time.monotonic() < give_up:
            try:
                return close()
            except Problem as problem:
                if problem.code == "lease.conflict":
                    self.verdict = Verdict.LOST
                    return None
                if not is_passing(problem):
                    raise
                self.say("database.away", what="outcome", why=str(problem))
            if self.stop.wait(self.pace.away_s):
                give_up = give_up or time.monotonic() + LAST_WORD_S
                time.sleep(self.pace.away_s)
        return None


def is_passing(problem: Problem) -> bool:
    """Return whether the database may answer when it is asked again."""
    if problem.code == "adapter.unavailable":  # a package is not installed
        return False
    return problem.kind is ProblemKind.UNAVAILABLE or problem.code == "metadata.conflict"


def over_time(limit_s: float) -> Problem:
    """Return the problem of a try that took too long."""
    step = "raise its limit (limits.time_s), or make the work smaller"
    return Problem("job.timeout", f"The job was ended after {limit_s:g} s", "that is its limit of time", step)


def over_memory(used_mb: float, limit_mb: int) -> Problem:
    """Return the problem of a try that held too much."""
    step = "raise its limit (limits.memory_mb), or make the work smaller"
    why = f"it held {used_mb:.0f} MB with everything it started, and its limit is {limit_mb} MB"
    detail = {"used_mb": round(used_mb), "limit_mb": limit_mb}
    return Problem("job.too_large", "The job was ended for its memory", why, step, detail)


def ended_badly(status: int | None) -> Problem:
    """Return the problem of a process that ended without a word. A negative exit status is the signal that ended it."""
    step = "see what it printed last: yard job logs"
    if status is None:
        return Problem("job.failed", "The job's process was lost", "the process that watched it ended", step)
    if status >= 0:
        why = f"its exit status was {status}"
        return Problem("job.failed", "The job's process left without a result", why, step, {"status": status})
    name = signal.Signals(-status).name if -status in {one.value for one in signal.Signals} else "unknown"
    why = f"its process was ended by signal {-status} ({name})"
    if -status == signal.SIGKILL:
        why += ": somebody killed it, or the machine had no memory left"
    return Problem("job.failed", "The job's process broke off", why, step, {"signal": -status})
