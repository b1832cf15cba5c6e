"""The Open Inference Protocol, version 2, in JSON: what a request says, and how an answer is told.

One input tensor a raw column, of the shape `[n]` or `[n, 1]`; `null` is a missing value. Datetimes travel as ISO 8601 texts
in `BYTES`. Tensors that the model does not know are passed over, and named in the answer's `parameters.ignored`.

`parameters` of a request: `ids` (the caller's prediction ids, one a row: what labels will name), `time` (event time, ISO 8601,
of all rows or one a row), `key` (what routes the request; the same key always meets the same version).

A body with the tokens `NaN` or `Infinity`, which JSON does not have but Python's own encoder writes, is read all the same;
columns of floats take them.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import orjson

from modelyard.core import Problem
from modelyard.prepare.inputs import coerce
from modelyard.prepare.values import InputColumn, ValueKind
from modelyard.serving.infer import Answers, LoadedVersion

WHOLE = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
FLOATS = frozenset({"FP16", "FP32", "FP64"})
NUMBERS = WHOLE | FLOATS
DATATYPES = NUMBERS | {"BOOL", "BYTES"}

TAKEN: Mapping[ValueKind, frozenset[str]] = {
    ValueKind.NUMBER: NUMBERS,
    ValueKind.INTEGER: NUMBERS,
    ValueKind.BOOLEAN: frozenset({"BOOL"}),
    ValueKind.TEXT: frozenset({"BYTES"}),
    ValueKind.DATE: frozenset({"BYTES"}),
    ValueKind.DATETIME: frozenset({"BYTES"}),
}
GIVEN: Mapping[ValueKind, str] = {
    ValueKind.NUMBER: "FP64",
    ValueKind.INTEGER: "INT64",
    ValueKind.BOOLEAN: "BOOL",
    ValueKind.TEXT: "BYTES",
    ValueKind.DATE: "BYTES",
    ValueKind.DATETIME: "BYTES",
}

_COLUMN_DIMENSIONS = 2
_LONGEST_ID = 200


class Tensor(msgspec.Struct, gc=False):
    """One named column of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct):
    """The body of an infer request."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[Any] | None = None


_decoder = msgspec.json.Decoder(InferRequest)


def decode(body: bytes) -> InferRequest:
    """Return the request that `body` holds.

    Raises
    ------
    Problem
        `request.invalid` for what is no JSON, no UTF-8 or no infer request, saying where.
    """
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid("The body is no infer request", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if isinstance(error, msgspec.DecodeError) and (b"NaN" in body or b"Infinity" in body):
            return _decode_loosely(body, error)
        raise _invalid("The body is no JSON", str(error)) from error


def _decode_loosely(body: bytes, first: Exception) -> InferRequest:
    try:
        document = json.loads(body)
        orjson.dumps(document)  # refuses lone surrogates, which the strict decoder would have refused
        return msgspec.convert(document, InferRequest)
    except msgspec.ValidationError as error:
        raise _invalid("The body is no infer request", str(error)) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise _invalid("The body is no JSON", str(first)) from error


def columns_of(request: InferRequest) -> tuple[dict[str, Tensor], int]:
    """Return the tensors by name, each checked for shape and datatype and with flat data, and the number of rows.

    Raises
    ------
    Problem
        `request.invalid` when there is none, `tensor.invalid` otherwise.
    """
    if not request.inputs:
        raise _invalid("The request has no inputs", "each raw column is one input tensor")
    tensors: dict[str, Tensor] = {}
    for tensor in request.inputs:
        if tensor.name in tensors:
            raise _wrong(tensor, "comes twice", "each raw column is sent once")
        _check_form(tensor)
        tensors[tensor.name] = tensor
    first = request.inputs[0]
    for tensor in request.inputs:
        if len(tensor.data) != len(first.data):
            why = f"'{first.name}' has {len(first.data)}"
            raise _wrong(tensor, f"has {len(tensor.data)} rows", f"{why}; all columns have equally many")
    if not first.data:
        raise _wrong(first, "has no rows", "there is nothing to answer")
    return tensors, len(first.data)


def _check_form(tensor: Tensor) -> None:
    if tensor.datatype not in DATATYPES:
        raise _wrong(tensor, f"has the datatype {tensor.datatype[:40]!r}", f"known are {', '.join(sorted(DATATYPES))}")
    shape = tensor.shape
    single = len(shape) == 1 or (len(shape) == _COLUMN_DIMENSIONS and shape[1] == 1)
    if not single or shape[0] < 0:
        raise _wrong(tensor, f"has the shape {shape[:5]}", "a column has the shape [n] or [n, 1]")
    if len(shape) == _COLUMN_DIMENSIONS and tensor.data and isinstance(tensor.data[0], list):
        if any(not isinstance(row, list) or len(row) != 1 for row in tensor.data):
            raise _wrong(tensor, "has uneven data", "nested rows of the shape [n, 1] hold one value each")
        tensor.data = [row[0] for row in tensor.data]
    if shape[0] != len(tensor.data):
        raise _wrong(tensor, f"has {len(tensor.data)} values", f"its shape {shape} says {shape[0]}")


def rows_of(tensors: Mapping[str, Tensor], kinds: Mapping[str, ValueKind]) -> list[dict[str, Any]]:
    """Return the raw rows that the tensors hold, known columns only.

    A column that lacks its tensor is left out: the pipeline says which one it misses, and what was given instead.

    Raises
    ------
    Problem
        `tensor.invalid` where a tensor has a datatype that its column does not take.
    """
    if not kinds.keys() <= tensors.keys():
        return [dict(zip(tensors, row, strict=True)) for row in zip(*(one.data for one in tensors.values()), strict=True)]
    data = []
    for name, kind in kinds.items():
        tensor = tensors[name]
        if tensor.datatype not in TAKEN[kind]:
            taken = ", ".join(sorted(TAKEN[kind]))
            why = f"the column takes {kind.value}, as one of {taken}"
            raise _wrong(tensor, f"has the datatype {tensor.datatype}", why)
        data.append(tensor.data)
    return [dict(zip(kinds, row, strict=True)) for row in zip(*data, strict=True)]


def prediction_ids(request: InferRequest, request_id: str, rows: int) -> list[str]:
    """Return the id of each row's prediction: the caller's, else the request's id and the row's number.

    Raises
    ------
    Problem
        `request.invalid` when the caller's ids are not one distinct text a row.
    """
    given = (request.parameters or {}).get("ids")
    if given is None:
        return [f"{request_id}-{row}" for row in range(rows)]
    usable = isinstance(given, list) and all(isinstance(one, str) and 0 < len(one) <= _LONGEST_ID for one in given)
    if not usable or len(given) != rows or len(set(given)) != rows:
        raise _invalid(
            "The prediction ids are not usable", f"parameters.ids holds one distinct text for each of the {rows} rows"
        )
    return list(given)


def request_key(request: InferRequest, request_id: str) -> str:
    """Return what routes the request: `parameters.key`, else the only prediction id, else the request's own id."""
    parameters = request.parameters or {}
    key = parameters.get("key")
    if key is not None:
        if not isinstance(key, str):
            raise _invalid("The routing key is not usable", "parameters.key is a text")
        return key
    ids = parameters.get("ids")
    if isinstance(ids, list) and len(ids) == 1:
        return str(ids[0])
    return request_id


def event_times(
    request: InferRequest, column: InputColumn | None, rows: Sequence[Mapping[str, Any]], now: datetime
) -> list[datetime]:
    """Return each row's event time: `parameters.time`, else the deployment's time column, else now. Without an offset: UTC.

    Raises
    ------
    Problem
        `request.invalid` when `parameters.time` is neither an ISO 8601 text nor one for each row.
    """
    given = (request.parameters or {}).get("time")
    if given is None:
        if column is None:
            return [now] * len(rows)
        read = coerce(column)
        return [now if value is None else _utc(value) for value in (read(row[column.name]) for row in rows)]
    texts = given if isinstance(given, list) else [given] * len(rows)
    try:
        times = [_utc(datetime.fromisoformat(text)) for text in texts]
    except (TypeError, ValueError, OverflowError) as error:
        raise _invalid("The event time is not usable", f"parameters.time: {error}") from error
    if len(times) != len(rows):
        raise _invalid("The event times are not usable", f"parameters.time holds {len(times)} for {len(rows)} rows")
    return times


def _utc(value: object) -> datetime:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    assert isinstance(value, date)  # noqa: S101 - a deployment's time column holds dates or datetimes
    return datetime(value.year, value.month, value.day, tzinfo=UTC)


def answer_document(
    name: str, loaded: LoadedVersion, request_id: str, answers: Answers, parameters: Mapping[str, Any]
) -> bytes:
    """Return the body of an answer."""
    rows = len(answers)
    columns = [answers] if answers.ndim == 1 else list(answers.T)
    tensors = [
        {"name": output, "shape": [rows], "datatype": "FP64", "data": values.tolist()}
        for output, values in zip(loaded.outputs, columns, strict=True)
    ]
    document = {
        "model_name": name,
        "model_version": str(loaded.served.version),
        "id": request_id,
        "outputs": tensors,
        "parameters": parameters,
    }
    return orjson.dumps(document)


def model_document(name: str, versions: Sequence[int], loaded: LoadedVersion) -> dict[str, Any]:
    """Return a model's metadata."""
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": loaded.served.framework,
        "inputs": [{"name": one.name, "datatype": datatype_of(one), "shape": [-1]} for one in loaded.columns.values()],
        "outputs": [{"name": output, "datatype": "FP64", "shape": [-1]} for output in loaded.outputs],
    }


def datatype_of(column: InputColumn) -> str:
    """Return the protocol's own type of a column.

    >>> datatype_of(InputColumn("hour", "Int64")), datatype_of(InputColumn("at", "Datetime[UTC]"))
    ('INT64', 'BYTES')
    """
    return "FP32" if column.is_single else GIVEN[column.kind]


def _wrong(tensor: Tensor, what: str, why: str) -> Problem:
    step = "see the inputs: GET /v2/models/NAME"
    return Problem("tensor.invalid", f"The input '{tensor.name[:100]}' {what}", why, step, {"column": tensor.name[:100]})


def _invalid(what: str, why: str) -> Problem:
    step = 'send {"inputs": [{"name": …, "shape": [n], "datatype": …, "data": […]}, …]}'
    return Problem("request.invalid", what, why, step)
