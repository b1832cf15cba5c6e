"""A topic on its broker, as a reader without a group sees it: what is there, and the messages up to its ends."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any, Final, NamedTuple, TypeVar

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)  # fmt: skip
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from modelyard.adapters.kafka.address import AWAY, CALL_S, REFUSED, SILENT, Address, invalid
from modelyard.core import Problem, missing
from modelyard.data.sources import MOST_STREAMED

K = TypeVar("K")
T = TypeVar("T")

MOST_BYTES: Final = 256 << 20  # of keys and values in one reading
_TAKEN_BYTES: Final = 4 << 20  # from the client at once
_TAKEN_MESSAGES: Final = 1_000
_USUAL_BYTES: Final = 40 << 10  # of a message before any was seen
_POLL_S: Final = 0.5
_BUFFERED_KIB: Final = 65_536  # fetched ahead
_PAUSE_S: Final = 0.2
_SOON_S: Final = 0.02
_USUAL: Final = {"queued.max.messages.kbytes": _BUFFERED_KIB, "fetch.queue.backoff.ms": 20}
_READER: Final = {
    "group.id": "modelyard",  # which the client wants, and nobody joins
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
}
_SOON: Final = frozenset({  # it answers, and has to settle something first
    KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.REQUEST_TIMED_OUT,
})  # fmt: skip
_UNKNOWN: Final = frozenset({
    KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION,
})  # fmt: skip


class Message(NamedTuple):
    """A message as it came."""

    partition: int
    offset: int
    at_ms: int | None
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True)
class Found:
    """A topic as it was when a reading began: of each partition the first offset that is there, and the one after the last."""

    name: str
    id: str
    first: Mapping[int, int]
    ends: Mapping[int, int]


class Topic:
    """A topic on its broker, as a reader without a group sees it."""

    def __init__(self, address: Address, patience_s: float) -> None:
        self._address = address
        self._patience_s = patience_s
        self._call_s = min(CALL_S, patience_s)
        self._error: KafkaError | None = None  # the last one that a client told by itself

    def look(self) -> Found:
        """Return the topic as it is now."""
        admin = self._made(AdminClient, {})
        name = self._address.topic
        until = monotonic() + self._patience_s
        while True:
            try:
                return self._looked(admin, name)
            except KafkaException as error:
                if error.args[0].code() not in _UNKNOWN:
                    raise self._told(error.args[0]) from error
                known = self._names(admin)
                if name not in known or monotonic() > until:  # else it was just made, and not every broker knows of it yet
                    found = missing("topic", name, known, f"look at the topics of {self._address.servers}")
                    raise Problem("source.missing", found.what, found.why, found.next_step, found.detail) from error
                sleep(_PAUSE_S)

    def _looked(self, admin: AdminClient, name: str) -> Found:
        one = TopicCollection([name])
        [described] = self._asked(admin, lambda: admin.describe_topics(one, request_timeout=self._call_s)).values()
        partitions = [TopicPartition(name, one.id) for one in described.partitions]
        first = self._offsets(admin, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        ends = self._offsets(admin, partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return Found(name, str(described.topic_id), first, ends)

    def take(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> tuple[list[Message], dict[int, int]]:
        """Return messages from `begins` up to `ends`, as many as one reading takes, and the next offset of each partition."""
        taken = _Taken(ends, dict(begins))
        if not taken.left:
            return [], taken.reached
        consumer = self._made(Consumer, _READER)
        try:
            name = self._address.topic
            consumer.assign([TopicPartition(name, partition, taken.reached[partition]) for partition in taken.left])
            self._fill(consumer, taken)
        except KafkaException as error:
            raise self._told(error.args[0]) from error
        finally:
            consumer.close()
        return [one for partition in sorted(taken.messages) for one in taken.messages[partition]], taken.reached

    def _fill(self, consumer: Consumer, taken: "_Taken") -> None:
        heard = monotonic()
        while taken.left and taken.room:
            found = consumer.consume(1, _POLL_S)
            if found and taken.room > 1:
                found += consumer.consume(taken.room - 1, 0)
            answers = [one for one in found if self._is_answer(one)]
            heard = self._heard(heard, some=bool(answers))
            ended = [TopicPartition(self._address.topic, one.partition() or 0) for one in answers if taken.add(one)]
            if ended:
                consumer.pause(ended)

    def _is_answer(self, found: KafkaMessage) -> bool:
        """Return whether the client gives a message, or a partition's end; it may also tell that the broker is away."""
        error = found.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return True
        if error.code() not in AWAY | _SOON and not error.retriable():
            raise self._told(error)
        self._error = error
        return False

    def _heard(self, before: float, *, some: bool) -> float:
        """Return when the broker was last heard of; raise when that is too long ago, or when it has refused us."""
        error, now = self._error, monotonic()
        if some:
            self._error = None
            return now
        if error is not None and error.code() in REFUSED:
            raise self._told(error)
        if now - before > self._patience_s:
            raise self._unavailable(error.str() if error is not None else f"nothing came for {self._patience_s:.0f} s")
        return before

    def _offsets(self, admin: AdminClient, partitions: Sequence[TopicPartition], spec: OffsetSpec) -> dict[int, int]:
        asked = dict.fromkeys(partitions, spec)
        committed = IsolationLevel.READ_COMMITTED
        told = self._asked(admin, lambda: admin.list_offsets(asked, isolation_level=committed, request_timeout=self._call_s))
        return {partition.partition: result.offset for partition, result in told.items()}

    def _names(self, admin: AdminClient) -> list[str]:
        try:
            return [name for name in admin.list_topics(timeout=self._call_s).topics if not name.startswith("__")]
        except KafkaException:
            return []

    def _asked(self, admin: AdminClient, call: Callable[[], Mapping[K, Future[T]]]) -> dict[K, T]:
        """Return what a call to the broker answers, tried again while it is away and our patience lasts."""
        until = monotonic() + self._patience_s
        while True:
            answers = call()
            while not all(answer.done() for answer in answers.values()):
                admin.poll(_SOON_S)  # which is how the client tells that it cannot log in
                if self._error is not None and self._error.code() in REFUSED:
                    raise self._told(self._error)
            try:
                return {key: answer.result() for key, answer in answers.items()}
            except KafkaException as failed:
                error: KafkaError = failed.args[0]
                if monotonic() > until or not (error.retriable() or error.code() in AWAY | _SOON):
                    raise
                sleep(_PAUSE_S)

    def _made(self, make: Callable[[dict[str, Any]], T], more: Mapping[str, Any]) -> T:
        """Return a client of the address' settings and `more`, which come last."""

        def on_error(error: KafkaError) -> None:
            self._error = error

        ours = {"bootstrap.servers": self._address.servers, "log_level": SILENT, "error_cb": on_error}
        try:
            return make({**_USUAL, **self._address.settings, **ours, **more} if more else {**self._address.settings, **ours})
        except KafkaException as error:
            raise invalid(f"The settings of {self._address} are not usable", error.args[0].str(), "source") from error

    def _told(self, error: KafkaError) -> Problem:
        """Return what an error of the client means."""
        if error.code() in REFUSED:
            step = "give it user and password by secret=NAME, and the user the right to read"
            return Problem("source.forbidden", f"{self._address} does not let us read", error.str(), step)
        if error.code() in _UNKNOWN:
            return Problem("source.missing", f"There is no {self._address} any more", error.str(), "look who deleted it")
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            why = "messages that it was about to read were deleted meanwhile"
            return Problem("source.conflict", f"{self._address} could not be read on", why, "read it again, which tells more")
        return self._unavailable(error.str())

    def _unavailable(self, why: str) -> Problem:
        return Problem("source.unavailable", f"{self._address} does not answer", why, "try again when the broker is there")


@dataclass
class _Taken:
    """What was taken so far of a topic's partitions."""

    ends: Mapping[int, int]
    reached: dict[int, int]
    messages: dict[int, list[Message]] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)
    count: int = 0
    size_bytes: int = 0

    def __post_init__(self) -> None:
        self.left = {partition for partition, end in self.ends.items() if self.reached[partition] < end}

    @property
    def room(self) -> int:
        """How many messages may be taken at once."""
        if self.count >= MOST_STREAMED or self.size_bytes >= MOST_BYTES:
            return 0
        usual = max(1, self.size_bytes // self.count) if self.count else _USUAL_BYTES
        return max(1, min(_TAKEN_MESSAGES, MOST_STREAMED - self.count, _TAKEN_BYTES // usual))

    def add(self, found: KafkaMessage) -> bool:
        """Take note of a message, or of a partition's end; return whether the partition was read up to its end just now."""
        partition, offset = found.partition() or 0, found.offset() or 0
        if partition not in self.left:
            return False
        end, is_message = self.ends[partition], found.error() is None
        if is_message and offset < end:
            one = _message(found)
            self.messages.setdefault(partition, []).append(one)
            self.count += 1
            self.size_bytes += len(one.value or b"") + len(one.key or b"")
            self.reached[partition] = offset + 1
        if is_message and offset < end - 1:
            return False
        self.reached[partition] = end  # what lies between the last message and the end is told to no reader
        self.left.remove(partition)
        return True


def _message(found: KafkaMessage) -> Message:
    kind, millis = found.timestamp()
    at_ms = None if kind == TIMESTAMP_NOT_AVAILABLE else millis
    return Message(found.partition() or 0, found.offset() or 0, at_ms, found.key(), found.value())
