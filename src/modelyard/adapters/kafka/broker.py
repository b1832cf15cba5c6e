"""Apache Kafka as the broker of streams, by confluent-kafka: exactly once by Kafka's transactions.

The mark of a transaction is the metadata of an offset that a group of this worker's own, `GROUP.WORKER`, commits in the same
transaction: the group has no members, so nobody else writes there.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from modelyard.adapters.kafka.address import AWAY, CALL_S, REFUSED, SILENT, Address, invalid
from modelyard.core import Problem, missing
from modelyard.serving.broker import Link, Message, Record

log = logging.getLogger(__name__)

GRACE_S = 3.0  # for a call to keep its own limit
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
LONGEST_ABSENCE_MS = 10_000  # of a worker, until others take over its partitions and its open transaction is given up
LARGEST_RECORD = 100 << 20  # of what we send; the broker says how large a message may be
BUFFERED_KIB = 16_384  # fetched ahead

T = TypeVar("T")


class KafkaBroker:
    """One worker's clients: a consumer in the group, a producer with transactions, and the reader of marks."""

    def __init__(self, link: Link) -> None:
        source, target = Address.parse(link.source), Address.parse(link.target)
        dead = Address.parse(link.dead) if link.dead else Address(source.servers, f"{source.topic}-dead", {})
        self._link = link
        self._source, self._target, self._dead = source, target, dead
        self._settings = _common((source, target, dead))
        self._worker_group = f"{link.group}.{link.worker}"
        self._marks: Consumer | None = None
        self._consumer: Consumer | None = None
        self._producer: Producer | None = None
        self._claims = 0
        self._rebalanced = False
        self._away = False  # since the last claim, and said so

    def claim(self) -> str | None:
        """Become the one instance of this worker; see `Broker.claim`."""
        self.close()
        self._claims += 1
        try:
            return self._claim()
        except KafkaException as error:
            raise Problem("broker.refused", f"{self._source.servers} lets no stream begin", error.args[0].str()) from error

    def _claim(self) -> str | None:
        self._check_topics()
        self._open_producer()
        self._marks = self._make(lambda: Consumer(self._reader_settings(self._worker_group)))
        mark = self.mark()
        self._consumer = self._make(lambda: Consumer(self._reader_settings(self._link.group)))
        changed = self._on_change
        self._consumer.subscribe([self._source.topic], on_assign=changed, on_revoke=changed, on_lost=changed)
        if self._away:
            self._away = False
            log.warning("the broker %s answers again", self._source.servers)
        return mark

    def mark(self) -> str | None:
        """Return the mark of the worker's last transaction."""
        marks = _there(self._marks)
        [found] = self._patiently(lambda: marks.committed([TopicPartition(self._source.topic, 0)], CALL_S))
        return str(found.metadata) if found.offset >= 0 and found.metadata else None

    def poll(self, most: int, wait_s: float) -> list[Message]:
        """Return what is there to answer; see `Broker.poll`.

        When partitions came or went while messages were taken, these are given back: they may be another worker's now.
        """
        consumer, producer = _there(self._consumer), _there(self._producer)
        if self._away:  # clients that lost their broker are not trusted with transactions any more: see `_in_time`
            raise _unavailable("the broker was away")
        self._rebalanced = False
        try:
            found = consumer.consume(1, wait_s)
            if found:
                found += consumer.consume(most - 1, 0)
            producer.poll(0)
        except KafkaException as error:
            raise _lost(error) from error
        messages = []
        for one in found:
            wrong = one.error()
            if wrong is None:
                messages.append(_message(one))
            elif wrong.fatal():
                raise _lost(KafkaException(wrong))
            else:
                log.warning("%s: %s", self._source, wrong.str())
        if messages and self._rebalanced:
            self._rewind(messages)
            return []
        return messages

    def lag(self) -> int:
        """Return how many messages wait; see `Broker.lag`. Of partitions of which none was taken yet, none."""
        consumer = self._consumer
        if consumer is None:
            return 0
        try:
            reached = consumer.position(consumer.assignment())
            ends = [consumer.get_watermark_offsets(one, cached=True)[1] for one in reached]
        except KafkaException:
            return 0  # its partitions are just going to another worker
        return sum(max(0, end - one.offset) for one, end in zip(reached, ends, strict=True) if one.offset >= 0)

    def commit(self, messages: Sequence[Message], records: Sequence[Record], mark: str) -> None:
        """Write records, place and mark in one transaction; see `Broker.commit`."""
        consumer, producer, marks = _there(self._consumer), _there(self._producer), _there(self._marks)
        too_large: list[KafkaError] = []
        reached: dict[int, int] = {}
        for message in messages:
            reached[message.partition] = max(message.offset + 1, reached.get(message.partition, 0))
        topic = self._source.topic
        places = [TopicPartition(topic, partition, offset) for partition, offset in reached.items()]
        marked = [TopicPartition(topic, 0, 0, metadata=mark)]
        try:
            producer.begin_transaction()
            self._send(producer, records, too_large)
            if places:
                group = consumer.consumer_group_metadata()
                self._patiently(lambda: _in_time(lambda: producer.send_offsets_to_transaction(places, group, CALL_S)))
            own = marks.consumer_group_metadata()
            self._patiently(lambda: _in_time(lambda: producer.send_offsets_to_transaction(marked, own, CALL_S)))
            self._patiently(lambda: _in_time(lambda: producer.commit_transaction(CALL_S)))
        except KafkaException as error:
            raise self._undone(producer, messages, error, too_large) from error

    def close(self) -> None:
        """Leave the group."""
        consumer, self._consumer = self._consumer, None
        marks, self._marks = self._marks, None
        producer, self._producer = self._producer, None
        for reader in (consumer, marks):
            if reader is not None:
                reader.close()
        if producer is not None:
            producer.purge()  # a producer that was shut out still holds what it could not send

    def _open_producer(self) -> None:
        self._producer = producer = self._make(lambda: Producer(self._producer_settings()))
        self._patiently(lambda: producer.init_transactions(CALL_S))

    def _send(self, producer: Producer, records: Sequence[Record], too_large: list[KafkaError]) -> None:
        def on_delivery(error: KafkaError | None, _: KafkaMessage) -> None:
            if error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                too_large.append(error)

        for record in records:
            topic = self._dead.topic if record.is_dead else self._target.topic
            headers: list[tuple[str, str | bytes | None]] = list(record.headers)
            while True:
                try:
                    producer.produce(topic, record.value, record.key, headers=headers, on_delivery=on_delivery)
                except BufferError:  # its queue is full
                    producer.poll(FIRST_PAUSE_S)
                else:
                    break

    def _undone(
        self, producer: Producer, messages: Sequence[Message], error: KafkaException, too_large: Sequence[KafkaError]
    ) -> Problem:
        """Abort the transaction and return what is to be told of it."""
        if not error.args[0].txn_requires_abort():
            return _lost(error)
        try:
            self._patiently(lambda: _in_time(lambda: producer.abort_transaction(CALL_S)))
            self._open_producer()  # the one of before may still be taking a new epoch, and its next transaction would fail
        except KafkaException as worse:
            return _lost(worse)
        except Problem as worse:
            return worse
        self._rewind(messages)
        if too_large:
            return Problem("message.too_large", "The broker does not take a record", "it is too large")
        return Problem("transaction.conflict", "The transaction was undone", error.args[0].str())

    def _rewind(self, messages: Sequence[Message]) -> None:
        """Read on, in the partitions of these messages that are still ours, from what is committed."""
        consumer = _there(self._consumer)
        first: dict[int, int] = {}
        for message in messages:
            first[message.partition] = min(message.offset, first.get(message.partition, message.offset))
        try:
            ours = [one for one in consumer.assignment() if one.partition in first]
            for place in self._patiently(lambda: consumer.committed(ours, CALL_S)) if ours else []:
                offset = place.offset if place.offset >= 0 else first[place.partition]
                consumer.seek(TopicPartition(place.topic, place.partition, offset))
        except KafkaException as error:
            raise _lost(error) from error

    def _check_topics(self) -> None:
        """Return when the topics are there; the one of dead letters is made if it is not."""
        admin = self._make(lambda: AdminClient(self._client_settings()))
        known = self._patiently(lambda: admin.list_topics(timeout=CALL_S).topics)
        for address in (self._source, self._target):
            if address.topic not in known:
                names = [name for name in known if not name.startswith("__")]
                raise missing("topic", address.topic, names, f"create it on {address.servers}")
        if self._dead.topic not in known:
            wanted = NewTopic(self._dead.topic, num_partitions=-1, replication_factor=-1)
            try:
                admin.create_topics([wanted])[self._dead.topic].result(2 * CALL_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    what = f"The topic of dead letters {self._dead} is not there, and could not be made"
                    raise Problem("broker.refused", what, error.args[0].str(), "create it, or name another: --dead") from error

    def _client_settings(self) -> dict[str, Any]:
        claim = self._claims

        def on_error(error: KafkaError) -> None:
            if claim == self._claims:  # those of clients before are old news
                self._on_error(error)

        return {**self._settings, "bootstrap.servers": self._source.servers, "log_level": SILENT, "error_cb": on_error}

    def _reader_settings(self, group: str) -> dict[str, Any]:
        usual = {
            "auto.offset.reset": "earliest",
            "session.timeout.ms": LONGEST_ABSENCE_MS,
            "queued.max.messages.kbytes": BUFFERED_KIB,
        }
        exact = {"group.id": group, "enable.auto.commit": False, "isolation.level": "read_committed"}
        return {**usual, **self._client_settings(), **exact}

    def _producer_settings(self) -> dict[str, Any]:
        usual = {
            "partitioner": "murmur2_random",  # as Kafka's own clients do it: one key, one partition, whoever writes
            "transaction.timeout.ms": LONGEST_ABSENCE_MS,
            "message.max.bytes": LARGEST_RECORD,
        }
        return {**usual, **self._client_settings(), "transactional.id": self._worker_group}

    def _make(self, make: Callable[[], T]) -> T:
        try:
            return make()
        except KafkaException as error:
            raise invalid("The settings of the broker are not usable", error.args[0].str()) from error

    def _patiently(self, call: Callable[[], T]) -> T:
        """Return what a call returns, tried again with growing pauses while the broker is away.

        Raises
        ------
        KafkaException
            For what trying again does not mend.
        Problem
            `transaction.unavailable` when we are to end; `broker.refused`.
        """
        pause = FIRST_PAUSE_S
        while True:
            try:
                done = call()
            except KafkaException as failed:
                error: KafkaError = failed.args[0]
                if error.code() in REFUSED:
                    raise Problem("broker.refused", f"{self._source.servers} refuses us", error.str()) from failed
                if not (error.retriable() or error.code() in AWAY or error.code() in _SOON):
                    raise
                if error.code() in AWAY:
                    self._is_away(error.str())
                if self._link.ending.wait(pause):
                    raise _lost(failed) from failed
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                return done

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN or error.code() in REFUSED:
            self._is_away(error.str())

    def _is_away(self, why: str) -> None:
        if not self._away:
            self._away = True
            log.warning("the broker %s does not answer, and is waited for: %s", self._source.servers, why)

    def _on_change(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        del consumer, partitions
        self._rebalanced = True


_SOON = frozenset({  # it answers, and has to settle something first
    KafkaError._WAIT_COORD, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR, KafkaError.UNSTABLE_OFFSET_COMMIT, KafkaError.REQUEST_TIMED_OUT,
    KafkaError.LEADER_NOT_AVAILABLE,
})  # fmt: skip


def _in_time(call: Callable[[], T]) -> T:
    """Return what a call of the producer returns, or leave it alone.

    librdkafka's transactional calls have a time limit that they do not always keep: when the broker went away and came back,
    `send_offsets_to_transaction` may wait for ever (seen with 2.16: its commit of the offsets is never sent). Whoever claims
    anew shuts out the producer that hangs.

    Raises
    ------
    Problem
        `transaction.unavailable`.
    """
    outcome: SimpleQueue[T | Exception] = SimpleQueue()

    def work() -> None:
        try:
            outcome.put(call())
        except Exception as error:  # handed on below
            outcome.put(error)

    Thread(target=work, name="kafka", daemon=True).start()
    try:
        found = outcome.get(timeout=CALL_S + GRACE_S)
    except Empty as late:
        raise _unavailable("the client does not come back from a call") from late
    if isinstance(found, Exception):
        raise found
    return found


def _there(client: T | None) -> T:
    if client is None:
        raise RuntimeError("the broker was not claimed")
    return client


def _message(found: KafkaMessage) -> Message:
    kind, millis = found.timestamp()
    at = None if kind == 0 else datetime.fromtimestamp(millis / 1000, UTC)  # 0: the broker told none
    headers = cast("list[tuple[str, bytes | None]]", found.headers() or [])
    return Message(
        found.topic() or "", found.partition() or 0, found.offset() or 0, found.key(), found.value(), tuple(headers), at
    )


def _lost(error: KafkaException) -> Problem:
    return _unavailable(error.args[0].str())


def _unavailable(why: str) -> Problem:
    return Problem("transaction.unavailable", "This instance cannot go on with its transactions", why)


def _common(addresses: Sequence[Address]) -> dict[str, str]:
    """Return the settings of all. Problem `broker.invalid` when they are not on one cluster: a transaction is of one."""
    first = addresses[0]
    settings: dict[str, str] = {}
    for address in addresses:
        if address.servers != first.servers:
            raise invalid(f"{first} and {address} are not on one cluster", "a transaction spans one cluster")
        for name, value in address.settings.items():
            if settings.setdefault(name, value) != value:
                raise invalid(f"The setting {name} differs between {first} and {address}", "they share their clients")
    if len({address.topic for address in addresses}) < len(addresses):
        raise invalid(f"{first} is written to as well", "requests, answers and dead letters have a topic each")
    return settings
