"""Trainers that return XGBoost's and LightGBM's models: the package of the model says which framework keeps it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from modelyard.runner.steps.forms import PARITY
from tests.runner_steps.place import START, Place, trips


def by_xgboost(run: Any, fit: Any, test: Any) -> Any:
    """Return a booster of XGBoost's, as an estimator."""
    from xgboost import XGBClassifier  # noqa: PLC0415 - the function travels as source

    return XGBClassifier(n_estimators=20, n_jobs=1, random_state=run.seed).fit(fit.X, fit.y)


def by_lightgbm(run: Any, fit: Any, test: Any) -> Any:
    """Return a booster of LightGBM's, as an estimator."""
    from lightgbm import LGBMClassifier  # noqa: PLC0415 - the function travels as source

    return LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1, random_state=run.seed).fit(fit.X, fit.y)


@pytest.mark.parametrize(("trainer", "framework"), [(by_xgboost, "xgboost"), (by_lightgbm, "lightgbm")])
def test_a_booster_is_kept_by_its_own_framework_and_converted(
    place: Place, trainer: Callable[..., Any], framework: str
) -> None:
    run = place.trained(trainer)
    assert run.framework == framework
    version = place.registered(run)
    native, onnx = version.forms
    assert (native.framework, onnx.framework) == (framework, "onnxruntime")
    assert onnx.rows_compared > 300, "rows beside the splits are compared too"
    assert onnx.max_abs_diff <= PARITY
    rows = trips(200, START, seed=5)
    answers = place.infer(version, rows)
    assert ((answers > 0) & (answers < 1)).all()
    assert np.corrcoef(answers, rows["late"])[0, 1] > 0.3
