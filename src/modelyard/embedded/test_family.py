from pathlib import Path

import pytest

from modelyard.core import Problem
from modelyard.embedded.family import Plan, address, alone_in, free_grpc_port, listening, sharing


def test_a_taken_port_is_told_with_what_to_do() -> None:
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        for taking in (lambda: free_grpc_port(Plan(Path(), grpc_port=port)), lambda: sharing("127.0.0.1", port, 2).__enter__()):
            with pytest.raises(Problem, match=f"127.0.0.1:{port} cannot be listened on") as caught:
                taking()
            assert caught.value.code == "port.unavailable"
            assert "--port" in caught.value.next_step
    with sharing("127.0.0.1", port, 1) as [one]:
        assert one.getsockname()[1] == port


def test_replicas_share_a_port_that_nobody_else_can_join() -> None:
    with sharing("127.0.0.1", 0, 3) as shared:
        [port] = {one.getsockname()[1] for one in shared}
        with pytest.raises(Problem, match="cannot be listened on"), sharing("127.0.0.1", port, 2):
            pass


def test_a_home_has_one_family(tmp_path: Path) -> None:
    with alone_in(tmp_path):
        with pytest.raises(Problem) as caught, alone_in(tmp_path):
            pass
        assert caught.value.code == "home.conflict"
    with alone_in(tmp_path):
        pass


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),  # noqa: S104 - nothing listens
        ("::", "http://[::1]:1"),
        ("::1", "http://[::1]:1"),
        ("yard.local", "http://yard.local:1"),
    ],
)
def test_an_address_reaches_what_listens(host: str, url: str) -> None:
    assert address(host, 1) == url
