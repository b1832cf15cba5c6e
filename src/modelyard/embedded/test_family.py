from pathlib import Path

import pytest

from modelyard.core import Problem
from modelyard.embedded.family import address, alone_in, check_free, free_port, listening


def test_a_taken_port_is_told_with_what_to_do() -> None:
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(Problem, match=f"127.0.0.1:{port} cannot be listened on") as caught:
            check_free("127.0.0.1", port)
    assert caught.value.code == "port.unavailable"
    assert "--port" in caught.value.next_step
    check_free("127.0.0.1", free_port("127.0.0.1"))


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
