import httpx
import pytest

from modelyard.core import Problem
from modelyard.gateway.exposition import exposed


def test_what_is_told_now_is_answered_until_the_end() -> None:
    told = [b"one 1\n"]
    with exposed(lambda: told[0], "127.0.0.1", 0) as url, httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get("/metrics").content == b"one 1\n"
        told[0] = b"one 2\n"
        answer = client.get("/metrics")
        assert (answer.content, answer.headers["content-type"]) == (b"one 2\n", "text/plain; version=0.0.4; charset=utf-8")
        assert client.get("/health").json() == {"live": True}
        assert client.get("/").status_code == 404
        assert client.post("/metrics").status_code == 501
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/metrics", trust_env=False)


def test_a_port_that_is_taken_is_told() -> None:
    with exposed(bytes, "127.0.0.1", 0) as url, pytest.raises(Problem) as told:
        exposed(bytes, "127.0.0.1", int(url.rpartition(":")[2])).__enter__()
    assert told.value.code == "port.unavailable"
