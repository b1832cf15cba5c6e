"""A combined version answers by every door what its members do, brought together by hand; nobody hears of a switch to it."""

import json
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from modelyard.adapters.onnx import OnnxFramework
from modelyard.adapters.sklearn import SklearnFramework
from modelyard.core import canonical_json, digest_bytes
from modelyard.data import Column
from modelyard.gateway.process import Stores
from modelyard.prepare import Pipeline, Transform, fit
from modelyard.registry import Combining, Composition, Part, Signature
from modelyard.serving import Route, RouteKind, ServedForm
from modelyard.serving.infer import load_version
from tests.gateway.doors import WAYS, rest
from tests.gateway.packages import flights
from tests.gateway.world import PROJECT, World

pytestmark = pytest.mark.contract

ENSEMBLE = 10
MEMBERS: tuple[Part, ...] = (Part("a", 1, "a"), Part("b", 2, "b"))


def form(world: World, rule: Combining, *, function: bool = False, last: ServedForm | None = None, **rest: Any) -> ServedForm:
    """Return a combination of versions 1 and 2 (of 1 alone before a last one); version 3 chooses where there is a router."""
    members, plain = MEMBERS, [world.package(1, function=function).form, world.package(2).form]
    if last is not None:
        rest["head"] = Part("last", 1, "last")
        members, plain = MEMBERS[:1], [plain[0], last]
    if rule is Combining.ROUTE:
        rest["head"] = Part("c", 3, "c")
        plain.append(world.package(3).form)
    return ServedForm(
        version=ENSEMBLE,
        signature=world.package(1).form.signature,
        pipeline=None,
        form="combined",
        model=digest_bytes(rule.value.encode()),
        framework="modelyard",
        composition=Composition(rule, members, **rest),
        members=tuple(plain),
    )


def last(world: World, one: NDArray[np.float64], frame: pl.DataFrame) -> ServedForm:
    """Return a version that was trained on the wind and what version 1 answered, in the column `a`."""
    rows = frame.select("wind", "late").with_columns(a=pl.Series(one))
    fitted = fit(Pipeline(()), rows, "late")
    model = HistGradientBoostingClassifier(max_iter=10, random_state=1).fit(
        Transform(fitted).matrix(rows), rows["late"].to_numpy()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skl2onnx's own, about NumPy
        onnx = SklearnFramework().to_onnx(model, 2)
    pipeline, digest = world.objects.put(PROJECT, [canonical_json(fitted.to_json()).encode(), onnx])
    signature = Signature(tuple(Column(one.name, one.dtype) for one in fitted.inputs), (Column("probability", "Float64"),))
    return ServedForm(1, signature, pipeline, "onnx", digest, "onnxruntime")


def answers(world: World, plain: ServedForm, frame: pl.DataFrame, folder: Path) -> NDArray[np.float64]:
    """Return what a version answers by itself."""
    stores = Stores(world.objects, lambda name: OnnxFramework())
    found: NDArray[np.float64] = load_version(stores, PROJECT, plain, folder).infer(frame)["probability"]
    return found


def test_every_rule_answers_the_same_by_every_door(world: World, tmp_path: Path) -> None:
    frame = flights(300, seed=77)
    own = tmp_path / "own"
    one, two, three = (answers(world, world.package(version).form, frame, own) for version in (1, 2, 3))
    head = last(world, one, frame)
    cases: dict[Combining, tuple[dict[str, Any], NDArray[np.float64]]] = {
        Combining.MEAN: ({}, (one + two) / 2),
        Combining.WEIGHTED: ({"weights": (1.0, 4.0)}, 0.2 * one + 0.8 * two),
        Combining.VOTE: ({"threshold": 0.45}, ((one >= 0.45).astype(float) + (two >= 0.45)) / 2),
        Combining.STACK: ({"last": head}, answers(world, head, frame.with_columns(a=pl.Series(one)), own)),
        Combining.ROUTE: ({"limits": (0.5,)}, np.where(three < 0.5, one, two)),
    }
    started = False
    for rule, (rest_of, expected) in cases.items():
        position = world.publish(world.served(Route(ENSEMBLE, 100), forms=(form(world, rule, **rest_of),)))
        if not started:
            world.start("--grpc-port", "0")
            started = True
        world.taken_up(position)
        with world.client() as client:
            told = rest(world, client, frame)
            np.testing.assert_allclose(told, expected, rtol=0, atol=1e-12, err_msg=rule.value)
            assert [rest(world, client, frame[place])[0] for place in range(5)] == told[:5]
            for way, ask in WAYS.items():
                assert ask(world, client, frame) == told, (rule, way)
    assert len(list(world.home.rglob("packages/*/*"))) == 6, "what no version needs is gone, what a member needs stays"


def test_a_single_version_makes_way_for_an_ensemble_and_no_request_fails(world: World) -> None:
    frame = flights(1, seed=5)
    ensemble = form(world, Combining.MEAN)
    forms = (world.package(1).form, ensemble)
    world.publish(world.served(Route(1, 100)))
    world.start()
    done = Event()

    def traffic(number: int) -> Counter[tuple[int, str, float]]:
        seen: Counter[tuple[int, str, float]] = Counter()
        with world.client() as client:
            place = 0
            while not done.is_set() or place < 50:
                body = json.dumps(world.body(frame, parameters={"key": f"{number}-{place}"}))
                answer = client.post("/v2/models/delay/infer", content=body)
                told = answer.json()
                place += 1
                seen[answer.status_code, told.get("model_version", ""), told["outputs"][0]["data"][0]] += 1
        return seen

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(traffic, number) for number in range(2)]
        for routes, served in (
            ((Route(1, 50), Route(ENSEMBLE, 50, RouteKind.CANARY)), forms),
            ((Route(ENSEMBLE, 100),), (ensemble,)),
            ((Route(1, 100),), forms[:1]),
            ((Route(ENSEMBLE, 100),), (ensemble,)),
        ):
            world.taken_up(world.publish(world.served(*routes, forms=served)))
        done.set()
        seen = sum((one.result() for one in asking), Counter[tuple[int, str, float]]())
    assert {status for status, _, _ in seen} == {200}
    assert {version for _, version, _ in seen} == {"1", str(ENSEMBLE)}
    assert len({(version, number) for _, version, number in seen}) == 2, "each version has one answer to this row"


def test_it_starts_from_its_disk_with_members_and_all(world: World) -> None:
    world.publish(world.served(Route(ENSEMBLE, 100), forms=(form(world, Combining.ROUTE, limits=(0.5,)),)))
    world.start()
    world.taken_up(1)
    frame = flights(20, seed=8)
    with world.client() as client:
        before = rest(world, client, frame)
    world.kill()
    world.control.kill()
    world.start()
    with world.client() as client:
        world.taken_up(1)
        assert rest(world, client, frame) == before


def test_a_member_that_cannot_be_loaded_leaves_what_answers_in_place_and_is_named(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start()
    broken = form(world, Combining.MEAN)
    [rotten] = world.objects.put(PROJECT, [b"no model"])
    broken = replace(broken, members=(broken.members[0], replace(broken.members[1], model=rotten)))
    world.publish(world.served(Route(ENSEMBLE, 100), forms=(broken,)))
    status = world.wait(lambda told: bool(told["problems"]))
    assert "of the member b@2" in status["problems"]["flights/delay"]
    with world.client() as client:
        assert client.post("/v2/models/delay/infer", content=json.dumps(world.body(flights(1)))).json()["model_version"] == "1"


def test_the_ledger_holds_what_it_was_asked_and_answered(world: World) -> None:
    world.publish(world.served(Route(ENSEMBLE, 100), forms=(form(world, Combining.MEAN, function=True),)))
    world.start()
    world.taken_up(1)
    frame = flights(3, seed=2)
    with world.client() as client:
        told = rest(world, client, frame)
    world.stop()
    kept = world.ledger()
    assert kept["version"].to_list() == [ENSEMBLE] * 3
    assert kept["form"].to_list() == ["combined"] * 3
    assert kept["answer"].to_list() == told
    assert kept["input.distance"].to_list() == frame["distance"].to_list()
