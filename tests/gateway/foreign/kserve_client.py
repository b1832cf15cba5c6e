"""Ask by KServe's own clients as they are published, REST and gRPC: what stdin says, a JSON object to stdout."""

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

DTYPES = {"INT64": np.int64, "FP64": np.float64, "BOOL": np.bool_, "BYTES": np.object_}


def request(told: dict[str, Any], *, binary: bool) -> InferRequest:
    """Return the request for the rows that stdin told."""
    inputs = []
    for tensor in told["inputs"]:
        values: Any = np.array(tensor["data"], dtype=DTYPES[tensor["datatype"]])
        inputs.append(InferInput(tensor["name"], list(values.shape), tensor["datatype"]))
        inputs[-1].set_data_from_numpy(values, binary_data=binary)
    return InferRequest(model_name="delay", infer_inputs=inputs, request_id="kserve")


async def ask(told: dict[str, Any]) -> dict[str, Any]:
    """Ask by every way."""
    headers = {"authorization": f"Bearer {told['token']}"}
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    found: dict[str, Any] = {"live": await rest.is_server_live(told["http"]), "ready": await rest.is_server_ready(told["http"])}
    found["model_ready"] = await rest.is_model_ready(told["http"], "delay", headers=headers)
    for binary in (True, False):
        answer = await rest.infer(told["http"], request(told, binary=binary), "delay", headers=dict(headers))
        found[f"REST binary={binary}"] = answer.outputs[0].as_numpy().tolist()
    old = InferenceRESTClient(RESTConfig(protocol="v1"))
    found["REST v1"] = (await old.infer(told["http"], {"instances": told["rows"]}, "delay", headers=headers))["predictions"]
    async with InferenceGRPCClient(told["grpc"]) as client:
        found["gRPC live"] = await client.is_server_live()
        for binary in (True, False):
            answer = await client.infer(request(told, binary=binary), headers=tuple(headers.items()))
            found[f"gRPC binary={binary}"] = answer.outputs[0].as_numpy().tolist()
    return found


json.dump(asyncio.run(ask(json.load(sys.stdin))), sys.stdout)
