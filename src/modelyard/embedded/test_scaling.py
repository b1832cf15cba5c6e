from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from modelyard.embedded.scaling import CALM_S, FULL_LOOKS, Scale, Seen, look

EVERY_S = 2.0


@dataclass
class Watched:
    """Gateways whose load follows from how many there are, on a clock that is moved by hand."""

    scale: Scale
    demand: float  # of all together, 1 is one full gateway
    count: int = 1
    now: float = 0.0
    seen: Seen = field(default_factory=Seen)
    changes: list[tuple[float, int]] = field(default_factory=list)

    def run(self, seconds: float, load: Callable[[float], float] = lambda demand: demand) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += EVERY_S
            self.seen, change = look(self.scale, self.seen, self.now, [load(self.demand) / self.count] * self.count)
            if change:
                self.count += change
                self.changes.append((self.now, change))


def test_one_more_is_started_when_it_stays_full_and_not_before() -> None:
    watched = Watched(Scale(1, 4), demand=1.2)
    watched.run((FULL_LOOKS - 1) * EVERY_S)
    assert watched.count == 1
    watched.run(EVERY_S)
    assert watched.count == 2
    watched.run(3600)
    assert watched.changes == [(FULL_LOOKS * EVERY_S, 1)]


def test_a_peak_that_passes_starts_none() -> None:
    watched = Watched(Scale(1, 4), demand=0.7)
    for _ in range(100):
        watched.demand = 3.0
        watched.run((FULL_LOOKS - 1) * EVERY_S)
        watched.demand = 0.7
        watched.run(EVERY_S)
    assert watched.changes == []


def test_as_many_as_are_needed_are_started_one_after_the_other_and_never_more_than_may_be() -> None:
    watched = Watched(Scale(1, 4), demand=9.0)
    watched.run(3600)
    assert [change for _, change in watched.changes] == [1, 1, 1]
    times = [when for when, _ in watched.changes]
    assert all(after - before > CALM_S for before, after in pairwise(times))


def test_the_last_one_is_ended_when_the_others_have_had_room_for_a_while() -> None:
    watched = Watched(Scale(1, 4, quiet_s=60), demand=1.1, count=3)  # two would have 0.55 each
    watched.run(58)
    assert watched.count == 3
    watched.run(4)
    assert watched.count == 2
    watched.run(3600)
    assert watched.count == 2  # one would have 1.1


def test_a_moment_with_load_begins_the_wait_anew() -> None:
    watched = Watched(Scale(1, 2, quiet_s=60), demand=0.2, count=2)
    for _ in range(20):
        watched.run(40)
        watched.run(EVERY_S, lambda _: 0.9)
    assert watched.changes == []


def test_the_least_stay() -> None:
    watched = Watched(Scale(2, 4), demand=0.0, count=4)
    watched.run(3600)
    assert watched.count == 2


def test_a_number_that_is_fixed_stays() -> None:
    for demand in (0.0, 50.0):
        watched = Watched(Scale(2, 2), demand=demand, count=2)
        watched.run(3600)
        assert watched.changes == []


@given(demand=st.floats(0, 20), most=st.integers(1, 8), start=st.integers(1, 8))
def test_a_demand_that_stays_comes_to_a_number_that_stays(demand: float, most: int, start: int) -> None:
    watched = Watched(Scale(1, most), demand=demand, count=min(start, most))
    watched.run(2 * most * 120)
    before = len(watched.changes)
    watched.run(3600)
    assert len(watched.changes) == before
    assert len({change for _, change in watched.changes}) <= 1  # and it went there straight
