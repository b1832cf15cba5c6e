"""A process with all that it has started: how much memory it holds, and how all of it is ended."""

import ctypes
import os
import signal
import sys
from contextlib import suppress

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
IS_LINUX = sys.platform == "linux"
_LIBC = ctypes.CDLL(None, use_errno=True)


def python() -> list[str]:
    """Return the command of an interpreter like this one: that keeps the working folder off its path if this does."""
    return [sys.executable, *(["-P"] if sys.flags.safe_path else [])]


def adopt_orphans() -> None:
    """Become the parent of every process below that loses its own, so that none gets away. Linux only."""
    if IS_LINUX:
        _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends; at once when it has already. Linux only."""
    if IS_LINUX:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def kill_below() -> None:
    """Send SIGKILL to every process below this one."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def reap() -> dict[int, int]:
    """Return the exit statuses (as `os.waitpid` tells them) of the children that have ended, by process id."""
    ended: dict[int, int] = {}
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended[pid] = status
    return ended


def memory_mb(pid: int, over_mb: float) -> float:
    """Return how much memory a process and all below it hold, in MiB: resident, or 0 when it has ended.

    What they share counts for each of them, so when that sum is above `over_mb` it is looked at exactly: each share by its
    number of holders.
    """
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    resident = sum(_memory(process, exact=False) for process in tree)
    return resident if resident <= over_mb or not IS_LINUX else sum(_memory(process, exact=True) for process in tree)


def resident_mb(pid: int) -> float:
    """Return how much memory one process holds by itself, in MiB: resident, or 0 when it has ended."""
    try:
        return _memory(psutil.Process(pid), exact=False)
    except psutil.NoSuchProcess:
        return 0.0


def _memory(process: psutil.Process, *, exact: bool) -> float:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        size = process.memory_full_info().pss if exact else process.memory_info().rss
        return float(size) / (1 << 20)
    return 0.0
