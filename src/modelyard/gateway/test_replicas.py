from contextlib import ExitStack
from pathlib import Path
from threading import Timer

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from modelyard.core import Problem
from modelyard.gateway.replicas import added_up, adopt, alone_in, together

DELAY = "delay"


def figures(requests: int, seconds: list[float], position: int, oldest: float) -> bytes:
    registry = CollectorRegistry()
    counter = Counter("modelyard_requests", "Requests.", ("deployment",), registry=registry)
    counter.labels(DELAY).inc(requests)
    histogram = Histogram("modelyard_request_seconds", "Seconds.", buckets=(0.1, 1.0), registry=registry)
    for one in seconds:
        histogram.observe(one)
    Gauge("modelyard_catalogue_position", "Position.", registry=registry).set(position)
    Gauge("modelyard_ledger_backlog_oldest_seconds", "Oldest.", registry=registry).set(oldest)
    Gauge("modelyard_load", "Load.", registry=registry).set(oldest)
    Gauge("modelyard_load_cpu", "Load.", registry=registry).set(requests)
    return generate_latest(registry)


def samples(text: bytes) -> dict[str, float]:
    lines = [line for line in text.decode().splitlines() if line and not line.startswith("#") and "_created" not in line]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=4))
def test_counts_of_replicas_add_up_their_load_is_the_mean_and_the_one_behind_tells_the_position(counts: list[int]) -> None:
    texts = [figures(count, [0.05] * (count % 7), 40 + place, float(place)) for place, count in enumerate(counts)]
    found = samples(together(texts))
    assert found['modelyard_requests_total{deployment="delay"}'] == sum(counts)
    assert found['modelyard_request_seconds_bucket{le="0.1"}'] == sum(count % 7 for count in counts)
    assert found["modelyard_catalogue_position"] == 40
    assert found["modelyard_ledger_backlog_oldest_seconds"] == len(counts) - 1
    assert found["modelyard_load"] == pytest.approx((len(counts) - 1) / 2)
    assert found["modelyard_load_cpu"] == pytest.approx(sum(counts) / len(counts))
    assert found.keys() == samples(texts[0]).keys()


def test_status_is_added_up_through_all_depths() -> None:
    one = {"rows": 3, "problem": None, "backlog": {"bytes": 10}, "ready": True}
    other = {"rows": 4, "problem": "the lake is away", "backlog": {"bytes": 5}, "ready": True}
    assert added_up(one, [other]) == {"rows": 7, "problem": "the lake is away", "backlog": {"bytes": 15}, "ready": True}


def test_what_replicas_left_behind_is_adopted_and_what_one_holds_is_not(tmp_path: Path) -> None:
    for number in ("2", "3"):
        ledger = tmp_path / "gateway" / number / "ledger"
        ledger.mkdir(parents=True)
        (ledger / f"seg_{number}.jsonl").write_text("{}\n")
    own = tmp_path / "gateway" / "ledger"
    own.mkdir()
    with alone_in(tmp_path / "gateway" / "3"):
        assert adopt(tmp_path, own) == 1
    assert [path.name for path in own.iterdir()] == ["seg_2.jsonl"]
    assert adopt(tmp_path, own) == 1
    assert adopt(tmp_path, own) == 0


def test_a_folder_that_another_holds_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    held = ExitStack()
    held.enter_context(alone_in(tmp_path))
    with pytest.raises(Problem) as told, alone_in(tmp_path):
        pass
    assert told.value.code == "gateway.conflict"
    letting_go = Timer(0.05, held.close)
    letting_go.start()
    with alone_in(tmp_path, patience_s=60):
        letting_go.join()
