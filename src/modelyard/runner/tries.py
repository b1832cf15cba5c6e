"""A running try as its worker sees it: what it prints, what it tells, how it ends."""

import json
import os
import selectors
import socket
from collections.abc import Sequence
from contextlib import suppress

from modelyard.runner.lines import LineBatch
from modelyard.runner.messages import Told
from modelyard.wiring import process_tree as tree

_CHUNK_BYTES = 1 << 16


class Try:
    """One try of a job, in a process of its own below the fork server.

    Parameters
    ----------
    control
        The socket to the fork server, which has been asked to start the try.
    pipes
        The reading ends of stdout, stderr and messages; they are closed at the end.
    lines
        Where what it prints is put.
    """

    def __init__(self, control: socket.socket, pipes: Sequence[int], lines: LineBatch) -> None:
        self.told = Told()
        self.lines = lines
        self.pid: int | None = None
        self.status: int | None = None  # of the process; negative: the signal that ended it
        self.ended = False  # nothing of it is left, and all it printed is in `lines`
        self.server_lost = False
        self._control = control
        self._rest = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, "control")
        for pipe, name in zip(pipes, ("stdout", "stderr", "messages"), strict=True):
            self._selector.register(pipe, selectors.EVENT_READ, name)

    def poll(self, timeout_s: float, wake: int | None = None) -> None:
        """Take in what it printed and told. Waits for some of it `timeout_s` at most, or until `wake` is readable."""
        if wake is not None:
            self._selector.register(wake, selectors.EVENT_READ, "wake")
        ready = self._selector.select(timeout_s)
        if wake is not None:
            self._selector.unregister(wake)
        for key, _ in ready:
            if key.data == "control":
                self._hear_server()
            elif key.data != "wake":
                self._read(key)
        if self._over:
            self._finish()

    def kill(self) -> None:
        """End it and everything it started. Its end is told by `poll`."""
        with suppress(OSError):
            self._control.sendall(b'{"kill": true}\n')

    def memory_mb(self, over_mb: float) -> float:
        """Return what it holds, with everything it started; see `tree.memory_mb`."""
        return tree.memory_mb(self.pid, over_mb) if self.pid is not None else 0.0

    @property
    def _over(self) -> bool:
        return (self.status is not None or self.server_lost) and not self.ended

    def _hear_server(self) -> None:
        try:
            chunk = self._control.recv(_CHUNK_BYTES)
        except ConnectionError:
            chunk = b""
        if not chunk:
            # Its try dies with it; what that had started is ours now.
            self.server_lost = True
            self._selector.unregister(self._control)
            tree.kill_below()
            return
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            message = json.loads(line)
            self.pid = message.get("started", self.pid)
            self.status = message.get("ended", self.status)

    def _read(self, key: selectors.SelectorKey) -> bool:
        chunk = os.read(key.fd, _CHUNK_BYTES)
        if not chunk:
            self._selector.unregister(key.fd)
            os.close(key.fd)
        elif key.data == "messages":
            self.told.hear(chunk)
        else:
            self.lines.print(key.data, chunk)
        return bool(chunk)

    def _finish(self) -> None:
        """Take in the rest. All who could write have ended, so each pipe has an end."""
        for key in [key for key in self._selector.get_map().values() if key.data != "control"]:
            while self._read(key):
                pass
        self._selector.close()
        self.lines.end()
        self.ended = True
