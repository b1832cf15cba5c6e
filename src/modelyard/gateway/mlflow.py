"""The door of MLflow's scoring server: `/invocations`, `/ping`, `/health`, `/version`, as `mlflow models serve` answers them.

MLflow's server has one model, this gateway many. So each path stands below `/mlflow/[PROJECT/]NAME`, a base address that its
clients take; at the bare paths the header `Modelyard-Model: [PROJECT/]NAME` names the model, or it is the only one that the
token may ask. The token travels as `Authorization: Bearer`, or as the password of `Basic`, which is what a client that is told
`http://token:SECRET@HOST` makes of it. The bare `/ping`, `/health` and `/version` are open.

A body is JSON with one of `dataframe_split`, `dataframe_records`, `instances`, `inputs`, or CSV with a line of names. What a
record lacks is missing, as in a data frame; so are null, NaN and `NaT`, and in CSV an empty field and, but in columns of text,
pandas' words for it: a text `NA` stays one, here as in JSON. Values without names (tensors) fit a model with one input alone.

`params` are passed over, and named in the answer's `modelyard.ignored`. `predictions` is a list of numbers, or of records where
the model has several outputs; errors have MLflow's `error_code` and `message`.
"""

import csv
from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import StringIO
from typing import Any

import orjson

from modelyard.core import Problem, ProblemKind
from modelyard.gateway.calls import Ask, Call
from modelyard.gateway.doors import (
    NO_WISHES,
    Door,
    Inside,
    Request,
    Wishes,
    call_document,
    call_headers,
    rows_told,
    timeout_of,
    trace_of,
    traced,
)
from modelyard.gateway.http import JSON, Reply, refusal
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
from modelyard.gateway.routes import MODELS, Found, RouteTable
from modelyard.prepare.values import TEMPORAL, ValueKind
from modelyard.serving.infer import LoadedVersion
from modelyard.version import __version__
from modelyard.wiring.statuses import kind_of, problem_document

PREFIX = "/mlflow/"
INVOCATIONS = "/invocations"
LOOKS = ("/ping", "/health", "/version")
CSV = "text/csv"
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
CODES: Mapping[ProblemKind, str] = {
    ProblemKind.INVALID: "BAD_REQUEST",
    ProblemKind.UNAUTHENTICATED: "UNAUTHENTICATED",
    ProblemKind.FORBIDDEN: "PERMISSION_DENIED",
    ProblemKind.MISSING: "RESOURCE_DOES_NOT_EXIST",
    ProblemKind.DROPPED: "RESOURCE_DOES_NOT_EXIST",
    ProblemKind.EXISTS: "ALREADY_EXISTS",
    ProblemKind.CONFLICT: "RESOURCE_CONFLICT",
    ProblemKind.REFUSED: "RESOURCE_CONFLICT",
    ProblemKind.TOO_LARGE: "BAD_REQUEST",
    ProblemKind.LIMITED: "REQUEST_LIMIT_EXCEEDED",
    ProblemKind.FAILED: "INTERNAL_ERROR",
    ProblemKind.UNAVAILABLE: "TEMPORARILY_UNAVAILABLE",
    ProblemKind.TIMEOUT: "DEADLINE_EXCEEDED",
}
MISSING_WORDS = frozenset({"NA", "N/A", "n/a", "<NA>", "null", "NULL", "None", "NaT", "#N/A", "#NA", "-NaN", "-nan"})
NUMBERS = frozenset({ValueKind.NUMBER, ValueKind.INTEGER})
_TRUTHS: Mapping[str, bool] = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_STEP = 'send {"dataframe_split": {"columns": […], "data": [[…], …]}}'


async def answer(inside: Inside, request: Request) -> Reply:
    """Answer one request. Raises Problem."""
    base, slash, verb = request.path.rpartition("/")
    verb = slash + verb
    if request.method != ("POST" if verb == INVOCATIONS else "GET"):
        step = "POST to …/invocations, GET …/ping, …/health and …/version"
        raise Problem("method.invalid", f"{request.path[:100]} does not take {request.method}", "", step)
    if verb in LOOKS and not base:
        return _look(verb, inside.table.position >= 0)
    if verb not in (INVOCATIONS, *LOOKS):
        raise Problem("path.missing", f"There is no path {request.path[:100]}", "", f"POST to {PREFIX}NAME{INVOCATIONS}")
    found = find(inside.table, base, request.headers)
    if verb in LOOKS:
        return _look(verb, ready=True)
    read = _content(request.headers)
    if isinstance(read, Reply):
        return read
    wishes = Wishes.of(request.headers)
    ask = inside.ask(found, request.begun, timeout_of(request.headers), trace_of(request.headers))
    body = await inside.body(request)
    told = await inside.answer(ask, len(body), lambda: (read(ask, body, wishes), write))
    return traced(refuse(told) if isinstance(told, Problem) else told, ask)


def find(table: RouteTable, base: str, headers: Mapping[bytes, bytes]) -> Found:
    """Return whom a request asks: by its path, by the header `Modelyard-Model`, or the only one that its token may ask.

    Raises
    ------
    Problem
        What resolving raises, and `model.conflict` when nothing says which of several is meant.
    """
    authorization = _bearer(headers.get(b"authorization"))
    project = headers.get(b"modelyard-project")
    named = base[len(PREFIX) :] if base else headers.get(b"modelyard-model", b"").decode("latin-1")
    if base or named:
        return table.resolve(f"{MODELS}{named}/infer", authorization, project)
    _, allowed = table.admit(authorization)
    wanted = None if project is None else project.decode("latin-1")
    mine = [key for key, target in table.targets.items() if target.served.project in allowed and wanted in (None, key[0])]
    if len(mine) != 1:
        why = f"the token may ask {len(mine)} models" + ("" if wanted is None else f" of the project '{wanted[:70]}'")
        step = f"POST to {PREFIX}NAME{INVOCATIONS}, or send the header Modelyard-Model"
        models = ["/".join(key) for key in mine]
        raise Problem("model.conflict", "Nothing says which model is meant", why, step, {"models": models})
    return table.resolve(f"{MODELS}{'/'.join(mine[0])}/infer", authorization, None)


def refuse(problem: Problem) -> Reply:
    """Return a problem as MLflow tells it, by `error_code` and `message`. Our own members stand beside them."""
    document = problem_document(problem)
    return refusal(problem, {"error_code": CODES[kind_of(problem)], "message": document["detail"], **document}, JSON)


DOOR = Door(answer, refuse)


def read_json(ask: Ask, body: bytes, wishes: Wishes = NO_WISHES) -> Call:
    """Return the call that a JSON body asks for.

    Raises
    ------
    Problem
        `request.invalid`.
    """
    document = read_object(body)
    given = [form for form in FORMS if form in document]
    if len(given) != 1:
        why = f"it has {' and '.join(given) or 'none of them'}"
        raise invalid(f"The body needs exactly one of {', '.join(FORMS)}", why, _STEP)
    [form] = given
    loaded, route = routed(ask, wishes)
    columns = _READ[form](document[form], loaded)
    for name, kind in kinds_of(loaded).items():
        if kind in TEMPORAL and "NaT" in columns.get(name, ()):
            columns[name] = [None if value == "NaT" else value for value in columns[name]]
    return call_of(ask, loaded, route, columns, [name for name in document if name != form], wishes.ids)


def read_csv(ask: Ask, body: bytes, wishes: Wishes = NO_WISHES) -> Call:
    """Return the call that a body of CSV asks for; its first line names the columns.

    Raises
    ------
    Problem
        `request.invalid`.
    """
    try:
        lines = [line for line in csv.reader(StringIO(body.decode("utf-8-sig"), newline=""), strict=True) if line]
    except (csv.Error, UnicodeDecodeError) as error:
        raise invalid("The body is no CSV", str(error)) from error
    if not lines:
        raise invalid("The body is no CSV", "it is empty; its first line names the columns")
    names, *rows = lines
    loaded, route = routed(ask, wishes)
    columns = _from_rows(names, rows, "The CSV")
    for name, kind in kinds_of(loaded).items():
        if name in columns:
            columns[name] = [_field(kind, text) for text in columns[name]]
    return call_of(ask, loaded, route, columns, ids=wishes.ids)


def write(call: Call) -> Reply:
    """Return an answer. Raises the call's problem."""
    return Reply(
        200, orjson.dumps({"predictions": rows_told(call), "modelyard": call_document(call)}), JSON, call_headers(call)
    )


def _split(value: object, loaded: LoadedVersion) -> dict[str, list[Any]]:
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        raise invalid("'dataframe_split' is no object with a list of rows", "its rows are its member 'data'", _STEP)
    strange = value.keys() - {"columns", "index", "data"}
    if strange:
        raise invalid("'dataframe_split' has members that it does not know", ", ".join(sorted(strange))[:100], _STEP)
    rows = value["data"]
    if not all(isinstance(row, list) for row in rows):
        raise invalid("'dataframe_split' has rows that are no lists", "each row of 'data' is a list of values", _STEP)
    names = value.get("columns")
    if names is None:
        return of_one_input(rows, loaded, "'dataframe_split'")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise invalid("'dataframe_split' does not name its columns", "'columns' is a list of texts", _STEP)
    return _from_rows(names, rows, "'dataframe_split'")


def _records(value: object, _loaded: LoadedVersion) -> dict[str, list[Any]]:
    return from_records(value, "'dataframe_records'", sparse=True)


def _instances(value: object, loaded: LoadedVersion) -> dict[str, list[Any]]:
    if isinstance(value, list) and value and not isinstance(value[0], dict):
        return of_one_input(value, loaded, "'instances'")
    return from_records(value, "'instances'", sparse=True)


def _inputs(value: object, loaded: LoadedVersion) -> dict[str, list[Any]]:
    if not isinstance(value, list):
        return from_columns(value, "'inputs'")
    if value and isinstance(value[0], dict):
        return from_records(value, "'inputs'", sparse=True)
    return of_one_input(value, loaded, "'inputs'")


_READ: Mapping[str, Callable[[object, LoadedVersion], dict[str, list[Any]]]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _instances,
    "inputs": _inputs,
}


def _from_rows(names: list[str], rows: list[list[Any]], where: str) -> dict[str, list[Any]]:
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise invalid(f"{where} names the column '{twice[:100]}' twice", "each column is named once")
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise invalid(f"Row {number} of {where} has {len(row)} values", f"{len(names)} columns are named")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) if rows else {}


def _field(kind: ValueKind, text: str) -> object:
    """Return what a field of CSV says; what it cannot say in this kind of column stays text, and is refused by name later.

    >>> _field(ValueKind.INTEGER, "55.0"), _field(ValueKind.NUMBER, "NA"), _field(ValueKind.TEXT, "NA")
    (55.0, None, 'NA')
    """
    if not text or (text in MISSING_WORDS and kind is not ValueKind.TEXT):
        return None
    if kind is ValueKind.BOOLEAN:
        return _TRUTHS.get(text, text)
    if kind in NUMBERS and text.isascii() and "_" not in text:
        for read in (int, float):
            with suppress(ValueError):
                return read(text)
    return text


def _content(headers: Mapping[bytes, bytes]) -> Callable[[Ask, bytes, Wishes], Call] | Reply:
    """Return what reads a body of this type, or the refusal of it as MLflow words it."""
    told = headers.get(b"content-type", JSON).decode("latin-1").lower()
    kind, *parameters = (part.strip() for part in told.split(";"))
    if parameters and parameters != ["charset=utf-8"]:
        return Reply(
            415, f"The scoring server only supports UTF-8; {'; '.join(parameters)[:100]} was told".encode(), b"text/plain"
        )
    if kind == CSV:
        return read_csv
    if kind == JSON.decode():
        return read_json
    why = f"This predictor only supports the following content types: {JSON.decode()}, {CSV}. Got '{told[:100]}'."
    return Reply(415, why.encode(), b"text/plain")


def _look(verb: str, ready: bool) -> Reply:
    if verb == "/version":
        return Reply(200, __version__.encode(), JSON)
    return Reply(200 if ready else 404, b"\n", JSON)


def _bearer(authorization: bytes | None) -> bytes | None:
    """Return the header as the route table takes it: of `Basic`, the password is the token."""
    scheme, _, told = (authorization or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return authorization
    try:
        return b"Bearer " + b64decode(told, validate=True).partition(b":")[2]
    except ValueError:
        return authorization
