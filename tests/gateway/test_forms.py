"""Forms that answer only where somebody has said so, through the gateway: eight bits by name, a maker's code by allowance."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from modelyard.registry.imports import Wish, request_import
from modelyard.serving.service import catalogue, deploy
from tests.gateway.world import TOKEN, World
from tests.runner_steps.code_models import FOLDER, scores
from tests.runner_steps.place import START, Place, opened, trips

pytestmark = pytest.mark.contract

ROWS = trips(64, START, seed=5).select("wind", "place")


def network(run: Any, fit: Any, test: Any) -> Any:
    """Return a network that says how likely it is."""
    return MLPClassifier((64, 64), tol=0.01, n_iter_no_change=3, random_state=0).fit(fit.X, fit.y)


def publish(world: World, place: Place) -> None:
    """Have the gateway know what is deployed."""
    hashes: dict[str, tuple[str, ...]] = {place.project: (sha256(TOKEN.encode()).hexdigest(),)}
    world.control.publish(replace(catalogue(place.platform, place.actor), position=1, token_hashes=hashes))


def test_the_form_in_eight_bits_answers_where_it_is_named_and_each_row_for_itself(world: World) -> None:
    with opened(world.home, world.folder / "scratch") as place:
        place.data()
        place.registered(place.trained(network), "late", alias="champion")
        for name, form in (("exact", "auto"), ("small", "onnx-int8")):
            deploy(*place.who, name, model="late", form=form)
        publish(world, place)
    world.start()
    with world.client() as client:

        def ask(name: str, rows: Any) -> Any:
            inputs = [
                {"name": one.name, "shape": [len(one)], "datatype": datatype, "data": one.to_list()}
                for one, datatype in zip(rows, ("FP64", "BYTES"), strict=True)
            ]
            answer = client.post(f"/v2/models/{name}/infer", json={"inputs": inputs})
            assert answer.status_code == 200, answer.text
            return np.array(answer.json()["outputs"][0]["data"])

        exact, small = ask("exact", ROWS), ask("small", ROWS)
        assert 0 < np.abs(exact - small).max() <= 0.02
        assert np.array_equal(np.concatenate([ask("small", ROWS[row]) for row in range(len(ROWS))]), small)


def test_a_makers_code_answers_from_a_process_of_its_own(world: World) -> None:
    with opened(world.home, world.folder / "scratch") as place:
        digests = place.platform.objects.put(place.project, list(FOLDER.values()))
        wish = Wish("faces", dict(zip(FOLDER, digests, strict=True)), alias="champion", allow_code=True)
        request_import(*place.who, "faces", wish)
        place.work()
        deploy(*place.who, "faces", model="faces")
        publish(world, place)
    world.start()
    pixels = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    with world.client() as client:
        tensor = {"name": "pixels", "shape": [5, 4], "datatype": "FP32", "data": pixels.ravel().tolist()}
        answer = client.post("/v2/models/faces/infer", json={"inputs": [tensor]})
        assert answer.status_code == 200, answer.text
        outputs = {one["name"]: np.array(one["data"]) for one in answer.json()["outputs"]}
        assert np.allclose(outputs["scores"].reshape(5, 3), scores(pixels), atol=1e-6, rtol=0)
        [process] = client.get("/v1/status").json()["processes"]
        assert set(outputs["process"].tolist()) == {process["pid"]}
        assert world.process is not None
        assert process["pid"] != world.process.pid
