import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression

from modelyard.adapters.onnx import OnnxFramework, OnnxModel
from modelyard.core import Problem
from modelyard.data import Column

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


def test_a_model_of_other_inputs_does_not_predict(tmp_path: Path) -> None:
    model = LogisticRegression().fit(ROWS.astype(np.float64), ROWS[:, 0] > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = to_onnx(model, ROWS[:1].astype(np.float64), options={id(model): {"zipmap": False}}).SerializeToString()
    (tmp_path / "model").write_bytes(source)
    with pytest.raises(Problem, match="tensor"):
        FRAMEWORK.predict(FRAMEWORK.load(tmp_path / "model"), ROWS)


def made(
    tmp_path: Path,
    inputs: Mapping[str, tuple[int, list[int | str]]],
    operator: str = "Identity",
    weights: TensorProto | None = None,
) -> OnnxModel:
    """Return a model that gives each input, or what an operator makes of it and the weights, as `NAME_out`."""
    beside = [weights.name] if weights else []
    nodes = [helper.make_node(operator, [name, *beside], [f"{name}_out"]) for name in inputs]
    taken = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    given = [helper.make_tensor_value_info(f"{name}_out", kind, shape) for name, (kind, shape) in inputs.items()]
    graph = helper.make_graph(nodes, "g", taken, given, [weights] if weights else [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "model").write_bytes(model.SerializeToString())
    return FRAMEWORK.load(tmp_path / "model")


def test_inputs_of_every_kind_are_described_and_given_back(tmp_path: Path) -> None:
    model = made(
        tmp_path,
        {
            "x": (TensorProto.FLOAT, ["n", 2, 3]),
            "count": (TensorProto.INT64, ["n", 1]),
            "told": (TensorProto.STRING, ["n"]),
            "tokens": (TensorProto.INT32, ["n", "length"]),
        },
    )
    assert {one.name: one.dtype for one in FRAMEWORK.describe(model)} == {
        "x": "Array[Float32, 2x3]",
        "count": "Int64",
        "told": "String",
        "tokens": "Array[Int32, ?]",
    }
    sent = {
        "x": np.arange(12, dtype=np.float32).reshape(2, 2, 3),
        "count": np.array([5, 6]),
        "told": np.array(["a", "ü"], dtype=object),
        "tokens": np.ones((2, 7), dtype=np.int32),
    }
    given = FRAMEWORK.run(model, sent)
    assert list(given) == ["x_out", "count_out", "told_out", "tokens_out"]
    assert given["x_out"].tolist() == sent["x"].tolist()
    assert given["count_out"].tolist() == [[5], [6]]
    assert given["told_out"].tolist() == ["a", "ü"]


def test_a_model_of_one_row_is_asked_row_by_row(tmp_path: Path) -> None:
    model = made(tmp_path, {"x": (TensorProto.FLOAT, [1, 3])})
    assert FRAMEWORK.describe(model) == (Column("x", "Array[Float32, 3]"),)
    assert FRAMEWORK.run(model, {"x": ROWS[:5]})["x_out"].tolist() == ROWS[:5].tolist()


def test_the_classes_of_a_map_keep_their_names(tmp_path: Path) -> None:
    model = LogisticRegression().fit(ROWS, np.where(ROWS[:, 0] > 0, "late", "on time"))
    (tmp_path / "model").write_bytes(converted(model))
    given = FRAMEWORK.run(FRAMEWORK.load(tmp_path / "model"), {"X": ROWS})
    assert list(given) == ["output_label", "output_probability.late", "output_probability.on time"]
    assert given["output_label"].tolist() == model.predict(ROWS).tolist()
    assert np.allclose(given["output_probability.late"], model.predict_proba(ROWS)[:, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "told"), [([4, 3], "takes exactly 4 rows"), ([], "has no rows")], ids=["fixed rows", "no rows"]
)
def test_inputs_without_free_rows_are_refused(tmp_path: Path, shape: list[int | str], told: str) -> None:
    with pytest.raises(Problem, match=told):
        FRAMEWORK.describe(made(tmp_path, {"x": (TensorProto.FLOAT, shape)}))


@pytest.mark.parametrize("operator", ["Add", "MatMul", "Mul"])
@pytest.mark.parametrize("place", ["secret", "{folder}/secret", "../{name}/secret"])
def test_weights_outside_of_the_file_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], place: str, operator: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(np.ones(9, dtype=np.float32).tobytes())
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 3], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value=place.format(folder=tmp_path, name=tmp_path.name))
    with pytest.raises(Problem) as told:
        made(tmp_path, {"x": (TensorProto.FLOAT, ["n", 3])}, operator, weights)
    assert told.value.code == "model.invalid"
    capfd.readouterr()  # ONNX Runtime tells its log of it too
