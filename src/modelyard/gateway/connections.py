"""One HTTP connection, bounded: how long its request's head may take to come, and how long the head may be.

uvicorn bounds the time between two requests only, so that a caller who sends nothing, or a header a minute, would hold a
connection for ever, and one who never ends a header would fill the memory.
"""

import resource
from asyncio import TimerHandle, Transport
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_TIMEOUT_S = 30.0
LARGEST_HEAD = 65_536  # bytes
SPARE_FILES = 256  # of the process's own

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Connection(HttpToolsProtocol):
    """uvicorn's connection, which closes itself when a head is too slow or too long."""

    patience_s = HEAD_TIMEOUT_S
    _head_bytes = 0  # of a head that has not ended; -1: between its end and the next head
    _patience: TimerHandle | None = None
    _leaves = False  # its next answer is its last one

    def leave(self) -> None:
        """Close it with its next answer, which says so: whoever asks more comes anew. What is asked is answered."""
        self._leaves = True
        cycle = cast("RequestResponseCycle | None", self.cycle)  # before the first request there is none
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head is too long."""
        if self._head_bytes >= 0:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes < 0:
            return
        self._wait()
        if self._head_bytes > LARGEST_HEAD:
            self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin a head: what came with its first bytes may be a body, and is counted from the next ones on."""
        super().on_message_begin()
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """End the head."""
        self._head_ended()
        super().on_headers_complete()
        if self._leaves:
            self.cycle.keep_alive = False

    def _head_ended(self) -> None:
        self._head_bytes = -1
        if self._patience is not None:
            self._wait_no_more()

    def _wait(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(self.patience_s, self._refuse, _TOO_SLOW)

    def _wait_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _refuse(self, answer: bytes) -> None:
        self._wait_no_more()
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


def allow_connections() -> int:
    """Raise the process's limit of open files as far as it may, and return how many connections that leaves room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(64, hard - SPARE_FILES) if hard != resource.RLIM_INFINITY else 1_000_000
