"""The Open Inference Protocol, version 2, over REST: what a request says, and how an answer is told.

One input tensor a raw column, of the shape `[n]` or `[n, 1]`; `null` is a missing value. Datetimes travel as ISO 8601 texts
in `BYTES`. Tensors that the model does not know are passed over, and named in the answer's `parameters.ignored`.

`parameters` of a request: `ids` (the caller's prediction ids, one a row: what labels will name), `time` (event time, ISO 8601,
of all rows or one a row), `key` (what routes the request; the same key always meets the same version).

A body with the tokens `NaN` or `Infinity`, which JSON does not have but Python's own encoder writes, is read all the same;
columns of floats take them.

Binary tensors: the header `Inference-Header-Content-Length` is the length of the JSON, and the bytes of each tensor with
`parameters.binary_data_size` follow in order (see `tensors`). Outputs come so where `binary_data` asks for it, or
`binary_data_output` for all.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import msgspec
import orjson
from numpy.typing import NDArray

from modelyard.core import Problem, missing
from modelyard.data.cell import Cell
from modelyard.gateway.calls import Ask, Call, in_utc
from modelyard.gateway.routes import Layout
from modelyard.gateway.tensors import DATATYPES, datatype_of, from_bytes, name_of, to_bytes
from modelyard.prepare.values import InputColumn, ValueKind
from modelyard.serving.infer import LoadedVersion

WHOLE = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
FLOATS = frozenset({"FP16", "FP32", "FP64"})
NUMBERS = WHOLE | FLOATS

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
MOST_LAYOUTS = 64  # kept for one target


class Tensor(msgspec.Struct, gc=False):
    """One named column of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] = []
    parameters: dict[str, Any] | None = None


class Wanted(msgspec.Struct):
    """One output that the caller asks for."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct):
    """The body of an infer request."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[Wanted] | None = None


Arrays: TypeAlias = Mapping[int, NDArray[Any] | list[str]]  # by the place of their tensor in the request

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


def with_binary(body: bytes, header_bytes: int) -> tuple[InferRequest, Arrays]:
    """Return the request whose JSON is the first `header_bytes` of the body, and its binary tensors.

    Raises
    ------
    Problem
        `request.invalid` when the lengths do not come out even, `tensor.invalid` for bytes that are no values.
    """
    if not 0 <= header_bytes <= len(body):
        raise _invalid("The body is shorter than its header", f"Inference-Header-Content-Length says {header_bytes}")
    request = decode(body[:header_bytes])
    rest = memoryview(body)[header_bytes:]
    arrays: dict[int, NDArray[Any] | list[str]] = {}
    for place, tensor in enumerate(request.inputs):
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None:
            continue
        if not isinstance(size, int) or not 0 <= size <= len(rest):
            raise _wrong(tensor, f"says binary_data_size {size!r}", f"{len(rest)} bytes are left of the body")
        arrays[place] = from_bytes(tensor.name, tensor.datatype, rest[:size])
        rest = rest[size:]
    if rest:
        raise _invalid("The body has bytes that no tensor claims", f"{len(rest)} are left")
    return request, arrays


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


def check_datatypes(tensors: Mapping[str, Tensor], kinds: Mapping[str, ValueKind]) -> None:
    """Return when every tensor has a datatype that its column takes. Problem `tensor.invalid`."""
    for name, kind in kinds.items():
        tensor = tensors.get(name)
        if tensor is not None and tensor.datatype not in TAKEN[kind]:
            taken = ", ".join(sorted(TAKEN[kind]))
            why = f"the column takes {kind.value}, as one of {taken}"
            raise _wrong(tensor, f"has the datatype {tensor.datatype}", why)


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


def event_times(request: InferRequest, rows: int) -> list[datetime] | None:
    """Return each row's event time in UTC, as `parameters.time` tells it; None when it does not. Without an offset: UTC.

    Raises
    ------
    Problem
        `request.invalid` when it is neither an ISO 8601 text nor one for each row.
    """
    given = (request.parameters or {}).get("time")
    if given is None:
        return None
    texts = given if isinstance(given, list) else [given] * rows
    try:
        times = [in_utc(datetime.fromisoformat(text)) for text in texts]
    except (TypeError, ValueError, OverflowError) as error:
        raise _invalid("The event time is not usable", f"parameters.time: {error}") from error
    if len(times) != rows:
        raise _invalid("The event times are not usable", f"parameters.time holds {len(times)} for {rows} rows")
    return times


def read(ask: Ask, body: bytes, header_bytes: int | None = None) -> Call:
    """Return the call that a body asks for; `header_bytes` is the length of its JSON part where binary tensors follow.

    Raises
    ------
    Problem
        `request.invalid`, `tensor.invalid`, and what routing raises.
    """
    if header_bytes is None:
        return call_of(ask, decode(body))
    return call_of(ask, *with_binary(body, header_bytes))


def call_of(ask: Ask, request: InferRequest, arrays: Arrays = MappingProxyType({})) -> Call:
    """Return the call that a request is; `arrays` are those of its tensors that came as bytes. Raises as `read` does."""
    request_id = request.id or ask.id
    loaded, route = ask.target.route(request_key(request, request_id), ask.pinned)
    if loaded.is_direct:
        taken = _tensors(ask, request, arrays, loaded)
    else:
        for place, values in arrays.items():
            request.inputs[place].data = values if isinstance(values, list) else values.tolist()
        taken = _columns(ask, request, loaded)
    count = taken.rows
    told = request.parameters is not None
    return Call(
        ask=ask,
        loaded=loaded,
        route=route,
        request=request_id,
        ids=prediction_ids(request, request_id, count),
        columns=taken.columns,
        rows=loaded.batch(taken.columns, taken.shapes),
        shapes=taken.shapes,
        times=event_times(request, count) if told else None,
        ignored=taken.ignored,
        wanted=_wanted(request, loaded.outputs) if request.outputs else None,
        binary=_binary_outputs(request, loaded.outputs) if told or request.outputs else frozenset(),
    )


class _Taken(NamedTuple):
    """The inputs of a request as a version is given them: its own where all are there, and those of shadows."""

    columns: Mapping[str, Any]
    rows: int
    ignored: Sequence[str]
    shapes: Mapping[str, Sequence[int]] = MappingProxyType({})


def _tensors(ask: Ask, request: InferRequest, arrays: Arrays, loaded: LoadedVersion) -> _Taken:
    """Return the tensors of a request to a version that takes tensors; what they hold, the version checks."""
    given = {tensor.name: tensor for tensor in request.inputs}
    if len(given) < len(request.inputs):
        twice = next(tensor for tensor in request.inputs if given[tensor.name] is not tensor)
        raise _wrong(twice, "comes twice", "each input is sent once")
    if not given:
        raise _invalid("The request has no inputs", "each input of the model is one tensor")
    first = request.inputs[0]
    for tensor in request.inputs:
        if tensor.datatype not in DATATYPES:
            raise _wrong(tensor, f"has the datatype {tensor.datatype[:40]!r}", f"known are {', '.join(sorted(DATATYPES))}")
        if not tensor.shape or tensor.shape[:1] != first.shape[:1]:
            why = "the first number of a shape is that of the rows, the same for all inputs"
            raise _wrong(tensor, f"has the shape {tensor.shape[:8]}", why)
    if first.shape[0] < 1:
        raise _wrong(first, "has no rows", "there is nothing to answer")
    ignored = [name for name in given if name not in loaded.columns and name not in ask.target.beside]
    kept = {tensor.name: (place, tensor) for place, tensor in enumerate(request.inputs) if tensor.name not in ignored}
    columns = {name: arrays.get(place, tensor.data) for name, (place, tensor) in kept.items()}
    for place, tensor in enumerate(request.inputs):
        values = len(arrays.get(place, tensor.data))
        if values < first.shape[0]:  # also of what is passed over: something is made for each row that a shape names
            raise _wrong(tensor, f"has {values} values", f"its shape {str(tensor.shape)[:40]} says more")
    return _Taken(columns, first.shape[0], ignored, {name: tensor.shape for name, (_, tensor) in kept.items()})


def _columns(ask: Ask, request: InferRequest, loaded: LoadedVersion) -> _Taken:
    """Return the columns of a request to a version that takes raw columns.

    Callers send one layout again and again: one that was found good is kept with the target, and only what may differ from
    request to request is looked at then.
    """
    inputs = request.inputs
    names = tuple([tensor.name for tensor in inputs])
    key = loaded.served.version, names, tuple([tensor.datatype for tensor in inputs])
    known = ask.target.layouts.get(key)
    if known is not None:
        values = [tensor.data for tensor in inputs]
        count = len(values[0])
        shape = [count]
        if count and all([tensor.shape == shape and len(tensor.data) == count for tensor in inputs]):
            return _Taken(known.columns(values), count, known.ignored)
    tensors, count = columns_of(request)
    check_datatypes(tensors, loaded.kinds)
    beside = ask.target.beside
    ignored = tuple(name for name in names if name not in loaded.columns and name not in beside)
    wanted = [*loaded.columns, *(name for name in names if name in beside and name not in loaded.columns)]
    if not loaded.columns.keys() <= tensors.keys():
        return _Taken({name: tensor.data for name, tensor in tensors.items()}, count, ignored)
    if len(ask.target.layouts) < MOST_LAYOUTS:
        ask.target.layouts[key] = Layout(tuple((name, names.index(name)) for name in wanted), ignored)
    return _Taken({name: tensors[name].data for name in wanted}, count, ignored)


def write(call: Call) -> tuple[bytes, int | None]:
    """Return the body of an answer, and the length of its JSON where binary tensors follow. Raises the call's problem."""
    tensors: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for name, values in call.told().items():
        tensor: dict[str, Any] = {"name": name, "shape": values.shape, "datatype": datatype_of(values)}
        if name in call.binary:
            binary.append(to_bytes(values))
            tensor["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            tensor["data"] = (values if values.ndim == 1 else values.ravel()).tolist()
        tensors.append(tensor)
    parameters: dict[str, Any] = {"prediction_ids": call.ids, "route": call.route, "form": call.loaded.served.form}
    if call.ignored:
        parameters["ignored"] = call.ignored
    document = {
        "model_name": call.ask.target.served.name,
        "model_version": str(call.loaded.served.version),
        "id": call.request,
        "outputs": tensors,
        "parameters": parameters,
    }
    told = orjson.dumps(document)
    return (told, None) if not binary else (b"".join([told, *binary]), len(told))


def _wanted(request: InferRequest, outputs: Sequence[str]) -> list[str] | None:
    if not request.outputs:
        return None
    for one in request.outputs:
        if one.name not in outputs:
            raise missing("output", one.name[:100], outputs, "GET /v2/models/NAME")
    return [one.name for one in request.outputs]


def _binary_outputs(request: InferRequest, outputs: Sequence[str]) -> frozenset[str]:
    every = bool((request.parameters or {}).get("binary_data_output"))
    if request.outputs is None:
        return frozenset(outputs) if every else frozenset()
    return frozenset(one.name for one in request.outputs if (one.parameters or {}).get("binary_data", every))


def model_document(name: str, versions: Sequence[int], loaded: LoadedVersion) -> dict[str, Any]:
    """Return a model's metadata."""
    signature = loaded.served.signature
    if loaded.is_direct:
        inputs = [_of_cell(column.name, column.dtype) for column in signature.inputs]
    else:
        inputs = [{"name": one.name, "datatype": column_datatype(one), "shape": [-1]} for one in loaded.columns.values()]
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": loaded.served.framework,
        "inputs": inputs,
        "outputs": [_of_cell(column.name, column.dtype) for column in signature.outputs],
    }


def _of_cell(name: str, dtype: str) -> dict[str, Any]:
    cell = Cell.parse(dtype)
    shape = [-1, *(-1 if size is None else size for size in cell.shape)]
    return {"name": name, "datatype": name_of(cell.numpy), "shape": shape}


def column_datatype(column: InputColumn) -> str:
    """Return the protocol's own type of a column.

    >>> column_datatype(InputColumn("hour", "Int64")), column_datatype(InputColumn("at", "Datetime[UTC]"))
    ('INT64', 'BYTES')
    """
    return "FP32" if column.is_single else GIVEN[column.kind]


def _wrong(tensor: Tensor, what: str, why: str) -> Problem:
    step = "see the inputs: GET /v2/models/NAME"
    return Problem("tensor.invalid", f"The input '{tensor.name[:100]}' {what}", why, step, {"column": tensor.name[:100]})


def _invalid(what: str, why: str) -> Problem:
    step = 'send {"inputs": [{"name": …, "shape": [n], "datatype": …, "data": […]}, …]}'
    return Problem("request.invalid", what, why, step)
