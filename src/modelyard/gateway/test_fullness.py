import pytest

from modelyard.gateway.fullness import WINDOW_S, Full, Fullness, Sample, quantile
from modelyard.gateway.metrics import BUCKETS_S

NONE = [0] * (len(BUCKETS_S) + 1)


def fullness(full: Full, *samples: Sample) -> Fullness:
    found = Fullness(full, BUCKETS_S)
    for sample in samples:
        found.look(sample)
    return found


def test_nothing_seen_is_idle() -> None:
    assert set(fullness(Full()).parts().values()) == {0.0}
    assert set(fullness(Full(latency_s=0.01), Sample(1.0, 0.5, 0.0, NONE)).parts().values()) == {0.0}


def test_a_process_that_takes_what_is_full_of_a_core_is_full() -> None:
    parts = fullness(Full(), *(Sample(float(at), 0.8 * at, 0.0, NONE) for at in range(5))).parts()
    assert parts["cpu"] == parts["load"] == pytest.approx(1.0)


def test_only_the_window_counts() -> None:
    busy = [Sample(float(at), float(at), 0.5, NONE) for at in range(10)]
    idle = [Sample(10.0 + at, 9.0, 0.0, NONE) for at in range(int(WINDOW_S) + 1)]
    half = fullness(Full(), *busy, *idle[:6]).parts()
    assert half["cpu"] == pytest.approx(4 / 10 / 0.8)  # of the seconds 5 to 15 the first four were busy
    assert half["queue"] == pytest.approx(5 / 11 * 0.5 / 0.25)
    assert fullness(Full(), *busy, *idle).parts() == {"load": 0.0, "cpu": 0.0, "queue": 0.0, "latency": 0.0}


def test_samples_that_come_late_are_still_two() -> None:
    parts = fullness(Full(), Sample(0.0, 0.0, 0.0, NONE), Sample(30.0, 12.0, 0.0, NONE)).parts()
    assert parts["cpu"] == pytest.approx(0.5)


def test_the_latency_is_of_the_answers_in_the_window_beside_the_aim() -> None:
    before, slow = list(NONE), list(NONE)
    before[0] = 1_000_000  # all there were before
    slow[0], slow[6] = 1_000_000, 100  # then a hundred within 10 ms
    parts = fullness(Full(latency_s=0.005), Sample(0.0, 0.0, 0.0, before), Sample(1.0, 0.0, 0.0, slow)).parts()
    assert parts["latency"] == parts["load"] == pytest.approx(0.00975 / 0.005)
    assert fullness(Full(), Sample(0.0, 0.0, 0.0, before), Sample(1.0, 0.0, 0.0, slow)).parts()["latency"] == 0.0


@pytest.mark.parametrize(
    ("counts", "share", "value"),
    [([0, 0, 0], 0.95, 0.0), ([0, 4, 0], 0.5, 1.5), ([1, 0, 1], 0.5, 1.0), ([0, 0, 7], 0.95, 2.0), ([1, 1, 0], 1.0, 2.0)],
)
def test_a_quantile_lies_between_its_bounds(counts: list[int], share: float, value: float) -> None:
    assert quantile([1.0, 2.0], counts, share) == pytest.approx(value)


def test_gauges_are_named_by_their_parts() -> None:
    assert fullness(Full()).figures().keys() == {
        "modelyard_load", "modelyard_load_cpu", "modelyard_load_queue", "modelyard_load_latency",
    }  # fmt: skip
