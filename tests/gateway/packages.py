"""Small real packages for the gateway's tests: a pipeline and a boosted model in ONNX form, and a scikit-learn one."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier

from modelyard.adapters.file import FileObjects
from modelyard.adapters.onnx import OnnxFramework
from modelyard.adapters.sklearn import SklearnFramework
from modelyard.core import Digest, ProjectId, canonical_json
from modelyard.data import Column
from modelyard.prepare import FittedPipeline, Pipeline, Step, Transform, fit, function_step, prep
from modelyard.registry import Signature
from modelyard.serving import ServedForm

START = datetime(2013, 1, 1, tzinfo=UTC)
STAND_INS = {"missing": -7e307, "above": 8e307, "below": -9e307}  # an answer is finite; no float32 is one of these


def per_seat(rows: pl.DataFrame) -> pl.DataFrame:
    """Distance per seat."""
    return rows.with_columns(per_seat=pl.col("distance") / pl.col("seats"))


def flights(rows: int, seed: int = 0) -> pl.DataFrame:
    """Return raw rows of 7 columns of all kinds, and whether each was late."""
    draw = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "at": [START + timedelta(minutes=int(m)) for m in draw.integers(0, 500_000, rows)],
            "carrier": draw.choice(["UA", "AA", "DL", "B6"], rows),
            "distance": draw.integers(80, 4983, rows),
            "seats": draw.integers(2, 379, rows),
            "wind": draw.normal(10, 5, rows),
            "visible": draw.random(rows) < 0.9,
            "day": [(START + timedelta(days=int(d))).date() for d in draw.integers(0, 364, rows)],
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
    score = frame["wind"] / 10 + frame["distance"] / 5000 + frame["at"].dt.hour() / 24
    return frame.with_columns(late=(score + draw.normal(0, 0.3, rows) > score.median()).cast(pl.Int64))


def edges(rows: int, seed: int = 0) -> pl.DataFrame:
    """Return raw rows of the same columns with what is rare in them: the ends of ranges, odd texts, gaps in numbers."""
    draw = np.random.default_rng(seed)
    least = np.nextafter(0.0, 1.0)
    winds = [0.0, -0.0, 1e308, -1e308, least, 1 / 3, 0.1, 16777217.0, float("inf"), float("-inf"), None]
    texts = [
        "UA",
        " UA",
        "ua",
        "NA",
        "é",
        "e\u0301",
        "日本",
        "🛫",
        "a,b",
        'say "so"',
        "two\nlines",
        "x" * 300,
        "null",
        "NaN",
        "0",
    ]
    whole = [0, -1, 1, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63)]
    days = [date(1900, 1, 1), date(1970, 1, 1), date(2000, 2, 29), date(2099, 12, 31)]
    frame = flights(rows, seed)
    at = [START + timedelta(microseconds=int(one)) for one in draw.integers(-(2**51), 2**51, rows)]
    return frame.with_columns(
        pl.Series("at", at, dtype=pl.Datetime("us", "UTC")),
        pl.Series("carrier", [texts[place] for place in draw.integers(0, len(texts), rows)]),
        pl.Series("distance", [whole[place] for place in draw.integers(0, len(whole), rows)], dtype=pl.Int64),
        pl.Series("seats", [None if place == 0 else place for place in draw.integers(0, 400, rows).tolist()], dtype=pl.Int64),
        pl.Series("wind", [winds[place] for place in draw.integers(0, len(winds), rows)], dtype=pl.Float64),
        pl.Series("day", [days[place] for place in draw.integers(0, len(days), rows)], dtype=pl.Date),
    )


def short_hops_only(rows: pl.DataFrame) -> pl.DataFrame:
    """Raise for a long way."""
    if rows["distance"].max() > 4000:  # type: ignore[operator]  # whole numbers
        raise RuntimeError("too far")
    return rows


@dataclass(frozen=True)
class Package:
    """A version in the object store, and what it answers."""

    form: ServedForm
    transform: Transform
    model: HistGradientBoostingClassifier

    def expected(self, frame: pl.DataFrame) -> NDArray[np.float64]:
        """Return the probabilities by the trainer's own way."""
        shares: NDArray[np.float64] = self.model.predict_proba(self.transform.matrix(frame))
        return shares[:, 1]


def build(
    objects: FileObjects,
    project: ProjectId,
    folder: Path,
    version: int,
    *,
    function: bool = False,
    form: str = "onnx",
    moody: bool = False,
    does: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
) -> Package:
    """Return a version whose answers differ from those of every other number."""
    rows = flights(600, seed=version)
    rows = rows.filter(pl.col("distance") <= 4000) if moody else rows
    steps: tuple[Step, ...] = (
        *([function_step(does)] if does is not None else []),
        prep.date_parts("at", "hour", "weekday"),
        prep.date_parts("day", "month"),
        prep.fill_null("wind", strategy="mean"),
        prep.one_hot("carrier"),
        *([function_step(per_seat)] if function else []),
        *([function_step(short_hops_only)] if moody else []),
    )
    fitted = fit(Pipeline(steps), rows, "late")
    transform = Transform(fitted)
    model = HistGradientBoostingClassifier(max_iter=10, random_state=version).fit(
        transform.matrix(rows), rows["late"].to_numpy()
    )
    [pipeline] = objects.put(project, [canonical_json(fitted.to_json()).encode()])
    return Package(
        ServedForm(
            version=version,
            signature=Signature(
                tuple(Column(column.name, column.dtype) for column in fitted.inputs), (Column("probability", "Float64"),)
            ),
            pipeline=pipeline,
            form=form,
            model=_model(objects, project, folder, model, len(fitted.features), form),
            framework="onnxruntime" if form == "onnx" else "sklearn",
        ),
        transform,
        model,
    )


def build_cells(objects: FileObjects, project: ProjectId, pipeline: FittedPipeline, version: int) -> ServedForm:
    """Return a version that answers with each feature of a row as it reaches the model; see `cells_of`."""
    wide = len(pipeline.features)
    made = helper.make_graph(
        [
            helper.make_node("Cast", ["X"], ["wide"], to=TensorProto.DOUBLE),
            helper.make_node("IsNaN", ["wide"], ["is_missing"]),
            helper.make_node("Where", ["is_missing", "missing", "wide"], ["known"]),
            helper.make_node("IsInf", ["known"], ["is_above"], detect_negative=0),
            helper.make_node("Where", ["is_above", "above", "known"], ["low"]),
            helper.make_node("IsInf", ["low"], ["is_below"], detect_positive=0),
            helper.make_node("Where", ["is_below", "below", "low"], ["cells"]),
        ],
        "cells",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", wide])],
        [helper.make_tensor_value_info("cells", TensorProto.DOUBLE, ["n", wide])],
        [helper.make_tensor(name, TensorProto.DOUBLE, [], [number]) for name, number in STAND_INS.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    kept, digest = objects.put(project, [canonical_json(pipeline.to_json()).encode(), model.SerializeToString()])
    inputs = tuple(Column(column.name, column.dtype) for column in pipeline.inputs)
    signature = Signature(inputs, tuple(Column(name, "Float64") for name in pipeline.features))
    return ServedForm(version=version, signature=signature, pipeline=kept, form="onnx", model=digest, framework="onnxruntime")


def cells_of(answers: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the features that answers of `build_cells` tell, shape (n, k)."""
    numbers = {"missing": np.nan, "above": np.inf, "below": -np.inf}
    for name, stand_in in STAND_INS.items():
        answers = np.where(answers == stand_in, numbers[name], answers)
    return answers.astype(np.float32)


def build_direct(objects: FileObjects, project: ProjectId, version: int) -> ServedForm:
    """Return a version that takes images of 2 by 2 as they are, and gives each one's sum and its doubled rows."""
    made = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["image", "axes"], ["total"], keepdims=0),
            helper.make_node("Add", ["image", "image"], ["doubled"]),
        ],
        "sums",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 2, 2])],
        [
            helper.make_tensor_value_info("total", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("doubled", TensorProto.FLOAT, ["n", 2, 2]),
        ],
        [helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    [digest] = objects.put(project, [model.SerializeToString()])
    outputs = (Column("total", "Float32"), Column("doubled", "Array[Float32, 2x2]"))
    signature = Signature((Column("image", "Array[Float32, 2x2]"),), outputs)
    return ServedForm(version=version, signature=signature, pipeline=None, form="onnx", model=digest, framework="onnxruntime")


def build_endless(objects: FileObjects, project: ProjectId, version: int) -> ServedForm:
    """Return a version that is data alone, and yet never ends where what it is given adds up to more than zero."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 2])
    again = helper.make_tensor_value_info("again", TensorProto.BOOL, [])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["before"], ["after"]),
            helper.make_node("Identity", ["going"], ["again"]),
        ],
        "round",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, ["n", 2]),
        ],
        [again, helper.make_tensor_value_info("after", TensorProto.FLOAT, ["n", 2])],
    )
    made = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["image"], ["total"], keepdims=0),
            helper.make_node("Greater", ["total", "zero"], ["any"]),
            helper.make_node("Loop", ["", "any", "image"], ["turned"], body=body),
        ],
        "endless",
        [image],
        [helper.make_tensor_value_info("turned", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    [digest] = objects.put(project, [model.SerializeToString()])
    signature = Signature((Column("image", "Array[Float32, 2]"),), (Column("turned", "Array[Float32, 2]"),))
    return ServedForm(version=version, signature=signature, pipeline=None, form="onnx", model=digest, framework="onnxruntime")


def _model(objects: FileObjects, project: ProjectId, folder: Path, model: object, features: int, form: str) -> Digest:
    framework = SklearnFramework()
    if form == "onnx":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # skl2onnx's own, about NumPy
            return objects.put(project, [framework.to_onnx(model, features)])[0]
    folder.mkdir(parents=True, exist_ok=True)
    framework.save(model, folder / "model")
    return objects.put_files(project, [folder / "model"])[0]


def tensors(frame: pl.DataFrame, columns: tuple[Column, ...]) -> list[dict[str, Any]]:
    """Return the protocol's input tensors for raw rows."""
    found = []
    for column in columns:
        series = frame[column.name]
        kind = column.dtype.partition("[")[0]
        datatype = {"Int64": "INT64", "Float64": "FP64", "Boolean": "BOOL"}.get(kind, "BYTES")
        values = [value.isoformat() if hasattr(value, "isoformat") else value for value in series.to_list()]
        found.append({"name": column.name, "shape": [len(values)], "datatype": datatype, "data": values})
    return found


__all__ = ["OnnxFramework", "Package", "build", "build_direct", "build_endless", "edges", "flights", "per_seat", "tensors"]
