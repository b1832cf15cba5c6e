from pathlib import Path

import pytest

from modelyard.core import Problem
from modelyard.embedded.family import Plan, alone_in, free_grpc_port
from modelyard.embedded.gateways import Gateways
from modelyard.embedded.listeners import address, listening, sharing
from modelyard.embedded.scaling import Scale


def test_a_taken_port_is_told_with_what_to_do() -> None:
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        takers = (
            lambda: free_grpc_port(Plan(Path(), grpc_port=port)),
            lambda: Gateways(Scale(), "127.0.0.1", port, print),
            lambda: Gateways(Scale(1, 2), "127.0.0.1", port, print),
        )
        for taking in takers:
            with pytest.raises(Problem, match=f"127.0.0.1:{port} cannot be listened on") as caught:
                taking()
            assert caught.value.code == "port.unavailable"
            assert "--port" in caught.value.next_step
    with Gateways(Scale(), "127.0.0.1", port, print) as gateways:
        assert gateways.url == f"http://127.0.0.1:{port}"


def test_replicas_share_a_port_that_nobody_else_can_join() -> None:
    with Gateways(Scale(2, 3), "127.0.0.1", 0, print) as gateways:
        port = int(gateways.url.rpartition(":")[2])
        with pytest.raises(Problem, match="cannot be listened on"):
            sharing("127.0.0.1", port, 2)


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
