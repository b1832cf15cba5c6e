"""The process above the tries of one worker: it imports what is heavy, once, and forks a process for each try.

It runs no step itself and waits on its worker's socket. When that closes, however the worker ended, it kills everything below
itself: it adopts orphans, so also what a step had let go of. A try's process ends with it in turn.

The worker sends `{"start": …}` with the descriptors of stdout, stderr, messages and secrets, and `{"kill": true}`; it is told
`{"started": pid}` and `{"ended": status}`, the latter when nothing of the try is left.
"""

import argparse
import fcntl
import gc
import importlib
import json
import os
import select
import selectors
import shutil
import signal
import socket
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from modelyard.runner.assignment import Assignment
from modelyard.runner.quick_exit import QuickExit
from modelyard.wiring import process_tree as tree

DESCRIPTORS = 4  # stdout, stderr, messages, secrets
MAX_REQUEST_BYTES = 1 << 16
REAP_AGAIN_S = 0.02

# Imported before the first job comes, where they are installed. None of them starts a thread that a forked process would miss:
# they start their pools at first use, and OpenBLAS and jemalloc start theirs again. onnxruntime does not (its telemetry runs
# from the import on, and a forked process waits for it without end), so it must not stand here; it imports in 0.1 s.
PRELOAD = (
    "modelyard.runner.child",
    "modelyard.adapters.sql",
    "polars",
    "deltalake",
    "modelyard.runner.steps.train",
    "sklearn.pipeline",
    "sklearn.ensemble",
    "modelyard.runner.steps.register",
    "skl2onnx",
    "modelyard.runner.steps.retrain",
)


@dataclass
class _Running:
    """The try that is under way."""

    assignment: Assignment
    pid: int
    status: int | None = None


class ForkServer:
    """Starts one try at a time and ends all that belongs to it.

    Parameters
    ----------
    control
        The socket to the worker.
    fresh
        Start a new interpreter for each try in place of a forked one: slower, and without anything that was imported here.
    """

    def __init__(self, control: socket.socket, *, fresh: bool) -> None:
        self._control = control
        self._fresh = fresh
        self._pid = os.getpid()
        self._running: _Running | None = None
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # the worker decides when this ends
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        tree.adopt_orphans()

    def serve(self, *, wait: bool) -> Assignment | None:
        """Do what is asked. In the process of a try, return what it is to run; without `wait`, None when nothing is asked.

        When the worker is gone, everything below is ended, and so is this process.
        """
        while True:
            ready = self._selector.select(None if wait else 0)
            for key, _ in ready:
                if key.fileobj is self._control:
                    started = self._obey()
                    if started is not None:
                        return started
                else:
                    self._sleep_again()
            self._reap()
            if not ready and not wait:
                return None

    def _obey(self) -> Assignment | None:
        try:
            text, descriptors, _, _ = socket.recv_fds(self._control, MAX_REQUEST_BYTES, DESCRIPTORS)
        except ConnectionError:
            text, descriptors = b"", []
        if not text:
            self._end_all()
            os._exit(0)  # at once: there is nothing to put in order
        for line in text.splitlines():
            request: dict[str, Any] = json.loads(line)
            if "kill" in request:
                tree.kill_below()
            elif (started := self._start(Assignment.from_json(request["start"]), descriptors)) is not None:
                return started
        return None

    def _start(self, assignment: Assignment, descriptors: Sequence[int]) -> Assignment | None:
        assignment.scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        pid = os.fork()
        if pid == 0:
            return self._become_try(assignment, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self._running = _Running(assignment, pid)
        self._tell({"started": pid})
        return None

    def _become_try(self, assignment: Assignment, descriptors: Sequence[int]) -> Assignment:
        tree.die_with(self._pid)
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._selector.close()
        self._control.close()
        os.close(self._woken)
        os.close(self._wake)
        output, errors, messages, secrets = descriptors
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (errors, 2)):
            os.dup2(source, target)
            os.close(source)
        told = replace(assignment, messages=messages, secrets=secrets)
        if self._fresh:
            os.set_inheritable(messages, True)
            os.set_inheritable(secrets, True)
            os.execv(sys.executable, [*tree.python(), "-m", "modelyard.runner", json.dumps(told.to_json())])  # noqa: S606 - no shell
        fcntl.fcntl(messages, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        return told

    def _reap(self) -> None:
        ended = tree.reap()
        running = self._running
        if running is None or running.pid not in ended:
            return
        self._end_all()
        shutil.rmtree(running.assignment.scratch, ignore_errors=True)
        self._running = None
        self._tell({"ended": os.waitstatus_to_exitcode(ended[running.pid])})

    def _end_all(self) -> None:
        """Kill what is below, and what it may still start, until nothing is left."""
        while True:
            tree.kill_below()
            tree.reap()
            try:
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            select.select([self._woken], [], [], REAP_AGAIN_S)
            self._sleep_again()
        if self._running is not None:
            shutil.rmtree(self._running.assignment.scratch, ignore_errors=True)

    def _sleep_again(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)

    def _tell(self, message: dict[str, Any]) -> None:
        with suppress(OSError):  # the worker is gone: its closed socket is read next
            self._control.sendall(json.dumps(message).encode() + b"\n")


def _import(module: str) -> None:
    # Of an extra that is not installed; or it is broken, and then whoever needs it says so.
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(module)


def main(arguments: Sequence[str]) -> int:
    """Serve until the worker is gone, or, in the process of a try, run it."""
    leaving = QuickExit()
    parser = argparse.ArgumentParser(prog="python -m modelyard.runner.forkserver")
    parser.add_argument("--control", type=int, required=True, help="the descriptor of the socket to the worker")
    parser.add_argument("--fresh", action="store_true", help="a new interpreter for each try")
    parser.add_argument("--preload", default=",".join(PRELOAD), help="modules to import before the first try")
    options = parser.parse_args(arguments)
    # Of Python 3.12 on: the threads that it sees are those of OpenBLAS and jemalloc, which are ready for forks.
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
    server = ForkServer(socket.socket(fileno=options.control), fresh=options.fresh)
    assignment = None
    for module in [] if options.fresh else options.preload.split(","):
        assignment = assignment or server.serve(wait=False)
        if assignment is None and module:
            _import(module)
    gc.freeze()  # so that the tries' own collections do not copy what is shared
    if assignment is None:
        assignment = server.serve(wait=True)
    from modelyard.runner.child import run  # noqa: PLC0415 - the server itself does without, and starts at once

    if assignment is not None:
        leaving.status = run(assignment)
    return leaving.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
