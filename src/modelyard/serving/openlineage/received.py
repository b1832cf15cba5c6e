"""Events of others: what Spark, Airflow and dbt say of their jobs, held against the specification and kept as facts."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Protocol
from uuid import UUID

import msgspec

from modelyard.core import Clock, ObjectStore, Problem, ProjectId, canonical_json, from_text, to_text
from modelyard.data.times import in_utc
from modelyard.events import EventTransaction, Fact
from modelyard.serving.openlineage.naming import DatasetName
from modelyard.tenancy import Actor, authorise

RECEIVED_FACT: Final = "lineage.received"
MOST_BYTES: Final = 8 << 20  # of what is sent at once: an event of Spark quotes its plan
MOST_EVENTS: Final = 1_000  # sent at once
MOST_READ: Final = 10_000  # events that lineage looks at, the newest
_PAGE: Final = 1_000
_LONGEST: Final = 2_000  # characters of a namespace or a name

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=_LONGEST, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
_Uri = Annotated[str, msgspec.Meta(max_length=_LONGEST, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
_STATES: Final = ("START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER")
_MOST_DATASETS: Final = 1_000  # on a side of an event: a graph of lineage reads those of ten thousand
_UNMADE: Final = ("ABORT", "FAIL")  # a run that ended so made nothing


class _Facet(msgspec.Struct, frozen=True, rename={"producer": "_producer", "schema_url": "_schemaURL"}):
    producer: str
    schema_url: str


_Facets = dict[str, _Facet]


class _Run(msgspec.Struct, frozen=True, rename="camel"):
    run_id: UUID
    facets: _Facets = {}


class _Job(msgspec.Struct, frozen=True):
    namespace: _Name
    name: _Name
    facets: _Facets = {}


class _Dataset(msgspec.Struct, frozen=True, rename="camel"):
    namespace: _Name
    name: _Name
    facets: _Facets = {}
    input_facets: _Facets = {}
    output_facets: _Facets = {}


_Datasets = Annotated[list[_Dataset], msgspec.Meta(max_length=_MOST_DATASETS)]


class _Event(
    msgspec.Struct, frozen=True, rename={"event_time": "eventTime", "schema_url": "schemaURL", "event_type": "eventType"}
):
    """A run event, a job event (without a run) or a dataset event (of a dataset alone)."""

    event_time: datetime
    producer: _Uri
    schema_url: str
    event_type: Annotated[str, msgspec.Meta(pattern=rf"^({'|'.join(_STATES)})\Z")] | None = None
    run: _Run | msgspec.UnsetType = msgspec.UNSET
    job: _Job | msgspec.UnsetType = msgspec.UNSET
    dataset: _Dataset | msgspec.UnsetType = msgspec.UNSET
    inputs: _Datasets = []
    outputs: _Datasets = []


@dataclass(frozen=True)
class Received:
    """What somebody else's event says of lineage."""

    job: DatasetName | None  # None: it tells of a dataset alone
    inputs: tuple[DatasetName, ...]
    outputs: tuple[DatasetName, ...]
    at: datetime


class Ports(Protocol):
    """What receiving needs of the platform."""

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """The object store."""
        ...

    def transaction(self) -> AbstractContextManager[EventTransaction]:
        """Open or join a transaction."""
        ...


def decode_events(content: bytes, *, batch: bool) -> list[Any]:
    """Return the events that a body holds. Problem `lineage.invalid` for what is no JSON, or no list where one is wanted."""
    try:
        found = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _invalid("The body", f"it is not JSON: {error}") from error
    if not batch:
        return [found]
    if not isinstance(found, list) or len(found) > MOST_EVENTS:
        raise _invalid("The body", f"a batch is a list of at most {MOST_EVENTS:,} events")
    return found


def receive(ports: Ports, actor: Actor, project: ProjectId, events: Sequence[Any]) -> int:
    """Keep events of others, all or none, and return how many: each as a fact, its whole content in the object store.

    Raises
    ------
    Problem
        `lineage.invalid` for one that the specification does not allow, with the place in it.
    """
    authorise(actor, "dataset.write", project)
    checked = [checked_event(event, number, len(events)) for number, event in enumerate(events)]
    digests = ports.objects.put(project, [canonical_json(event).encode() for event in events])
    facts = [
        Fact(RECEIVED_FACT, _subject(one), {**_told(one), "content": at}) for one, at in zip(checked, digests, strict=True)
    ]
    with ports.transaction() as tx:
        tx.events.add(project, facts, actor=actor.member, at=ports.clock())
    return len(facts)


def received(tx: EventTransaction, project: ProjectId) -> Iterator[Received]:
    """Give what the newest events of others say, newest first."""
    before, left = 0, MOST_READ
    while left > 0:
        found = tx.events.read(project, after=before, limit=min(_PAGE, left), kinds=[RECEIVED_FACT], newest_first=True)
        for fact in found:
            data = fact.data
            job = DatasetName(*data["job"]) if data["job"] is not None else None
            inputs, outputs = (tuple(DatasetName(*one) for one in data[way]) for way in ("inputs", "outputs"))
            yield Received(job, inputs, outputs, from_text(data["time"]))
        if len(found) < min(_PAGE, left):
            return
        before, left = found[-1].position, left - len(found)


def checked_event(event: Any, number: int = 0, count: int = 1) -> _Event:
    """Return an event that the specification allows. Problem `lineage.invalid`, with the place of what is wrong."""
    told = "The event" if count == 1 else f"Event {number + 1} of {count}"
    try:
        found = msgspec.convert(event, _Event)
    except msgspec.ValidationError as error:
        raise _invalid(told, str(error)) from error
    try:
        in_utc(found.event_time)
    except OverflowError as error:
        raise _invalid(told, f"its eventTime, {found.event_time.isoformat()}, is beyond the calendar") from error
    if found.run and not found.job:
        raise _invalid(told, "Object missing required field `job`")
    if not found.job and not found.dataset:
        raise _invalid(told, "it has no `job`, as events of runs and jobs have, and no `dataset`")
    return found


def _told(event: _Event) -> dict[str, Any]:
    at = event.event_time if event.event_time.tzinfo is not None else event.event_time.replace(tzinfo=UTC)
    outputs = [] if event.event_type in _UNMADE else event.outputs
    alone = [event.dataset] if event.dataset and not event.job else []
    return {
        "type": event.event_type,
        "time": to_text(at),
        "run": str(event.run.run_id) if event.run else None,
        "job": [event.job.namespace, event.job.name] if event.job else None,
        "inputs": [[one.namespace, one.name] for one in event.inputs],
        "outputs": [[one.namespace, one.name] for one in (*outputs, *alone)],
        "producer": event.producer,
    }


def _subject(event: _Event) -> str:
    """Return what the event is of: its job, else its dataset."""
    of = event.job or event.dataset
    return f"{of.namespace}/{of.name}" if of else ""


def _invalid(what: str, why: str) -> Problem:
    step = "send an event as https://openlineage.io/spec/2-0-2/OpenLineage.json says"
    return Problem("lineage.invalid", f"{what} is no OpenLineage event", why, step)
