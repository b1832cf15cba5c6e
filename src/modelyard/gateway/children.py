"""The processes of versions, as the gateway starts, asks and ends them."""

import json
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from threading import Lock
from typing import Any

from modelyard.core import Problem
from modelyard.gateway.frames import receive, send
from modelyard.wiring import process_tree

log = logging.getLogger(__name__)

START_S = 60.0  # until a forked process is there: what is heavy may have to be imported first
END_S = 5.0
LONGEST_TOLD = 1024
# A version is not told where the platform's secrets are. That keeps them from mistakes, not from malice: it is the same user.
SECRET = ("MODELYARD_", "AWS_")


class Ended(Exception):
    """The process of a version has ended, and how."""


class Child:
    """One process of a version. One call at a time."""

    def __init__(self, forks: "Forks", pid: int, connection: socket.socket) -> None:
        self._forks = forks
        self._connection = connection
        self._lock = Lock()
        self._how: str | None = None
        self.pid = pid

    def ask(self, content: bytes, timeout_s: float) -> bytes | bytearray:
        """Return the content of the frame that answers a frame.

        Raises
        ------
        Ended
            The process ended, or has been ended because it did not answer in time, or not in frames.
        """
        try:
            self._connection.settimeout(timeout_s)
            send(self._connection, content)
            return receive(self._connection, timeout_s)
        except TimeoutError:
            why = f"gave no answer within {timeout_s:g} s and was ended"
        except ValueError as error:
            why = f"told what nobody asked ({error}) and was ended"
        except (EOFError, OSError):
            why = None
        raise Ended(self.end(why))

    def end(self, why: str | None = None) -> str:
        """End the process, and return how it did; `why` where that is known."""
        with self._lock:
            self._connection.close()
            if self._how is None:
                status = self._forks.end(self.pid)
                self._how = why or how(status)
            return self._how

    def kill(self, why: str) -> None:
        """End the process in the middle of a call."""
        with self._lock:
            if self._how is None:
                self._forks.end(self.pid)
                self._how = why


class Forks:
    """The fork server, started when it is first needed, and again when it has ended. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._closed = False

    def start(self, frameworks: Sequence[str]) -> Child:
        """Return a new process, which waits for its order, with frameworks imported, those that can be before.

        Raises
        ------
        Problem
            `version.unavailable` when none can be started.
        """
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            for _ in range(2):  # the fork server may have ended since the last time
                told = self._ask({"start": list(frameworks)}, theirs, START_S)
                if told is not None and told.get("pid"):
                    return Child(self, int(told["pid"]), ours)
        ours.close()
        why = "the gateway ends" if self._closed else "the fork server ends at once"
        raise Problem("version.unavailable", "No process could be started for the version", why, "see the gateway's log")

    def end(self, pid: int) -> int | None:
        """End a process, and return its exit status, negative for a signal; None where nobody knows it."""
        with self._lock:
            told = self._ask({"end": pid}, None, END_S) if self._control is not None else None
        return None if told is None else told["status"]

    def close(self) -> None:
        """End the fork server and all below it; none is started any more."""
        with self._lock:
            self._closed = True
            self._hang_up()

    def _ask(self, request: dict[str, Any], handed: socket.socket | None, timeout_s: float) -> dict[str, Any] | None:
        """Return what the fork server tells; None when it does not answer: it is ended then."""
        try:
            control = self._running()
            if control is None:
                return None
            control.settimeout(timeout_s)
            descriptors = [] if handed is None else [handed.fileno()]
            socket.send_fds(control, [json.dumps(request).encode()], descriptors)
            answer = control.recv(LONGEST_TOLD)
            if answer:
                told: dict[str, Any] = json.loads(answer)
                return told
            log.warning("the fork server of versions has ended")
        except OSError as error:
            log.warning("the fork server of versions does not answer: %s", error)
        self._hang_up()
        return None

    def _running(self) -> socket.socket | None:
        if self._control is None and not self._closed:
            ours, theirs = socket.socketpair()
            with theirs:
                command = [*process_tree.python(), "-m", "modelyard.gateway.forkserver", "--control", str(theirs.fileno())]
                self._server = subprocess.Popen(
                    command,
                    pass_fds=[theirs.fileno()],
                    env={name: value for name, value in os.environ.items() if not name.startswith(SECRET)},
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # the gateway's own holds one line of JSON
                    start_new_session=True,  # so that Ctrl-C in a terminal reaches the gateway alone
                )
            self._control = ours
        return self._control

    def _hang_up(self) -> None:
        control, self._control = self._control, None
        server, self._server = self._server, None
        if control is not None:
            control.close()
        if server is not None:
            try:
                server.wait(END_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def how(status: int | None) -> str:
    """Return how a process ended.

    >>> how(-11), how(3), how(None)
    ('was ended by SIGSEGV', 'ended with exit status 3', 'ended')
    """
    if status is None:
        return "ended"
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = ", as the kernel does where memory runs out" if status == -signal.SIGKILL else ""
    return f"was ended by {name}{hint}"
