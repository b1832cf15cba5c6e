import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.gateway.calls import instants_of
from modelyard.gateway.oip import (
    InferRequest,
    check_datatypes,
    columns_of,
    decode,
    event_times,
    prediction_ids,
    request_key,
    with_binary,
)
from modelyard.gateway.tensors import DATATYPES, to_bytes
from modelyard.prepare.values import InputColumn, ValueKind

NOW = datetime(2013, 6, 24, tzinfo=UTC)
KINDS = {"wind": ValueKind.NUMBER, "carrier": ValueKind.TEXT}


def request(**rest: Any) -> InferRequest:
    inputs = [
        {"name": "wind", "shape": [2], "datatype": "FP32", "data": [1, None]},
        {"name": "carrier", "shape": [2, 1], "datatype": "BYTES", "data": [["UA"], ["AA"]]},
    ]
    return decode(json.dumps({"inputs": inputs, **rest}).encode())


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["wind", "carrier", ""]) | values,
        "shape": st.lists(st.integers(-1, 4), max_size=3) | values,
        "datatype": st.sampled_from(sorted(DATATYPES)) | values,
        "data": st.lists(values, max_size=4) | values,
    }
)
requests = st.fixed_dictionaries(
    {"inputs": st.lists(tensors, max_size=3) | values}, optional={"id": values, "parameters": values, "outputs": values}
)


def read(body: bytes) -> int:
    """Take a body through everything that looks at it before the model does."""
    found = decode(body)
    columns, count = columns_of(found)
    prediction_ids(found, "r", count)
    request_key(found, "r")
    check_datatypes(columns, KINDS)
    event_times(found, count)
    assert {len(tensor.data) for tensor in columns.values()} == {count}
    return count


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_a_problem_told(body: bytes) -> None:
    with pytest.raises(Problem):
        read(body)


@given(requests)
def test_any_json_is_a_request_or_a_problem_told(document: dict[str, Any]) -> None:
    try:
        assert read(json.dumps(document).encode()) > 0
    except Problem as problem:
        assert problem.code in ("request.invalid", "tensor.invalid")


@given(st.lists(st.floats() | st.none(), min_size=1, max_size=5))
def test_every_float_arrives_as_it_was_also_those_that_json_lacks(sent: list[float | None]) -> None:
    tensor = {"name": "wind", "shape": [len(sent)], "datatype": "FP64", "data": sent}
    found = decode(json.dumps({"inputs": [tensor]}).encode()).inputs[0].data
    assert repr(found) == repr(sent)


def test_ids_are_the_callers_or_the_requests() -> None:
    assert prediction_ids(request(), "r7", 2) == ["r7-0", "r7-1"]
    assert prediction_ids(request(parameters={"ids": ["a", "b"]}), "r7", 2) == ["a", "b"]


@pytest.mark.parametrize(
    ("parameters", "key"),
    [({}, "r7"), ({"ids": ["a"]}, "a"), ({"ids": ["a", "b"]}, "r7"), ({"ids": ["a"], "key": "k"}, "k")],
)
def test_a_request_is_routed_by_its_key_its_only_id_or_its_own_id(parameters: dict[str, Any], key: str) -> None:
    assert request_key(request(parameters=parameters), "r7") == key


def test_event_time_is_the_callers_or_the_columns() -> None:
    column = InputColumn("at", "Datetime[UTC]")
    assert event_times(request(), 2) is None
    assert instants_of(column, ["2013-01-01T05:00:00+01:00", None], NOW) == [datetime(2013, 1, 1, 4, tzinfo=UTC), NOW]
    timed = request(parameters={"time": ["2013-02-01", "2013-02-02T00:00:00Z"]})
    assert event_times(timed, 2) == [datetime(2013, 2, 1, tzinfo=UTC), datetime(2013, 2, 2, tzinfo=UTC)]
    assert instants_of(InputColumn("at", "Date"), ["2013-03-01"], NOW) == [datetime(2013, 3, 1, tzinfo=UTC)]


def test_binary_tensors_are_read_and_told_as_bytes() -> None:
    texts = b"".join(len(text).to_bytes(4, "little") + text for text in (b"UA", "é".encode()))
    numbers = np.array([1.5, -2.0], dtype="<f4").tobytes()
    inputs = [
        {"name": "wind", "shape": [2, 1], "datatype": "FP32", "parameters": {"binary_data_size": len(numbers)}},
        {"name": "carrier", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(texts)}},
    ]
    head = json.dumps({"inputs": inputs}).encode()
    found, arrays = with_binary(head + numbers + texts, len(head))
    assert [tensor.name for tensor in found.inputs] == ["wind", "carrier"]
    assert [list(values) for values in arrays.values()] == [[1.5, -2.0], ["UA", "é"]]
    assert to_bytes(np.array(["UA", "é"])) == texts
    for body, size in [(head + numbers, len(head)), (head + numbers + texts + b"x", len(head)), (head, len(head) + 1)]:
        with pytest.raises(Problem):
            with_binary(body, size)


@given(st.binary(max_size=60), st.integers(0, 70), st.sampled_from(sorted(DATATYPES)), st.integers(-1, 60) | values)
def test_any_binary_body_is_a_request_or_a_problem_told(raw: bytes, start: int, datatype: str, size: object) -> None:
    tensor = {"name": "wind", "shape": [1], "datatype": datatype, "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [tensor]}).encode()
    with suppress(Problem):
        with_binary(head + raw, len(head) if start > 60 else start)


def test_a_strict_and_a_loose_body_say_where_they_break() -> None:
    with pytest.raises(Problem, match=r"inputs\[0\].shape"):
        decode(msgspec.json.encode({"inputs": [{"name": "a", "shape": "1", "datatype": "FP64", "data": []}]}))
    with pytest.raises(Problem, match="no infer request"):
        decode(b'{"inputs": NaN}')
    with pytest.raises(Problem, match="no JSON"):
        decode(b'{"inputs": NaN')
