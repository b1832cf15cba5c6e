"""A signal ends a wait, whatever the wait is at just then."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from modelyard.core.stop import Stop

ROUNDS = 2000  # with `threading.Event`, one of a few hundred never ends


@pytest.fixture
def stop() -> Iterator[Stop]:
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)]
    made = Stop()
    yield made
    for number, handler in handlers:
        signal.signal(number, handler)
    os.close(made.descriptor)


def test_a_wait_ends_with_its_time_or_when_it_is_asked_for(stop: Stop) -> None:
    assert not stop.wait(0.001)
    stop.heed()
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.asked
    assert stop.wait(60)
    assert stop.wait(60), "it stays asked"


def test_a_signal_that_comes_at_any_moment_of_a_wait_ends_it(stop: Stop) -> None:
    signal.signal(signal.SIGALRM, lambda number, frame: stop.set())
    for number in range(ROUNDS):
        stop.asked = False
        if number:
            os.read(stop.descriptor, 1)  # as new
        signal.setitimer(signal.ITIMER_REAL, 2e-4 + number % 50 * 2e-6)
        deadline = time.monotonic() + 60
        while not stop.wait(5e-5):
            assert time.monotonic() < deadline
