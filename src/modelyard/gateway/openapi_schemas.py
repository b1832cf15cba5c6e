"""The forms of what the gateway's HTTP doors take and tell, as JSON Schema.

What is told has its members named to the last; what is taken may have others, which are passed over.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from modelyard.gateway.mlflow import FORMS
from modelyard.gateway.tensors import DATATYPES
from modelyard.gateway.tfserving import SIGNATURE

Schema: TypeAlias = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
FLAG: Final[Schema] = {"type": "boolean"}
ANYTHING: Final[Schema] = {}
OBJECT: Final[Schema] = {"type": "object"}


def many(schema: Schema) -> Schema:
    """Return the schema of any number of these."""
    return {"type": "array", "items": schema}


def ref(name: str) -> Schema:
    """Return a reference to one of `schemas`."""
    return {"$ref": f"#/components/schemas/{name}"}


def taken(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    """Return the schema of an object that is read."""
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


def told(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    """Return the schema of an object that is written: it has no other members."""
    return {**taken(required, **optional), "additionalProperties": False}


def one_of(form: Schema, names: tuple[str, ...]) -> Schema:
    """Return the schema of an object that has exactly one of these members."""
    return {**form, "oneOf": [{"required": [name]} for name in names]}


def schemas() -> dict[str, Schema]:
    """Return all, by name."""
    return {
        **_protocol(),
        **_mlflow(),
        **_tensorflow(),
        **_of_itself(),
        "Answered": _answered(),
        "Problem": told(_problem("error")),
    }


def _protocol() -> dict[str, Schema]:
    """Return those of the Open Inference Protocol; `parameters` are what it leaves to servers."""
    tensor = {"name": TEXT, "shape": ref("Shape"), "datatype": ref("Datatype")}
    request = taken(
        {},
        ids={**many({"type": "string", "minLength": 1, "maxLength": 200}), "description": "of the predictions, one a row"},
        time={"anyOf": [TEXT, many(TEXT)], "description": "event time, ISO 8601: of all rows, or one a row"},
        key={**TEXT, "description": "the same key meets the same version"},
        binary_data_output={**FLAG, "description": "tell all outputs as bytes"},
    )
    answer = told({"prediction_ids": many(TEXT), "route": ref("Route"), "form": TEXT}, ignored=many(TEXT))
    return {
        "Datatype": {"type": "string", "enum": sorted(DATATYPES)},
        "Shape": many(WHOLE),
        "Route": {"type": "string", "enum": ["live", "canary", "pinned", "fallback"]},
        "ServerMetadata": told({"name": TEXT, "version": TEXT, "extensions": many(TEXT)}),
        "TensorMetadata": told(tensor),
        "ModelMetadata": told(
            {"name": TEXT, "versions": many(TEXT), "platform": TEXT}
            | {"inputs": many(ref("TensorMetadata")), "outputs": many(ref("TensorMetadata"))}
        ),
        "ModelReady": told({"name": TEXT, "ready": FLAG}),
        "InputTensor": taken(
            tensor,
            data={**many(ANYTHING), "description": "row by row, flat or nested; left out where the tensor comes as bytes"},
            parameters=taken({}, binary_data_size={**WHOLE, "description": "length of its bytes behind the JSON"}),
        ),
        "WantedOutput": taken({"name": TEXT}, parameters=taken({}, binary_data=FLAG)),
        "InferRequest": taken(
            {"inputs": many(ref("InputTensor"))}, id=TEXT, parameters=request, outputs=many(ref("WantedOutput"))
        ),
        "OutputTensor": told({**tensor, "data": many(ANYTHING)}),
        "InferResponse": told(
            {"model_name": TEXT, "model_version": TEXT, "id": TEXT, "outputs": many(ref("OutputTensor")), "parameters": answer}
        ),
    }


def _mlflow() -> dict[str, Schema]:
    records = many(OBJECT)
    bodies = {
        "dataframe_split": taken({"data": many(many(ANYTHING))}, columns=many(TEXT), index=many(ANYTHING)),
        "dataframe_records": records,
        "instances": {"anyOf": [records, many(ANYTHING)]},
        "inputs": {"anyOf": [OBJECT, many(ANYTHING)]},
    }
    return {
        "MlflowRequest": one_of({"type": "object", "properties": {**bodies, "params": OBJECT}}, FORMS),
        "MlflowResponse": told({"predictions": many(ANYTHING), "modelyard": ref("Answered")}),
        "MlflowProblem": told({"error_code": TEXT, "message": TEXT, **_problem()}),
    }


def _tensorflow() -> dict[str, Schema]:
    bodies = {"instances": many(ANYTHING), "inputs": {"anyOf": [OBJECT, many(ANYTHING)]}}
    named = {"signature_name": {"type": "string", "enum": [SIGNATURE, ""]}}
    answer = {"predictions": many(ANYTHING), "outputs": ANYTHING}
    state = told({"version": TEXT, "state": TEXT, "status": told({"error_code": TEXT, "error_message": TEXT})})
    return {
        "PredictRequest": one_of({"type": "object", "properties": {**bodies, **named}}, tuple(bodies)),
        "PredictResponse": one_of(told({"modelyard": ref("Answered")}, **answer), tuple(answer)),
        "ModelStatus": told({"model_version_status": many(state)}),
        "ServedMetadata": told({"model_spec": OBJECT, "metadata": OBJECT}),
        "PredictProblem": told(_problem("error")),
    }


def _of_itself() -> dict[str, Schema]:
    ledger = {name: WHOLE for name in ("rows", "segments", "rows_shipped", "rows_lost")}
    return {
        "Live": told({"live": FLAG}),
        "Ready": told({"ready": FLAG}),
        "Status": taken({"version": TEXT, "deployments": many(OBJECT), "ledger": OBJECT}),
        "Shipped": told(ledger),
    }


def _answered() -> Schema:
    """Return what an answer tells of itself where its door's own form has no place for it."""
    required = {"model": TEXT, "version": WHOLE, "route": ref("Route"), "form": TEXT, "request": TEXT}
    return told({**required, "prediction_ids": many(TEXT)}, ignored=many(TEXT))


def _problem(*more: str) -> dict[str, Schema]:
    """Return the members of a problem (RFC 9457), and further texts, by name."""
    texts = ("type", "title", "detail", "code", "what", "why", "next_step", *more)
    return {**{name: TEXT for name in texts}, "status": WHOLE, "context": OBJECT}
