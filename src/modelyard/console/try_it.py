"""Try it: a form made from what a deployment takes, filled with its newest prediction, answered by the gateway."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import polars as pl
from fastapi import APIRouter
from fastapi.responses import Response

from modelyard.console.frame import Frame, base_of, frame_of, show
from modelyard.console.rendering import PageRoute, page
from modelyard.console.visits import Fields, InProject, Visit
from modelyard.core import PageRequest, Problem
from modelyard.data import Column
from modelyard.data.cell import Cell
from modelyard.registry.service import get_version
from modelyard.serving import Deployment
from modelyard.serving.ledger import INPUT_PREFIX, read_ledger
from modelyard.serving.rules import live_version
from modelyard.serving.service import get_deployment, latest_revision, revisions
from modelyard.wiring.cookie import COOKIE

router = APIRouter(prefix="/projects/{project}/serve", route_class=PageRoute, include_in_schema=False)
FIELD = "input."
TIMEOUT_S = 30.0
_DATATYPES = {"Int": "INT64", "UInt": "INT64", "Float": "FP64", "Boolean": "BOOL"}  # by how the dtype begins; others: BYTES


@dataclass(frozen=True)
class Input:
    """One field of the form."""

    name: str
    dtype: str
    value: str


@dataclass(frozen=True)
class Told:
    """What the gateway said."""

    outputs: tuple[tuple[str, str], ...]
    version: str
    route: str
    form: str
    prediction: str
    milliseconds: float


@dataclass(frozen=True)
class TryPage:
    """The context of the page."""

    frame: Frame
    deployment: Deployment
    href: str
    version: int
    inputs: tuple[Input, ...]
    told: Told | None
    problem: Problem | None
    gateway: str | None


def build_try(visit: Visit, name: str, given: Mapping[str, str] | None = None) -> TryPage:
    """Return the context: an empty form, or with `given` values what they came to."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    deployment = get_deployment(platform, actor, project, name)
    version = live_version(latest_revision(platform, actor, project, name))
    signature = get_version(platform, actor, project, f"{deployment.model}@{version}").signature
    values = given if given is not None else _newest(visit, name)
    inputs = tuple(Input(one.name, one.dtype, values.get(one.name, "")) for one in signature.inputs)
    gateway: str | None = visit.request.app.state.doors.gateway
    told, problem = None, None
    if given is not None:
        try:
            told = _asked(visit, gateway, name, signature.inputs, given)
        except Problem as found:
            problem = found
    frame = frame_of(visit, "Serve", f"Try {name}")
    href = f"{base_of(visit.project)}/serve/{quote(name, safe='')}"
    return TryPage(frame, deployment, href, version, inputs, told, problem, gateway)


def body_of(columns: Sequence[Column], given: Mapping[str, str]) -> dict[str, Any]:
    """Return the request that a form asks; an empty field is a missing value.

    Raises
    ------
    Problem
        `input.invalid` for a text in a number's field.
    """
    tensors = []
    for column in columns:
        text = given.get(column.name, "").strip()
        if column.dtype.startswith("Array["):
            tensors.append(_array(column, text))
            continue
        datatype = next((kind for start, kind in _DATATYPES.items() if column.dtype.startswith(start)), "BYTES")
        tensors.append({"name": column.name, "shape": [1], "datatype": datatype, "data": [_value(column.name, datatype, text)]})
    return {"inputs": tensors}


def _array(column: Column, text: str) -> dict[str, Any]:
    cell = Cell.parse(column.dtype)
    datatype = next((kind for start, kind in _DATATYPES.items() if cell.element.startswith(start)), "BYTES")
    try:
        values = np.array(json.loads(text))
    except ValueError as error:
        why = f"{column.dtype} is written as a JSON list"
        raise Problem("input.invalid", f"'{column.name}' is no array", why, "[0.5, 1, …]") from error
    return {"name": column.name, "shape": [1, *values.shape], "datatype": datatype, "data": values.ravel().tolist()}


def _value(name: str, datatype: str, text: str) -> object:
    if not text:
        return None
    try:
        if datatype == "INT64":
            return int(text)
        if datatype == "FP64":
            return float(text)
    except ValueError as error:
        raise Problem(
            "input.invalid", f"'{name}' is no number", f"it holds {text[:40]!r}", "leave it empty if unknown"
        ) from error
    if datatype == "BOOL":
        if text.lower() not in ("true", "false"):
            raise Problem("input.invalid", f"'{name}' is neither true nor false", f"it holds {text[:40]!r}", "true or false")
        return text.lower() == "true"
    return text


def _asked(visit: Visit, gateway: str | None, name: str, columns: Sequence[Column], given: Mapping[str, str]) -> Told:
    if gateway is None:
        raise Problem(
            "gateway.missing", "There is no gateway to ask", "the platform runs inside a process", "start it: yard up"
        )
    body = body_of(columns, given)
    url = f"{gateway}/v2/models/{quote(visit.project.name, safe='')}/{quote(name, safe='')}/infer"
    headers = {"authorization": f"Bearer {visit.request.cookies.get(COOKIE, '')}"}
    try:
        answer = httpx.post(url, json=body, headers=headers, timeout=TIMEOUT_S, trust_env=False)
        told = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise Problem("gateway.unavailable", "The gateway does not answer", str(error) or type(error).__name__) from error
    if answer.is_error:
        raise Problem(str(told.get("code", "gateway.failed")), told.get("what", "It was not answered"), told.get("why", ""))
    parameters = told["parameters"]
    return Told(
        outputs=tuple((one["name"], str(one["data"][0] if len(one["data"]) == 1 else one["data"])) for one in told["outputs"]),
        version=told["model_version"],
        route=parameters["route"],
        form=parameters["form"],
        prediction=parameters["prediction_ids"][0],
        milliseconds=answer.elapsed.total_seconds() * 1000,
    )


def _newest(visit: Visit, name: str) -> dict[str, str]:
    """Return the inputs of the newest prediction, as texts."""
    project = visit.project.id
    made = revisions(visit.platform, visit.actor, project, name, PageRequest(limit=1)).items
    rows = read_ledger(visit.platform, project, name)
    newest = rows.sort("answered_at", descending=True).head(1).collect() if made else pl.DataFrame()
    if newest.is_empty():
        return {}
    row = newest.row(0, named=True)
    found = {key.removeprefix(INPUT_PREFIX): value for key, value in row.items() if key.startswith(INPUT_PREFIX)}
    return {key: _text(value) for key, value in found.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return json.dumps(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


@router.get("/{name}/try")
def try_it(visit: InProject, name: str) -> Response:
    """Show the form."""
    return show(visit, "try.html", lambda: build_try(visit, name))


@router.post("/{name}/try")
def tried(visit: InProject, name: str, fields: Fields) -> Response:
    """Ask, and show the answer above the same form."""
    given = {key.removeprefix(FIELD): value for key, value in fields.items() if key.startswith(FIELD)}
    return page("try.html", build_try(visit, name, given))
