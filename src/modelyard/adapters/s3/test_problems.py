import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from modelyard.adapters.s3.objects import S3Objects
from modelyard.core import Problem, digest_bytes
from modelyard.testing.object_store import FLIGHTS

DIGEST = digest_bytes(b"x")


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.usefixtures("no_credentials")
def test_no_credentials_is_told_with_the_names_to_set() -> None:
    store = S3Objects.from_url("s3://bucket?endpoint=http://127.0.0.1:9&region=us-east-1")
    for attempt in (lambda: store.absent(FLIGHTS, [DIGEST]), lambda: store.upload_url(FLIGHTS, DIGEST, 1)):
        with pytest.raises(Problem, match="AWS_ACCESS_KEY_ID") as told:
            attempt()
        assert told.value.code == "object.unavailable"


@pytest.fixture
def credentials(no_credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.usefixtures("credentials")
def test_a_server_that_does_not_answer_is_told_with_its_address() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, not listening: nobody else can answer there
        endpoint = f"http://127.0.0.1:{held.getsockname()[1]}"
        store = S3Objects.from_url(f"s3://bucket?endpoint={endpoint}&region=us-east-1")
        with pytest.raises(Problem, match=endpoint) as told:
            store.absent(FLIGHTS, [DIGEST])
    assert told.value.code == "object.unavailable"
    assert "does not answer" in told.value.why


class BreaksOff(BaseHTTPRequestHandler):
    """Say a hundred bytes, send ten, hang up."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"ten bytes.")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def breaking_server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), BreaksOff) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("credentials")
def test_an_answer_that_breaks_off_is_told_and_leaves_no_file(breaking_server: str, tmp_path: Path) -> None:
    store = S3Objects.from_url(f"s3://bucket?endpoint={breaking_server}&region=us-east-1")
    for attempt in (lambda: store.get(FLIGHTS, [DIGEST]), lambda: store.fetch(FLIGHTS, DIGEST, tmp_path / "out")):
        with pytest.raises(Problem) as told:
            attempt()
        assert told.value.code == "object.unavailable"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("credentials")
def test_more_than_one_put_can_take_has_no_upload_address() -> None:
    assert S3Objects.from_url("s3://bucket?region=us-east-1").upload_url(FLIGHTS, DIGEST, (5 << 30) + 1) is None
