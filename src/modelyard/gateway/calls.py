"""What every door hands to the plane, and gets back: rows for one version of one deployment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from math import inf
from typing import Any, NamedTuple

from modelyard.core import Problem, ProblemKind, Span, TraceContext
from modelyard.gateway.limits import Allowance
from modelyard.gateway.routes import Labels, Target
from modelyard.prepare.inputs import coerce
from modelyard.prepare.values import InputColumn
from modelyard.serving import RouteKind
from modelyard.serving.infer import Answers, Batch, LoadedVersion
from modelyard.serving.program import rows_in

FALLBACK = "fallback"


class Ask(NamedTuple):
    """Who asks whom: what is known of a request before its body is read. A tuple, for one is made for every request."""

    target: Target
    pinned: int | None  # the version that the caller named
    caller: str  # hash of the token
    id: str  # for a request that brings no id of its own
    begun: float  # `perf_counter` when its first byte was seen
    deadline: float = inf  # `perf_counter` when nobody waits for it any more
    allowance: Allowance | None = None  # of the token
    trace: TraceContext | None = None  # None: nobody traces it
    span: Span | None = None


@dataclass(slots=True, eq=False)
class Call:
    """The rows of one request on their way: what a door has read, and then what came of it.

    A call is answered by one version, wholly or not at all.
    """

    ask: Ask
    loaded: LoadedVersion
    route: str  # live, canary, shadow; pinned: the caller named the version; fallback: the live one stood in for a canary
    request: str  # the request's id
    ids: Sequence[str]  # of the predictions, one a row
    columns: Mapping[str, Sequence[Any]]  # raw values by input of the version, as the caller sent them
    rows: Batch  # the same, as the version takes them
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)  # of those columns that came flat
    looked_up: Mapping[str, Sequence[Any]] | None = None  # values by input that no caller sends; None: there are none
    times: Sequence[datetime] | None = None  # event times, one a row; None: see `instants`
    ignored: Sequence[str] = ()  # columns that the version does not know
    wanted: Sequence[str] | None = None  # outputs to tell; None: all
    binary: frozenset[str] = frozenset()  # outputs to tell as bytes
    answers: Answers | None = None
    problem: Problem | None = None
    answered_at: datetime = field(default=datetime.min.replace(tzinfo=UTC))
    began_at: float = 0.0  # `perf_counter` when the version was asked
    seconds: float = 0.0  # from the first byte to the answer
    given_up: bool = False  # its deadline passed while it was asked: what still comes of it is nobody's
    waiter: Callable[[], None] | None = None  # called in the event loop when it is answered, or came to a problem
    count: int = 0  # of rows

    def __post_init__(self) -> None:
        """Count the rows."""
        self.count = rows_in(self.rows)

    @property
    def labels(self) -> Labels:
        """Project, deployment, version and route: what it is counted under."""
        return self.ask.target.labels(self.loaded.served.version, self.route)

    @property
    def may_fall_back(self) -> bool:
        """Whether it was a canary's own fault that this was not answered."""
        of_version = self.problem is not None and self.problem.kind is ProblemKind.FAILED
        return of_version and self.route == RouteKind.CANARY.value and self.loaded is not self.ask.target.live

    def instants(self) -> Sequence[datetime] | None:
        """Return each answered row's event time: as told, else by the deployment's time column; None: the time of answering."""
        if self.times is not None:
            return self.times
        column = self.loaded.columns.get(self.ask.target.served.time or "")
        return None if column is None else instants_of(column, self.columns[column.name], self.answered_at)

    def told(self) -> Answers:
        """Return the answers that the caller wants, or raise the problem."""
        if self.problem is not None:
            raise self.problem
        assert self.answers is not None  # noqa: S101 - a call that has ended holds one of the two
        if self.wanted is None:
            return self.answers
        return {name: self.answers[name] for name in self.wanted}


def instants_of(column: InputColumn, values: Sequence[object], now: datetime) -> list[datetime]:
    """Return the event times that a time column's raw values tell; `now` where one is missing."""
    read = coerce(column)
    return [now if value is None else in_utc(value) for value in map(read, values)]


def in_utc(value: object) -> datetime:
    """Return an instant in UTC; one without an offset is taken as UTC, a date as its midnight."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    assert isinstance(value, date)  # noqa: S101 - a deployment's time column holds dates or datetimes
    return datetime(value.year, value.month, value.day, tzinfo=UTC)
