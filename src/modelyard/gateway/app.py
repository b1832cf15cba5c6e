"""The gateway's HTTP surface: paths to answers. A bare ASGI callable; every request is answered from one route table.

Open to everybody: `/v2`, `/v2/health/live`, `/v2/health/ready`, `/metrics`. With a token: `/v2/models/[PROJECT/]NAME`, with
`/versions/N`, `/ready` and `/infer`; `/v1/status`; `POST /v1/ledger/flush`. Without PROJECT (in the path or in the header
`Modelyard-Project`) the name is looked for in the projects of the token. What stands under the paths of `DOORS` is answered as
another server would answer it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from math import inf
from time import perf_counter, process_time
from typing import Any, TypeVar

from modelyard.core import Clock, Problem, TraceContext, Tracer, missing
from modelyard.data.features.online import OnlineStore
from modelyard.gateway import mlflow, oip, tfserving
from modelyard.gateway.calls import Ask, Call
from modelyard.gateway.doors import Door, Reading, Request, timeout_of, trace_of, traced
from modelyard.gateway.express import LARGEST
from modelyard.gateway.fullness import USUAL, Full, Fullness, Sample
from modelyard.gateway.http import Gone, Receive, Reply, Scope, Send, json_reply, problem_reply, read_body
from modelyard.gateway.metrics import BUCKETS_S, NOBODY, Metrics
from modelyard.gateway.plane import LONGEST_S, Plane, late
from modelyard.gateway.replicas import Siblings
from modelyard.gateway.reports import ASKED, OPEN, PATHS, Reports
from modelyard.gateway.routes import MODELS, Found, RouteTable, Target
from modelyard.gateway.segments import SegmentWriter
from modelyard.gateway.shipping import Shipper
from modelyard.gateway.spans import end_span

log = logging.getLogger(__name__)

THREADS = 2
MOST_WAITING = 64  # large requests in threads or waiting for one
MOST_WAITING_BYTES = 256 << 20
DOORS: tuple[tuple[str, Door], ...] = (  # by the beginning of the path
    (mlflow.PREFIX, mlflow.DOOR),
    (mlflow.INVOCATIONS, mlflow.DOOR),
    *((path, mlflow.DOOR) for path in mlflow.LOOKS),
    (tfserving.PREFIX, tfserving.DOOR),
)
ASKING = ("/infer", mlflow.INVOCATIONS, tfserving.PREDICT)  # how the paths end that ask for predictions

T = TypeVar("T")


class Gateway:
    """The ASGI callable. `table` is replaced as a whole by the follower; each request takes it once."""

    def __init__(
        self,
        *,
        writer: SegmentWriter,
        shipper: Shipper,
        metrics: Metrics,
        clock: Clock,
        online: Callable[[], OnlineStore],
        boot: str,
        body_limit: int,
        siblings: Siblings | None = None,
        longest_s: float = LONGEST_S,
        tracer: Tracer | None = None,
        full: Full = USUAL,
    ) -> None:
        self.table = RouteTable()
        self._fullness = Fullness(full, BUCKETS_S)
        self.reports = Reports(lambda: self.table, writer, shipper, metrics, self._fullness, siblings)
        self._metrics = metrics
        self._plane = Plane(writer=writer, metrics=metrics, clock=clock, online=online)
        self._longest_s = longest_s
        self._boot = boot
        self._tracer = tracer
        self._numbers = count()
        self._body_limit = body_limit
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="infer")
        self._waiting = 0
        self._waiting_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        begun = perf_counter()
        try:
            reply = await self._reply(scope, receive, begun)
        except Gone:
            return
        except Problem as problem:
            reply = _refusal(scope["path"], problem)
            if scope["path"].endswith(ASKING):
                self._metrics.failed(NOBODY, problem)
        except Exception as error:
            reply = _refusal(scope["path"], _mistake(error, f"{scope['method']} {scope['path']}"))
        await reply.send(send)

    async def _reply(self, scope: Scope, receive: Receive, begun: float) -> Reply:
        path: str = scope["path"]
        if path.startswith(MODELS):
            return await self._models(scope, receive, path, begun)
        door = _door(path)
        if door is not None:
            return await door.answer(self, Request(scope["method"], path, dict(scope["headers"]), receive, begun))
        answer = OPEN.get((scope["method"], path))
        if answer is not None:
            return answer(self.reports)
        asked = ASKED.get((scope["method"], path))
        if asked is not None:
            report, guarded = asked
            authorization = dict(scope["headers"]).get(b"authorization")
            if guarded:
                self.table.admit(authorization)
            return await asyncio.to_thread(report, self.reports, authorization, scope.get("query_string", b""))
        if path in PATHS:
            raise _no_method(scope["method"], path)
        raise _no_path(path)

    async def _models(self, scope: Scope, receive: Receive, path: str, begun: float) -> Reply:
        headers = dict(scope["headers"])
        found = self.table.resolve(path, headers.get(b"authorization"), headers.get(b"modelyard-project"))
        target = found.target
        if scope["method"] != ("POST" if found.verb == "infer" else "GET"):
            raise _no_method(scope["method"], path)
        if found.verb == "ready":
            return json_reply({"name": target.served.name, "ready": True})
        if found.verb != "infer":
            return json_reply(_metadata(target, found.pinned))
        ask = self.ask(found, begun, timeout_of(headers), trace_of(headers))
        body = await read_body(headers, receive, self._body_limit)
        told = await self.answer(ask, len(body), lambda: (oip.read(ask, body, _header_bytes(headers)), _told))
        return _reply_of(told, ask)

    def express(
        self, path: str, headers: Mapping[bytes, bytes], body: bytes, begun: float, then: Callable[[Reply], None]
    ) -> None:
        """Answer a small infer request of the Open Inference Protocol; `then` is called with the reply, now or later."""
        try:
            found = self.table.resolve(path, headers.get(b"authorization"), headers.get(b"modelyard-project"))
            ask = self.ask(found, begun, timeout_of(headers), trace_of(headers))
        except Problem as problem:
            self._metrics.failed(NOBODY, problem)
            then(problem_reply(problem))
            return
        self.take(ask, lambda: (oip.read(ask, body, _header_bytes(headers)), _told), lambda told: then(_reply_of(told, ask)))

    def ask(self, found: Found, begun: float, timeout_s: float = inf, trace: TraceContext | None = None) -> Ask:
        """Return who asks whom, with an id for the request, how long they wait at most, and the trace it belongs to."""
        deadline = begun + min(timeout_s, self._longest_s)
        number = f"{self._boot}-{next(self._numbers):x}"
        span = None
        if self._tracer is not None:
            span = self._tracer.begin(f"infer {found.target.served.name}", trace, begun)
            trace = span.context
        return Ask(found.target, found.pinned, found.caller, number, begun, deadline, found.allowance, trace, span)

    async def body(self, request: Request) -> bytes:
        """Return a request's body. Raises as `read_body` does."""
        return await read_body(request.headers, request.receive, self._body_limit)

    async def answer(self, ask: Ask, size: int, read: Callable[[], Reading[T]]) -> T | Problem:
        """Read a request of `size` bytes, answer its rows and tell it; or return what was wrong with it, counted."""
        if size > LARGEST:
            return await self._answer_large(ask, size, read)
        told: asyncio.Future[T | Problem] = asyncio.get_running_loop().create_future()
        self.take(ask, read, lambda what: None if told.done() else told.set_result(what))
        return await told

    def take(self, ask: Ask, read: Callable[[], Reading[T]], then: Callable[[T | Problem], None]) -> None:
        """Read a small request, answer its rows and tell it: `then` is called once, in the event loop, now or later."""
        try:
            call, tell = _read(ask, read)
        except Problem as problem:
            self._plane.refused(ask, problem)
            then(problem)
            return
        except Exception as error:
            then(_mistake(error, ask.target.served.name))
            return

        def tell_it() -> None:
            try:
                told = call.problem or tell(call)
            except Exception as error:
                told = _mistake(error, ask.target.served.name)
            then(told)
            if ask.span is not None:
                end_span(ask.span, call)

        call.waiter = tell_it
        self._plane.take(call)

    async def _answer_large(self, ask: Ask, size: int, read: Callable[[], Reading[T]]) -> T | Problem:
        """Answer a request that is read and told in threads, under the rules of all others."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[None] = loop.create_future()
        try:
            self._hold(size)
            reading = self._threads.submit(_read, ask, read)
            try:
                call, tell = await asyncio.wait_for(asyncio.wrap_future(reading), max(0.0, ask.deadline - perf_counter()))
                call.waiter = lambda: None if answered.done() else answered.set_result(None)
                self._plane.take_large(call)
                await answered
                told: T | Problem | None = call.problem
                if told is None:
                    told = await loop.run_in_executor(self._threads, partial(tell, call))
            finally:  # one that is not read to its end holds its place until it is
                reading.add_done_callback(lambda _: loop.call_soon_threadsafe(self._let_go, size))
        except TimeoutError:
            problem = late(perf_counter() - ask.begun)
            self._plane.refused(ask, problem)
            return problem
        except Problem as problem:
            self._plane.refused(ask, problem)
            return problem
        if ask.span is not None:
            end_span(ask.span, call)
        return told

    def _hold(self, size: int) -> None:
        if self._waiting >= MOST_WAITING or self._waiting_bytes + size > MOST_WAITING_BYTES:
            why = f"{self._waiting} large requests are being answered or wait"
            raise Problem("gateway.unavailable", "The gateway is busy", why, "try again in a second, or send less at once")
        self._waiting += 1
        self._waiting_bytes += size

    def _let_go(self, size: int) -> None:
        self._waiting -= 1
        self._waiting_bytes -= size

    def failed(self, problem: Problem) -> None:
        """Count a request that found no model."""
        self._metrics.failed(NOBODY, problem)

    def look(self) -> None:
        """Take this moment into the load that is told; to be called about once a second, in the event loop."""
        queue = max(self._plane.queue, self._waiting / MOST_WAITING, self._waiting_bytes / MOST_WAITING_BYTES)
        self._fullness.look(Sample(perf_counter(), process_time(), queue, self._metrics.answers()))

    def close(self) -> None:
        """End the threads, once nothing more is asked."""
        self._threads.shutdown()
        self._plane.close()


def _read(ask: Ask, read: Callable[[], Reading[T]]) -> Reading[T]:
    """Read a request, if its token may ask as much."""
    allowance = ask.allowance
    if allowance is None:
        return read()
    allowance.take()
    reading = read()
    allowance.take_rows(reading[0].count)
    return reading


def _door(path: str) -> Door | None:
    return next((door for start, door in DOORS if path.startswith(start)), None)


def _refusal(path: str, problem: Problem) -> Reply:
    """Return a problem in the form of the door that was asked."""
    door = None if path.startswith(MODELS) else _door(path)
    return problem_reply(problem) if door is None else door.refuse(problem)


def _mistake(error: Exception, asked: str) -> Problem:
    log.error("%s", asked, exc_info=error)
    return Problem("gateway.failed", "The gateway made a mistake", type(error).__name__, "see its log")


def _reply_of(told: Reply | Problem, ask: Ask) -> Reply:
    reply = problem_reply(told) if isinstance(told, Problem) else told
    return reply if ask.trace is None else traced(reply, ask)


def _metadata(target: Target, pinned: int | None) -> dict[str, Any]:
    loaded = target.live if pinned is None else target.versions[pinned]
    return oip.model_document(target.served.name, sorted(target.versions), loaded)


def _header_bytes(headers: Mapping[bytes, bytes]) -> int | None:
    told = headers.get(b"inference-header-content-length")
    if told is None:
        return None
    if not told.isdigit():
        why = "Inference-Header-Content-Length is the length of the JSON part in bytes"
        raise Problem("request.invalid", f"The header's length {told[:20]!r} is no number", why)
    return int(told)


def _told(call: Call) -> Reply:
    body, header_bytes = oip.write(call)
    if header_bytes is None:
        return Reply(200, body)
    headers = ((b"inference-header-content-length", str(header_bytes).encode()),)
    return Reply(200, body, b"application/octet-stream", headers)


def _no_path(path: str) -> Problem:
    return missing("path", path[:100], [*PATHS, MODELS + "NAME/infer"])


def _no_method(method: str, path: str) -> Problem:
    return Problem("method.invalid", f"{path[:100]} does not take {method}", "", "GET to look, POST to …/infer and …/flush")
