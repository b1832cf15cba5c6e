"""Whether a lake's store keeps writers apart is found out once, and remembered there."""

from secrets import token_hex
from typing import Any

import pytest

from modelyard.adapters import PLACES, connect
from modelyard.core import Place
from modelyard.core.places import below
from modelyard.wiring.lake import LOCKED, PROVED, keeps_apart

pytestmark = pytest.mark.services


class Unwritable:
    """A place that is only looked at."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def get(self, name: str) -> bytes | None:
        return self._place.get(name)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def opened(url: str) -> Place:
    return connect(PLACES, url)


@pytest.fixture
def lake_url(s3_url: str) -> str:
    return below(s3_url, token_hex(8))


def test_a_store_that_keeps_writers_apart_is_asked_once(lake_url: str) -> None:
    assert keeps_apart(lake_url, opened)
    store = opened(below(lake_url, ".modelyard"))
    assert store.get(PROVED) == b""
    assert [file.name for file in store.find()] == [PROVED]
    unwritable: Any = Unwritable
    assert keeps_apart(lake_url, lambda url: unwritable(opened(url)))


def test_a_store_that_does_not_is_known_from_then_on(lake_url: str) -> None:
    class Careless:
        """The store, but that it takes no heed of who came first."""

        def __init__(self, place: Place) -> None:
            self._place = place

        def put(self, name: str, content: bytes, *, new: bool = False) -> bool:
            del new
            return self._place.put(name, content)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._place, name)

    careless: Any = Careless
    assert not keeps_apart(lake_url, lambda url: careless(opened(url)))
    assert [file.name for file in opened(below(lake_url, ".modelyard")).find()] == [LOCKED]
    assert not keeps_apart(lake_url, opened)


def test_a_local_disk_is_not_asked(tmp_path: object) -> None:
    assert keeps_apart(f"file://{tmp_path}", pytest.fail)
