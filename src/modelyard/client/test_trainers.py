from collections.abc import Callable
from typing import Any

import httpx
import pytest

from modelyard.client.connection import Connection
from modelyard.client.gate import better, direction_of
from modelyard.client.resources import limits_of
from modelyard.client.search import Search
from modelyard.client.steps import declare_pipeline
from modelyard.client.trainers import TrainerClient
from modelyard.core import Problem
from modelyard.data import Split
from modelyard.jobs import Limits
from modelyard.prepare import prep
from modelyard.training import Direction


def refuse(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"nothing is to be sent, and {request.url} was asked")


def nowhere() -> Connection:
    return Connection(httpx.Client(transport=httpx.MockTransport(refuse), base_url="http://127.0.0.1:1"))


def declared(function: Callable[..., Any]) -> TrainerClient:
    return TrainerClient(
        nowhere(),
        "/v1/projects/p",
        function,
        pipeline=declare_pipeline(nowhere(), "/v1/projects/p", [prep.fill_null("tenure", 0)]),
        label="churned",
        metric="roc_auc",
        direction=Direction.MAXIMISE,
        limits=Limits(),
        split=Split(),
        lookups=(),
        name="train",
    )


def train(run: Any, fit: Any, test: Any, depth: int, rate: float = 0.1) -> tuple[int, float]:
    """Return what it was given."""
    return depth, rate


def test_a_trainer_is_still_the_plain_function() -> None:
    assert declared(train)(None, None, None, 3, rate=0.5) == (3, 0.5)
    assert declared(train).__doc__ == "Return what it was given."


def test_a_wrong_parameter_is_told_before_anything_is_sent() -> None:
    with pytest.raises(Problem, match="did you mean 'depth'") as caught:
        declared(train).run("customers@1", dept=3)
    assert caught.value.code == "params.invalid"
    with pytest.raises(Problem, match="'depth' is not given"):
        declared(train).run("customers@1", rate=0.2)
    with pytest.raises(Problem, match="no parameter 'depths'"):
        declared(train).search("customers@1", Search(depths=range(3)), trials=2)


def test_the_trainer_travels_with_the_code_of_its_function() -> None:
    made = declared(train).build()
    assert "return depth, rate" in made.code.source
    assert made.pipeline.steps == (prep.fill_null("tenure", 0),)


def test_retraining_says_on_what_and_how_much_is_held_back() -> None:
    action = declared(train).retrain(dataset="departures", held_back="7d", history="90d")
    assert (action.retraining.dataset, action.retraining.held_back_s, action.retraining.history_s) == (
        "departures",
        604_800,
        7_776_000,
    )
    with pytest.raises(Problem, match="On which dataset"):
        declared(train).retrain()
    with pytest.raises(Problem, match="yesterday"):
        declared(train).retrain("yesterday", dataset="departures")


@pytest.mark.parametrize(
    ("resources", "limits"),
    [
        ({}, Limits()),
        ({"time": "90m"}, Limits(5400.0, None)),
        ({"memory": "2GB"}, Limits(None, 1907)),
        ({"memory": "512Mi"}, Limits(None, 512)),
        ({"disk": "1GiB"}, Limits(None, None, 1024)),
    ],
)
def test_resources_are_limits(resources: dict[str, Any], limits: Limits) -> None:
    assert limits_of(resources) == limits


@pytest.mark.parametrize("resources", [{"cpu": 2}, {"memory": "lots"}, {"memory": 512}, {"disk": "?"}])
def test_resources_that_nobody_can_give_are_refused(resources: dict[str, Any]) -> None:
    with pytest.raises(Problem) as caught:
        limits_of(resources)
    assert caught.value.code == "resources.invalid"


def test_the_direction_of_a_metric_is_known_or_told() -> None:
    assert direction_of("log_loss") is Direction.MINIMISE
    assert direction_of("lift", "maximise") is Direction.MAXIMISE
    assert better("roc_auc", by=0.01).direction is Direction.MAXIMISE
    for told in (None, "up"):
        with pytest.raises(Problem, match="Which values of 'lift'"):
            direction_of("lift", told)


def test_what_is_no_step_is_refused_by_its_place() -> None:
    steps: list[Any] = [prep.fill_null("tenure", 0), "one_hot"]
    with pytest.raises(Problem, match="Step 2"):
        declare_pipeline(nowhere(), "/v1/projects/p", steps)
