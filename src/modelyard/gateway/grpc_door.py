"""The Open Inference Protocol, version 2, over gRPC, on a port of its own and the gateway's own loop. Needs `modelyard[grpc]`.

ServerLive, ServerReady and ServerMetadata are open, and so is gRPC's own health service; ModelReady, ModelMetadata and
ModelInfer ask for the metadata `authorization: Bearer TOKEN`. A model is `NAME` or `PROJECT/NAME`; the project may also stand
in the metadata `modelyard-project`.

Columns, parameters and answers are those of the REST door (see `oip`). Tensors come as `contents` or as `raw_input_contents`,
and are told in the manner in which they came. Parameters hold no lists here: `ids` and `time`, one a row, are the text of a
JSON list, and so are the answer's `prediction_ids` and `ignored`. Missing is NaN in tensors of floats; other datatypes have no
word for it.

A problem is told by one table from kinds to gRPC's codes; the trailing metadata has `modelyard-code`, and all of it as JSON in
`modelyard-problem-bin`. Requests over the body limit are refused by gRPC itself, RESOURCE_EXHAUSTED, and compressed ones too.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from math import ceil, inf
from time import perf_counter
from typing import Any, Final

import grpc
import grpc.aio
import msgspec
import orjson
from google.protobuf.message import DecodeError

from modelyard.core import Problem, ProblemKind
from modelyard.core.traces import TRACEPARENT
from modelyard.gateway.calls import Ask, Call
from modelyard.gateway.doors import Inside, Reading, trace_of
from modelyard.gateway.grpc_health import Health
from modelyard.gateway.http import retry_after_s
from modelyard.gateway.messages import CONTENTS, SERVICE, message_classes
from modelyard.gateway.oip import Arrays, InferRequest, Tensor, Wanted, call_of, model_document
from modelyard.gateway.routes import MODELS, Found
from modelyard.gateway.tensors import TEXT, datatype_of, from_bytes, read_texts, to_bytes
from modelyard.version import __version__
from modelyard.wiring.statuses import kind_of, problem_document

log = logging.getLogger(__name__)

CODES: Final[Mapping[ProblemKind, grpc.StatusCode]] = {
    ProblemKind.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    ProblemKind.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    ProblemKind.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    ProblemKind.MISSING: grpc.StatusCode.NOT_FOUND,
    ProblemKind.DROPPED: grpc.StatusCode.NOT_FOUND,
    ProblemKind.EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    ProblemKind.CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    ProblemKind.REFUSED: grpc.StatusCode.FAILED_PRECONDITION,
    ProblemKind.TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ProblemKind.LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ProblemKind.FAILED: grpc.StatusCode.INTERNAL,
    ProblemKind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ProblemKind.TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
}
IDENTITY_ONLY = 1  # a bit set of compressions: a small message must not become a large one here
MOST_AT_ONCE = 2_048  # requests; more are refused, RESOURCE_EXHAUSTED
AGE_MS = 60_000  # of a connection where several gateways share the port: its client opens another, with any of them
IDLE_MS = 120_000  # a connection on which nothing is asked is closed; clients open another by themselves
LONGEST_TEXT = 500  # characters; clients take 8 KiB of metadata, and one character may become nine bytes there
LONGEST_PROBLEM = 2_000  # bytes

MESSAGES: Final = message_classes()
_Answer = Callable[[Any, Any], Awaitable[Any]]


class GrpcDoor:
    """The server. It belongs to the loop on which it is started."""

    def __init__(self, inside: Inside, body_limit: int, *, shared: bool = False) -> None:
        self._inside = inside
        options = (
            ("grpc.max_receive_message_length", body_limit),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", int(shared)),  # with other replicas
            ("grpc.compression_enabled_algorithms_bitset", IDENTITY_ONLY),
            ("grpc.max_connection_idle_ms", IDLE_MS),
            *((("grpc.max_connection_age_ms", AGE_MS),) if shared else ()),
        )
        self._server = grpc.aio.server(options=options, maximum_concurrent_rpcs=MOST_AT_ONCE)
        self._health = Health(lambda: inside.table.position >= 0)
        service = grpc.method_handlers_generic_handler(SERVICE, self._handlers())
        self._server.add_generic_rpc_handlers((service, self._health.handler()))

    async def start(self, host: str, port: int) -> str:
        """Listen, and return the address; port 0 is a free one. Problem `port.unavailable`."""
        shown = f"[{host}]" if ":" in host else host
        try:
            bound = self._server.add_insecure_port(f"{shown}:{port}")
        except RuntimeError as error:
            step = "name another one: --grpc-port"
            raise Problem("port.unavailable", f"{shown}:{port} cannot be listened on", str(error)[:200], step) from error
        await self._server.start()
        return f"{shown}:{bound}"

    async def stop(self, grace_s: float) -> None:
        """Take no more, and end when what is open is answered, or after `grace_s`."""
        self._health.end()
        await self._server.stop(grace_s)

    def _handlers(self) -> dict[str, Any]:
        methods: dict[str, _Answer] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._infer,
        }
        return {
            name: grpc.unary_unary_rpc_method_handler(
                partial(self._told, method, f"{name}Request"),
                response_serializer=MESSAGES[f"{name}Response"].SerializeToString,
            )
            for name, method in methods.items()
        }

    async def _told(self, method: _Answer, kind: str, content: bytes, context: Any) -> Any:
        """Answer a message of a kind by a method, and tell its problem as gRPC tells it."""
        try:
            told = await method(parsed(kind, content), context)
        except Problem as problem:
            told = problem
            if method == self._infer:
                self._inside.failed(problem)
        except Exception as error:
            log.exception("gRPC")
            told = Problem("gateway.failed", "The gateway made a mistake", type(error).__name__, "see its log")
        if isinstance(told, Problem):
            trailing = (*context.trailing_metadata(), *trailing_metadata(told))
            await context.abort(CODES[kind_of(told)], str(told)[:LONGEST_TEXT], trailing)
        return told

    async def _live(self, _message: Any, _context: Any) -> Any:
        return MESSAGES["ServerLiveResponse"](live=True)

    async def _ready(self, _message: Any, _context: Any) -> Any:
        return MESSAGES["ServerReadyResponse"](ready=self._inside.table.position >= 0)

    async def _server_metadata(self, _message: Any, _context: Any) -> Any:
        return MESSAGES["ServerMetadataResponse"](name="modelyard", version=__version__, extensions=[])

    async def _model_ready(self, message: Any, context: Any) -> Any:
        self._find(message.name, message.version, _headers(context))
        return MESSAGES["ModelReadyResponse"](ready=True)

    async def _model_metadata(self, message: Any, context: Any) -> Any:
        found = self._find(message.name, message.version, _headers(context))
        target = found.target
        loaded = target.live if found.pinned is None else target.versions[found.pinned]
        return MESSAGES["ModelMetadataResponse"](**model_document(target.served.name, sorted(target.versions), loaded))

    async def _infer(self, message: Any, context: Any) -> Any:
        begun = perf_counter()
        left_s = context.time_remaining()
        headers = _headers(context)
        found = self._find(message.model_name, message.model_version, headers)
        ask = self._inside.ask(found, begun, inf if left_s is None else left_s, trace_of(headers))
        told = await self._inside.answer(ask, message.ByteSize(), lambda: read(ask, message))
        if ask.trace is not None:
            context.set_trailing_metadata(((TRACEPARENT, ask.trace.traceparent),))
        return told

    def _find(self, name: str, version: str, headers: Mapping[bytes, bytes]) -> Found:
        path = f"{MODELS}{name}/versions/{version}" if version else f"{MODELS}{name}"
        return self._inside.table.resolve(f"{path}/infer", headers.get(b"authorization"), headers.get(b"modelyard-project"))


def _headers(context: Any) -> dict[bytes, bytes]:
    """Return a call's metadata as HTTP has it."""
    return {key.encode(): value.encode() for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def parsed(kind: str, content: bytes) -> Any:
    """Return the message that bytes are. Problem `request.invalid`."""
    try:
        return MESSAGES[kind].FromString(content)
    except DecodeError as error:
        raise Problem("request.invalid", f"The message is no {kind}", str(error)) from error


def read(ask: Ask, message: Any) -> Reading[Any]:
    """Return the call that a ModelInferRequest asks for, and how its answer is told.

    Raises
    ------
    Problem
        `request.invalid`, `tensor.invalid`, `output.missing`, and what routing raises.
    """
    return call_of(ask, *request_of(message)), write_raw if message.raw_input_contents else write_contents


def request_of(message: Any) -> tuple[InferRequest, Arrays]:
    """Return what a ModelInferRequest says, as the protocol's REST form has it, and its raw tensors.

    Raises
    ------
    Problem
        `request.invalid`, `tensor.invalid`.
    """
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        why = f"there are {len(raw)} raw_input_contents for {len(message.inputs)} inputs"
        raise Problem("request.invalid", "The raw contents do not fit the inputs", why, "send all inputs raw, or none")
    told = [(tensor.name, list(tensor.shape), tensor.datatype) for tensor in message.inputs]
    arrays = {place: from_bytes(told[place][0], told[place][2], content) for place, content in enumerate(raw)}
    data = [[] if raw else _contents(tensor) for tensor in message.inputs]
    request = InferRequest(
        inputs=[Tensor(*one, values) for one, values in zip(told, data, strict=True)],
        id=message.id or None,
        parameters=_parameters(message.parameters),
        outputs=[Wanted(one.name) for one in message.outputs] or None,
    )
    return request, arrays


def write_raw(call: Call) -> Any:
    """Return a ModelInferResponse with its answers as bytes. Raises the call's problem."""
    response = _response(call)
    for name, values in call.told().items():
        response.outputs.add(name=name, datatype=datatype_of(values), shape=values.shape)
        response.raw_output_contents.append(to_bytes(values))
    return response


def write_contents(call: Call) -> Any:
    """Return a ModelInferResponse with its answers as contents. Raises the call's problem."""
    response = _response(call)
    for name, values in call.told().items():
        datatype = datatype_of(values)
        output = response.outputs.add(name=name, datatype=datatype, shape=values.shape)
        flat = values.ravel().tolist()
        if datatype == TEXT:
            flat = [str(value).encode() for value in flat]
        getattr(output.contents, CONTENTS[datatype]).extend(flat)
    return response


def trailing_metadata(problem: Problem) -> tuple[tuple[str, str | bytes], ...]:
    """Return a problem for the trailing metadata; what is long of it is left out there."""
    document = problem_document(problem)
    told = orjson.dumps(document, default=str)
    if len(told) > LONGEST_PROBLEM:
        told = orjson.dumps({part: str(document[part])[:LONGEST_TEXT] for part in ("code", "what", "next_step")})
    found: list[tuple[str, str | bytes]] = [("modelyard-code", problem.code)]
    if len(told) <= LONGEST_PROBLEM:
        found.append(("modelyard-problem-bin", told))
    if problem.kind is ProblemKind.LIMITED:
        found.append(("grpc-retry-pushback-ms", str(ceil(1000 * retry_after_s(problem)))))  # what gRPC's own retries wait for
    return tuple(found)


def _response(call: Call) -> Any:
    response = MESSAGES["ModelInferResponse"](
        model_name=call.ask.target.served.name, model_version=str(call.loaded.served.version), id=call.request
    )
    told = {"route": call.route, "form": call.loaded.served.form, "prediction_ids": orjson.dumps(call.ids).decode()}
    if call.ignored:
        told["ignored"] = orjson.dumps(call.ignored).decode()
    for name, value in told.items():
        response.parameters[name].string_param = value
    return response


def _contents(tensor: Any) -> list[Any]:
    field = CONTENTS.get(tensor.datatype)
    if field is None:
        return list(from_bytes(tensor.name, tensor.datatype, b""))  # refuses what is no datatype
    values = list(getattr(tensor.contents, field))
    return read_texts(tensor.name, values) if tensor.datatype == TEXT else values


def _parameters(told: Any) -> dict[str, Any] | None:
    """Return parameters as REST has them: `ids` and `time` may be the text of a JSON list."""
    if not told:
        return None
    values = {name: getattr(value, value.WhichOneof("parameter_choice") or "", None) for name, value in told.items()}
    for name in ("ids", "time"):
        value = values.get(name)
        if isinstance(value, str) and value.startswith("["):
            try:
                values[name] = msgspec.json.decode(value)
            except msgspec.DecodeError as error:
                raise Problem("request.invalid", f"The parameter '{name}' is no JSON list", str(error)) from error
    return values
