"""A control plane that knows one route: the catalogue, by long poll. It can be killed and come back."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from urllib.parse import parse_qs, urlsplit

import msgspec

from modelyard.serving import Catalogue


class Control:
    """Serves whatever catalogue was published last."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._changed = Condition()
        self._catalogue: Catalogue | None = None
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.asked = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def publish(self, catalogue: Catalogue) -> None:
        """Let gateways have this one from now on."""
        with self._changed:
            self._catalogue = catalogue
            self._changed.notify_all()

    def start(self) -> None:
        """Listen, on the port of the time before if there was one."""
        self._server = _Server(("127.0.0.1", self.port), _handler(self._answer, self._token))
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def kill(self) -> None:
        """Stop listening and let every open question fall."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            with self._changed:
                self._changed.notify_all()

    def _answer(self, after: int, wait_s: float) -> bytes | None:
        with self._changed:
            self.asked += 1
            here = self._server
            self._changed.wait_for(
                lambda: self._server is not here or (self._catalogue is not None and self._catalogue.position > after), wait_s
            )
            found = self._catalogue
        return msgspec.json.encode(found) if found is not None and found.position > after and self._server is here else None


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of askers that are gone."""


def _handler(answer: Callable[[int, float], bytes | None], token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = parse_qs(parts.query)
            if self.headers.get("authorization") != f"Bearer {token}":
                self.send_response(401)
                body = b""
            elif parts.path != "/v1/catalogue":
                self.send_response(404)
                body = b""
            else:
                found = answer(int(asked["after"][0]), float(asked["wait_s"][0]))
                self.send_response(304 if found is None else 200)
                body = found or b""
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
