"""Server processes of the tests: started on free loopback ports, waited for, ended. Standard library only."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.fetch import Absent

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 60.0


def keeps_attributes(folder: Path) -> bool:
    """Return whether files of `folder` can carry extended attributes, in which versitygw keeps an object's metadata."""
    if sys.platform != "linux":
        return False
    try:
        os.setxattr(folder, "user.modelyard", b"1")
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Return whether something accepts connections on a loopback port."""
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


def spawn(
    command: list[str],
    log: Path,
    *,
    account: str | None = None,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, so that Ctrl-C reaches the tests first; its output goes to `log`."""
    with log.open("wb") as stream:
        return subprocess.Popen(
            command,
            user=account,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, *, patience_s: float = START_TIMEOUT_S
) -> None:
    """Wait for a server to answer. Raises `Absent` with the log's end when it stops or takes over a minute, or `patience_s`."""
    until = time.monotonic() + patience_s
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            raise Absent(f"it did not start: {log.read_text(errors='replace').strip()[-300:]}")
        time.sleep(0.05)


def end(process: subprocess.Popen[bytes] | None, by: signal.Signals) -> None:
    """End a server by a signal, by force after ten seconds."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(by)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
