"""Waiting for background work, with progress where a person looks on."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from modelyard.client.connection import Connection
from modelyard.core import Problem
from modelyard.jobs import Job, JobState
from modelyard.jobs.rules import ENDED, problem_from_json

T = TypeVar("T")

FIRST_LOOK_S = 0.05
LONGEST_LOOK_S = 1.0
SHOWN_AFTER_S = 2.0


@dataclass(frozen=True)
class Look:
    """What one look at some work showed."""

    ended: bool
    fraction: float
    message: str


class Shown(Protocol):
    """Shows how far something is."""

    def __call__(self, look: Look, /) -> None:
        """Show one look."""
        ...


def wait_until(
    connection: Connection,
    read: Callable[[], T],
    judge: Callable[[T], Look],
    *,
    title: str,
    where: str,
    timeout_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Read until the work has ended, ever less often, and return what was read last.

    Parameters
    ----------
    read
        Returns how the work stands.
    judge
        Tells from that whether it has ended, and how far it is.
    title
        What is waited for, for people.
    where
        The command that shows it, for whoever stops waiting.

    Raises
    ------
    Problem
        `wait.timeout` after `timeout_s`; the work goes on.
    """
    started = clock()
    pause_s = FIRST_LOOK_S
    with progress(title) as show, _left(connection, title, where):
        while True:
            found = read()
            look = judge(found)
            if look.ended:
                return found
            waited_s = clock() - started
            if waited_s >= SHOWN_AFTER_S:
                show(look)
            if timeout_s is not None and waited_s >= timeout_s:
                raise Problem("wait.timeout", f"{title} has not ended after {timeout_s:g} s", "it goes on", where)
            connection.sleep(pause_s)
            pause_s = min(pause_s * 1.5, LONGEST_LOOK_S)


def wait_for_job(connection: Connection, path: str, *, timeout_s: float | None = None) -> Job:
    """Wait for the job at `path` and return it.

    Raises
    ------
    Problem
        The job's own when it failed; `job.conflict` when it was cancelled; `wait.timeout`.
    """
    first = connection.get(path, Job)
    where = f"yard job show {first.id}"
    job = wait_until(
        connection, lambda: connection.get(path, Job), _look_at_job, title=first.title, where=where, timeout_s=timeout_s
    )
    if job.state is JobState.FAILED:
        raise problem_from_json(job.problem or {})
    if job.state is JobState.CANCELLED:
        raise Problem("job.conflict", f"{job.title} was cancelled", "somebody asked for it to stop", where)
    return job


def _look_at_job(job: Job) -> Look:
    waits = "waits for a worker" if job.state is JobState.QUEUED else job.progress.message
    return Look(job.state in ENDED, job.progress.fraction, waits)


@contextmanager
def progress(title: str) -> Iterator[Shown]:
    """Give a function that shows looks as a bar on stderr, where that is a terminal; else one that shows nothing."""
    if not sys.stderr.isatty():
        yield lambda look, /: None
        return
    from rich.console import Console  # noqa: PLC0415 - a script that nobody watches does not pay for it
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns: tuple[Any, ...] = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}", style="dim"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0, message="", visible=False)

        def show(look: Look, /) -> None:
            bar.update(task, completed=look.fraction, message=look.message, visible=True)

        yield show


@contextmanager
def _left(connection: Connection, title: str, where: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        goes_on = "goes on" if connection.lasting else "goes on when the platform is opened again"
        sys.stderr.write(f"\n{title} {goes_on}; look at it with: {where}\n")
        raise
