"""A hundred changes of who answers, bad versions among them, under traffic: nobody is refused, no answer is of two versions."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import numpy as np
import pytest

from modelyard.core import digest_bytes
from modelyard.serving import Route, RouteKind, ServedForm
from tests.gateway.packages import flights
from tests.gateway.world import PROJECT, World

pytestmark = pytest.mark.contract

FLIPS = 100
MEMORY_MB = 64
GOOD = (1, 2, 3)


def bad_versions(world: World) -> list[ServedForm]:
    """Return versions under the number 9 that cannot be loaded: corrupt, never stored, for other features, and too large."""
    good = replace(world.package(2).form, version=9)
    [junk, vast] = world.objects.put(PROJECT, [b"no model at all", bytes(MEMORY_MB << 20)])
    return [
        replace(good, model=junk),
        replace(good, pipeline=junk),
        replace(good, model=digest_bytes(b"never stored")),
        replace(good, model=vast),
    ]


def test_a_hundred_flips_under_traffic_lose_no_request_and_mix_no_answer(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start("--memory-mb", str(MEMORY_MB))
    bad = bad_versions(world)
    frame = flights(8, seed=5)
    body = world.body(frame)
    expected = {str(version): world.package(version).expected(frame) for version in GOOD}
    over = Event()

    def traffic(number: int) -> tuple[Counter[str], int]:
        seen: Counter[str] = Counter()
        mixed = asked = 0
        with world.client() as client:
            while not over.is_set():
                answer = client.post("/v2/models/delay/infer", json={**body, "id": f"{number}-{asked}"})
                assert answer.status_code == 200, answer.text
                told = answer.json()
                asked += 1
                seen[told["model_version"]] += 1
                mixed += not np.allclose(told["outputs"][0]["data"], expected[told["model_version"]], atol=1e-6, rtol=0)
        return seen, mixed

    refused = 0
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(traffic, number) for number in range(4)]
        try:
            for flip in range(FLIPS):
                live = flip % 3 + 1
                if flip % 5 == 4:
                    form = bad[flip // 5 % len(bad)]
                    routes = (Route(live, 50), Route(9, 50, RouteKind.CANARY))
                    served = world.served(*routes, forms=(world.package(live).form, form))
                elif flip % 2:
                    served = world.served(Route(live, 60), Route(live % 3 + 1, 40, RouteKind.CANARY))
                else:
                    served = world.served(Route(live, 100))
                status = world.taken_up(world.publish(served))
                refused += bool(status["problems"])
        finally:
            over.set()
        found = [run.result() for run in runs]
    seen = sum((one for one, _ in found), Counter())
    assert refused == FLIPS // 5
    assert sum(mixed for _, mixed in found) == 0
    assert set(seen) == {str(version) for version in GOOD}
    with world.client() as client:
        client.post("/v1/ledger/flush")
    assert world.ledger().height == 8 * seen.total()
