"""A stream: for each message of a topic one answer or one dead letter, exactly once, by the plane of every other door.

A message's value is one JSON object of raw columns. Its headers may tell `modelyard-prediction-id` and `modelyard-time` (ISO
8601); else the id is the message's place, so that a replay gives the same one, and the time is that of the deployment's
time column, else the message's own. The key routes, as `parameters.key` of a request does; without one the prediction id.

What cannot be answered goes to the dead letters as it came, with the reason in its headers, and stops nobody.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from time import perf_counter

import orjson

from modelyard.core import Problem, TraceContext, Tracer
from modelyard.core.stop import Stop
from modelyard.core.traces import TRACEPARENT, TRACESTATE
from modelyard.gateway import json_rows
from modelyard.gateway.calls import Ask, Call, in_utc
from modelyard.gateway.plane import Plane
from modelyard.gateway.routes import Target
from modelyard.gateway.settled import Mark, SettledSegments
from modelyard.gateway.spans import end_span
from modelyard.serving.broker import Broker, Headers, Message, Record

log = logging.getLogger(__name__)

ID = "modelyard-prediction-id"
TIME = "modelyard-time"
MODEL = "modelyard-model"
VERSION = "modelyard-version"
ROUTE = "modelyard-route"
CODE = "modelyard-problem-code"
PROBLEM = "modelyard-problem"
TRACE = (TRACEPARENT, TRACESTATE)  # carried from the message to its answer

BATCH_ROWS = 256
WAIT_S = 0.5  # for a message, until the end is looked for
SHUT_OUT_S = 2.0  # until an instance that was shut out looks for who did it
FIRST_PAUSE_S = 0.1  # after a transaction that was undone, longer after each further one
LONGEST_PAUSE_S = 5.0
LONGEST_REASON = 2000
_BARE = 2  # times that a record was too large, until its dead letter is without the message


class Stream:
    """One worker of a stream. Everything happens in the thread of `run`.

    Parameters
    ----------
    broker
        Claimed already.
    found
        The mark that the claim found, and `writer` goes on from.
    target
        The deployment as it is routed now.
    caller
        Hash of the token, for the ledger.
    instance
        The id of this process: marks name it.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        found: Mark | None,
        plane: Plane,
        writer: SettledSegments,
        target: Callable[[], Target],
        caller: str,
        instance: str,
        ending: Stop,
        tracer: Tracer | None = None,
    ) -> None:
        self._broker = broker
        self._plane = plane
        self._writer = writer
        self._target = target
        self._caller = caller
        self._ours = (instance, found.instance if found else None)  # who may have made the last mark
        self._ending = ending
        self._tracer = tracer
        self._pause_s = FIRST_PAUSE_S
        self._single: set[str] = set()  # places in a batch of which the broker refused some: they go one by one
        self._refused: dict[str, int] = {}  # places whose record was too large by itself, and how often
        self._answered = 0
        self._dead = 0
        self._batches = 0
        self._undone = 0
        self._regained = 0
        self._lag = 0

    def run(self, ready: Callable[[], None]) -> None:
        """Answer until the end is asked for; `ready` is called once, when the first mark stands.

        Raises
        ------
        Problem
            `stream.conflict` when a newer instance of this worker took over; what the broker and the deployment raise.
        """
        self._transact([])
        ready()
        while not self._ending.asked:
            try:
                messages = self._broker.poll(1 if self._single else BATCH_ROWS, WAIT_S)
            except Problem as problem:
                self._regain(problem, None)
                continue
            if messages:
                self._transact(messages)
            self._lag = self._broker.lag()

    def figures(self) -> dict[str, float]:
        """Return what this process has done so far, and how much waits for it. May be asked from any thread."""
        return {
            "modelyard_stream_answered_total": self._answered,
            "modelyard_stream_dead_letters_total": self._dead,
            "modelyard_stream_batches_total": self._batches,
            "modelyard_stream_batches_undone_total": self._undone,
            "modelyard_stream_restarts_total": self._regained,
            "modelyard_stream_lag_messages": self._lag,
        }

    def _transact(self, messages: Sequence[Message]) -> None:
        """Answer messages in one transaction; where it is undone, they come again."""
        self._writer.begin()
        calls: list[Call] = []
        try:
            records, calls = self._answers(messages)
        except BaseException:
            self._writer.undo()
            raise
        mark = self._writer.mark()
        try:
            self._broker.commit(messages, records, mark.text())
        except Problem as problem:
            if problem.code == "transaction.unavailable":
                self._regain(problem, mark)
                return
            self._writer.undo()
            self._undone += 1
            if problem.code == "message.too_large":
                self._mind([message.place for message in messages], problem)
            elif problem.code == "transaction.conflict":
                log.warning("%s", problem)
                self._ending.wait(self._pause_s)
                self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            else:
                raise
            return
        self._writer.commit(mark)
        self._pause_s = FIRST_PAUSE_S
        for message in messages:
            self._single.discard(message.place)
            self._refused.pop(message.place, None)
        dead = sum(record.is_dead for record in records)
        self._dead += dead
        self._answered += len(records) - dead
        self._batches += bool(messages)
        self._plane.mirror(calls)

    def _regain(self, problem: Problem, pending: Mark | None) -> None:
        """Go on after our transactions were shut: by the broker, which forgot us, or by a newer instance; find out by whom.

        `pending`: of the transaction that we do not know the end of.
        """
        if self._ending.wait(SHUT_OUT_S):
            return  # what came of it the next instance finds out
        before = self._broker.mark()
        if (Mark.parse(before).instance if before else None) not in self._ours:
            if pending is not None:
                self._writer.undo()  # what it held, the other one answers
            raise Problem(
                "stream.conflict",
                "Another instance of this worker has taken over",
                "there may be one of a name in a group",
                "give each worker a name of its own: --worker",
            ) from problem
        log.warning("beginning anew with the broker: %s", problem)
        self._regained += 1
        found = self._broker.claim()
        if pending is None:
            return
        if found == pending.text():
            self._writer.commit(pending)
        else:
            self._writer.undo()

    def _answers(self, messages: Sequence[Message]) -> tuple[list[Record], list[Call]]:
        """Return a record for each message, and the calls that were answered."""
        if not messages:
            return [], []
        target, begun = self._target(), perf_counter()
        read = [self._read(message, target, begun) for message in messages]
        calls = [call for call in read if isinstance(call, Call)]
        self._plane.answer_batch(calls)
        for call in calls:
            if call.ask.span is not None:
                end_span(call.ask.span, call)
        bare = [self._refused.get(message.place, 0) >= _BARE for message in messages]
        return [_record(*parts) for parts in zip(messages, read, bare, strict=True)], calls

    def _read(self, message: Message, target: Target, begun: float) -> Call | Problem:
        trace, span = _trace_of(message.headers), None
        if self._tracer is not None:
            span = self._tracer.begin(f"answer {target.served.name}", trace, begun)
            trace = span.context
        ask = Ask(target, None, self._caller, message.place, begun, trace=trace, span=span)
        try:
            if message.place in self._refused:
                raise Problem("message.too_large", "The broker does not take what is told of this message", "it is too large")
            return read(ask, message)
        except Problem as error:
            problem = error
        except Exception as error:  # no message stops the stream
            log.exception("%s", message.place)
            problem = Problem("gateway.failed", "The gateway made a mistake", type(error).__name__, "see its log")
        self._plane.refused(ask, problem)
        return problem

    def _mind(self, places: Sequence[str], problem: Problem) -> None:
        """Remember whose record the broker does not take: it gets a dead letter, and where that is too large, a bare one.

        A broker refuses what was sent together as a whole, so whose it is shows when each is sent alone.
        """
        if len(places) > 1:
            self._single.update(places)
            return
        [place] = places
        self._refused[place] = self._refused.get(place, 0) + 1
        if self._refused[place] > _BARE:
            raise problem


def read(ask: Ask, message: Message) -> Call:
    """Return the call that a message asks for.

    Raises
    ------
    Problem
        `request.invalid`, and what the version finds wrong with the columns.
    """
    if message.value is None:
        raise json_rows.invalid("The message has no value", "it is one JSON object of raw columns")
    row = json_rows.read_object(message.value)
    prediction = _told(message.headers, ID) or message.place
    if len(prediction) > json_rows.LONGEST_ID:
        raise json_rows.invalid(
            "The prediction id is not usable", f"it has {len(prediction)} characters of {json_rows.LONGEST_ID}"
        )
    key = prediction if message.key is None else message.key.decode("utf-8", "surrogateescape")
    loaded, route = ask.target.route(key, None)
    call = json_rows.call_of(ask, loaded, route, {name: [value] for name, value in row.items()}, ids=[prediction])
    time = _time(message, has_column=(ask.target.served.time or "") in loaded.columns)
    call.times = None if time is None else [time]
    return call


def _time(message: Message, *, has_column: bool) -> datetime | None:
    """Return the event time; None where a column tells it."""
    text = _told(message.headers, TIME)
    if text is None:
        return None if has_column else message.time
    try:
        return in_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError) as error:
        raise json_rows.invalid("The event time is not usable", f"{TIME}: {error}") from error


def _told(headers: Headers, name: str) -> str | None:
    """Return the last header of a name, as text. Problem `request.invalid`."""
    values = [value for one, value in headers if one == name and value is not None]
    try:
        return values[-1].decode() if values else None
    except UnicodeDecodeError as error:
        raise json_rows.invalid(f"The header {name} is not usable", str(error)) from error


def _trace_of(headers: Headers) -> TraceContext | None:
    told = {name: value.decode("latin-1") for name, value in headers if name in TRACE and value is not None}
    return TraceContext.parse(told.get(TRACEPARENT), told.get(TRACESTATE, ""))


def _trace_headers(headers: Headers, ask: Ask) -> Headers:
    """Return what the answer tells of its trace: as the message told it, but for the span, where the answering is one."""
    told = tuple((name, value) for name, value in headers if name in TRACE)
    if ask.span is None:
        return told
    return ((TRACEPARENT, ask.span.context.traceparent.encode()), *(one for one in told if one[0] == TRACESTATE))


def _record(message: Message, outcome: Call | Problem, bare: bool) -> Record:
    problem = outcome if isinstance(outcome, Problem) else outcome.problem
    if problem is not None:
        reason = ((CODE, problem.code.encode()), (PROBLEM, str(problem)[:LONGEST_REASON].encode(errors="replace")))
        if bare:
            return Record(None, None, ((ID, message.place.encode()), *reason), is_dead=True)
        return Record(message.key, message.value, (*message.headers, *reason), is_dead=True)
    assert isinstance(outcome, Call)  # noqa: S101 - it is no problem
    answers = {name: values.tolist()[0] for name, values in outcome.told().items()}
    headers = (
        (ID, outcome.ids[0].encode()),
        (MODEL, outcome.ask.target.served.model.encode()),
        (VERSION, str(outcome.loaded.served.version).encode()),
        (ROUTE, outcome.route.encode()),
        *_trace_headers(message.headers, outcome.ask),
    )
    return Record(message.key, orjson.dumps(answers), headers)
