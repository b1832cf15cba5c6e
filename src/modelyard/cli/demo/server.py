"""The platform of the demo: `yard up` as a child process, a clock of its own, and the memory of the whole family."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil

from modelyard.core import FileClock, Problem

STOP_S = 20.0
SAMPLE_S = 1.0
MIB = 1 << 20


@dataclass(frozen=True)
class Platform:
    """A running platform."""

    url: str
    gateway: str
    grpc: str | None
    token: str
    process: "subprocess.Popen[str]"
    clock: FileClock


@dataclass
class Memory:
    """The largest sum of memory of this process and all below it, shared pages counted once."""

    peak_mb: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Sample until `end` is called."""
        while not self._stop.wait(SAMPLE_S):
            self.peak_mb = max(self.peak_mb, _family_mb())

    def end(self) -> None:
        """Stop sampling."""
        self._stop.set()


@contextmanager
def running_platform(home: Path, *, port: int, workers: int, clock_at: datetime) -> Iterator[Platform]:
    """Start `yard up` on a clock that the demo moves, and end it with everything below it.

    Raises
    ------
    Problem
        `demo.failed` when it does not come up.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    clock = FileClock(home / "clock")
    clock.set(clock_at)
    command = [sys.executable, "-m", "modelyard.cli", "up", "--home", str(home), "--port", str(port), "--json"]
    command += ["--workers", str(workers)]
    environment = {**os.environ, "MODELYARD_CLOCK": (home / "clock").as_uri(), "OMP_NUM_THREADS": "1"}
    log = (home / "up.log").open("a")
    with log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)  # noqa: S603
    try:
        told = json.loads(process.stdout.readline() or "{}") if process.stdout else {}
        if "url" not in told:
            raise Problem("demo.failed", "The platform did not come up", f"see {home / 'up.log'}", "yard doctor")
        yield Platform(told["url"], told["gateway"], told["grpc"], told["token"], process, clock)
    finally:
        _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout:
        process.stdout.close()


def _family_mb() -> float:
    me = psutil.Process()
    total = 0
    for process in [me, *me.children(recursive=True)]:
        try:
            total += _own_bytes(process)
        except psutil.Error:
            continue  # it ended meanwhile
    return total / MIB


def _own_bytes(process: psutil.Process) -> int:
    full = process.memory_full_info()
    return int(getattr(full, "pss", full.rss))  # PSS is known on Linux alone
