"""Fresh topics on the real broker, and what producers and consumers of the outside do with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewPartitions, NewTopic

from modelyard.serving.broker import Record

PATIENCE_S = 20.0
QUICK = "?session.timeout.ms=1500&heartbeat.interval.ms=300"  # so that a killed worker is missed soon


@dataclass(frozen=True)
class Topics:
    """A source, a target and dead letters of one test."""

    address: str
    name: str

    @classmethod
    def make(cls, address: str, partitions: int = 3, largest: int = 1 << 20) -> "Topics":
        """Return fresh ones; `largest`: bytes of a batch of messages that they take."""
        made = cls(address, uuid4().hex[:10])
        admin = AdminClient({"bootstrap.servers": address})
        config = {"max.message.bytes": str(largest)}
        topics = [NewTopic(topic, partitions, 1, config=config) for topic in (made.source, made.target)]
        for done in admin.create_topics(topics).values():
            done.result(PATIENCE_S)
        return made

    @property
    def source(self) -> str:
        """The name of the topic that is read."""
        return f"requests-{self.name}"

    @property
    def target(self) -> str:
        """The name of the topic of answers."""
        return f"answers-{self.name}"

    @property
    def dead(self) -> str:
        """The name of the topic of dead letters, which nobody made."""
        return f"{self.source}-dead"

    def url(self, topic: str) -> str:
        """Return a topic's URL."""
        return f"kafka://{self.address}/{topic}{QUICK}"

    def limit(self, topic: str, size: int) -> None:
        """Have the broker take no larger batches of messages, in bytes, on a topic."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
        resource.add_incremental_config(entry)
        admin = AdminClient({"bootstrap.servers": self.address})
        [done] = admin.incremental_alter_configs([resource]).values()
        done.result(PATIENCE_S)

    def forget(self, offsets: Mapping[int, int]) -> None:
        """Have the broker delete what lies before an offset of each partition of the source, as its retention does."""
        admin = AdminClient({"bootstrap.servers": self.address})
        places = [TopicPartition(self.source, partition, offset) for partition, offset in offsets.items()]
        for done in admin.delete_records(places).values():
            done.result(PATIENCE_S)

    def widen(self, partitions: int) -> None:
        """Give the source more partitions."""
        admin = AdminClient({"bootstrap.servers": self.address})
        [done] = admin.create_partitions([NewPartitions(self.source, partitions)]).values()
        done.result(PATIENCE_S)

    def make_anew(self, partitions: int = 3) -> None:
        """Delete the source and make it again, without messages."""
        admin = AdminClient({"bootstrap.servers": self.address})
        [done] = admin.delete_topics([self.source]).values()
        done.result(PATIENCE_S)
        [done] = admin.create_topics([NewTopic(self.source, partitions, 1)]).values()
        done.result(PATIENCE_S)

    def send(self, records: Sequence[Record], topic: str = "", partition: int = -1) -> None:
        """Put messages on a topic, else the source; on a partition by their keys where none is named."""
        producer = Producer({"bootstrap.servers": self.address, "message.max.bytes": 10 << 20})
        refused: list[KafkaError] = []
        for one in records:
            headers: list[tuple[str, str | bytes | None]] = list(one.headers)
            producer.produce(
                topic or self.source, one.value, one.key, partition, headers=headers,
                on_delivery=lambda error, _: refused.append(error) if error is not None else None,
            )  # fmt: skip
            producer.poll(0)
        assert producer.flush(PATIENCE_S) == 0
        assert not refused, refused[:3]

    def read(self, topic: str) -> list[Record]:
        """Return all that is committed on a topic, each partition to its stable end; nothing where there is no such topic."""
        return [_record(message) for message in self.messages(topic)]

    def messages(self, topic: str) -> list[KafkaMessage]:
        """Return the same as the client gives it."""
        settings = {"bootstrap.servers": self.address, "isolation.level": "read_committed", "auto.offset.reset": "earliest"}
        reader = Consumer({**settings, "group.id": f"test-{uuid4().hex}", "enable.partition.eof": True})
        try:
            known = reader.list_topics(timeout=PATIENCE_S).topics
            partitions = sorted(known[topic].partitions) if topic in known else []
            reader.assign([TopicPartition(topic, number, 0) for number in partitions])
            ended: set[int | None] = set()
            found = []
            while len(ended) < len(partitions):
                message = reader.poll(PATIENCE_S)
                assert message is not None, f"{topic} has no stable end"
                error = message.error()
                if error is None:
                    found.append(message)
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    ended.add(message.partition())
            return found
        finally:
            reader.close()

    def committed(self, group: str) -> int:
        """Return how many messages of the source a group has behind it."""
        return sum(max(0, place.offset) for place in self._places(group, "read_committed"))

    def mark(self, group: str) -> str:
        """Return the mark of a worker's last transaction that was committed, also while a killed one is still open."""
        [found, *_] = self._places(group, "read_uncommitted")
        return str(found.metadata)

    def _places(self, group: str, isolation: str) -> list[TopicPartition]:
        reader = Consumer({"bootstrap.servers": self.address, "isolation.level": isolation, "group.id": group})
        try:
            partitions = sorted(reader.list_topics(self.source, timeout=PATIENCE_S).topics[self.source].partitions)
            return reader.committed([TopicPartition(self.source, number) for number in partitions], timeout=PATIENCE_S)
        finally:
            reader.close()


def _record(message: KafkaMessage) -> Record:
    headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    return Record(message.key(), message.value(), tuple(headers))
