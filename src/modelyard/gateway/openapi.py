"""The gateway's own OpenAPI document, `GET /v2/openapi.json`: every path of its HTTP doors, open to everybody.

It says what can be asked of any model; what one model takes is told by its metadata.
"""

from functools import cache
from typing import Any, Final

import orjson

from modelyard.gateway.openapi_schemas import TEXT, Schema, ref, schemas
from modelyard.version import __version__
from modelyard.wiring.statuses import MEDIA_TYPE, STATUSES

PATH: Final = "/v2/openapi.json"
_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"
_BINARY_LENGTH: Final = "Inference-Header-Content-Length"
_TIMEOUT: Final = {"type": "integer", "minimum": 1}
_HEADERS: Final = {  # of every request for predictions
    "Modelyard-Timeout-Ms": "how long the caller waits",
    "Modelyard-Project": "where the name alone does not say it",
    "traceparent": "W3C Trace Context; told again in the answer",
}
_WISHES: Final = {
    "Modelyard-Key": "the same key meets the same version",
    "Modelyard-Prediction-Ids": "the caller's, one a row, with commas between",
}
_ANSWER_HEADERS: Final = ("Modelyard-Model-Version", "Modelyard-Route", "Modelyard-Request-Id", "Modelyard-Prediction-Ids")


@cache
def written() -> bytes:
    """Return the document as JSON."""
    return orjson.dumps(document())


def document() -> dict[str, Any]:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Modelyard: predictions",
            "version": __version__,
            "description": "A model is named by its deployment: NAME, with the header Modelyard-Project or PROJECT/NAME in the "
            "path where several projects of a token have one of that name.",
        },
        "security": [{"token": []}],
        "paths": {**_protocol(), **_mlflow(), **_tensorflow(), **_of_itself()},
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic", "description": "the token as password of any user"},
            },
        },
    }


def _protocol() -> dict[str, Any]:
    open_paths = {
        "/v2": _get("What server this is", ref("ServerMetadata"), is_open=True),
        "/v2/health/live": _get("Whether the process runs", ref("Live"), is_open=True),
        "/v2/health/ready": _get("Whether there is a catalogue", ref("Ready"), is_open=True, unready=ref("Ready")),
    }
    problem = _content(ref("Problem"), MEDIA_TYPE)
    of_model: dict[str, Any] = {}
    for place, parameters in (("/v2/models/{model}", _MODEL), ("/v2/models/{model}/versions/{version}", _VERSION)):
        infer = {
            "summary": "Predict, by the Open Inference Protocol",
            "parameters": [
                *parameters,
                _header(_BINARY_LENGTH, "length of the JSON part", {"type": "integer"}),
                *_heads(_HEADERS),
            ],
            "requestBody": {"required": True, "content": _content(ref("InferRequest"))},
            "responses": {
                "200": _response("The answers", {**_content(ref("InferResponse")), _BYTES: {}}, _BINARY_LENGTH),
                **_problems(problem),
            },
        }
        of_model[place] = _get("Inputs, outputs and versions", ref("ModelMetadata"), parameters, problem)
        of_model[f"{place}/ready"] = _get("Whether it answers", ref("ModelReady"), parameters, problem)
        of_model[f"{place}/infer"] = {"post": infer}
    return {**open_paths, **of_model}


def _mlflow() -> dict[str, Any]:
    problem = _content(ref("MlflowProblem"))
    body = {**_content(ref("MlflowRequest")), **_content(TEXT, "text/csv")}
    named = [_header("Modelyard-Model", "NAME or PROJECT/NAME; may be left out where the token may ask one model alone", TEXT)]
    paths: dict[str, Any] = {}
    for base, parameters in (("", named), ("/mlflow/{model}", _MODEL)):
        paths[f"{base}/invocations"] = {
            "post": {
                "summary": "Predict, as MLflow's scoring server does",
                "security": [{"token": []}, {"password": []}],
                "parameters": [*parameters, *_heads(_HEADERS | _WISHES)],
                "requestBody": {"required": True, "content": body},
                "responses": {
                    "200": _response("The answers", _content(ref("MlflowResponse")), *_ANSWER_HEADERS),
                    "415": _response("Neither JSON nor CSV", _content(TEXT, "text/plain")),
                    **_problems(problem),
                },
            }
        }
        for look, form in (("ping", ""), ("health", ""), ("version", "text")):
            shown = _response("It answers" if not form else "Modelyard's version", {_JSON: {}})
            own = {"404": _response("There is no catalogue yet", {_JSON: {}})} if not base else _problems(problem)
            paths[f"{base}/{look}"] = {
                "get": {
                    "summary": "As MLflow's scoring server has it",
                    "security": [{"token": []}, {"password": []}] if base else [],
                    "parameters": parameters if base else [],
                    "responses": {"200": shown, **own},
                }
            }
    return paths


def _tensorflow() -> dict[str, Any]:
    problem = _content(ref("PredictProblem"))
    paths: dict[str, Any] = {}
    for place, parameters in (("/v1/models/{model}", _MODEL), ("/v1/models/{model}/versions/{version}", _VERSION)):
        paths[place] = _get("Which versions answer", ref("ModelStatus"), parameters, problem)
        paths[f"{place}/metadata"] = _get("Inputs and outputs", ref("ServedMetadata"), parameters, problem)
        paths[f"{place}:predict"] = {
            "post": {
                "summary": "Predict, as TensorFlow Serving does",
                "parameters": [*parameters, *_heads(_HEADERS | _WISHES)],
                "requestBody": {"required": True, "content": _content(ref("PredictRequest"))},
                "responses": {
                    "200": _response("The answers", _content(ref("PredictResponse")), *_ANSWER_HEADERS),
                    **_problems(problem),
                },
            }
        }
    return paths


def _of_itself() -> dict[str, Any]:
    problem = _content(ref("Problem"), MEDIA_TYPE)
    shipped = {"200": _response("What was shipped", _content(ref("Shipped"))), **_problems(problem)}
    return {
        PATH: _get("This document", {"type": "object"}, is_open=True),
        "/v1/status": _get("What is answered for, and how the ledger stands", ref("Status"), problem=problem),
        "/v1/ledger/flush": {"post": {"summary": "Ship the ledger now", "responses": shipped}},
        "/metrics": {
            "get": {
                "summary": "Figures for Prometheus",
                "security": [],
                "responses": {"200": _response("The figures", _content(TEXT, "text/plain"))},
            }
        },
    }


def _get(
    summary: str,
    form: Schema,
    parameters: list[Schema] | None = None,
    problem: dict[str, Any] | None = None,
    *,
    is_open: bool = False,
    unready: Schema | None = None,
) -> dict[str, Any]:
    responses = {"200": _response("As it is now", _content(form)), **({} if problem is None else _problems(problem))}
    if unready is not None:
        responses["503"] = _response("Not yet", _content(unready))
    operation = {"summary": summary, "parameters": parameters or [], "responses": responses}
    return {"get": operation | {"security": []} if is_open else operation}


def _problems(content: dict[str, Any]) -> dict[str, Any]:
    """Return a response for each status by which a problem is told."""
    found: dict[int, list[str]] = {}
    for kind, status in STATUSES.items():
        found.setdefault(status, []).append(kind.value)
    more = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
    return {
        str(status): _response(f"A problem: {', '.join(kinds)}", content, *more.get(status, ()))
        for status, kinds in found.items()
    }


def _response(description: str, content: dict[str, Any], *headers: str) -> dict[str, Any]:
    told = {name: {"schema": TEXT, "required": False} for name in headers}
    return {"description": description, "content": content, **({"headers": told} if told else {})}


def _content(form: Schema, media_type: str = _JSON) -> dict[str, Any]:
    return {media_type: {"schema": form}}


def _heads(headers: dict[str, str]) -> list[Schema]:
    return [_header(name, why, _TIMEOUT if name == "Modelyard-Timeout-Ms" else TEXT) for name, why in headers.items()]


def _header(name: str, why: str, form: Schema) -> Schema:
    return {"name": name, "in": "header", "required": False, "description": why, "schema": form}


def _in_path(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": TEXT}


_MODEL: Final = [_in_path("model")]
_VERSION: Final = [*_MODEL, _in_path("version")]
