"""The fork server of a worker, kept alive, and the tries started through it."""

import json
import os
import socket
import subprocess
from collections.abc import Mapping

from modelyard.core import Problem
from modelyard.runner.assignment import Assignment
from modelyard.runner.lines import LineBatch
from modelyard.runner.secrets import NO_SECRETS, give_secrets
from modelyard.runner.tries import Try
from modelyard.wiring import process_tree as tree

END_S = 10.0


class Launcher:
    """Starts tries, one after the other.

    Parameters
    ----------
    environment
        Of the fork server, and so of every try.
    secrets
        What more those tries have in theirs that are started with secrets. The fork server never sees it.
    fresh
        Start a new interpreter for each try in place of a forked one.
    preload
        What the fork server imports before the first try; None: its own list.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        secrets: Mapping[str, str] = NO_SECRETS,
        *,
        fresh: bool = False,
        preload: str | None = None,
    ) -> None:
        self._environment = dict(environment)
        self._secrets = secrets
        self._options = [*(["--fresh"] if fresh else []), *([] if preload is None else ["--preload", preload])]
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        tree.adopt_orphans()

    def open(self) -> socket.socket:
        """Start the fork server unless it runs, and return the socket to it."""
        if self._control is not None and self._server is not None and self._server.poll() is None:
            return self._control
        self.close()
        ours, theirs = socket.socketpair()
        with theirs:
            command = [*tree.python(), "-m", "modelyard.runner.forkserver", "--control", str(theirs.fileno()), *self._options]
            self._server = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # so that Ctrl-C in a terminal reaches the worker alone
            )
        self._control = ours
        return ours

    def start(self, assignment: Assignment, lines: LineBatch, *, with_secrets: bool) -> Try:
        """Start a try.

        Raises
        ------
        Problem
            `worker.unavailable` when the fork server does not start.
        """
        for _ in range(2):  # it may have ended since the last try
            control = self.open()
            pipes = [os.pipe() for _ in range(3)]
            secrets, give = os.pipe()
            request = json.dumps({"start": assignment.to_json()}).encode() + b"\n"
            try:
                socket.send_fds(control, [request], [*(write for _, write in pipes), secrets])
            except OSError:
                for one in (*(read for read, _ in pipes), give):
                    os.close(one)
                self.close()
                continue
            finally:
                for one in (*(write for _, write in pipes), secrets):
                    os.close(one)
            give_secrets(give, self._secrets if with_secrets else NO_SECRETS)
            return Try(control, [read for read, _ in pipes], lines)
        raise Problem("worker.unavailable", "No process could be started for the job", "the fork server ends at once")

    def close(self) -> None:
        """End the fork server and everything below it."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._server is not None:
            try:
                self._server.wait(END_S)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None
            tree.kill_below()
            tree.reap()
