"""The short way of a small infer request: from the parser to the plane and back, past ASGI.

A request of the Open Inference Protocol whose body is small costs more in tasks, events and coroutines than in answering, so
its connection hands it to the gateway itself, and writes the answer by one write. Every other request, and one that comes while
another of its connection is open, goes the common way. Both ways end in `Gateway.take`: an answer is the same by either.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from time import perf_counter
from typing import Final, Protocol, cast

from modelyard.gateway.connections import Connection
from modelyard.gateway.http import BODY_TIMEOUT_S, JSON, Reply, body_timeout, problem_reply
from modelyard.gateway.routes import MODELS

LARGEST: Final = 32_768  # bytes of body, some 256 rows of 15 columns: what is larger is worked off in a thread
_PATHS: Final = MODELS.encode()
_INFER: Final = b"/infer"
_HINDERS: Final = frozenset({b"transfer-encoding", b"content-encoding", b"expect", b"upgrade"})
_FINE: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


class Desk(Protocol):
    """Who answers."""

    def express(
        self, path: str, headers: Mapping[bytes, bytes], body: bytes, begun: float, then: Callable[[Reply], None]
    ) -> None:
        """Answer an infer request; `then` is called with the reply once, now or later, in the event loop."""
        ...


class _Nobody:
    """In the place of the event that wakes an ASGI application: there is none."""

    def set(self) -> None:
        """Wake nobody."""


class Exchange:
    """One request and its answer: what uvicorn's connection asks of a cycle."""

    message_event: Final = _Nobody()

    __slots__ = ("begun", "body", "disconnected", "headers", "keep_alive", "more_body", "response_complete")

    def __init__(self, headers: Mapping[bytes, bytes], keep_alive: bool) -> None:
        self.begun = perf_counter()
        self.headers = headers
        self.keep_alive = keep_alive
        self.body = b""
        self.more_body = True
        self.response_complete = False
        self.disconnected = False


class ExpressConnection(Connection):
    """A bounded connection that hands small infer requests over by the short way."""

    body_patience_s = BODY_TIMEOUT_S
    _exchange: Exchange | None = None  # the one whose body is not whole yet

    def data_received(self, data: bytes) -> None:
        """Read on; a body that has begun has to end in time."""
        super().data_received(data)
        if self._exchange is not None and self._patience is None:
            self._patience = self.loop.call_later(self.body_patience_s, self._too_slow, self._exchange)

    def on_headers_complete(self) -> None:
        """End the head, and choose the way."""
        headers = self._express_headers()
        if headers is None:
            super().on_headers_complete()
            return
        self._head_ended()
        self._exchange = Exchange(headers, self.parser.should_keep_alive() and not self._leaves)
        self.cycle = self._exchange  # type: ignore[assignment] # it has what uvicorn asks of a cycle

    def on_message_complete(self) -> None:
        """Hand the request over when it is whole."""
        exchange = self._exchange
        if exchange is None or cast("object", self.cycle) is not exchange:
            super().on_message_complete()
            return
        self._exchange = None
        if self._patience is not None:
            self._wait_no_more()
        exchange.more_body = False
        desk = cast("Desk", self.app)
        desk.express(
            self.url.decode(), exchange.headers, exchange.body, exchange.begun, lambda reply: self._tell(exchange, reply)
        )

    def _express_headers(self) -> Mapping[bytes, bytes] | None:
        """Return the request's headers when it may take the short way."""
        url = self.url
        if not url.endswith(_INFER) or not url.startswith(_PATHS) or b"%" in url or not url.isascii():
            return None
        before = cast("Exchange | None", self.cycle)
        if (before is not None and not before.response_complete) or self.flow.write_paused:
            return None
        headers = dict(self.headers)
        length = headers.get(b"content-length", b"")
        small = length.isdigit() and len(length) < len(str(LARGEST)) + 1 and int(length) <= LARGEST
        if not small or len(headers) != len(self.headers) or not _HINDERS.isdisjoint(headers):
            return None
        crowded = self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency
        usual = self.parser.get_method() == b"POST" and self.parser.get_http_version() == "1.1"
        return headers if usual and not crowded else None

    def _too_slow(self, exchange: Exchange) -> None:
        self._patience = None
        if self._exchange is exchange:
            self._exchange = None
            exchange.keep_alive = False
            self._tell(exchange, problem_reply(body_timeout()))

    def _tell(self, exchange: Exchange, reply: Reply) -> None:
        if exchange.disconnected or exchange.response_complete:
            return
        exchange.response_complete = True
        self.transport.write(_bytes_of(reply, exchange.keep_alive))
        if not exchange.keep_alive or (b"connection", b"close") in reply.headers:
            self.transport.close()
        self.on_response_complete()


def _bytes_of(reply: Reply, keep_alive: bool) -> bytes:
    if reply.status == HTTPStatus.OK and keep_alive and reply.media_type == JSON and not reply.headers:
        return _FINE % len(reply.body) + reply.body
    headers = [(b"content-type", reply.media_type), (b"content-length", str(len(reply.body)).encode()), *reply.headers]
    if not keep_alive and (b"connection", b"close") not in reply.headers:
        headers.append((b"connection", b"close"))
    line = f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n".encode()
    return b"".join([line, *(b"%s: %s\r\n" % header for header in headers), b"\r\n", reply.body])
