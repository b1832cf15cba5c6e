from pathlib import Path

import pytest

from modelyard.core import Problem
from modelyard.gateway.limits import Allowance, Allowances, Count, counted_together
from modelyard.tenancy import Limit


class Clock:
    """Seconds that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def taken(allowance: Allowance, times: int) -> int:
    """Return how many of so many requests are let in."""
    done = 0
    for _ in range(times):
        try:
            allowance.take()
            done += 1
        except Problem as problem:
            assert problem.code == "token.limited"
    return done


def wait_of(allowance: Allowance) -> float:
    """Return for how long a request is told to wait."""
    with pytest.raises(Problem) as told:
        allowance.take()
    waits = told.value.detail["retry_after_s"]
    assert isinstance(waits, float)
    return waits


def test_a_second_holds_as_many_requests_as_the_rate_and_a_burst_comes_at_once(clock: Clock) -> None:
    allowance = Allowance(Limit(requests=10, burst=4), Count(None), clock)
    assert taken(allowance, 9) == 4
    assert wait_of(allowance) == pytest.approx(0.1)
    clock.now += 0.1
    assert taken(allowance, 9) == 1
    clock.now += 60
    assert taken(allowance, 9) == 4  # what was not asked for is not saved up


@pytest.mark.parametrize(("rate", "at_once"), [(10.0, 10), (2.5, 3), (0.1, 1)])
def test_without_a_burst_a_seconds_worth_comes_at_once(clock: Clock, rate: float, at_once: int) -> None:
    allowance = Allowance(Limit(requests=rate), Count(None), clock)
    assert taken(allowance, 20) == at_once
    assert wait_of(allowance) == pytest.approx(1 / rate)


def test_over_a_long_time_exactly_the_rate_is_let_in(clock: Clock) -> None:
    allowance = Allowance(Limit(requests=7, burst=2), Count(None), clock)
    done = 0
    for _ in range(3000):
        done += taken(allowance, 1)
        clock.now += 0.01
    assert done == pytest.approx(30 * 7, abs=1)


def test_a_request_that_is_refused_does_not_count(clock: Clock) -> None:
    allowance = Allowance(Limit(requests=1), Count(None), clock)
    assert taken(allowance, 50) == 1
    clock.now += 1
    assert taken(allowance, 50) == 1


def test_many_rows_are_answered_and_made_up_for_afterwards(clock: Clock) -> None:
    allowance = Allowance(Limit(rows=100), Count(None), clock)
    allowance.take()
    allowance.take_rows(100)
    allowance.take()  # a second's worth came at once
    allowance.take_rows(1000)
    assert wait_of(allowance) == pytest.approx(10.0)
    clock.now += 10.0
    allowance.take()


def test_both_limits_hold_and_the_longer_wait_is_told(clock: Clock) -> None:
    allowance = Allowance(Limit(requests=1, rows=10), Count(None), clock)
    allowance.take()
    allowance.take_rows(50)
    assert wait_of(allowance) == pytest.approx(4.0)
    clock.now += 4.0
    allowance.take()
    assert wait_of(allowance) == pytest.approx(1.0)


def test_gateways_of_one_home_count_together(tmp_path: Path, clock: Clock) -> None:
    first, second = (Allowance(Limit(requests=5, rows=10), Count(tmp_path / "token.count"), clock) for _ in range(2))
    assert (taken(first, 3), taken(second, 3)) == (3, 2)
    clock.now += 1
    first.take_rows(30)
    assert wait_of(second) == pytest.approx(2.0)


def test_a_new_limit_holds_at_once_and_forgives_nothing(clock: Clock) -> None:
    allowances = Allowances()
    one = allowances.of({"hash": Limit(requests=1000), "other": Limit(rows=1)})
    assert allowances.of({"hash": Limit(requests=1000)}) == {"hash": one["hash"]}
    changed = allowances.of({"hash": Limit(requests=1)})["hash"]
    assert changed is not one["hash"]
    assert changed.count is one["hash"].count
    assert allowances.of({}) == {}


def test_who_comes_first_clears_what_was_counted_and_nobody_after(tmp_path: Path, clock: Clock) -> None:
    with counted_together(tmp_path) as folder:
        kept = folder / "token.count"
        Count(kept).write(1e9, 1e9)  # as before the machine started anew
        with counted_together(tmp_path):
            assert Count(kept).read() == (1e9, 1e9)
    with counted_together(tmp_path):
        assert Count(kept).read() == (0.0, 0.0)


def test_where_nothing_can_be_written_a_gateway_counts_for_itself(tmp_path: Path, clock: Clock) -> None:
    allowance = Allowance(Limit(requests=2), Count(tmp_path / "none" / "token.count"), clock)
    assert taken(allowance, 5) == 2
