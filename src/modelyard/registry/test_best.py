from dataclasses import replace
from datetime import timedelta
from math import nan
from typing import Any

import pytest

from modelyard.registry import Best, Evaluation, Form, ModelVersion
from modelyard.registry.best import candidates, figure, may_stand
from modelyard.testing import examples
from modelyard.training import Direction

LOSS = Best("log_loss", Direction.MINIMISE)
DIGEST = examples.DIGEST


def version(number: int, loss: float | None, **changes: Any) -> ModelVersion:
    """Return a version that was measured by itself."""
    metrics = {} if loss is None else {"log_loss": loss}
    return replace(examples.model_version(number), metrics=metrics, evaluations=(), **changes)


def beside(against: int, value: float, other: float, minutes: int = 0) -> Evaluation:
    """Return an evaluation beside another version."""
    at = examples.NOON + timedelta(minutes=minutes)
    return Evaluation(None, against, 700, "labelled", "log_loss", value, other, {}, {}, at)


def numbers(best: Best, versions: list[ModelVersion], standing: ModelVersion | None) -> list[int]:
    return [one.version.number for one in candidates(best, versions, standing)]


def test_only_what_is_better_than_what_stands_is_a_candidate_the_best_first() -> None:
    standing = version(2, 0.5)
    found = [version(5, 0.4), version(4, 0.6), version(3, 0.5), standing, version(1, 0.3)]
    assert numbers(LOSS, found, standing) == [1, 5], "a tie keeps what stands"
    assert numbers(LOSS, found, None) == [1, 5, 2, 3, 4], "of equals the older"
    assert numbers(replace(LOSS, direction=Direction.MAXIMISE), found, standing) == [4]


def test_what_was_measured_side_by_side_goes_before_each_ones_own_figure() -> None:
    standing = version(1, 0.3)
    better = replace(version(2, 0.9), evaluations=(beside(1, 0.52, 0.53),))
    worse = replace(version(3, 0.1), evaluations=(beside(1, 0.51, 0.50),))
    found = candidates(LOSS, [worse, better, standing], standing)
    assert [one.version.number for one in found] == [2]
    assert found[0].told == "best by log_loss: 0.52 beside 0.53 of v1 on the same rows"


def test_a_versions_figure_is_its_newest() -> None:
    later = (beside(7, 0.2, 0.1, minutes=5), beside(8, 0.4, 0.1), replace(beside(7, 1.0, 0.1, minutes=9), metric="rmse"))
    assert figure(replace(version(1, 0.9), evaluations=later), "log_loss") == 0.2
    assert figure(version(1, 0.9), "log_loss") == 0.9
    assert figure(version(1, nan), "log_loss") is None
    assert figure(version(1, None), "log_loss") is None


FORMS = (Form("native", DIGEST, 5000, "sklearn", latency_us=900.0), Form("onnx", DIGEST, 7000, "onnxruntime", latency_us=40.0))


@pytest.mark.parametrize(
    ("bounds", "allowed"),
    [
        ({}, True),
        ({"latency_us": 40.0}, True),
        ({"latency_us": 39.0}, False),
        ({"size_bytes": 7000}, True),
        ({"size_bytes": 6999}, False),
        ({"barred": (3,)}, True),
        ({"barred": (3, 1)}, False),
    ],
)
def test_the_bounds_hold_for_the_form_that_serves(bounds: dict[str, Any], allowed: bool) -> None:
    assert may_stand(replace(LOSS, **bounds), version(1, 0.5, forms=FORMS)) is allowed


def test_a_form_that_answers_only_by_name_does_not_bring_a_version_within_the_bounds() -> None:
    nearly = Form("onnx-int8", DIGEST, 1000, "onnxruntime", latency_us=4.0, tolerance=0.02, approximate=True)
    for bound in ({"latency_us": 20.0}, {"size_bytes": 3000}):
        assert not may_stand(replace(LOSS, **bound), version(1, 0.5, forms=(*FORMS, nearly)))


def test_what_was_not_measured_may_not_stand() -> None:
    unmeasured = (Form("onnx", DIGEST, 1, "onnxruntime"),)
    assert not may_stand(replace(LOSS, latency_us=1e9), version(1, 0.5, forms=unmeasured))
    assert not may_stand(LOSS, version(1, None))
