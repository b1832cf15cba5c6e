from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread

import pytest

from modelyard.adapters.s3.address import S3Address
from modelyard.adapters.s3.multipart import PART_BYTES, part_bytes, send_in_parts

AT_ONCE = 4


class HoldsBack(ThreadingHTTPServer):
    """Answer no part before four have come: then what the sender holds in memory stands still and can be counted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Part)
        self.lock, self.full = Lock(), Event()
        self.came = 0
        self.asked = 0
        self.asked_when_full = 0

    def take(self) -> None:
        with self.lock:
            self.came += 1
            if self.came == AT_ONCE:
                self.asked_when_full = self.asked
                self.full.set()
        assert self.full.wait(30)


class Part(BaseHTTPRequestHandler):
    server: HoldsBack

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.reply(b"<Result><UploadId>1</UploadId><ETag>whole</ETag></Result>")

    def do_PUT(self) -> None:
        self.send_response_only(100)
        self.end_headers()
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.take()
        self.reply(b"")

    def reply(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("ETag", '"part"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[HoldsBack]:
    with HoldsBack() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_no_part_is_read_before_there_is_room_for_it(server: HoldsBack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    def parts() -> Iterator[bytes]:
        for _ in range(2 * AT_ONCE):
            server.asked += 1
            yield zeros

    zeros = bytes(PART_BYTES)
    endpoint = f"http://127.0.0.1:{server.server_port}"
    send_in_parts(S3Address("bucket", endpoint=endpoint, region="us-east-1").client(), "bucket", "key", parts())
    assert server.asked_when_full in {AT_ONCE, AT_ONCE + 1}
    assert server.came == 2 * AT_ONCE


@pytest.mark.parametrize("size_bytes", [0, PART_BYTES, 10_000 * PART_BYTES, 10_000 * PART_BYTES + 1, 5 << 40])
def test_parts_are_at_most_as_many_as_s3_takes(size_bytes: int) -> None:
    assert part_bytes(size_bytes) * 10_000 >= size_bytes
    assert part_bytes(size_bytes) >= PART_BYTES
