"""The gateway's own OpenAPI document: true to the protocol, and what a running gateway does, asked by Schemathesis."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from modelyard.gateway.oip import InferRequest, Tensor, Wanted
from modelyard.gateway.openapi import PATH, document
from tests.gateway import doors
from tests.gateway.packages import flights
from tests.gateway.world import TOKEN, World

EXAMPLES = 25  # of each operation, each once good and once not
CHECKS: list[CheckFunction] = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    response_headers_conformance,
]  # fmt: skip
OPERATIONS = [(path, method) for path, methods in document()["paths"].items() for method in methods]
ASKED = [
    (path, method, mode)
    for path, method in OPERATIONS
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or document()["paths"][path][method].get("parameters")  # else nothing could be wrong
]
Cases = Callable[[str, str, GenerationMode], SearchStrategy[schemathesis.Case[Any]]]


KNOWN = {
    "model": "delay", "version": "1", "Modelyard-Project": "flights", "Modelyard-Model": "delay",
    "Modelyard-Timeout-Ms": 10_000, "Modelyard-Prediction-Ids": "mine",
}  # fmt: skip
BINARY = "Inference-Header-Content-Length"


def of_this_world(world: World, *, good_alone: bool) -> dict[str, Any]:
    """Return the document with the names that this gateway knows; with `good_alone` its bodies are some that it answers."""
    found = deepcopy(document())
    forms = found["components"]["schemas"]
    records = doors.records(world, flights(1))
    good = {
        "InferRequest": [world.body(flights(1)), world.body(flights(1), id="mine", outputs=[{"name": "probability"}])],
        "MlflowRequest": [
            {"dataframe_records": records},
            {"inputs": doors.turned(records)},
            {"dataframe_split": doors.split(records)},
        ],
        "PredictRequest": [{"instances": records}, {"inputs": doors.turned(records)}],
    }
    forms["InputTensor"]["properties"]["name"] = {"enum": [one["name"] for one in world.body(flights(1))["inputs"]]}
    if good_alone:
        forms |= {name: {"enum": bodies} for name, bodies in good.items()}
    for methods in found["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in KNOWN:
                    parameter["schema"] = {"enum": [KNOWN[parameter["name"]]]}
    return found


@pytest.fixture(scope="module")
def cases(shared: World) -> Cases:
    """Return what makes the cases of an operation: those of the document, and as many good ones in good mode."""
    any_, good = (schemathesis.openapi.from_dict(of_this_world(shared, good_alone=alone)) for alone in (False, True))

    def made(path: str, method: str, mode: GenerationMode) -> SearchStrategy[schemathesis.Case[Any]]:
        found = any_[path][method].as_strategy(mode)
        return found | good[path][method].as_strategy(mode) if mode is GenerationMode.POSITIVE else found

    return made


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.trust_env = False
        yield opened


@pytest.mark.parametrize(("path", "method", "mode"), ASKED)
def test_what_is_asked_by_the_document_is_answered_by_it(
    shared: World,
    cases: Cases,
    session: requests.Session,
    path: str,
    method: str,
    mode: GenerationMode,
) -> None:
    statuses: set[int] = set()

    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=cases(path, method, mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        if mode is GenerationMode.POSITIVE and case.headers:
            case.headers.pop(BINARY, None)  # no body here has bytes behind its JSON
        response = case.call(base_url=shared.url, session=session, headers={"authorization": f"Bearer {TOKEN}"})
        case.validate_response(response, checks=CHECKS)
        statuses.add(response.status_code)

    ask()
    assert mode is GenerationMode.NEGATIVE or 200 in statuses


def test_what_asks_for_a_token_does_so(shared: World, session: requests.Session) -> None:
    for path, method in OPERATIONS:
        operation = document()["paths"][path][method]
        told = session.request(method, shared.url + path.format(**KNOWN), json={})
        assert (told.status_code == 401) == (operation.get("security", [{}]) != []), (path, told.status_code)


def test_the_document_is_served_to_everybody(shared: World, session: requests.Session) -> None:
    told = session.get(shared.url + PATH)
    assert (told.status_code, told.json()) == (200, document())
    assert session.get(f"{shared.url}/v2/").json() == session.get(f"{shared.url}/v2").json()


# The protocol's own document (open_inference_rest.yaml, version 2.0): of each form its members, and those that must be there.
PROTOCOL: dict[str, tuple[set[str], set[str]]] = {
    "ServerMetadata": ({"name", "version", "extensions"}, {"name", "version", "extensions"}),
    "ModelMetadata": ({"name", "versions", "platform", "inputs", "outputs"}, {"name", "platform"}),
    "TensorMetadata": ({"name", "datatype", "shape"}, {"name", "datatype", "shape"}),
    "InferRequest": ({"id", "parameters", "inputs", "outputs"}, {"inputs"}),
    "InputTensor": ({"name", "shape", "datatype", "parameters", "data"}, {"name", "shape", "datatype", "data"}),
    "WantedOutput": ({"name", "parameters"}, {"name"}),
    "OutputTensor": ({"name", "shape", "datatype", "parameters", "data"}, {"name", "shape", "datatype", "data"}),
    "InferResponse": ({"model_name", "model_version", "id", "parameters", "outputs"}, {"model_name", "outputs"}),
}
TAKEN = {"InferRequest", "InputTensor", "WantedOutput"}
DATATYPES = {
    "BOOL",
    "BYTES",
    *(f"{kind}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)),
    "FP16",
    "FP32",
    "FP64",
}


@pytest.mark.parametrize("name", PROTOCOL)
def test_the_document_agrees_with_the_protocol(name: str) -> None:
    form = document()["components"]["schemas"][name]
    members, required = PROTOCOL[name]
    if name in TAKEN:  # whatever the protocol lets a client send is taken; the binary extension sends no data
        assert members == set(form["properties"])
        assert set(form["required"]) == required - {"data"}
    else:  # whatever the protocol promises a client is told
        assert required <= set(form["required"])
        assert set(form["properties"]) <= members
    assert set(document()["components"]["schemas"]["Datatype"]["enum"]) == DATATYPES


@pytest.mark.parametrize(("name", "kind"), [("InferRequest", InferRequest), ("InputTensor", Tensor), ("WantedOutput", Wanted)])
def test_the_document_agrees_with_what_is_decoded(name: str, kind: type[msgspec.Struct]) -> None:
    form = document()["components"]["schemas"][name]
    fields = msgspec.structs.fields(kind)
    assert {field.name for field in fields} == set(form["properties"])
    assert {field.name for field in fields if field.required} == set(form["required"])


def test_every_path_of_the_protocol_is_there() -> None:
    served = set(document()["paths"])
    places = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
    of_models = {place + verb for place in places for verb in ("", "/ready", "/infer")}
    assert {"/v2", "/v2/health/live", "/v2/health/ready", *of_models} <= served
