"""Trees answer the same in ONNX as natively also where a feature lies right at a split."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from modelyard.adapters import FRAMEWORK, resolve
from modelyard.runner.steps.forms import edge_rows


@pytest.mark.parametrize("seed", range(3))
def test_a_feature_at_or_beside_a_split_takes_the_same_branch(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    scales = [1, 10, 1000, 0.01, 1, 1, 1, 1]
    features = np.round(rng.normal(size=(20_000, 8)) * scales, 3).astype(np.float32)
    labels = (features[:, 0] + features[:, 1] / 10 + rng.normal(size=len(features)) > 0).astype(int)
    model = HistGradientBoostingClassifier(max_iter=40).fit(features, labels)
    sklearn, runtime = resolve(FRAMEWORK, "sklearn")(), resolve(FRAMEWORK, "onnxruntime")()
    path = tmp_path / "model.onnx"
    path.write_bytes(sklearn.to_onnx(model, 8))
    rows = edge_rows(features, sklearn.thresholds(model, 8))
    assert len(rows) > 1000
    native, converted = sklearn.predict(model, rows), runtime.predict(runtime.load(path), rows)
    assert np.abs(native - converted).max() < 1e-6
