"""What the gateway answers: good requests, bad ones, and what it says of itself."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from modelyard.version import __version__
from tests.gateway.packages import flights, tensors
from tests.gateway.world import World

INFER = "/v2/models/delay/infer"

pytestmark = pytest.mark.contract


@pytest.fixture
def client(shared: World) -> Iterator[httpx.Client]:
    with shared.client() as made:
        yield made


def numbers(answer: httpx.Response) -> np.ndarray[Any, np.dtype[np.float64]]:
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["outputs"][0]["data"])


def test_one_row_gets_the_trainers_number(shared: World, client: httpx.Client) -> None:
    row = flights(1, seed=9)
    answer = client.post(INFER, json=shared.body(row, id="r1", parameters={"ids": ["UA-1"]}))
    assert np.allclose(numbers(answer), shared.package(1).expected(row), atol=1e-6, rtol=0)
    told = answer.json()
    assert (told["model_name"], told["model_version"], told["id"]) == ("delay", "1", "r1")
    assert told["outputs"][0] | {"data": []} == {"name": "probability", "shape": [1], "datatype": "FP64", "data": []}
    assert told["parameters"] == {"prediction_ids": ["UA-1"], "route": "live", "form": "onnx"}


@pytest.mark.parametrize("rows", [2, 300, 3000])
def test_many_rows_get_the_trainers_numbers(shared: World, client: httpx.Client, rows: int) -> None:
    frame = flights(rows, seed=rows)
    answer = client.post(INFER, json=shared.body(frame))
    assert np.allclose(numbers(answer), shared.package(1).expected(frame), atol=1e-6, rtol=0)
    ids = answer.json()["parameters"]["prediction_ids"]
    assert ids == [f"{answer.json()['id']}-{row}" for row in range(rows)]


def test_one_row_and_many_rows_get_equal_numbers(shared: World, client: httpx.Client) -> None:
    frame = flights(40, seed=3)
    together = numbers(client.post(INFER, json=shared.body(frame)))
    alone = [numbers(client.post(INFER, json=shared.body(frame[row])))[0] for row in range(40)]
    assert together.tolist() == alone


def test_null_is_a_missing_value_and_nan_too(shared: World, client: httpx.Client) -> None:
    frame = flights(2, seed=4).with_columns(wind=pl.lit(None, pl.Float64), seats=pl.lit(None, pl.Int64))
    body = shared.body(frame)
    with_null = numbers(client.post(INFER, json=body))
    assert np.allclose(with_null, shared.package(1).expected(frame), atol=1e-6, rtol=0)
    text = json.dumps(body).replace('"datatype": "FP64", "data": [null, null]', '"datatype": "FP64", "data": [NaN, NaN]')
    assert "NaN" in text
    assert numbers(client.post(INFER, content=text)).tolist() == with_null.tolist()


def test_columns_of_shape_n_1_are_taken_flat_or_nested(shared: World, client: httpx.Client) -> None:
    frame = flights(3, seed=5)
    body = shared.body(frame)
    plain = numbers(client.post(INFER, json=body))
    for tensor in body["inputs"]:
        tensor["shape"] = [3, 1]
    assert numbers(client.post(INFER, json=body)).tolist() == plain.tolist()
    for tensor in body["inputs"]:
        tensor["data"] = [[value] for value in tensor["data"]]
    assert numbers(client.post(INFER, json=body)).tolist() == plain.tolist()


def test_columns_that_the_model_does_not_know_are_named_and_passed_over(shared: World, client: httpx.Client) -> None:
    body = shared.body(flights(1))
    body["inputs"].append({"name": "tail", "shape": [1], "datatype": "BYTES", "data": ["N1"]})
    answer = client.post(INFER, json=body)
    assert answer.status_code == 200
    assert answer.json()["parameters"]["ignored"] == ["tail"]


def test_a_version_can_be_asked_for_by_number(shared: World, client: httpx.Client) -> None:
    answer = client.post("/v2/models/delay/versions/1/infer", json=shared.body(flights(1)))
    assert answer.json()["parameters"]["route"] == "pinned"
    assert client.get("/v2/models/delay/versions/1/ready").json() == {"name": "delay", "ready": True}


@pytest.mark.parametrize("path", ["/v2/models/flights/delay", "/v2/models/flights%2Fdelay", "/v2/models/delay"])
def test_a_model_tells_its_inputs(client: httpx.Client, path: str) -> None:
    told = client.get(path).json()
    assert told["versions"] == ["1"]
    assert {"name": "at", "datatype": "BYTES", "shape": [-1]} in told["inputs"]
    assert {"name": "distance", "datatype": "INT64", "shape": [-1]} in told["inputs"]
    assert told["outputs"] == [{"name": "probability", "datatype": "FP64", "shape": [-1]}]


def test_the_project_may_stand_in_a_header(client: httpx.Client) -> None:
    assert client.get("/v2/models/delay", headers={"Modelyard-Project": "flights"}).status_code == 200
    assert client.get("/v2/models/delay", headers={"Modelyard-Project": "churn"}).status_code == 404


def test_health_and_server_metadata_need_no_token(shared: World) -> None:
    assert httpx.get(shared.url + "/v2/health/live").json() == {"live": True}
    assert httpx.get(shared.url + "/v2/health/ready").json() == {"ready": True}
    assert httpx.get(shared.url + "/v2").json() == {
        "name": "modelyard",
        "version": __version__,
        "extensions": ["binary_tensor_data"],
    }


def test_metrics_count_what_was_answered_and_refused(shared: World, client: httpx.Client) -> None:
    client.post(INFER, json=shared.body(flights(1)))
    client.post(INFER, content=b"{")
    text = httpx.get(shared.url + "/metrics").text
    counted = [line for line in text.splitlines() if line.startswith("modelyard_requests_total{")]
    good = 'modelyard_requests_total{deployment="delay",project="flights",route="live",status="200",version="1"}'
    assert any(line.startswith(good) for line in counted)
    assert any('status="400"' in line for line in counted)
    assert "modelyard_request_seconds_bucket" in text
    assert "modelyard_ledger_backlog_segments" in text


def mend(body: dict[str, Any], column: str, change: dict[str, Any]) -> dict[str, Any]:
    inputs = [tensor | change if tensor["name"] == column else tensor for tensor in body["inputs"]]
    return body | {"inputs": inputs}


BAD_COLUMNS = [
    ("seats", {"datatype": "BYTES", "data": ["many"]}, "tensor.invalid"),
    ("seats", {"data": ["many"]}, "column.invalid"),
    ("seats", {"data": [1.5]}, "column.invalid"),
    ("seats", {"data": [2**70]}, "column.invalid"),
    ("wind", {"data": [True]}, "column.invalid"),
    ("visible", {"data": ["yes"]}, "column.invalid"),
    ("at", {"data": ["yesterday"]}, "column.invalid"),
    ("carrier", {"data": [7]}, "column.invalid"),
    ("carrier", {"data": [{"code": "UA"}]}, "column.invalid"),
    ("seats", {"shape": [2]}, "tensor.invalid"),
    ("seats", {"shape": [1, 2]}, "tensor.invalid"),
    ("seats", {"shape": [-1]}, "tensor.invalid"),
    ("seats", {"shape": []}, "tensor.invalid"),
    ("seats", {"shape": [2], "data": [1, 2]}, "tensor.invalid"),
    ("seats", {"datatype": "FLOAT"}, "tensor.invalid"),
    ("seats", {"shape": "[1]"}, "request.invalid"),
    ("seats", {"name": 5}, "request.invalid"),
    ("seats", {"name": "wind"}, "tensor.invalid"),
]


@pytest.mark.parametrize(("name", "change", "code"), BAD_COLUMNS)
def test_a_bad_column_is_refused_by_name(
    shared: World, client: httpx.Client, name: str, change: dict[str, Any], code: str
) -> None:
    answer = client.post(INFER, json=mend(shared.body(flights(1)), name, change))
    told = answer.json()
    assert (answer.status_code, told["code"]) == (400, code), told
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["error"] == told["detail"]
    assert name in told["detail"] or code == "request.invalid" or "wind" in told["detail"]


def test_the_row_of_a_bad_value_is_named(shared: World, client: httpx.Client) -> None:
    body = shared.body(flights(5))
    body["inputs"][3]["data"][3] = "x"
    told = client.post(INFER, json=body).json()
    assert told["code"] == "column.invalid"
    assert told["context"]["row"] == 3
    assert told["context"]["column"] == body["inputs"][3]["name"]


def test_a_missing_column_is_named_with_the_nearest_given(shared: World, client: httpx.Client) -> None:
    answer = client.post(INFER, json=mend(shared.body(flights(1)), "distance", {"name": "distnace"}))
    told = answer.json()
    assert told["code"] == "column.missing"
    assert "distance" in told["what"]
    assert "distnace" in told["detail"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"nothing", b'{"inputs": 3}', b"{}", b'{"inputs": []}', b'{"inputs": [{"name": "\xff"}]}',
     b'{"inputs": [{"name": "\\ud800"}]}', b"[" * 100_000,
     b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": 1}]}',
     b'{"id": 5, "inputs": []}', b'{"NaN": NaN, "inputs": "\xff"}'],
)  # fmt: skip
def test_a_body_that_is_no_request_is_refused(client: httpx.Client, content: bytes) -> None:
    answer = client.post(INFER, content=content)
    assert answer.status_code == 400
    assert answer.json()["code"] in ("request.invalid", "column.missing")


@pytest.mark.parametrize(
    "parameters",
    [{"ids": ["a"]}, {"ids": ["a", "a"]}, {"ids": ["a", 5]}, {"ids": ["a", ""]}, {"ids": "ab"}, {"key": 5}, {"time": 5},
     {"time": "yesterday"}, {"time": ["2013-01-01"]}],
)  # fmt: skip
def test_unusable_parameters_are_refused(shared: World, client: httpx.Client, parameters: dict[str, Any]) -> None:
    answer = client.post(INFER, json=shared.body(flights(2), parameters=parameters))
    assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid")


def test_nan_is_refused_where_the_column_holds_no_floats(shared: World, client: httpx.Client) -> None:
    text = json.dumps(shared.body(flights(1))).replace(
        '"datatype": "BYTES", "data": ["', '"datatype": "BYTES", "data": [Infinity, "'
    )
    assert client.post(INFER, content=text).status_code == 400


def test_unknown_models_and_versions_get_the_nearest_named(client: httpx.Client) -> None:
    model = client.post("/v2/models/dealy/infer", json={})
    assert (model.status_code, model.json()["code"]) == (404, "model.missing")
    assert "'delay'" in model.json()["detail"]
    version = client.post("/v2/models/delay/versions/7/infer", json={})
    assert (version.status_code, version.json()["code"]) == (404, "version.missing")
    assert client.get("/v3").json()["code"] == "path.missing"
    assert client.get("/v2/models/").status_code == 404
    assert client.get(INFER).json()["code"] == "method.invalid"


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic dGVzdA==", "Bearer", "yard_caller"])
def test_only_known_tokens_are_let_in(shared: World, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    with httpx.Client(base_url=shared.url, headers=headers, trust_env=False) as stranger:
        for method, path in (("POST", INFER), ("GET", "/v2/models/delay"), ("GET", "/v1/status"), ("POST", "/v1/ledger/flush")):
            answer = stranger.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (401, "token.unauthenticated")


def test_a_body_over_the_limit_is_not_read_on(shared: World, client: httpx.Client) -> None:
    sent = []

    def chunks() -> Any:
        for _ in range(100):
            sent.append(1)
            yield b" " * 1_000_000

    for content in (b" " * 1_000_001, chunks()):
        answer = client.post(INFER, content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "body.too_large")
        assert answer.headers["connection"] == "close"
    assert len(sent) < 100


def test_a_compressed_body_is_refused(client: httpx.Client) -> None:
    answer = client.post(INFER, content=b"x", headers={"content-encoding": "gzip"})
    assert answer.json()["code"] == "body.invalid"


def test_the_ledger_holds_each_answer_with_its_inputs(shared: World, client: httpx.Client) -> None:
    frame = flights(3, seed=77).with_columns(wind=pl.Series([1.5, None, 2.5]))
    answer = client.post(INFER, json=shared.body(frame, id="ledger-1", parameters={"ids": ["a", "b", "c"]})).json()
    assert client.post("/v1/ledger/flush").json()["rows_lost"] == 0
    kept = shared.ledger().filter(pl.col("request") == "ledger-1")
    assert kept["id"].to_list() == ["a", "b", "c"]
    assert kept["answer"].to_list() == answer["outputs"][0]["data"]
    assert kept.select(pl.col("version", "revision").unique()).row(0) == (1, 1)
    assert set(kept["form"]) == {"onnx"}
    assert set(kept["route"]) == {"live"}
    assert kept["time"].to_list() == frame["at"].to_list()
    for column in ("at", "carrier", "distance", "seats", "wind", "visible", "day"):
        assert kept[f"input.{column}"].to_list() == frame[column].to_list(), column


def test_the_callers_time_goes_before_the_column(shared: World, client: httpx.Client) -> None:
    body = shared.body(flights(1), id="timed", parameters={"time": "2013-05-01T12:00:00+02:00"})
    client.post(INFER, json=body)
    client.post("/v1/ledger/flush")
    [kept] = shared.ledger().filter(pl.col("request") == "timed")["time"].to_list()
    assert kept.isoformat() == "2013-05-01T10:00:00+00:00"


def test_the_ledgers_inputs_prepare_to_the_very_answers_again(shared: World, client: httpx.Client) -> None:
    frame = flights(50, seed=123)
    client.post(INFER, json=shared.body(frame, id="again"))
    client.post("/v1/ledger/flush")
    kept = shared.ledger().filter(pl.col("request") == "again")
    raw = kept.select(pl.col("^input\\..*$")).rename(lambda name: name.removeprefix("input."))
    assert np.allclose(shared.package(1).expected(raw), kept["answer"].to_numpy(), atol=1e-6, rtol=0)
    assert tensors(raw, shared.package(1).form.signature.inputs) == shared.body(frame)["inputs"]
