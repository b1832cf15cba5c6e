"""Time a server's start, ours beside MLflow's: `python -m bench.start [--quick] [--json FILE]`.

Each starts in an empty folder on a free port, in turns, each from the environment it was installed into; the time is from the
command to the first answered health check. MLflow is installed into an environment of its own, kept in the user's cache.
"""

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from bench.results import Result, show

PEER = "mlflow==3.17.2"
WAIT_S = 120.0
FLOOR = 5.0
AIM = 8.0


def peer_environment() -> Path:
    """Return the Python of an environment with MLflow in it, made at the first call."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "modelyard" / "bench-mlflow"
    python = home / "bin" / "python"
    stamp = home / PEER
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", PEER], check=True)
        stamp.touch()
    return python


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def seconds_to_answer(command: Sequence[str], url: str, folder: Path) -> float:
    """Start a server, return the seconds until `url` answers, and end it."""
    began = time.perf_counter()
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while time.perf_counter() - began < WAIT_S:
            if server.poll() is not None:
                raise SystemExit(f"{command[0]} ended with status {server.returncode}")
            try:
                with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - the address is built above
                    return time.perf_counter() - began
            except (urllib.error.URLError, OSError):
                time.sleep(0.005)
        raise SystemExit(f"no answer from {url} in {WAIT_S:.0f} s")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def ours() -> float:
    """Return one start of `yard up`: control plane, gateway and a worker; the time is to the control plane's health."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [str(Path(sys.executable).with_name("yard")), "up", "--home", f"{folder}/home", "--port", str(port), "--json"]
        return seconds_to_answer(command, f"http://127.0.0.1:{port}/v1/health", Path(folder))


def theirs(python: Path) -> float:
    """Return one start of `mlflow server` on its defaults with a SQLite store."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        store = f"sqlite:///{folder}/mlflow.db"
        server = [str(python.with_name("mlflow")), "server", "--port", str(port)]
        command = [*server, "--backend-store-uri", store, "--workers", "1"]
        return seconds_to_answer(command, f"http://127.0.0.1:{port}/health", Path(folder))


def main() -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three starts of each instead of seven")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    python = peer_environment()
    ours(), theirs(python)  # files into the cache of the system
    pairs = [(ours(), theirs(python)) for _ in range(3 if arguments.quick else 7)]
    mine, peer = (statistics.median(side) for side in zip(*pairs, strict=True))
    result = Result("first health answer", "s", "mlflow server", mine, peer, peer / mine, FLOOR, AIM)
    versions = {"mlflow": PEER.partition("==")[2]}
    return show("start", [result], versions=versions, json_file=arguments.json, keep=not arguments.quick)


if __name__ == "__main__":
    raise SystemExit(main())
