"""Whatever a door is sent, it is a call that the version answers, or a problem told: nothing else comes of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from modelyard.adapters.file import FileObjects
from modelyard.adapters.onnx import OnnxFramework
from modelyard.core import Problem
from modelyard.gateway import grpc_door, mlflow, oip, tfserving
from modelyard.gateway.calls import Ask, Call
from modelyard.gateway.grpc_door import MESSAGES
from modelyard.gateway.messages import CONTENTS
from modelyard.gateway.routes import Target
from modelyard.serving import DeploymentId, Revision, Route, ServedDeployment
from modelyard.serving.infer import LoadedVersion, load_version
from modelyard.training import Framework
from tests.gateway.packages import build, build_direct
from tests.gateway.world import PROJECT

COLUMNS = ("at", "carrier", "distance", "seats", "wind", "visible", "day", "image")
MANY = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])

cells = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.integers(), st.floats(), st.text(max_size=4),
    st.sampled_from(["2013-01-01", "2013-01-01T05:00:00Z", "NaT", "UA", {"b64": "VUE="}, {"b64": 1}]),
    st.lists(st.floats() | st.integers() | st.none(), max_size=3), st.lists(st.lists(st.floats(), max_size=2), max_size=2),
)  # fmt: skip
values = st.recursive(
    cells, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
names = st.sampled_from(COLUMNS) | st.text(max_size=3)
good = {"at": "2013-01-01T05:00:00Z", "carrier": "UA", "distance": 500, "seats": 55, "wind": 1.5, "visible": True,
        "day": "2013-01-01", "image": [[1.0, 2.0], [3.0, 4.0]]}  # fmt: skip
flat = {**{name: str(value) for name, value in good.items()}, "image": "1.0"}
row = st.dictionaries(names, cells, max_size=2).map(lambda change: {**good, **change}) | st.dictionaries(
    names, cells, max_size=4
)
rows = st.lists(row, max_size=3) | values
columns = st.dictionaries(names, values, max_size=2).map(
    lambda change: {**{name: [value, value] for name, value in good.items()}, **change}
) | st.dictionaries(names, values)
tables = st.fixed_dictionaries({}, optional={"columns": st.lists(names) | values, "data": st.lists(values), "index": values})
forms = ["dataframe_split", "dataframe_records", "instances", "inputs", "params", "signature_name"]
documents = (
    st.tuples(st.sampled_from(["dataframe_records", "instances"]), st.lists(row, min_size=1, max_size=3))
    | st.tuples(st.just("inputs"), columns)
    | st.tuples(st.just("dataframe_split"), tables)
    | st.tuples(st.sampled_from(forms), values)
).map(lambda told: {told[0]: told[1]}) | st.dictionaries(st.sampled_from(forms), rows | columns | tables, max_size=2)
bodies = st.binary(max_size=200) | documents.map(lambda document: json.dumps(document).encode())
fields = st.sampled_from(["1.5", "NaN", "NA", "", "1_0", "é", "true", "0", "2013-01-01", '"', "\0", "1e999", "9" * 400])
tables_of_text = st.dictionaries(names, fields, max_size=2).map(
    lambda change: "\n".join(",".join(line) for line in zip(*{**flat, **change}.items(), strict=True))
)
texts = st.lists(fields | st.sampled_from(["at", "wind", ",", "\n", "\r", " "]), max_size=30).map("".join) | tables_of_text


@dataclass(frozen=True)
class Ports:
    objects: FileObjects
    framework: Callable[[str], Framework]


@pytest.fixture(scope="module", params=["prepared", "direct"])
def ask(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ask:
    folder = tmp_path_factory.mktemp(request.param)
    objects = FileObjects(folder / "objects")
    made = build(objects, PROJECT, folder, 1).form if request.param == "prepared" else build_direct(objects, PROJECT, 1)
    loaded = load_version(Ports(objects, lambda _name: OnnxFramework()), PROJECT, made, folder / "packages")
    return Ask(Target(deployment(loaded), {1: loaded}), None, "caller", "req_1", 0.0)


def deployment(loaded: LoadedVersion) -> ServedDeployment:
    revision = Revision(DeploymentId("dep_delay"), 1, (Route(1, 100),), "test", datetime(2013, 4, 1, tzinfo=UTC))
    return ServedDeployment(PROJECT, "flights", revision.deployment, "delay", "delay", None, revision, (loaded.served,))


def answered(read: Callable[[], Call]) -> None:
    """Read a request and answer it, or be told why not."""
    try:
        call = read()
        assert len(call.ids) == call.count > 0
        call.answers = call.loaded.infer(call.rows)
    except Problem as problem:
        assert problem.code != "version.failed", problem
    else:
        assert {len(values) for values in call.answers.values()} == {call.count}


@MANY
@given(bodies)
@example(b'{"inputs": {"image": [[[1, 2], [3, NaN]]]}}')
@example(b'{"instances": [NaN]}')
def test_mlflow_json(ask: Ask, body: bytes) -> None:
    answered(lambda: mlflow.read_json(ask, body))


@MANY
@given(st.binary(max_size=200) | texts.map(str.encode))
def test_mlflow_csv(ask: Ask, body: bytes) -> None:
    answered(lambda: mlflow.read_csv(ask, body))


@MANY
@given(bodies)
def test_tensorflow(ask: Ask, body: bytes) -> None:
    answered(lambda: tfserving.read(ask, body)[0])


tensors = st.tuples(
    names, st.sampled_from([*CONTENTS, "FP16", "FLOAT"]), st.lists(st.integers(-1, 3), max_size=3), st.binary(max_size=24),
    st.lists(st.floats(), max_size=4),
)  # fmt: skip


@MANY
@given(
    st.lists(tensors, max_size=4), st.booleans(), st.dictionaries(st.sampled_from(["ids", "time", "key"]), st.text(max_size=9))
)
@example([("image", "FP32", [1, 2, 2], b"\0" * 16, [])], True, {})
def test_grpc(ask: Ask, found: list[Any], raw: bool, parameters: dict[str, str]) -> None:
    message = MESSAGES["ModelInferRequest"](model_name="delay")
    for name, value in parameters.items():
        message.parameters[name].string_param = value
    for name, datatype, shape, content, numbers in found:
        added = message.inputs.add(name=name, datatype=datatype, shape=shape)
        added.contents.fp64_contents.extend(numbers)
        if raw:
            message.raw_input_contents.append(content)
    answered(lambda: grpc_door.read(ask, message)[0])


@MANY
@given(st.binary(max_size=200), st.integers(-1, 200))
def test_binary_extension(ask: Ask, body: bytes, header_bytes: int) -> None:
    answered(lambda: oip.read(ask, body, header_bytes))
