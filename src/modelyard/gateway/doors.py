"""What the HTTP doors beside the Open Inference Protocol's own share: how one is asked, and what it may ask of the gateway.

A door turns bytes into a `Call` and a call into bytes, and tells a problem in the form that its own clients know. It does not
infer, and it does not know who may ask: the route table does.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Protocol, TypeAlias, TypeVar

from modelyard.core import Problem, TraceContext
from modelyard.gateway.calls import Ask, Call
from modelyard.gateway.http import Receive, Reply
from modelyard.gateway.routes import Found, RouteTable

LONGEST_IDS = 4096  # bytes of the header that names the predictions

T = TypeVar("T")
Reading: TypeAlias = tuple[Call, Callable[[Call], T]]  # what a request asks, and how its answer is told


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, its body not read yet."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    receive: Receive
    begun: float  # `perf_counter` when its first byte was seen


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a caller may say in headers where the door's bodies have no place for it."""

    key: str | None = None  # `Modelyard-Key`: the same key always meets the same version
    ids: tuple[str, ...] | None = None  # `Modelyard-Prediction-Ids`: the caller's, one a row, with commas between

    @staticmethod
    def of(headers: Mapping[bytes, bytes]) -> "Wishes":
        """Return those of a request."""
        key, ids = headers.get(b"modelyard-key"), headers.get(b"modelyard-prediction-ids")
        return Wishes(
            None if key is None else key.decode("latin-1"),
            None if ids is None else tuple(one.strip() for one in ids.decode("latin-1").split(",")),
        )


NO_WISHES = Wishes()


def timeout_of(headers: Mapping[bytes, bytes]) -> float:
    """Return how many seconds a caller waits, by the header `Modelyard-Timeout-Ms`; without it: any time.

    Raises
    ------
    Problem
        `request.invalid` for what is no whole number above 0.
    """
    told = headers.get(b"modelyard-timeout-ms")
    if told is None:
        return inf
    if not told.isdigit() or not int(told):
        why = "Modelyard-Timeout-Ms is a whole number of milliseconds, above 0"
        raise Problem("request.invalid", f"The timeout {told[:20].decode('latin-1')!r} is not usable", why)
    return int(told) / 1000


def trace_of(headers: Mapping[bytes, bytes]) -> TraceContext | None:
    """Return the trace that a request belongs to; None where nobody traces it."""
    told = headers.get(b"traceparent")
    if told is None:
        return None
    return TraceContext.parse(told.decode("latin-1"), headers.get(b"tracestate", b"").decode("latin-1"))


def traced(reply: Reply, ask: Ask) -> Reply:
    """Return a reply that tells the caller the trace it belongs to, where it belongs to one."""
    if ask.trace is None:
        return reply
    return replace(reply, headers=(*reply.headers, (b"traceparent", ask.trace.traceparent.encode())))


class Inside(Protocol):
    """What a door may ask of the gateway."""

    @property
    def table(self) -> RouteTable:
        """The targets of this moment."""
        ...

    async def body(self, request: Request) -> bytes:
        """Return a request's body, within its limit."""
        ...

    def ask(self, found: Found, begun: float, timeout_s: float = inf, trace: TraceContext | None = None) -> Ask:
        """Return who asks whom, with an id for the request, how long they wait at most, and the trace it belongs to."""
        ...

    async def answer(self, ask: Ask, size: int, read: "Callable[[], Reading[T]]") -> T | Problem:
        """Read a request of `size` bytes, answer its rows and tell it; or return what was wrong with it, counted."""
        ...

    def failed(self, problem: Problem) -> None:
        """Count a request that found no model."""
        ...


@dataclass(frozen=True)
class Door:
    """One way of asking."""

    answer: Callable[[Inside, Request], Awaitable[Reply]]
    refuse: Callable[[Problem], Reply]


def call_headers(call: Call) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that tell of an answer what the door's own form has no place for.

    The predictions' ids are left out where they take more than 4 KiB: the body has them in any case.
    """
    headers = [
        (b"modelyard-model-version", str(call.loaded.served.version).encode()),
        (b"modelyard-route", call.route.encode()),
        (b"modelyard-request-id", call.request.encode()),
    ]
    ids = ",".join(call.ids)
    if len(ids) <= LONGEST_IDS:
        headers.append((b"modelyard-prediction-ids", ids.encode()))
    return tuple(headers)


def rows_told(call: Call) -> list[Any]:
    """Return the answers by row: values of the only output, else records. Raises the call's problem."""
    answers = {name: values.tolist() for name, values in call.told().items()}
    if len(answers) == 1:
        [told] = answers.values()
        return list(told)
    return [dict(zip(answers, row, strict=True)) for row in zip(*answers.values(), strict=True)]


def call_document(call: Call) -> dict[str, Any]:
    """Return the same for the body, as its member `modelyard`."""
    document: dict[str, Any] = {
        "model": call.ask.target.served.name,
        "version": call.loaded.served.version,
        "route": call.route,
        "form": call.loaded.served.form,
        "request": call.request,
        "prediction_ids": call.ids,
    }
    return document | {"ignored": call.ignored} if call.ignored else document
