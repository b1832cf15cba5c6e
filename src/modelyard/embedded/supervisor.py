"""Keeps child processes alive until it is told to stop; they end with this process, however it ends.

Standard library only, so that what it starts can start at once.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.core import Problem

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
HEALTHY_S = 30.0  # a child that lived so long is started again at once
STOP_S = 15.0
LARGEST_LOG_BYTES = 10 << 20

Say = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What a child is told at its start, beside its place in the family."""

    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """A child to keep alive.

    Parameters
    ----------
    name
        For people, and of its log.
    module
        Run as `python -m`.
    order
        Gives its order at each start; may wait for what it needs, while the child imports `preload`. None: do not start.
    log
        Where its standard error goes, appended.
    preload
        Modules to import before the order comes.
    descriptors
        Inherited by it.
    nice
        How far it stands back where cores are short, as `os.nice` has it.
    """

    name: str
    module: str
    order: Callable[[], Order | None]
    log: Path
    preload: tuple[str, ...] = ()
    descriptors: tuple[int, ...] = ()
    nice: int = 0


class Child:
    """One program that is kept alive by a thread of its own.

    The thread lives as long as the child is to: on Linux a child hears of the end of the thread that started it.
    """

    def __init__(self, program: Program, say: Say) -> None:
        self.program = program
        self._say = say
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._changed = threading.Condition()
        self._failures = 0  # lives that ended without a line
        self._process: subprocess.Popen[str] | None = None
        self._answering: subprocess.Popen[str] | None = None  # the process that has printed its line
        self._first: dict[str, Any] | None = None
        self._thread = threading.Thread(target=self._keep, name=program.name, daemon=True)
        self._lock = threading.Lock()  # between starting it and asking it to stop

    def start(self) -> None:
        """Start it, and again whenever it ends."""
        self._thread.start()

    def first_line(self, timeout_s: float, lives: int = 1) -> dict[str, Any]:
        """Return the JSON object that the process printed first.

        Raises
        ------
        Problem
            `child.failed` when it ended without one, so many times; `child.timeout`.
        """
        name, step = self.program.name, f"see {self.program.log}"
        with self._changed:
            if not self._changed.wait_for(lambda: self._first is not None or self._failures >= lives, timeout_s):
                raise Problem("child.timeout", f"The {name} did not answer in {timeout_s:g} s", "it has not said why", step)
            if self._first is None:
                raise Problem("child.failed", f"The {name} does not start", last_line(self.program.log), step)
            return self._first

    @property
    def pid(self) -> int | None:
        """The process's id; None: it is between two lives."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def answers(self) -> bool:
        """Whether the process has printed its line and has not ended."""
        process = self._process
        return process is not None and self._answering is process and process.poll() is None

    @property
    def ended(self) -> bool:
        """Whether it runs no more and is not started again."""
        return self._ended.is_set()

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to a process that answers: one that does not yet may not know what it means."""
        with self._lock:
            if self._process is not None and self.answers:
                self._process.send_signal(number)

    def ask_to_stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal, and start it no more; one that does not answer yet is sent SIGTERM."""
        with self._lock:
            self._stop.set()
            if self._process is not None:
                self._process.send_signal(number if self.answers else signal.SIGTERM)

    def end(self, deadline: float) -> None:
        """Wait for its end until `deadline` (of `time.monotonic`), then kill it."""
        if not self._ended.wait(max(0.0, deadline - time.monotonic())):
            if self._process is not None:
                self._process.kill()
            self._ended.wait(STOP_S)

    def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        try:
            while not self._stop.is_set():
                started = time.monotonic()
                status = self._live()
                if self._stop.is_set():
                    return
                if time.monotonic() - started > HEALTHY_S:
                    pause_s = FIRST_PAUSE_S
                self._say(f"{self.program.name} ended ({_told(status)}) and is started again; see {self.program.log}")
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        finally:
            self._ended.set()

    def _live(self) -> int | None:
        """Run the program once; return its exit status, None when it was not to start."""
        process, start = self._spawn()
        if process is None:
            return None
        try:
            order = self.program.order()
            if order is not None:
                line = {"arguments": list(order.arguments), "environment": dict(order.environment)}
                with suppress(BrokenPipeError):
                    os.write(start, json.dumps(line).encode() + b"\n")
                self._read(process)
        finally:
            os.close(start)  # the child sees that, and ends if it has not
            status = process.wait()
            if process.stdout is not None:
                process.stdout.close()
        return status

    def _spawn(self) -> "tuple[subprocess.Popen[str] | None, int]":
        read, write = os.pipe()
        told = {
            "parent": os.getpid(), "start": read, "module": self.program.module, "preload": list(self.program.preload),
            "nice": self.program.nice,
        }  # fmt: skip
        command = [sys.executable, "-P", "-m", "modelyard.embedded.child", json.dumps(told)]
        with self._lock, open_log(self.program.log) as log:
            if self._stop.is_set():
                os.close(read)
                os.close(write)
                return None, -1
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                pass_fds=(read, *self.program.descriptors),
                start_new_session=True,  # Ctrl-C in a terminal is ours to hear, and passed on in order
            )
        os.close(read)
        return self._process, write

    def _read(self, process: "subprocess.Popen[str]") -> None:
        """Take up the first line, and leave the others."""
        output = process.stdout
        if output is None:
            return
        first: dict[str, Any] | None = None
        with suppress(ValueError):
            first = json.loads(output.readline() or "null")
        with self._changed:
            self._first = first or self._first
            self._answering = process if first else None
            self._failures += first is None
            self._changed.notify_all()
        for _ in output:
            pass


def stop_all(children: Sequence[Child]) -> None:
    """End children together: by SIGTERM, and by SIGKILL those that do not heed it."""
    deadline = time.monotonic() + STOP_S
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.end(deadline)


def open_log(path: Path) -> Any:
    """Return a log to append to; one that has grown too large becomes `NAME.1` first."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists() and path.stat().st_size > LARGEST_LOG_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    return path.open("a")


def last_line(path: Path) -> str:
    """Return the last line of a log that says anything."""
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1][:500] if lines else ""


def _told(status: int | None) -> str:
    if status is None or status >= 0:
        return f"exit status {status}"
    return f"signal {signal.Signals(-status).name}" if -status in {one.value for one in signal.Signals} else f"signal {-status}"
