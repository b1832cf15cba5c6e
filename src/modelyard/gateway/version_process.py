"""What the process of a version does: it loads the version, and answers for it, one call after the other.

It speaks with the gateway over one socket, in the frames of `frames`, and ends when that does. It is forked by `forkserver`.
"""

import os
import pickle
import resource
import sys
from contextlib import suppress
from pathlib import Path
from socket import socket

from modelyard.adapters import FRAMEWORK, resolve
from modelyard.core import Problem
from modelyard.gateway.frames import Order, answers_frame, problem_frame, receive, send
from modelyard.serving.infer import LoadedVersion, open_version
from modelyard.serving.program import guarded

STATM_DATA = 5  # the field of /proc/self/statm with the pages of data
FIRST_TO_KILL = "1000"  # where the machine's memory runs out, the kernel takes this process before the gateway


def serve(connection: socket) -> None:
    """Answer until the gateway hangs up."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_KILL)
    with suppress(EOFError, OSError):
        order: Order = pickle.loads(receive(connection))  # noqa: S301 - the gateway's own
        try:
            loaded = guarded(order.served.version, "loading", lambda: _open(order))
        except Problem as problem:
            send(connection, problem_frame(problem))
            return
        _bound_memory(order.memory_bytes)
        send(connection, answers_frame({}))
        while True:
            send(connection, _answered(loaded, receive(connection)))


def _open(order: Order) -> LoadedVersion:
    return open_version(lambda name: resolve(FRAMEWORK, name)(), order.served, order.folder)


def _answered(loaded: LoadedVersion, content: bytes | bytearray) -> bytes:
    batch = pickle.loads(content)  # noqa: S301 - the gateway's own
    try:
        return guarded(loaded.served.version, "code", lambda: answers_frame(loaded.infer(batch)))
    except Problem as problem:
        return problem_frame(problem)


def _bound_memory(beyond: int) -> None:
    """Have what would take far too much at once raise `MemoryError`, rather than take the machine's memory. Linux only."""
    if sys.platform == "linux":
        held = int(Path("/proc/self/statm").read_text().split()[STATM_DATA]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_DATA, (held + beyond, resource.RLIM_INFINITY))
