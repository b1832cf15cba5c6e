"""More versions than memory: those asked last stay, the others rest, and each answers as ever when it is asked."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from modelyard.adapters.onnx import OnnxFramework
from modelyard.core import Problem, digest_bytes
from modelyard.gateway.residents import OWN_MB, Resident, Residents
from modelyard.serving import Route, ServedDeployment, ServedForm
from modelyard.serving.infer import LoadedVersion, fetch_version, open_version
from tests.gateway.packages import flights
from tests.gateway.world import World

pytestmark = pytest.mark.contract

MANY = 1_000


def keeping(world: World, budget_mb: float) -> Residents:
    def bring(deployment: ServedDeployment, form: ServedForm, folder: Path) -> None:
        fetch_version(world.objects, deployment.project, form, folder)

    def open_(_: ServedDeployment, form: ServedForm, folder: Path) -> LoadedVersion:
        return open_version(lambda _: OnnxFramework(), form, folder)

    return Residents(bring, open_, budget_mb)


def rests(loaded: LoadedVersion) -> bool:
    assert isinstance(loaded.program, Resident)
    return loaded.program.rests


def test_who_was_asked_longest_ago_makes_room_and_answers_again_when_asked(world: World, tmp_path: Path) -> None:
    packages = [world.package(number) for number in (1, 2, 3)]
    alone = keeping(world, 1e6)
    deployment = world.served(Route(1, 100))
    held = alone.load(deployment, packages[0].form, tmp_path).program.held_mb  # type: ignore[attr-defined]  # it is a resident
    assert held > OWN_MB
    residents = keeping(world, 2.5 * held)
    first, second = (residents.load(deployment, one.form, tmp_path) for one in packages[:2])
    frame = flights(3)
    first.infer(frame)
    third = residents.load(deployment, packages[2].form, tmp_path)
    assert [rests(one) for one in (first, second, third)] == [False, True, False]
    assert second.runs_code, "loading it takes time: it is not asked on the loop"
    assert np.allclose(second.infer(frame)["probability"], packages[1].expected(frame), atol=1e-6, rtol=0)
    assert [rests(one) for one in (first, second, third)] == [True, False, False]
    assert residents.status() == {"in_memory": 2, "at_rest": 1, "memory_mb": round(2 * held, 1), "woken": 1}


def test_a_version_that_takes_more_than_all_may_is_not_loaded(world: World, tmp_path: Path) -> None:
    residents = keeping(world, OWN_MB)
    with pytest.raises(Problem) as told:
        residents.load(world.served(Route(1, 100)), world.package(1).form, tmp_path)
    assert told.value.code == "version.too_large"
    assert "--memory-mb" in (told.value.next_step or "")


def test_one_that_cannot_be_loaded_when_it_is_asked_says_why(world: World, tmp_path: Path) -> None:
    form = replace(world.package(1).form, model=digest_bytes(b"never stored"))
    loaded = keeping(world, 1e6).at_rest(world.served(Route(1, 100)), form, tmp_path)
    with pytest.raises(Problem, match="object"):
        loaded.infer(flights(1))


def test_a_thousand_models_answer_from_a_little_memory_and_at_once_after_the_start(world: World) -> None:
    forms = [world.package(number).form for number in (1, 2, 3, 4)]
    deployments = [
        world.served(Route(forms[place % 4].version, 100), name=f"model-{place}", forms=(forms[place % 4],))
        for place in range(MANY)
    ]
    world.publish(*deployments)
    assert world.start("--memory-mb", "20")["ready"]
    frame = flights(2)
    body = world.body(frame)
    expected = {str(number): world.package(number).expected(frame) for number in (1, 2, 3, 4)}
    chosen = random.Random(0).choices(range(MANY), k=200) + [0] * 50

    def ask(places: list[int]) -> int:
        with world.client() as client:
            for place in places:
                answer = client.post(f"/v2/models/model-{place}/infer", json=body)
                assert answer.status_code == 200, answer.text
                told = answer.json()
                assert np.allclose(told["outputs"][0]["data"], expected[told["model_version"]], atol=1e-6, rtol=0)
        return len(places)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(ask, [chosen[start::4] for start in range(4)])) == 250
    with world.client() as client:
        versions = client.get("/v1/status").json()["versions"]
    assert versions["in_memory"] + versions["at_rest"] == MANY
    assert 0 < versions["memory_mb"] <= 20
    assert versions["woken"] >= len(set(chosen))
