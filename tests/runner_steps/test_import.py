"""The job `model.import`: files that were made elsewhere become versions, proved here; others are refused, saying why."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from lightgbm import LGBMClassifier
from onnx import NodeProto, TensorProto, helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from xgboost import XGBClassifier, XGBRegressor

from modelyard.adapters.lightgbm import LightgbmFramework
from modelyard.adapters.sklearn import SklearnFramework
from modelyard.adapters.xgboost import XgboostFramework
from modelyard.core import Problem, digest_bytes
from modelyard.data import Column
from modelyard.data.service import get_version as get_dataset_version
from modelyard.monitoring.service import create_monitor
from modelyard.registry import Condition, ConditionKind, Gate, ModelVersion, Signature
from modelyard.registry.imports import Wish, request_import
from modelyard.registry.service import evaluate_gate, get_version, request_evaluation, set_gate
from modelyard.serving.infer import LoadedVersion, load_version
from modelyard.serving.score import open_scorer
from modelyard.serving.service import deploy, served_form
from modelyard.training import Framework
from tests.runner_steps.place import START, Place, trips

IRIS = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
KINDS = np.array(["setosa", "versicolor", "virginica"])[np.digitize(IRIS[:, 0], [-0.5, 0.5])]


def iris() -> bytes:
    """Return a classifier of texts, with its probabilities in maps, as skl2onnx makes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skl2onnx's own, about NumPy
        return bytes(to_onnx(LogisticRegression().fit(IRIS, KINDS), IRIS[:1]).SerializeToString())


def graph(*nodes: NodeProto, x: tuple[int, list[str | int]], y: tuple[int, list[str | int]]) -> bytes:
    """Return a model from `x` to `y`."""
    taken, given = (helper.make_tensor_value_info(n, *form) for n, form in (("x", x), ("y", y)))
    made = helper.make_graph(list(nodes), "g", [taken], [given])
    return bytes(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString())


def brought(place: Place, content: bytes, name: str = "iris.onnx", **rest: Any) -> ModelVersion:
    """Import a file."""
    [digest] = place.platform.objects.put(place.project, [content])
    request_import(*place.who, "iris", Wish(name, {name: digest}, **rest))
    result = place.work()
    return get_version(*place.who, f"iris@{result['version']}")


def loaded(place: Place, version: ModelVersion) -> LoadedVersion:
    """Return a version as a gateway loads it."""
    with place.platform.reading() as tx:
        served = served_form(tx, version)
    return load_version(place.platform, place.project, served, place.scratch / "served")


def folder(place: Place, files: Mapping[str, bytes], **rest: Any) -> ModelVersion:
    """Import a folder."""
    digests = place.platform.objects.put(place.project, list(files.values()))
    request_import(*place.who, "iris", Wish("saved", dict(zip(files, digests, strict=True)), **rest))
    result = place.work()
    return get_version(*place.who, f"iris@{result['version']}")


def mlmodel(flavour: str, said: str, columns: Mapping[str, str] | None = None) -> bytes:
    """Return an `MLmodel` file as MLflow writes it."""
    named = [{"type": kind, "name": name, "required": True} for name, kind in (columns or {}).items()]
    tensor = [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]
    return f"""artifact_path: model
flavors:
  python_function:
    loader_module: mlflow.{flavour}
    python_version: 3.11.2
  {flavour}: {{{said}}}
mlflow_version: 3.8.0
signature:
  inputs: '{json.dumps(named or tensor)}'
  outputs: '[{{"type": "tensor", "tensor-spec": {{"dtype": "int64", "shape": [-1]}}}}]'
""".encode()


def kept(framework: Framework, model: object, to: Path) -> bytes:
    """Return a model's file."""
    framework.save(model, to)
    return to.read_bytes()


def refusal(place: Place, content: bytes, **rest: Any) -> Problem:
    """Return the problem with which an import ends."""
    with pytest.raises(Problem) as told:
        brought(place, content, **rest)
    return told.value


def test_an_onnx_file_becomes_a_version_that_says_where_it_comes_from(place: Place) -> None:
    version = brought(place, iris(), note="from the lab", alias="champion")
    assert (version.number, version.note) == (1, "from the lab")
    assert (version.run, version.recipe, version.data, version.pipeline) == (None, None, None, None)
    assert version.origin is not None
    assert version.origin.name == "iris.onnx"
    assert version.origin.files == {"iris.onnx": digest_bytes(iris())}
    assert version.created_by == place.actor.member
    assert [(one.name, one.dtype) for one in version.signature.inputs] == [("X", "Array[Float32, 4]")]
    assert [(one.name, one.dtype) for one in version.signature.outputs] == [
        ("output_label", "String"),
        ("output_probability.setosa", "Float32"),
        ("output_probability.versicolor", "Float32"),
        ("output_probability.virginica", "Float32"),
    ]
    [form] = version.forms
    assert (form.name, form.framework, form.size_bytes) == ("onnx", "onnxruntime", len(iris()))
    assert form.latency_us is not None
    card = place.card(version)
    assert f"`{digest_bytes(iris())}`" in card
    assert "iris.onnx" in card
    assert get_version(*place.who, "iris@champion").number == 1


def test_it_is_served_as_it_answers_by_itself(place: Place) -> None:
    version = loaded(place, brought(place, iris()))
    model = LogisticRegression().fit(IRIS, KINDS)
    batch = version.joined([version.batch({"X": IRIS[:40].ravel()}, {"X": [40, 4]}), version.batch({"X": IRIS[40:].tolist()})])
    answers = version.infer(batch)
    assert answers["output_label"].tolist() == model.predict(IRIS).tolist()
    assert np.allclose(answers["output_probability.virginica"], model.predict_proba(IRIS)[:, 2], atol=1e-5)
    with pytest.raises(Problem, match=r"\[n, 4\] is expected"):
        version.batch({"X": [[1, 2, 3]]})


def test_a_length_that_is_left_open_stays_open_or_is_said(place: Place) -> None:
    double = graph(helper.make_node("Add", ["x", "x"], ["y"]), x=(1, ["n", "long"]), y=(1, ["n", "long"]))
    version = brought(place, double)
    assert [one.dtype for one in (*version.signature.inputs, *version.signature.outputs)] == ["Array[Float32, ?]"] * 2
    assert loaded(place, version).infer([{"x": [1, 2, 3]}])["y"].tolist() == [[2, 4, 6]]
    said = brought(place, double, inputs={"x": "Array[Float32, 3]"})
    assert [one.dtype for one in (*said.signature.inputs, *said.signature.outputs)] == ["Array[Float32, 3]"] * 2
    for wish in ({"x": "Array[Int64, 3]"}, {"x": "Float32"}, {"y": "Array[Float32, 3]"}):
        assert refusal(place, double, inputs=wish).code == "import.invalid"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "ONNX"),
        (b"no model", "ONNX"),
        (
            graph(helper.make_node("ReduceMean", ["x"], ["y"], axes=[0]), x=(1, ["n", 3]), y=(1, [1, 3])),
            "'y' has the shape \\(1, 3\\) for 5 rows",
        ),
        (
            graph(
                helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0]),
                helper.make_node("Sub", ["x", "mean"], ["y"]),
                x=(1, ["n", 3]),
                y=(1, ["n", 3]),
            ),
            "otherwise among others than alone",
        ),
        (graph(helper.make_node("Identity", ["x"], ["y"]), x=(1, [4, 3]), y=(1, [4, 3])), "exactly 4 rows"),
        (
            graph(helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16), x=(1, ["n"]), y=(16, ["n"])),
            "bfloat16|BFLOAT16|type",
        ),
    ],
    ids=["empty", "no model", "one answer for all", "rows that depend on others", "fixed rows", "a strange type"],
)
def test_what_cannot_be_served_is_refused_with_the_reason(place: Place, content: bytes, told: str) -> None:
    problem = refusal(place, content)
    assert problem.code == "model.invalid"
    with pytest.raises(Problem, match=told):
        raise problem


def test_what_is_no_onnx_file_is_refused(place: Place) -> None:
    assert refusal(place, b"x", name="model.pkl").code == "import.refused"


def test_a_table_is_scored_with_arrays_in_and_texts_out(place: Place) -> None:
    brought(place, iris())
    rows = pl.DataFrame({"X": IRIS, "id": range(90)})
    scorer = open_scorer(*place.who, "iris@1", place.scratch / "score")
    scored = scorer.answered(rows)
    assert scored.schema["output_label"] == pl.String
    assert scored["output_label"].to_list() == LogisticRegression().fit(IRIS, KINDS).predict(IRIS).tolist()
    assert scored.schema["output_probability.setosa"] == pl.Float32
    none = scorer.answered(rows.clear())
    assert none.schema == scored.schema


def test_an_array_comes_out_as_a_list_and_one_value_in_a_row_as_a_value(place: Place) -> None:
    brought(place, graph(helper.make_node("Add", ["x", "x"], ["y"]), x=(1, ["n", 2]), y=(1, ["n", 2])))
    scored = open_scorer(*place.who, "iris@1", place.scratch / "score").answered(pl.DataFrame({"x": [[1.0, 2.0]]}))
    assert scored["y"].to_list() == [[2.0, 4.0]]
    sums = graph(helper.make_node("ReduceMean", ["x"], ["y"], axes=[1]), x=(1, ["n", 2]), y=(1, ["n", 1]))
    version = loaded(place, brought(place, sums))
    assert version.served.signature.outputs[0].dtype == "Float32"
    assert version.infer([{"x": [1, 2]}, {"x": [3, 4]}])["y"].tolist() == [1.5, 3.5]


LATE = (IRIS[:, 0] * IRIS[:, 1] > 0).astype(int)
FOUR = {"a": "double", "b b": "float", "c": "long", "d": "boolean"}
MANY = np.random.default_rng(1).normal(size=(300, 4)).astype(np.float32)


@pytest.mark.parametrize("flavour", ["xgboost", "lightgbm", "sklearn"])
def test_an_mlflow_folder_of_named_columns_is_served_by_them(place: Place, tmp_path: Path, flavour: str) -> None:
    frameworks: dict[str, tuple[Framework, Any, str]] = {
        "xgboost": (
            XgboostFramework(),
            XGBClassifier(n_estimators=20, n_jobs=1),
            "data: model.ubj, model_class: a.XGBClassifier",
        ),
        "lightgbm": (LightgbmFramework(), LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1), "data: model.lgb"),
        "sklearn": (SklearnFramework(), LogisticRegression(), "pickled_model: model.skops, serialization_format: skops"),
    }
    framework, model, said = frameworks[flavour]
    model.fit(IRIS, LATE)
    path = {"xgboost": "model.ubj", "lightgbm": "model.lgb", "sklearn": "model.skops"}[flavour]
    files = {"MLmodel": mlmodel(flavour, said, FOUR), path: kept(framework, model, tmp_path / "m"), "env/conda.yaml": b"x"}
    version = folder(place, files)
    assert {one.name: one.dtype for one in version.signature.inputs} == {
        "a": "Float64",
        "b b": "Float32",
        "c": "Int64",
        "d": "Boolean",
    }
    assert [one.name for one in version.signature.outputs] == ["value" if flavour == "lightgbm" else "probability"]
    assert version.pipeline is not None
    assert version.origin is not None
    assert set(version.origin.files) == set(files)
    assert [(one.name, one.framework) for one in version.forms] == [("native", flavour), ("onnx", "onnxruntime")]
    assert version.forms[1].rows_compared > 400 or flavour == "sklearn"
    row = {"a": 0.5, "b b": -1, "c": 1, "d": True}
    features = np.array([[0.5, -1, 1, 1]], dtype=np.float32)
    [answers] = loaded(place, version).infer([row]).values()
    assert np.allclose(answers, model.predict_proba(features)[:, 1], atol=1e-6)
    with pytest.raises(Problem, match="no column 'b b': did you mean 'bb'"):
        loaded(place, version).infer([{"a": 0.5, "bb": -1, "c": 1, "d": True}])


def test_an_mlflow_folder_of_tensors_takes_them(place: Place, tmp_path: Path) -> None:
    model = XGBRegressor(n_estimators=5, n_jobs=1).fit(IRIS, IRIS[:, 0])
    files = {"MLmodel": mlmodel("xgboost", "data: m.ubj"), "m.ubj": kept(XgboostFramework(), model, tmp_path / "m")}
    version = folder(place, files)
    assert version.signature == Signature((Column("features", "Array[Float32, 4]"),), (Column("answer", "Float64"),))
    answers = loaded(place, version).infer({"features": MANY})["answer"]
    assert np.allclose(answers, model.predict(MANY), atol=1e-6)


def test_an_mlflow_folder_with_onnx_is_served_as_it_is(place: Place) -> None:
    version = folder(place, {"MLmodel": mlmodel("onnx", "data: model.onnx"), "model.onnx": iris()})
    assert [one.name for one in version.forms] == ["onnx"]
    assert version.signature.inputs == (Column("X", "Array[Float32, 4]"),)


def test_a_boosters_own_file_comes_in_by_itself(place: Place, tmp_path: Path) -> None:
    model = LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(IRIS, np.digitize(IRIS[:, 0], [-0.5, 0.5]))
    version = brought(place, kept(LightgbmFramework(), model, tmp_path / "m"), name="model.lgb")
    assert version.signature.outputs == (Column("answer", "Array[Float64, 3]"),)
    assert loaded(place, version).infer({"features": MANY})["answer"].shape == (300, 3)


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        (mlmodel("sklearn", "pickled_model: model.pkl, serialization_format: cloudpickle"), "import.refused", "pickle.*skops"),
        (mlmodel("sklearn", "pickled_model: model.skops"), "import.refused", "pickle"),
        (mlmodel("lightgbm", "data: model.pkl"), "import.refused", "booster"),
        (mlmodel("spark", "data: x"), "import.refused", "python_function, spark"),
        (mlmodel("xgboost", "data: model.ubj"), "import.invalid", "no such file"),
        (mlmodel("xgboost", "data: ../../model.ubj"), "import.invalid", "no such file"),
        (mlmodel("xgboost", "data: m.onnx", {"s": "string"}), "import.refused", "'s' is string"),
        (b"flavors: [", "import.invalid", "no YAML"),
        (b"- a", "import.invalid", "no flavors"),
        (b"!!python/object/apply:os.mkdir [/tmp/unpickled-by-yaml]", "import.invalid", "no YAML"),
    ],
)
def test_mlflow_folders_that_cannot_be_taken_say_why(place: Place, content: bytes, code: str, told: str) -> None:
    with pytest.raises(Problem, match=told) as caught:
        folder(place, {"MLmodel": content, "m.onnx": iris()})
    assert caught.value.code == code
    assert not Path("/tmp/unpickled-by-yaml").exists()  # noqa: S108 - it must not come to be


def test_a_signature_of_another_width_is_refused(place: Place, tmp_path: Path) -> None:
    model = XGBRegressor(n_estimators=5, n_jobs=1).fit(IRIS, IRIS[:, 0])
    files = {"MLmodel": mlmodel("xgboost", "data: m", {"a": "double"}), "m": kept(XgboostFramework(), model, tmp_path / "m")}
    with pytest.raises(Problem, match="names 1 columns") as told:
        folder(place, files)
    assert told.value.code == "import.invalid"


@pytest.mark.parametrize(
    ("name", "files"),
    [("m", {}), ("m", {"../m": "d"}), ("m", {"/m": "d"}), ("m", {"a/./b": "d"}), ("m", {"a/..": "d"}), ("a\0b", {"m": "d"})],
)
def test_paths_that_leave_the_folder_are_refused(place: Place, name: str, files: Mapping[str, str]) -> None:
    with pytest.raises(Problem) as told:
        request_import(*place.who, "iris", Wish(name, files))  # type: ignore[arg-type] # texts in place of digests
    assert told.value.code == "import.invalid"


def test_a_file_that_was_not_uploaded_is_named(place: Place) -> None:
    with pytest.raises(Problem, match=r"not here: iris\.onnx") as told:
        request_import(*place.who, "iris", Wish("iris.onnx", {"iris.onnx": digest_bytes(b"elsewhere")}))
    assert told.value.code == "object.missing"


def test_what_needs_recipe_or_rows_says_that_it_was_imported(place: Place) -> None:
    brought(place, iris(), alias="champion")
    deploy(*place.who, "iris", model="iris")
    with pytest.raises(Problem, match=r"imported from iris\.onnx") as watching:
        create_monitor(*place.who, "iris", deployment="iris")
    assert watching.value.code == "monitor.refused"
    brought(place, iris())
    with pytest.raises(Problem, match=r"imported from iris\.onnx") as measuring:
        request_evaluation(*place.who, "iris", 2, against="champion")
    assert measuring.value.code == "evaluation.refused"
    set_gate(*place.who, "iris", "champion", Gate((Condition(ConditionKind.CHECKS),)))
    [result] = evaluate_gate(*place.who, "iris", 2, "champion").results
    assert not result.passed
    assert "imported" in result.told


def test_an_imported_version_is_measured_beside_one_that_was_trained_here(place: Place, tmp_path: Path) -> None:
    columns = {"wind": "double"}
    rows = trips(300, START)
    model = XGBClassifier(n_estimators=5, n_jobs=1).fit(rows.select("wind").to_numpy().astype(np.float32), rows["late"])
    said = mlmodel("xgboost", "data: m, model_class: x.XGBClassifier", columns)
    files = {"MLmodel": said, "m": kept(XgboostFramework(), model, tmp_path / "m")}
    digests = place.platform.objects.put(place.project, list(files.values()))
    request_import(*place.who, "late", Wish("saved", dict(zip(files, digests, strict=True))))
    assert place.work()["version"] == 2
    with pytest.raises(Problem, match="rows of its own") as told:
        request_evaluation(*place.who, "late", 2)
    assert told.value.code == "evaluation.refused"
    data = get_dataset_version(*place.who, "trips@latest")
    request_evaluation(*place.who, "late", 2, data=data.id)
    place.work()
    [found] = get_version(*place.who, "late@2").evaluations
    assert (found.run, found.against, found.metric) == (None, 1, "log_loss")
    assert "which of them v2 was fitted on is not known" in found.window
    assert found.against_value is not None
    assert 0 < found.value < 2
    gate = Gate((Condition(ConditionKind.BETTER, -5.0, "log_loss"),))
    set_gate(*place.who, "late", "champion", gate)
    assert evaluate_gate(*place.who, "late", 2, "champion").passed


def test_a_lost_try_leaves_one_version(place: Place) -> None:
    [digest] = place.platform.objects.put(place.project, [iris()])
    request_import(*place.who, "iris", Wish("iris.onnx", {"iris.onnx": digest}))
    job = place.take().job
    assert place.step(job) == place.step(replace(job, attempts=2))
