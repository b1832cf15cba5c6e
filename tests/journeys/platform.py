"""`yard up` in a process of its own, for a journey."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

END_S = 60.0


@dataclass(frozen=True)
class Running:
    """A platform that answers."""

    home: Path
    url: str
    gateway: str
    grpc: str | None
    token: str | None
    process: "subprocess.Popen[str]"

    def family(self) -> list[psutil.Process]:
        """Return all processes below it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def part(self, name: str) -> psutil.Process:
        """Return the child that runs a module."""
        [found] = [one for one in psutil.Process(self.process.pid).children() if f'"{name}"' in " ".join(one.cmdline())]
        return found

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, list[psutil.Process]]:
        """Send a signal; return the exit status and the processes that stayed."""
        below = self.family()
        self.process.send_signal(number)
        status = self.process.wait(END_S)
        _, alive = psutil.wait_procs(below, timeout=END_S)
        return status, alive


@contextmanager
def running(home: Path, *, workers: int = 1) -> Iterator[Running]:
    """Give a platform in `home`, and leave nothing of it behind."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    with started(home, "--port", "0", "--workers", str(workers), environment=environment) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told.keys() == {"url", "gateway", "grpc", "token"}
        platform = Running(home, told["url"], told["gateway"], told["grpc"], told["token"], process)
        try:
            yield platform
        finally:
            if process.poll() is None:
                platform.end()


@contextmanager
def started(home: Path, *options: str, environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Start `yard up` and give its process."""
    command = [sys.executable, "-m", "modelyard.cli", "up", "--home", str(home), "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        yield process
