from dataclasses import replace
from pathlib import Path

import pytest

from modelyard.core import Problem
from modelyard.embedded.family import Plan, address, alone_in, gateway_ports, listening


@pytest.mark.parametrize("plan", [Plan(Path(), gateway_port=1), Plan(Path(), grpc_port=1)])
def test_a_taken_port_is_told_with_what_to_do(plan: Plan) -> None:
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        taken = replace(plan, gateway_port=plan.gateway_port * port, grpc_port=plan.grpc_port * port)
        with pytest.raises(Problem, match=f"127.0.0.1:{port} cannot be listened on") as caught:
            gateway_ports(taken)
    assert caught.value.code == "port.unavailable"
    assert "--port" in caught.value.next_step
    assert port in gateway_ports(taken)


def test_the_gateways_ports_differ() -> None:
    http, grpc = gateway_ports(Plan(Path()))
    assert http
    assert http != grpc


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
