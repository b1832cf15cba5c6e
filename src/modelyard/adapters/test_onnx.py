import warnings
from pathlib import Path

import numpy as np
import pytest
from skl2onnx import to_onnx
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression

from modelyard.adapters.onnx import OnnxFramework
from modelyard.core import Problem

ROWS = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
FRAMEWORK = OnnxFramework()


def converted(model: object, **options: bool) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skl2onnx's own, about NumPy
        chosen = {id(model): options} if options else None
        return bytes(to_onnx(model, ROWS[:1], options=chosen).SerializeToString())


def answers(tmp_path: Path, source: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    (tmp_path / "model").write_bytes(source)
    found = FRAMEWORK.predict(FRAMEWORK.load(tmp_path / "model"), ROWS)
    assert found.dtype == np.float64
    return found


@pytest.mark.parametrize("zipmap", [False, True])
def test_two_classes_give_the_second_ones_probability(tmp_path: Path, zipmap: bool) -> None:
    model = LogisticRegression().fit(ROWS, ROWS[:, 0] > 0)
    found = answers(tmp_path, converted(model, zipmap=zipmap))
    assert np.allclose(found, model.predict_proba(ROWS)[:, 1], atol=1e-6)


def test_boosted_trees_give_the_native_answers_also_for_missing_values(tmp_path: Path) -> None:
    rows = np.where(np.random.default_rng(1).random(ROWS.shape) < 0.1, np.float32(np.nan), ROWS)
    model = HistGradientBoostingClassifier(max_iter=10).fit(rows, ROWS[:, 0] > 0)
    (tmp_path / "model").write_bytes(converted(model, zipmap=False))
    found = FRAMEWORK.predict(FRAMEWORK.load(tmp_path / "model"), rows)
    assert np.allclose(found, model.predict_proba(rows)[:, 1], atol=1e-6)


def test_more_classes_give_a_column_each(tmp_path: Path) -> None:
    model = LogisticRegression().fit(ROWS, np.digitize(ROWS[:, 0], [-0.5, 0.5]))
    found = answers(tmp_path, converted(model, zipmap=False))
    assert found.shape == (400, 3)
    assert np.allclose(found, model.predict_proba(ROWS), atol=1e-5)


def test_a_regressor_gives_one_number_a_row(tmp_path: Path) -> None:
    model = HistGradientBoostingRegressor(max_iter=10).fit(ROWS, ROWS[:, 0])
    found = answers(tmp_path, converted(model))
    assert found.shape == (400,)
    assert np.allclose(found, model.predict(ROWS), atol=1e-5)


def test_what_is_kept_is_what_was_loaded(tmp_path: Path) -> None:
    source = converted(LogisticRegression().fit(ROWS, ROWS[:, 0] > 0), zipmap=False)
    (tmp_path / "model").write_bytes(source)
    model = FRAMEWORK.load(tmp_path / "model")
    FRAMEWORK.save(model, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == source == FRAMEWORK.to_onnx(model, 3)
    assert FRAMEWORK.owns(model)
    assert not FRAMEWORK.owns(source)
    assert [len(values) for values in FRAMEWORK.thresholds(model, 3)] == [0, 0, 0]


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x07"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(Problem) as told:
        FRAMEWORK.load(tmp_path / "model")
    assert told.value.code == "model.invalid"


def test_a_model_of_other_inputs_is_refused(tmp_path: Path) -> None:
    model = LogisticRegression().fit(ROWS.astype(np.float64), ROWS[:, 0] > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = to_onnx(model, ROWS[:1].astype(np.float64), options={id(model): {"zipmap": False}}).SerializeToString()
    (tmp_path / "model").write_bytes(source)
    with pytest.raises(Problem, match="tensor"):
        FRAMEWORK.load(tmp_path / "model")
