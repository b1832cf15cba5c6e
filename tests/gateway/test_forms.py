"""A deployment that names the form in eight bits answers by it, through the gateway."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from modelyard.serving.service import catalogue, deploy
from tests.gateway.world import TOKEN, World
from tests.runner_steps.place import START, opened, trips

pytestmark = pytest.mark.contract

ROWS = trips(64, START, seed=5).select("wind", "place")


def network(run: Any, fit: Any, test: Any) -> Any:
    """Return a network that says how likely it is."""
    return MLPClassifier((64, 64), tol=0.01, n_iter_no_change=3, random_state=0).fit(fit.X, fit.y)


def test_the_form_in_eight_bits_answers_where_it_is_named_and_each_row_for_itself(world: World) -> None:
    with opened(world.home, world.folder / "scratch") as place:
        place.data()
        place.registered(place.trained(network), "late", alias="champion")
        for name, form in (("exact", "auto"), ("small", "onnx-int8")):
            deploy(*place.who, name, model="late", form=form)
        hashes = {place.project: (sha256(TOKEN.encode()).hexdigest(),)}
        world.control.publish(replace(catalogue(place.platform, place.actor), position=1, token_hashes=hashes))
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
