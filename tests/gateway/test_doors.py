"""Every door gives the same numbers, and tells what is wrong in its own form."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pandas as pd
import polars as pl
import pytest

from modelyard.gateway.grpc_door import MESSAGES
from modelyard.gateway.messages import SERVICE
from modelyard.serving import Route, RouteKind
from modelyard.version import __version__
from tests.gateway.control import Control
from tests.gateway.doors import TIMEOUT_S, WAYS, ask_grpc, columns, csv_of, infer, message, records, rest, split, turned
from tests.gateway.packages import build_direct, edges, flights
from tests.gateway.world import CONTROL_TOKEN, PROJECT, TOKEN, World

MLFLOW = "/mlflow/delay/invocations"
TENSORFLOW = "/v1/models/delay:predict"

WITHOUT_GRPC = """
import sys


class Without:
    def find_spec(self, name, *_):
        if name == "grpc":
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Without())
"""

pytestmark = pytest.mark.contract


@pytest.fixture
def client(shared: World) -> Iterator[httpx.Client]:
    with shared.client() as made:
        yield made


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give a gateway whose second version answers half of what the first would."""
    control = Control(CONTROL_TOKEN)
    control.start()
    made = World(tmp_path_factory.mktemp("canary"), control)
    try:
        made.publish(made.served(Route(1, 50), Route(2, 50, RouteKind.CANARY)))
        made.start()
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rows", [1, 40, 3000])
def test_the_same_rows_get_the_same_numbers_through_every_door(
    shared: World, client: httpx.Client, way: str, rows: int
) -> None:
    frame = flights(rows, seed=rows)
    assert WAYS[way](shared, client, frame) == rest(shared, client, frame)


@pytest.mark.parametrize("way", WAYS)
def test_missing_numbers_are_missing_through_every_door(shared: World, client: httpx.Client, way: str) -> None:
    frame = flights(4, seed=4).with_columns(wind=pl.Series([None, 1.5, None, -0.0]), seats=pl.Series([None, 2, 3, None]))
    numbers = WAYS[way](shared, client, frame)
    assert numbers == rest(shared, client, frame)
    assert len(set(numbers)) > 1


def test_usual_and_rare_rows_get_the_same_numbers_through_every_door(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start("--grpc-port", "0")
    frame = pl.concat([flights(10_000), edges(10_000)])
    with world.client() as client:
        expected = rest(world, client, frame)
        assert len(set(expected)) > 200
        for way, ask in WAYS.items():
            assert ask(world, client, frame) == expected, way


@pytest.mark.parametrize("way", ["MLflow records", "MLflow CSV", "TensorFlow rows", "TensorFlow columns"])
def test_missing_texts_and_times_are_missing_where_a_door_has_a_word_for_it(
    shared: World, client: httpx.Client, way: str
) -> None:
    gaps = {"carrier": pl.lit(None, pl.String), "visible": pl.lit(None, pl.Boolean), "day": pl.lit(None, pl.Date)}
    frame = flights(3, seed=5).with_columns(**gaps)
    assert WAYS[way](shared, client, frame) == rest(shared, client, frame)


def test_tensors_of_a_model_that_came_from_outside_pass_every_door(world: World) -> None:
    world.publish(world.served(Route(1, 100), forms=(build_direct(world.objects, PROJECT, 1),)))
    world.start("--grpc-port", "0")
    images = [[[1.5, 2.0], [3.0, 4.0]], [[0.1, -1.0], [0.0, 1e30]]]
    tensor = {
        "name": "image",
        "shape": [2, 2, 2],
        "datatype": "FP32",
        "data": [x for image in images for row in image for x in row],
    }
    with world.client() as client:
        told = client.post("/v2/models/delay/infer", json={"inputs": [tensor]}).json()["outputs"]
        expected = {one["name"]: np.array(one["data"], dtype=np.float32).reshape(one["shape"]).tolist() for one in told}
        assert expected["doubled"][0] == [[3.0, 4.0], [6.0, 8.0]]
        records = [dict(zip(expected, row, strict=True)) for row in zip(*expected.values(), strict=True)]
        for body in (
            {"instances": images},
            {"inputs": images},
            {"inputs": {"image": images}},
            {"instances": [{"image": one} for one in images]},
        ):
            for path in (MLFLOW, TENSORFLOW):
                answer = client.post(path, json=body)
                found = answer.json().get("predictions") or answer.json()["outputs"]
                assert found == (records if "predictions" in answer.json() else expected), (path, body)
        signature = client.get("/v1/models/delay/metadata").json()["metadata"]["signature_def"]["signature_def"][
            "serving_default"
        ]
        assert signature["inputs"]["image"]["dtype"] == "DT_FLOAT"
        assert [one["size"] for one in signature["inputs"]["image"]["tensor_shape"]["dim"]] == ["-1", "2", "2"]
        wrong = client.post(TENSORFLOW, json={"instances": [[1.0, 2.0]]})
        assert (wrong.status_code, wrong.json()["code"]) == (400, "tensor.invalid")
        csv = client.post(MLFLOW, content="image\n1.0\n", headers={"content-type": "text/csv"})
        assert (csv.status_code, csv.json()["code"]) == (400, "tensor.invalid")
    for raw in (True, False):
        response = infer(world, message([tensor], raw=raw))
        for place, output in enumerate(response.outputs):
            values = np.frombuffer(response.raw_output_contents[place], np.float32) if raw else output.contents.fp32_contents
            assert np.array(values, dtype=np.float32).reshape(tuple(output.shape)).tolist() == expected[output.name]


def test_each_doors_answers_are_in_the_ledger(shared: World, client: httpx.Client) -> None:
    frame = flights(3, seed=321)
    body = records(shared, frame)
    told = [
        client.post(MLFLOW, json={"dataframe_records": body}).json()["modelyard"],
        client.post(TENSORFLOW, json={"instances": body}).json()["modelyard"],
    ]
    response = infer(shared, message(columns(shared, frame), raw=True))
    told.append({"request": response.id, "prediction_ids": json.loads(response.parameters["prediction_ids"].string_param)})
    reference = rest(shared, client, frame)
    client.post("/v1/ledger/flush")
    ledger = shared.ledger()
    for one in told:
        kept = ledger.filter(pl.col("request") == one["request"])
        assert kept["id"].to_list() == one["prediction_ids"]
        assert kept["answer"].to_list() == reference
        assert kept.select(pl.col("version", "caller", "route").n_unique()).row(0) == (1, 1, 1)
        assert kept["version"][0] == 1
        assert kept["caller"][0].startswith("token:")
        assert kept["time"].to_list() == frame["at"].to_list()
        for column in ("carrier", "distance", "seats", "wind", "visible", "day"):
            assert kept[f"input.{column}"].to_list() == frame[column].to_list(), column


@pytest.mark.parametrize("path", [MLFLOW, TENSORFLOW])
def test_a_caller_names_its_predictions_by_a_header(shared: World, client: httpx.Client, path: str) -> None:
    body = {"instances": records(shared, flights(2, seed=1))}
    given = [f"{path[1:3]}-a", f"{path[1:3]}-b"]
    answer = client.post(path, json=body, headers={"Modelyard-Prediction-Ids": ", ".join(given), "Modelyard-Key": "c7"})
    assert answer.json()["modelyard"]["prediction_ids"] == given
    client.post("/v1/ledger/flush")
    assert shared.ledger().filter(pl.col("id").is_in(given)).height == 2
    for unusable in ("a", "a,a", "a,", "a," + "b" * 201):
        told = client.post(path, json=body, headers={"Modelyard-Prediction-Ids": unusable})
        assert (told.status_code, told.json()["code"]) == (400, "request.invalid")


@pytest.mark.parametrize("path", [MLFLOW, TENSORFLOW])
def test_a_key_always_meets_the_same_version_through_every_door(canary: World, path: str) -> None:
    with canary.client() as client:
        body = canary.body(flights(1))
        rows = {"instances": records(canary, flights(1))}
        met = set()
        for number in range(12):
            key = f"customer {number}"
            expected = client.post("/v2/models/delay/infer", json=body | {"parameters": {"key": key}}).json()["model_version"]
            found = client.post(path, json=rows, headers={"Modelyard-Key": key})
            assert found.headers["modelyard-model-version"] == expected
            met.add(expected)
        assert met == {"1", "2"}


# MLflow


def test_mlflow_answers_with_predictions_ids_and_version(shared: World, client: httpx.Client) -> None:
    frame = flights(2, seed=9)
    answer = client.post(MLFLOW, json={"dataframe_split": split(records(shared, frame)), "params": {"temperature": 0}})
    told = answer.json()
    assert list(told) == ["predictions", "modelyard"]
    ids = told["modelyard"]["prediction_ids"]
    assert {name: told["modelyard"][name] for name in ("model", "version", "route", "form", "ignored")} == {
        "model": "delay", "version": 1, "route": "live", "form": "onnx", "ignored": ["params"],
    }  # fmt: skip
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["modelyard-model-version"] == "1"
    assert answer.headers["modelyard-prediction-ids"] == ",".join(ids)
    many = client.post(MLFLOW, json={"dataframe_records": records(shared, flights(1000))})
    assert "modelyard-prediction-ids" not in many.headers
    assert len(many.json()["modelyard"]["prediction_ids"]) == 1000


def test_mlflow_is_asked_by_path_by_header_or_by_the_only_model(shared: World, client: httpx.Client) -> None:
    body = {"dataframe_records": records(shared, flights(2, seed=1))}
    expected = client.post(MLFLOW, json=body).json()["predictions"]
    paths = ["/invocations", "/mlflow/flights/delay/invocations", "/mlflow/delay/versions/1/invocations"]
    for path in paths:
        assert client.post(path, json=body).json()["predictions"] == expected, path
    for model in ("delay", "flights/delay"):
        assert client.post("/invocations", json=body, headers={"Modelyard-Model": model}).json()["predictions"] == expected
    assert client.post("/invocations", json=body, headers={"Modelyard-Project": "flights"}).status_code == 200
    assert client.post("/invocations", json=body, headers={"Modelyard-Project": "churn"}).json()["code"] == "model.conflict"
    unknown = client.post("/invocations", json=body, headers={"Modelyard-Model": "dealy"})
    assert (unknown.status_code, unknown.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    with httpx.Client(base_url=shared.url, auth=("token", TOKEN), trust_env=False) as basic:
        assert basic.post(MLFLOW, json=body).json()["predictions"] == expected


def test_mlflow_of_several_models_needs_a_name(world: World) -> None:
    world.publish(world.served(Route(1, 100)), world.served(Route(1, 100), name="price"))
    world.start()
    with world.client() as client:
        body = {"dataframe_records": records(world, flights(1))}
        told = client.post("/invocations", json=body)
        assert (told.status_code, told.json()["code"]) == (409, "model.conflict")
        assert client.post("/invocations", json=body, headers={"Modelyard-Model": "price"}).status_code == 200


@pytest.mark.parametrize(("path", "body"), [("/ping", "\n"), ("/health", "\n"), ("/version", __version__)])
def test_mlflow_health_is_open_and_a_models_health_is_not(shared: World, client: httpx.Client, path: str, body: str) -> None:
    answer = httpx.get(shared.url + path)
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, body, "application/json")
    assert client.get(f"/mlflow/delay{path}").text == body
    assert httpx.get(f"{shared.url}/mlflow/delay{path}").status_code == 401
    assert client.get(f"/mlflow/dealy{path}").status_code == 404
    assert client.post(path).status_code == 400


def test_mlflow_reads_what_pandas_writes(shared: World, client: httpx.Client) -> None:
    frame = flights(3, seed=8).with_columns(wind=pl.Series([None, 1.0, 2.0]), day=pl.lit(None, pl.Date))
    pandas = pd.DataFrame(frame.drop("late").to_dict(as_series=False))
    expected = rest(shared, client, frame)
    table = {"columns": list(pandas.columns), "index": [0, 1, 2], "data": pandas.astype(object).to_numpy().tolist()}
    text = json.dumps({"dataframe_split": table}, default=lambda value: value.isoformat())
    text = text.replace("null", '"NaT"') if "NaT" not in text else text
    assert "NaN" in text
    answers = [
        client.post(MLFLOW, content=text, headers={"content-type": "application/json; charset=utf-8"}),
        client.post(MLFLOW, content=pandas.to_csv(), headers={"content-type": "text/csv"}),
        client.post(MLFLOW, content=pandas.to_csv(index=False, na_rep="NA"), headers={"content-type": "text/csv"}),
    ]
    for answer in answers:
        assert answer.json().get("predictions") == expected, answer.text
    assert answers[1].json()["modelyard"]["ignored"] == [""]


def test_mlflow_takes_a_record_without_a_key_as_missing(shared: World, client: httpx.Client) -> None:
    frame = flights(2, seed=6).with_columns(wind=pl.Series([1.5, None]))
    sparse = records(shared, frame)
    del sparse[1]["wind"]
    assert client.post(MLFLOW, json={"dataframe_records": sparse}).json()["predictions"] == rest(shared, client, frame)
    nested = {name: [[value] for value in values] for name, values in turned(records(shared, frame)).items()}
    assert client.post(MLFLOW, json={"inputs": nested}).json()["predictions"] == rest(shared, client, frame)


def bad(change: Callable[[dict[str, Any]], Any]) -> Callable[[World], Any]:
    """Return what makes one good row bad."""

    def make(world: World) -> Any:
        [row] = records(world, flights(1))
        return change(row)

    return make


BAD_FOR_MLFLOW: list[tuple[Callable[[World], Any], str]] = [
    (bad(lambda row: {"dataframe_records": [row | {"seats": "many"}]}), "column.invalid"),
    (bad(lambda row: {"dataframe_records": [row | {"seats": 1.5}]}), "column.invalid"),
    (bad(lambda row: {"dataframe_records": [row | {"carrier": {"code": 1}}]}), "column.invalid"),
    (bad(lambda row: {"dataframe_records": [row | {"at": 1.7e12}]}), "column.invalid"),
    (bad(lambda row: {"dataframe_records": [row | {"wind": [1.0, 2.0]}]}), "column.invalid"),
    (bad(lambda row: {"dataframe_records": [{k: v for k, v in row.items() if k != "wind"}]}), "column.missing"),
    (bad(lambda row: {"dataframe_records": row}), "request.invalid"),
    (bad(lambda row: {"dataframe_records": [row, 5]}), "request.invalid"),
    (bad(lambda row: {"dataframe_records": []}), "request.invalid"),
    (bad(lambda row: {"dataframe_split": {"columns": ["wind"], "data": [[1, 2]]}}), "request.invalid"),
    (bad(lambda row: {"dataframe_split": {"columns": ["wind", "wind"], "data": [[1, 2]]}}), "request.invalid"),
    (bad(lambda row: {"dataframe_split": {"columns": [1], "data": [[1]]}}), "request.invalid"),
    (bad(lambda row: {"dataframe_split": {"columns": ["wind"], "data": [1]}}), "request.invalid"),
    (bad(lambda row: {"dataframe_split": {"columns": list(row), "data": [list(row.values())], "x": 1}}), "request.invalid"),
    (bad(lambda row: {"dataframe_split": {"data": [list(row.values())]}}), "request.invalid"),
    (bad(lambda row: {"dataframe_split": []}), "request.invalid"),
    (bad(lambda row: {"inputs": [list(row.values())]}), "request.invalid"),
    (bad(lambda row: {"inputs": {"wind": [1], "seats": [1, 2]}}), "request.invalid"),
    (bad(lambda row: {"inputs": {"wind": [1], "seats": 2}}), "request.invalid"),
    (bad(lambda row: {"inputs": 5}), "request.invalid"),
    (bad(lambda row: {"instances": [row], "inputs": turned([row])}), "request.invalid"),
    (bad(lambda row: {"columns": list(row), "data": []}), "request.invalid"),
    (bad(lambda row: [row]), "request.invalid"),
]


@pytest.mark.parametrize(("make", "code"), BAD_FOR_MLFLOW)
def test_mlflow_tells_what_is_wrong_in_its_own_form(
    shared: World, client: httpx.Client, make: Callable[[World], Any], code: str
) -> None:
    answer = client.post(MLFLOW, json=make(shared))
    told = answer.json()
    assert told["code"] == code, told
    assert told["error_code"] == "BAD_REQUEST"
    assert told["message"] == told["detail"]
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [(b"{", "application/json", 400), (b"\xff", "application/json", 400), (b'{"inputs": NaN}', "application/json", 400),
     (b"\xff\xfe", "text/csv", 400), (b"", "text/csv", 400), (b"wind,seats\n1\n", "text/csv", 400),
     (b"wind\n", "text/csv", 400), (b'wind\n"1', "text/csv", 400), (b"wind,wind\n1,2", "text/csv", 400),
     (b"{}", "application/x-www-form-urlencoded", 415), (b"{}", "application/json; charset=latin-1", 415)],
)  # fmt: skip
def test_mlflow_refuses_what_it_cannot_read(client: httpx.Client, content: bytes, kind: str, status: int) -> None:
    answer = client.post(MLFLOW, content=content, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == ("text/plain" if status == 415 else "application/json")


def test_a_csv_field_of_the_wrong_type_is_named(shared: World, client: httpx.Client) -> None:
    text = csv_of(shared, flights(2, seed=3)).decode().splitlines()
    place = text[0].split(",").index("seats")
    fields = text[2].split(",")
    fields[place] = "1_0"
    answer = client.post(MLFLOW, content="\n".join([text[0], text[1], ",".join(fields)]), headers={"content-type": "text/csv"})
    assert answer.json()["code"] == "column.invalid"
    assert answer.json()["context"]["row"] == 1
    assert "seats" in answer.json()["message"]


# TensorFlow Serving


def test_tensorflow_status_and_metadata(client: httpx.Client) -> None:
    fine = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in ("/v1/models/delay", "/v1/models/delay/versions/1", "/v1/models/flights/delay"):
        assert client.get(path).json() == {"model_version_status": [fine]}
    told = client.get("/v1/models/delay/metadata").json()
    assert told["model_spec"] == {"name": "delay", "signature_name": "", "version": "1"}
    signature = told["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["distance"]["dtype"] == "DT_INT64"
    assert signature["outputs"]["probability"]["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]
    assert client.get("/v1/models/delay/versions/1/metadata").json() == told
    assert client.get("/v1/models/delay", headers={"Modelyard-Project": "churn"}).status_code == 404


def test_tensorflow_answers_with_version_and_ids(shared: World, client: httpx.Client) -> None:
    body = {"signature_name": "serving_default", "instances": records(shared, flights(2))}
    for path in ("/v1/models/flights/delay:predict", "/v1/models/delay/versions/1:predict"):
        answer = client.post(path, json=body)
        assert answer.headers["modelyard-model-version"] == "1"
        assert answer.headers["modelyard-prediction-ids"].split(",") == answer.json()["modelyard"]["prediction_ids"]
        assert "ignored" not in answer.json()["modelyard"]
    rows = records(shared, flights(2))
    encoded = [row | {"carrier": {"b64": "VUE="}} for row in rows]
    plain = [row | {"carrier": "UA"} for row in rows]
    answers = [client.post(TENSORFLOW, json={"instances": sent}).json()["predictions"] for sent in (encoded, plain)]
    assert answers[0] == answers[1]


BAD_FOR_TENSORFLOW: list[tuple[Callable[[World], Any], str]] = [
    (bad(lambda row: {"instances": [row | {"seats": "many"}]}), "column.invalid"),
    (bad(lambda row: {"instances": [row | {"carrier": {"b64": "!"}}]}), "request.invalid"),
    (bad(lambda row: {"instances": [row, {"wind": 1}]}), "request.invalid"),
    (bad(lambda row: {"instances": [{k: v for k, v in row.items() if k != "wind"}]}), "column.missing"),
    (bad(lambda row: {"instances": [list(row.values())]}), "request.invalid"),
    (bad(lambda row: {"instances": turned([row])}), "request.invalid"),
    (bad(lambda row: {"instances": []}), "request.invalid"),
    (bad(lambda row: {"inputs": {}}), "request.invalid"),
    (bad(lambda row: {"inputs": [1.0]}), "request.invalid"),
    (bad(lambda row: {"instances": [row], "inputs": turned([row])}), "request.invalid"),
    (bad(lambda row: {"instances": [row], "signature_name": "other"}), "signature.missing"),
    (bad(lambda row: 5), "request.invalid"),
]


@pytest.mark.parametrize(("make", "code"), BAD_FOR_TENSORFLOW)
def test_tensorflow_tells_what_is_wrong_in_its_own_form(
    shared: World, client: httpx.Client, make: Callable[[World], Any], code: str
) -> None:
    answer = client.post(TENSORFLOW, json=make(shared))
    told = answer.json()
    assert told["code"] == code, told
    assert told["error"] == told["detail"]
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"


# Both


@pytest.mark.parametrize(("path", "word"), [(MLFLOW, "message"), ("/invocations", "message"), (TENSORFLOW, "error")])
def test_strangers_and_large_bodies_are_refused_in_the_doors_form(
    shared: World, client: httpx.Client, path: str, word: str
) -> None:
    stranger = httpx.post(shared.url + path, json={})
    assert (stranger.status_code, stranger.json()["code"]) == (401, "token.unauthenticated")
    assert "token" in stranger.json()[word]
    large = client.post(path, content=b" " * 1_000_001, headers={"content-type": "application/json"})
    assert (large.status_code, large.json()["code"]) == (413, "body.too_large")
    assert large.json()[word]
    assert client.get(path).json()["code"] == "method.invalid"


@pytest.mark.parametrize(
    "path",
    ["/mlflow/dealy/invocations", "/mlflow/delay/versions/7/invocations", "/mlflow/invocations",
     "/v1/models/dealy:predict", "/v1/models/delay/versions/7:predict", "/v1/models/:predict"],
)  # fmt: skip
def test_unknown_models_and_versions_are_told_with_the_nearest(client: httpx.Client, path: str) -> None:
    answer = client.post(path, json={})
    assert answer.status_code == 404
    told = answer.json()
    assert "delay" in told.get("message", told.get("error")) or told["code"] != "model.missing"
    assert client.post("/v1/models/delay:classify", json={}).json()["code"] == "path.missing"
    assert client.get("/mlflow/delay/elsewhere").json()["code"] == "path.missing"


# gRPC


def test_grpc_tells_of_server_and_model(shared: World) -> None:
    assert ask_grpc(shared, "ServerLive", token=None).live
    assert ask_grpc(shared, "ServerReady", token=None).ready
    server = ask_grpc(shared, "ServerMetadata", token=None)
    assert (server.name, server.version) == ("modelyard", __version__)
    for name, version in (("delay", ""), ("delay", "1"), ("flights/delay", "1")):
        asked = {"name": name, "version": version}
        assert ask_grpc(shared, "ModelReady", MESSAGES["ModelReadyRequest"](**asked)).ready
        told = ask_grpc(shared, "ModelMetadata", MESSAGES["ModelMetadataRequest"](**asked))
        assert (told.name, list(told.versions)) == ("delay", ["1"])
        assert {(one.name, one.datatype, tuple(one.shape)) for one in told.inputs} >= {("distance", "INT64", (-1,))}


@pytest.mark.parametrize("raw", [True, False])
def test_grpc_takes_ids_time_and_key_and_answers_as_it_was_asked(shared: World, raw: bool) -> None:
    request = message(columns(shared, flights(2, seed=2)), raw=raw, id=f"grpc-{raw}", model_version="1")
    request.parameters["ids"].string_param = json.dumps([f"a-{raw}", f"b-{raw}"])
    request.parameters["time"].string_param = "2013-05-01T10:00:00Z"
    request.parameters["key"].string_param = "customer 7"
    request.outputs.add(name="probability")
    unknown = request.inputs.add(name="tail", datatype="BYTES", shape=[2])
    if raw:
        request.raw_input_contents.append(b"\x02\x00\x00\x00N1\x00\x00\x00\x00")
    else:
        unknown.contents.bytes_contents.extend([b"N1", b""])
    answer = infer(shared, request)
    assert (answer.model_name, answer.model_version, answer.id) == ("delay", "1", f"grpc-{raw}")
    assert bool(answer.raw_output_contents) is raw
    assert len(answer.outputs[0].contents.fp64_contents) == (0 if raw else 2)
    assert json.loads(answer.parameters["prediction_ids"].string_param) == [f"a-{raw}", f"b-{raw}"]
    assert answer.parameters["route"].string_param == "pinned"
    assert json.loads(answer.parameters["ignored"].string_param) == ["tail"]
    with shared.client() as client:
        client.post("/v1/ledger/flush")
    kept = shared.ledger().filter(pl.col("request") == f"grpc-{raw}")
    assert {time.isoformat() for time in kept["time"]} == {"2013-05-01T10:00:00+00:00"}


def refusal(world: World, request: Any, *, token: str | None = TOKEN, **metadata: str) -> tuple[str, str, str]:
    """Return the code, our own code, and the text by which a request is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        infer(world, request, token=token, **metadata)
    trailing = dict(caught.value.trailing_metadata() or ())
    told = json.loads(trailing["modelyard-problem-bin"])
    assert told["code"] == trailing["modelyard-code"]
    return caught.value.code().name, told["code"], caught.value.details()


def mend(request: Any, column: str, change: dict[str, Any]) -> Any:
    for place, tensor in enumerate(request.inputs):
        if tensor.name == column:
            for field, value in change.items():
                if field == "raw":
                    request.raw_input_contents[place] = value
                elif field == "shape":
                    tensor.shape[:] = value
                else:
                    setattr(tensor, field, value)
    return request


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [("seats", {"datatype": "BYTES", "raw": b"\x01\x00\x00\x00a"}, "tensor.invalid"),
     ("seats", {"raw": b"1"}, "tensor.invalid"), ("seats", {"shape": [2]}, "tensor.invalid"),
     ("seats", {"shape": [1, 2]}, "tensor.invalid"), ("seats", {"datatype": "FLOAT"}, "tensor.invalid"),
     ("seats", {"name": "wind"}, "tensor.invalid"), ("carrier", {"raw": b"\x01\x00\x00\x00\xff"}, "tensor.invalid"),
     ("carrier", {"raw": b"\x09\x00\x00\x00a"}, "tensor.invalid"),
     ("at", {"raw": b"\x03\x00\x00\x00now"}, "column.invalid"), ("seats", {"name": "saets"}, "column.missing")],
)  # fmt: skip
def test_grpc_tells_what_is_wrong_by_column(shared: World, name: str, change: dict[str, Any], code: str) -> None:
    request = mend(message(columns(shared, flights(1)), raw=True), name, change)
    status, told, text = refusal(shared, request)
    assert (status, told) == ("INVALID_ARGUMENT", code), text
    assert name in text or "wind" in text


def test_grpc_tells_what_is_wrong_with_the_request(shared: World) -> None:
    good = columns(shared, flights(1))
    assert refusal(shared, message(good, raw=True, model_name="dealy"))[:2] == ("NOT_FOUND", "model.missing")
    assert refusal(shared, message(good, raw=True, model_version="7"))[:2] == ("NOT_FOUND", "version.missing")
    assert refusal(shared, message(good, raw=True, model_name=""))[:2] == ("NOT_FOUND", "path.missing")
    assert refusal(shared, message([], raw=True))[:2] == ("INVALID_ARGUMENT", "request.invalid")
    assert refusal(shared, message(good, raw=True), modelyard_project="churn")[:2] == ("NOT_FOUND", "model.missing")
    for token in (None, "wrong"):
        assert refusal(shared, message(good, raw=True), token=token)[:2] == ("UNAUTHENTICATED", "token.unauthenticated")
    uneven = message(good, raw=True)
    uneven.raw_input_contents.append(b"")
    assert refusal(shared, uneven)[:2] == ("INVALID_ARGUMENT", "request.invalid")
    half = message([{**tensor, "datatype": "FP16"} for tensor in good if tensor["name"] == "wind"], raw=True)
    del half.raw_input_contents[:]
    assert refusal(shared, half)[:2] == ("INVALID_ARGUMENT", "tensor.invalid")
    wanted = message(good, raw=True)
    wanted.outputs.add(name="probabilty")
    assert refusal(shared, wanted)[:2] == ("INVALID_ARGUMENT", "output.missing")
    ids = message(good, raw=True)
    ids.parameters["ids"].string_param = "[1"
    assert refusal(shared, ids)[:2] == ("INVALID_ARGUMENT", "request.invalid")


def test_grpc_refuses_what_is_too_large_and_what_is_compressed(shared: World) -> None:
    request = message(columns(shared, flights(1)), raw=True, id="x" * 1_000_001)
    with pytest.raises(grpc.RpcError) as caught:
        infer(shared, request)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    with grpc.insecure_channel(shared.grpc, compression=grpc.Compression.Gzip) as channel:
        call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"\0" * 100_000_000, timeout=TIMEOUT_S)
    assert caught.value.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.RESOURCE_EXHAUSTED)


def test_grpc_tells_that_bytes_are_no_message(shared: World) -> None:
    with grpc.insecure_channel(shared.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/{SERVICE}/ModelInfer")(b"\xff\xff", timeout=TIMEOUT_S)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "no ModelInferRequest" in caught.value.details()


def test_grpc_refusals_and_answers_are_counted(shared: World, client: httpx.Client) -> None:
    refusal(shared, message([], raw=True))
    client.post(TENSORFLOW, json={})
    text = httpx.get(shared.url + "/metrics").text
    assert 'modelyard_requests_total{deployment="delay",project="flights",route="",status="400",version=""}' in text


def test_a_taken_port_for_grpc_ends_the_start_with_what_to_do(shared: World, world: World) -> None:
    port = shared.grpc.rpartition(":")[2]
    world.publish(world.served(Route(1, 100)))
    with pytest.raises(AssertionError, match="name another one: --grpc-port"):
        world.start("--grpc-port", port)


def test_without_the_extra_the_gateway_says_how_to_get_it_and_goes_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_GRPC)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    world.publish(world.served(Route(1, 100)))
    assert world.start("--grpc-port", "0")["grpc"] is None
    assert "pip install 'modelyard[grpc]'" in (world.folder / "gateway.log").read_text()
    with world.client() as client:
        assert client.post("/v2/models/delay/infer", json=world.body(flights(1))).status_code == 200


def test_without_grpc_asked_for_there_is_none(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    assert world.start()["grpc"] is None
