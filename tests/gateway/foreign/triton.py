"""Ask by tritonclient as it is published, over HTTP and gRPC: what stdin says, a JSON object to stdout."""

import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

DTYPES = {"INT64": np.int64, "FP64": np.float64, "BOOL": np.bool_, "BYTES": np.object_}


def ask(module: Any, client: Any, told: dict[str, Any], wanted: Any, **how: Any) -> dict[str, Any]:
    """Return what a client is answered, and how it is refused."""
    inputs = []
    for tensor in told["inputs"]:
        values: Any = np.array(tensor["data"], dtype=DTYPES[tensor["datatype"]])
        made = module.InferInput(tensor["name"], list(values.shape), np_to_triton_dtype(values.dtype))
        made.set_data_from_numpy(values, **how)
        inputs.append(made)
    headers = {"headers": {"authorization": f"Bearer {told['token']}"}}
    answer = client.infer(told["model"], inputs, model_version="1", outputs=[wanted], request_id=told["id"], **headers)
    values = answer.as_numpy("probability")
    found = {
        "numbers": values.tolist(),
        "dtype": str(values.dtype),
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(told["model"], "1", **headers),
        "server": name_of(client.get_server_metadata()),
        "model": name_of(client.get_model_metadata(told["model"], **headers)),
    }
    try:
        client.infer(told["model"], inputs[1:], **headers)
    except InferenceServerException as error:
        found["refusal"] = [error.status(), error.message()]
    return found


def name_of(document: Any) -> str:
    """Return the name in a metadata document, be it JSON or a message."""
    return str(document["name"] if isinstance(document, dict) else document.name)


def main() -> None:
    """Ask by every way."""
    told = json.load(sys.stdin)
    http, grpc = tritonclient.http, tritonclient.grpc
    with http.InferenceServerClient(told["http"]) as one, grpc.InferenceServerClient(told["grpc"]) as other:
        answers = {
            "HTTP JSON": ask(http, one, told, http.InferRequestedOutput("probability", binary_data=False), binary_data=False),
            "HTTP binary": ask(http, one, told, http.InferRequestedOutput("probability"), binary_data=True),
            "gRPC": ask(grpc, other, told, grpc.InferRequestedOutput("probability")),
        }
    json.dump(answers, sys.stdout)


main()
