"""Our side: `yard up` in a home of its own, and the gateway alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from modelyard.client import connect
from modelyard.client.projects import ProjectClient, open_project

END_S = 60.0
PROJECT = "bench"


@dataclass(frozen=True)
class Yard:
    """A platform that answers."""

    home: Path
    url: str
    gateway: str
    token: str
    process: "subprocess.Popen[str]"

    def project(self) -> ProjectClient:
        """Return the project of the benchmark."""
        return open_project(connect(self.url, self.token), PROJECT)

    def gateway_process(self) -> psutil.Process:
        """Return the first of the processes that answer predictions."""
        below = psutil.Process(self.process.pid).children()
        return next(one for one in below if '"modelyard.gateway"' in " ".join(one.cmdline()))

    def copy(self, to: Path) -> Path:
        """Return a copy of the home."""
        shutil.copytree(self.home, to, ignore=shutil.ignore_patterns("*.lock", "lock", "logs"), dirs_exist_ok=True)
        return to


@contextmanager
def up(home: Path, *, workers: int, gateways: int = 1, token: str | None = None) -> Iterator[Yard]:
    """Give `yard up` in `home`; `token`: that of its first start."""
    command = [sys.executable, "-m", "modelyard.cli", "up", "--home", str(home), "--json", "--port", "0"]
    command += ["--workers", str(workers), *(["--gateways", str(gateways)] if gateways > 1 else [])]
    errors = (home.parent / "yard-up.log").open("ab")
    with errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=bare()) as process:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise SystemExit(f"yard up did not start: see {errors.name}")
        told = json.loads(line)
        try:
            yield Yard(home, told["url"], told["gateway"], told["token"] or token or "", process)
        finally:
            for one in (psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)):
                one.resume()
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()  # its family ends with it; what was measured is not lost


def bare() -> dict[str, str]:
    """Return the environment without what would point the platform elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}


def gateway_command(home: Path, port: int, module: str = "modelyard.gateway") -> list[str]:
    """Return what starts the gateway alone, on its last catalogue: there is no control plane where it is told to look."""
    return [sys.executable, "-m", module, "--home", str(home), "--port", str(port), "--control", "http://127.0.0.1:9"]
