"""One set of rows asked through every door: what each is sent, and the numbers that it answers."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import httpx
import numpy as np
import polars as pl

from modelyard.gateway.grpc_door import MESSAGES
from modelyard.gateway.messages import CONTENTS, SERVICE
from modelyard.gateway.tensors import DTYPES, to_bytes
from tests.gateway.packages import tensors
from tests.gateway.world import TOKEN, World

TIMEOUT_S = 30.0
Numbers = list[float]


def infer(world: World, message: Any, *, token: str | None = TOKEN, **metadata: str) -> Any:
    """Ask ModelInfer. Raises grpc.RpcError."""
    return ask_grpc(world, "ModelInfer", message, token=token, **metadata)


def ask_grpc(world: World, method: str, message: Any = None, *, token: str | None = TOKEN, **metadata: str) -> Any:
    """Ask a method of the gRPC door. Raises grpc.RpcError."""
    told = [(name.replace("_", "-"), value) for name, value in metadata.items()]
    if token is not None:
        told.append(("authorization", f"Bearer {token}"))
    with grpc.insecure_channel(world.grpc, options=[("grpc.max_send_message_length", -1)]) as channel:
        call = channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=MESSAGES[f"{method}Request"].SerializeToString,
            response_deserializer=MESSAGES[f"{method}Response"].FromString,
        )
        return call(MESSAGES[f"{method}Request"]() if message is None else message, metadata=told, timeout=TIMEOUT_S)


def columns(world: World, frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return raw rows as the protocol's tensors; a column of whole numbers with gaps as floats with NaN."""
    found = tensors(frame, world.package(1).form.signature.inputs)
    for tensor in found:
        if tensor["datatype"] in ("INT64", "FP64") and None in tensor["data"]:
            tensor["datatype"] = "FP64"
            tensor["data"] = [float("nan") if value is None else float(value) for value in tensor["data"]]
    return found


def message(found: Sequence[Mapping[str, Any]], *, raw: bool, **rest: Any) -> Any:
    """Return a ModelInferRequest for the model `delay`."""
    request = MESSAGES["ModelInferRequest"](**{"model_name": "delay", **rest})
    for tensor in found:
        added = request.inputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
        if raw:
            request.raw_input_contents.append(as_bytes(tensor))
        else:
            texts = tensor["datatype"] == "BYTES"
            values = [value.encode() for value in tensor["data"]] if texts else tensor["data"]
            getattr(added.contents, CONTENTS[tensor["datatype"]]).extend(values)
    return request


def as_bytes(tensor: Mapping[str, Any]) -> bytes:
    """Return a tensor's values as the binary extension has them."""
    return to_bytes(np.array(tensor["data"], dtype=DTYPES.get(tensor["datatype"], np.dtype(object))))


def records(world: World, frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return raw rows as JSON objects."""
    found = tensors(frame, world.package(1).form.signature.inputs)
    return [
        dict(zip([one["name"] for one in found], row, strict=True)) for row in zip(*[one["data"] for one in found], strict=True)
    ]


def rest(world: World, client: httpx.Client, frame: pl.DataFrame) -> Numbers:
    """Ask by JSON tensors."""
    answer = client.post("/v2/models/delay/infer", content=json.dumps(world.body(frame)))
    assert answer.status_code == 200, answer.text
    return list(answer.json()["outputs"][0]["data"])


def rest_binary(world: World, client: httpx.Client, frame: pl.DataFrame) -> Numbers:
    """Ask by the binary extension, and be answered by it."""
    found = columns(world, frame)
    contents = [as_bytes(tensor) for tensor in found]
    inputs = [
        {key: tensor[key] for key in ("name", "shape", "datatype")} | {"parameters": {"binary_data_size": len(content)}}
        for tensor, content in zip(found, contents, strict=True)
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    answer = client.post(
        "/v2/models/delay/infer",
        content=head + b"".join(contents),
        headers={"inference-header-content-length": str(len(head))},
    )
    assert answer.status_code == 200, answer.text
    return doubles(answer.content[int(answer.headers["inference-header-content-length"]) :])


def grpc_raw(world: World, _client: httpx.Client, frame: pl.DataFrame) -> Numbers:
    """Ask by gRPC with bytes."""
    response = infer(world, message(columns(world, frame), raw=True))
    return doubles(response.raw_output_contents[0])


def doubles(content: bytes) -> Numbers:
    """Return the numbers of an FP64 tensor."""
    return [float(value) for value in np.frombuffer(content, "<f8")]


def grpc_contents(world: World, _client: httpx.Client, frame: pl.DataFrame) -> Numbers:
    """Ask by gRPC with typed contents."""
    return list(infer(world, message(columns(world, frame), raw=False)).outputs[0].contents.fp64_contents)


def mlflow(body: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> "Callable[[World, httpx.Client, pl.DataFrame], Numbers]":
    """Return a way to ask MLflow's door."""

    def ask(world: World, client: httpx.Client, frame: pl.DataFrame) -> Numbers:
        answer = client.post("/mlflow/delay/invocations", content=json.dumps(body(records(world, frame))))
        assert answer.status_code == 200, answer.text
        return list(answer.json()["predictions"])

    return ask


def mlflow_csv(world: World, client: httpx.Client, frame: pl.DataFrame) -> Numbers:
    """Ask MLflow's door by CSV."""
    answer = client.post("/mlflow/delay/invocations", content=csv_of(world, frame), headers={"content-type": "text/csv"})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["predictions"])


def csv_of(world: World, frame: pl.DataFrame) -> bytes:
    """Return raw rows as CSV."""
    rows = records(world, frame)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def tensorflow(where: str, told: str) -> "Callable[[World, httpx.Client, pl.DataFrame], Numbers]":
    """Return a way to ask TensorFlow Serving's door."""

    def ask(world: World, client: httpx.Client, frame: pl.DataFrame) -> Numbers:
        rows = records(world, frame)
        content = json.dumps({where: rows if where == "instances" else turned(rows)})
        answer = client.post("/v1/models/delay:predict", content=content)
        assert answer.status_code == 200, answer.text
        return list(answer.json()[told])

    return ask


def turned(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return rows as columns."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def split(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return rows as a data frame's split form."""
    return {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}


WAYS: Mapping[str, Callable[[World, httpx.Client, pl.DataFrame], Numbers]] = {
    "rest binary": rest_binary,
    "gRPC raw": grpc_raw,
    "gRPC contents": grpc_contents,
    "MLflow split": mlflow(lambda rows: {"dataframe_split": split(rows)}),
    "MLflow records": mlflow(lambda rows: {"dataframe_records": rows}),
    "MLflow instances": mlflow(lambda rows: {"instances": rows}),
    "MLflow inputs": mlflow(lambda rows: {"inputs": turned(rows)}),
    "MLflow CSV": mlflow_csv,
    "TensorFlow rows": tensorflow("instances", "predictions"),
    "TensorFlow columns": tensorflow("inputs", "outputs"),
}
