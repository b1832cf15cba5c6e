"""A process's figures for Prometheus, at a small HTTP door of their own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from modelyard.core import Problem
from modelyard.gateway.metrics import MEDIA_TYPE

METRICS = "/metrics"
HEALTH = "/health"
PATIENCE_S = 10.0  # of one request
_LOOK_S = 0.1


@contextmanager
def exposed(text: Callable[[], bytes], host: str, port: int) -> Iterator[str]:
    """Answer `GET /metrics` by what `text` gives, and `GET /health`, until the end; give the address. Port 0 is a free one.

    Raises
    ------
    Problem
        `port.unavailable`.
    """
    try:
        server = _Server((host, port), _handler(text))
    except OSError as error:
        step = "name another one: --metrics-port"
        raise Problem("port.unavailable", f"{host}:{port} cannot be listened on", str(error.strerror), step) from error
    answering = Thread(target=server.serve_forever, args=(_LOOK_S,), name="metrics", daemon=True)
    answering.start()
    try:
        yield f"http://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        answering.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """Say nothing of askers that are gone."""


def _handler(text: Callable[[], bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE_S

        def do_GET(self) -> None:
            """Answer."""
            told = {METRICS: (text, MEDIA_TYPE), HEALTH: (lambda: b'{"live":true}', "application/json")}.get(self.path)
            if told is None:
                self.send_error(404)
                return
            body = told[0]()
            self.send_response(200)
            self.send_header("content-type", told[1])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing of requests."""

    return Handler
