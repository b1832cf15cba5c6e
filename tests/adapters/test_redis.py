"""The online store in a real Redis server."""

from collections.abc import Callable, Iterator

import pytest

from modelyard.adapters import ONLINE, connect
from modelyard.core import Problem, ProjectId
from modelyard.data.features.online import OnlineStore
from modelyard.testing.online_store import OnlineStoreContract
from tests.servers import free_port


class TestRedis(OnlineStoreContract):
    @pytest.fixture
    def opener(self, redis_url: str) -> Iterator[Callable[[], OnlineStore]]:
        opened: list[OnlineStore] = []

        def opener() -> OnlineStore:
            opened.append(connect(ONLINE, redis_url))
            return opened[-1]

        yield opener
        for one in opened:
            one.close()


@pytest.mark.services
def test_a_server_that_is_away_is_told_without_its_password() -> None:
    pytest.importorskip("redis")
    store = connect(ONLINE, f"redis://:hush-hush@127.0.0.1:{free_port()}/0")
    with pytest.raises(Problem) as caught:
        store.published(ProjectId("p"))
    assert caught.value.code == "features.unavailable"
    assert "hush" not in str(caught.value)


@pytest.mark.services
def test_a_url_that_names_no_server_is_refused_without_telling_its_password() -> None:
    pytest.importorskip("redis")
    with pytest.raises(Problem) as caught:
        connect(ONLINE, "redis://:hush-hush@127.0.0.1:port/0")
    assert caught.value.code == "online.invalid"
    assert "hush" not in str(caught.value)
