"""TensorFlow Serving's REST shape, as TensorFlow Serving's own documentation has it (`api_rest`).

`POST /v1/models/NAME[/versions/N]:predict` with `instances` (a list of records) or `inputs` (an object of columns);
`GET /v1/models/NAME[/versions/N]` for what can be asked, and `/metadata` below it for inputs and outputs. A model with one
input takes bare values. One output is told bare, several by name.

Clients of TensorFlow Serving are told an address and a model's name, and put the name into the path as it is. So a project may
stand in the name, `PROJECT/NAME`; clients that can send headers may say `Modelyard-Project` instead. The token travels as
`Authorization: Bearer`.

`signature_name` is `serving_default`, or left out. Texts may come as `{"b64": …}`. Labels, `:classify` and `:regress` are not
here. The answer has a further member `modelyard` with version, route and prediction ids; headers have them too.
"""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.core import Problem, missing
from modelyard.gateway.calls import Ask, Call
from modelyard.gateway.doors import (
    NO_WISHES,
    Door,
    Inside,
    Reading,
    Request,
    Wishes,
    call_document,
    call_headers,
    rows_told,
    timeout_of,
    trace_of,
    traced,
)
from modelyard.gateway.http import JSON, Reply, json_reply, refusal
from modelyard.gateway.json_rows import (
    call_of,
    from_columns,
    from_records,
    invalid,
    kinds_of,
    of_one_input,
    read_object,
    routed,
)
from modelyard.gateway.oip import model_document
from modelyard.gateway.routes import MODELS, Found
from modelyard.prepare.values import TEMPORAL, ValueKind
from modelyard.serving.infer import LoadedVersion
from modelyard.wiring.statuses import problem_document

PREFIX = "/v1/models/"
PREDICT = ":predict"
METADATA = "/metadata"
SIGNATURE = "serving_default"
TYPES: Mapping[str, str] = {  # by the Open Inference Protocol's own
    "BOOL": "DT_BOOL",
    "INT8": "DT_INT8",
    "INT16": "DT_INT16",
    "INT32": "DT_INT32",
    "INT64": "DT_INT64",
    "UINT8": "DT_UINT8",
    "UINT16": "DT_UINT16",
    "UINT32": "DT_UINT32",
    "UINT64": "DT_UINT64",
    "FP16": "DT_HALF",
    "FP32": "DT_FLOAT",
    "FP64": "DT_DOUBLE",
    "BYTES": "DT_STRING",
}
_STEP = 'send {"instances": [{"column": value, …}, …]} or {"inputs": {"column": [value, …], …}}'


async def answer(inside: Inside, request: Request) -> Reply:
    """Answer one request. Raises Problem."""
    named, verb = _parts(request.path)
    if request.method != ("POST" if verb == PREDICT else "GET"):
        why = "GET to look, POST to …:predict"
        raise Problem("method.invalid", f"{request.path[:100]} does not take {request.method}", "", why)
    headers = request.headers
    path = f"{MODELS}{named}/infer" if verb == PREDICT else MODELS + named
    found = inside.table.resolve(path, headers.get(b"authorization"), headers.get(b"modelyard-project"))
    if verb == METADATA:
        return json_reply(metadata_document(found))
    if verb != PREDICT:
        return json_reply(status_document(found))
    ask = inside.ask(found, request.begun, timeout_of(headers), trace_of(headers))
    body = await inside.body(request)
    told = await inside.answer(ask, len(body), lambda: read(ask, body, Wishes.of(headers)))
    return traced(refuse(told) if isinstance(told, Problem) else told, ask)


def refuse(problem: Problem) -> Reply:
    """Return a problem as TensorFlow Serving tells it: its text under `error`. Our own members stand beside it."""
    document = problem_document(problem)
    return refusal(problem, {"error": document["detail"], **document}, JSON)


DOOR = Door(answer, refuse)


def read(ask: Ask, body: bytes, wishes: Wishes = NO_WISHES) -> Reading[Reply]:
    """Return the call that a body asks for, and how its answer is told.

    Raises
    ------
    Problem
        `request.invalid`, `signature.missing`.
    """
    document = read_object(body)
    given = [name for name in ("instances", "inputs") if name in document]
    if len(given) != 1:
        raise invalid("The body needs either 'instances' or 'inputs'", f"it has {' and '.join(given) or 'none of them'}", _STEP)
    signature = document.get("signature_name")
    if signature not in (None, "", SIGNATURE):
        raise missing("signature", str(signature)[:100], [SIGNATURE])
    loaded, route = routed(ask, wishes)
    [where] = given
    rows = document[where]
    if isinstance(rows, list) and rows and not isinstance(rows[0], dict):
        columns = of_one_input(rows, loaded, f"'{where}'")
    elif where == "instances":
        columns = from_records(rows, "'instances'", sparse=False)
    else:
        columns = from_columns(rows, "'inputs'")
    ignored = [name for name in document if name not in (where, "signature_name")]
    call = call_of(ask, loaded, route, _texts(columns, loaded), ignored, wishes.ids)
    return call, by_row if where == "instances" else by_column


def by_row(call: Call) -> Reply:
    """Return the answer to `instances`. Raises the call's problem."""
    return _reply(call, {"predictions": rows_told(call)})


def by_column(call: Call) -> Reply:
    """Return the answer to `inputs`. Raises the call's problem."""
    answers = {name: values.tolist() for name, values in call.told().items()}
    return _reply(call, {"outputs": next(iter(answers.values())) if len(answers) == 1 else answers})


def status_document(found: Found) -> dict[str, Any]:
    """Return which versions answer."""
    fine = {"error_code": "OK", "error_message": ""}
    versions = found.target.versions if found.pinned is None else (found.pinned,)
    states = [{"version": str(version), "state": "AVAILABLE", "status": fine} for version in sorted(versions, reverse=True)]
    return {"model_version_status": states}


def metadata_document(found: Found) -> dict[str, Any]:
    """Return inputs and outputs."""
    target = found.target
    loaded = target.live if found.pinned is None else target.versions[found.pinned]
    told = model_document(target.served.name, (), loaded)
    inputs, outputs = ({one["name"]: _tensor(one) for one in told[part]} for part in ("inputs", "outputs"))
    signature = {"inputs": inputs, "outputs": outputs, "method_name": "tensorflow/serving/predict"}
    return {
        "model_spec": {"name": target.served.name, "signature_name": "", "version": str(loaded.served.version)},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }


def _parts(path: str) -> tuple[str, str]:
    """Return what a path names, and what it asks for.

    >>> _parts("/v1/models/flights/delay/versions/3:predict")
    ('flights/delay/versions/3', ':predict')
    """
    rest = path[len(PREFIX) :]
    for verb in (PREDICT, METADATA):
        if rest.endswith(verb):
            return rest[: -len(verb)], verb
    if ":" in rest:
        raise missing("path", path[:100], [f"{PREFIX}NAME:predict"])
    return rest, ""


def _tensor(told: Mapping[str, Any]) -> dict[str, Any]:
    shape = {"dim": [{"size": str(size), "name": ""} for size in told["shape"]], "unknown_rank": False}
    return {"name": told["name"], "dtype": TYPES[told["datatype"]], "tensor_shape": shape}


def _texts(columns: Mapping[str, list[Any]], loaded: LoadedVersion) -> dict[str, list[Any]]:
    """Return the columns with texts that came in Base64 as what they say."""
    texts = {name for name, kind in kinds_of(loaded).items() if kind is ValueKind.TEXT or kind in TEMPORAL}
    return {name: [_text(name, value) for value in values] if name in texts else values for name, values in columns.items()}


def _text(name: str, value: object) -> object:
    if not (isinstance(value, dict) and value.keys() == {"b64"}):
        return value
    try:
        return b64decode(value["b64"], validate=True).decode()
    except (TypeError, ValueError) as error:
        raise invalid(f"A value of '{name[:100]}' is no text in Base64", str(error)) from error


def _reply(call: Call, document: dict[str, Any]) -> Reply:
    return Reply(200, orjson.dumps({**document, "modelyard": call_document(call)}), JSON, call_headers(call))
