import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from modelyard.embedded.listeners import listening, sharing
from modelyard.embedded.steering import steer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be told")
CALLERS = 120


@pytest.fixture
def shared() -> Iterator[list[socket.socket]]:
    found = sharing("127.0.0.1", 0, 4)
    yield found
    for one in found:
        one.close()


def taken(shared: list[socket.socket]) -> list[int]:
    """Connect many times, and return how many each socket was given."""
    with ExitStack() as stack:
        for _ in range(CALLERS):
            stack.enter_context(socket.create_connection(shared[0].getsockname()))
        return [accepted(one) for one in shared]


def accepted(listener: socket.socket) -> int:
    listener.setblocking(False)
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


@pytest.mark.parametrize("places", [[0], [3], [0, 1], [0, 2, 3], [0, 1, 2, 3]])
def test_who_connects_meets_the_named_sockets_alone_and_all_of_them(shared: list[socket.socket], places: list[int]) -> None:
    steer(shared[1], [1])
    steer(shared[0], places)
    met = taken(shared)
    assert sum(met) == CALLERS
    assert [place for place, count in enumerate(met) if count] == places


def test_one_that_listens_later_is_the_last_and_leaves_the_others_in_their_places_when_it_closes(
    shared: list[socket.socket],
) -> None:
    steer(shared[0], [0])
    with listening(*shared[0].getsockname(), shared=True) as late:
        assert taken([*shared, late]) == [CALLERS, 0, 0, 0, 0]
        steer(shared[0], [4])
        assert taken([*shared, late]) == [0, 0, 0, 0, CALLERS]
        steer(shared[0], [1])
    assert taken(shared) == [0, CALLERS, 0, 0]
