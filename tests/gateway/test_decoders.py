"""Whatever a door is sent, it is a call that the version answers, or a problem told: nothing else comes of it."""

import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from modelyard.core import Problem, TraceContext
from modelyard.gateway import grpc_door, mlflow, oip, stream, tfserving
from modelyard.gateway.calls import Ask, Call
from modelyard.gateway.doors import Wishes, timeout_of, trace_of
from modelyard.gateway.grpc_door import MESSAGES
from modelyard.gateway.messages import CONTENTS
from modelyard.gateway.routes import Found, RouteTable
from modelyard.gateway.tensors import DATATYPES, from_bytes
from modelyard.serving.broker import Headers, Message
from tests.gateway.decoding import KINDS, answered, ask_of
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


@pytest.fixture(scope="module", params=KINDS)
def ask(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ask:
    return ask_of(request.param, tmp_path_factory.mktemp(request.param))


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


def told(read: Callable[[], object]) -> object:
    """Return what a reading gives, or the problem that it raises."""
    try:
        return read()
    except Problem as problem:
        return problem


parameters = st.dictionaries(
    st.sampled_from(["ids", "time", "key", "binary_data_output", "binary_data_size", "binary_data"]),
    values | st.lists(st.text(max_size=3), max_size=3) | st.integers(0, 40),
    max_size=3,
)
sent = st.fixed_dictionaries(
    {
        "name": names,
        "shape": st.lists(st.integers(-1, 4) | st.integers(), max_size=3) | values,
        "datatype": st.sampled_from([*DATATYPES, "FLOAT"]) | values,
    },
    optional={"data": st.lists(values, max_size=4) | values, "parameters": parameters | values},
)
protocol = st.fixed_dictionaries(
    {"inputs": st.lists(sent, max_size=4) | values},
    optional={
        "id": st.text(max_size=9) | values,
        "parameters": parameters | values,
        "outputs": st.lists(st.fixed_dictionaries({"name": names}, optional={"parameters": parameters})) | values,
    },
)
as_good = ["2013-01-01T05:00:00Z", "UA", 500, 55, 1.5, True, "2013-01-01"]
types = ["BYTES", "BYTES", "INT64", "INT64", "FP64", "BOOL", "BYTES"]
almost = st.tuples(st.integers(0, 6), sent, st.dictionaries(st.sampled_from(["parameters", "id", "outputs"]), values)).map(
    lambda told: {
        "inputs": [
            *(
                {"name": name, "shape": [1], "datatype": kind, "data": [value]}
                for place, (name, kind, value) in enumerate(zip(COLUMNS, types, as_good, strict=False))
                if place != told[0]
            ),
            told[1],
        ],
        **told[2],
    }
)
requests = (protocol | almost).map(lambda document: json.dumps(document).encode()) | st.binary(max_size=200)


@MANY
@given(requests)
@example(b'{"inputs": [{"name": "image", "shape": [1, 2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]}')
@example(b'{"inputs": [{"name": "image", "shape": [1, 2, 2], "datatype": "FP32", "data": [1, NaN, 3, -Infinity]}]}')
@example(b'{"inputs": [{"name": "at", "shape": [1], "datatype": "BYTES", "data": ["\\ud800", NaN]}]}')
def test_the_protocol(ask: Ask, body: bytes) -> None:
    answered(lambda: oip.read(ask, body))


@MANY
@given(requests, st.binary(max_size=40), st.integers(-3, 3))
def test_the_protocol_with_bytes_behind_it(ask: Ask, head: bytes, rest: bytes, off: int) -> None:
    answered(lambda: oip.read(ask, head + rest, len(head) + off))


@MANY
@given(st.sampled_from([*DATATYPES, "FLOAT", ""]), st.binary(max_size=64))
def test_bytes_of_a_tensor(datatype: str, raw: bytes) -> None:
    found = told(lambda: from_bytes("wind", datatype, raw))
    assert isinstance(found, Problem | np.ndarray | list)


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


@MANY
@given(st.sampled_from([name for name in MESSAGES if name.endswith("Request")]), st.binary(max_size=200))
def test_bytes_of_a_message(ask: Ask, kind: str, content: bytes) -> None:
    message = told(lambda: grpc_door.parsed(kind, content))
    if kind == "ModelInferRequest" and not isinstance(message, Problem):
        answered(lambda: grpc_door.read(ask, message)[0])


@MANY
@given(st.lists(tensors, max_size=3), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6))
def test_bytes_of_a_message_that_were_changed_on_their_way(ask: Ask, found: list[Any], changes: list[tuple[int, int]]) -> None:
    message = MESSAGES["ModelInferRequest"](model_name="delay")
    for name, datatype, shape, content, _ in found:
        message.inputs.add(name=name, datatype=datatype, shape=shape)
        message.raw_input_contents.append(content)
    content = bytearray(message.SerializeToString())
    for place, byte in changes:
        content[place % len(content)] = byte
    changed = told(lambda: grpc_door.parsed("ModelInferRequest", bytes(content)))
    if not isinstance(changed, Problem):
        answered(lambda: grpc_door.read(ask, changed)[0])


stream_headers = st.lists(
    st.tuples(
        st.sampled_from([stream.ID, stream.TIME, "traceparent", "tracestate", "other"]),
        st.none() | st.binary(max_size=60) | st.sampled_from([b"2013-01-01", b"9999-12-31T23:59:59-23:59", b"x" * 201]),
    ),
    max_size=4,
).map(tuple)


@MANY
@given(st.none() | st.binary(max_size=9), st.none() | bodies | row.map(lambda row: json.dumps(row).encode()), stream_headers)
def test_a_message_of_a_stream(ask: Ask, key: bytes | None, value: bytes | None, headers: Headers) -> None:
    message = Message("requests", 0, 7, key, value, headers, datetime(2013, 1, 1, tzinfo=UTC))
    answered(lambda: stream.read(ask, message))


@MANY
@given(
    st.dictionaries(
        st.sampled_from(
            [b"modelyard-timeout-ms", b"modelyard-key", b"modelyard-prediction-ids", b"traceparent", b"tracestate"]
        ),
        st.binary(max_size=80) | st.integers().map(lambda number: str(number).encode()),
    )
)
def test_headers(headers: dict[bytes, bytes]) -> None:
    limit = told(lambda: timeout_of(headers))
    assert isinstance(limit, Problem) or limit > 0  # type: ignore[operator] # a number
    Wishes.of(headers)
    found = trace_of(headers)
    assert found is None or TraceContext.parse(found.traceparent) is not None


@MANY
@given(st.text(max_size=60), st.none() | st.binary(max_size=60), st.none() | st.binary(max_size=20))
@example("delay/versions/1/infer", b"Bearer yard_caller", None)
def test_addresses(ask: Ask, path: str, authorization: bytes | None, project: bytes | None) -> None:
    token = sha256(b"yard_caller").hexdigest()
    table = RouteTable(1, {("flights", "delay"): ask.target}, {token: frozenset({PROJECT})})
    found = told(lambda: table.resolve(f"/v2/models/{path}", authorization, project))
    assert isinstance(found, Problem | Found)


def one_tensor(name: bytes, shape: bytes, data: bytes) -> bytes:
    """Return a request of one tensor."""
    return b'{"inputs": [{"name": "%s", "shape": %s, "datatype": "FP32", "data": [%s]}]}' % (name, shape, data)


HOSTILE = {
    "deep lists": b"[" * 100_000,
    "deep lists that end": b'{"inputs": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "deep objects": b'{"inputs":' * 50_000,
    "empty lists": b'{"inputs": [' + b",".join([b"[]"] * 60_000) + b"]}",
    "a number without end": one_tensor(b"wind", b"[1]", b"9" * 200_000),
    "the same with NaN": one_tensor(b"wind", b"[1]", b"NaN, " + b"9" * 200_000),
    "a huge shape": one_tensor(b"image", b"[1000000000000, 2, 2]", b""),
    "a huge shape of another": one_tensor(b"other", b"[1000000000000]", b"[]"),
    "a shape without end": one_tensor(b"other", b"[1" + b"7" * 70 + b"]", b"[]"),
    "an empty one": one_tensor(b"image", b"[1000000000000, 0]", b""),
    "shapes that multiply": one_tensor(b"image", b"[2, 4294967296, 4294967296]", b"1, 2"),
    "many names": b'{"inputs": {' + b",".join(b'"n%d": 1' % number for number in range(20_000)) + b"}}",
    "one name often": b'{"inputs": {' + b",".join([b'"wind": 1'] * 20_000) + b"}}",
    "commas": b"," * 200_000,
    "quotes": b'"' * 200_000,
    "zeros": bytes(200_000),
}
MOST_BYTES = 64 << 20  # that reading one of them may take at once


def inferred(call: Call) -> object:
    """Return what the version gives: one that prepares finds what is missing only then."""
    return call.loaded.infer(call.rows)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_takes_little_and_is_refused(ask: Ask, name: str) -> None:
    body = HOSTILE[name]
    text = body.replace(b'"inputs"', b'"instances"')
    message = MESSAGES["ModelInferRequest"](model_name="delay")
    message.inputs.add(name="image", datatype="FP32", shape=[10**12, 2, 2])
    message.raw_input_contents.append(b"\0" * 16)
    readers: list[Callable[[], Call]] = [
        lambda: oip.read(ask, body),
        lambda: oip.read(ask, body, len(body) // 2),
        lambda: mlflow.read_json(ask, body),
        lambda: mlflow.read_csv(ask, body),
        lambda: tfserving.read(ask, text)[0],
        lambda: grpc_door.read(ask, grpc_door.parsed("ModelInferRequest", body))[0],
        lambda: grpc_door.read(ask, message)[0],
        lambda: stream.read(ask, Message("requests", 0, 7, None, body, (), None)),
    ]
    tracemalloc.start()
    try:
        for read in readers:
            with pytest.raises(Problem):
                inferred(read())
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
