"""Kafka as the broker of streams, on the real broker, and the addresses that name its topics."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from modelyard.adapters.kafka import Address, KafkaBroker
from modelyard.core import Problem
from modelyard.core.stop import Stop
from modelyard.serving.broker import Broker, Link, Record
from modelyard.testing.broker import BrokerContract
from tests.topics import Topics


class KafkaBench:
    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._opened: list[Broker] = []

    def open(self, worker: str) -> Broker:
        return self._open(self._topics.source, worker)

    def open_elsewhere(self) -> Broker:
        return self._open("nowhere", "one")

    def send(self, records: Sequence[Record]) -> None:
        self._topics.send(records)

    def answers(self) -> list[Record]:
        return self._topics.read(self._topics.target)

    def dead_letters(self) -> list[Record]:
        return self._topics.read(self._topics.dead)

    def _open(self, source: str, worker: str) -> Broker:
        url = self._topics.url
        return KafkaBroker(Link(url(source), url(self._topics.target), None, f"group-{self._topics.name}", worker, Stop()))


class TestKafka(BrokerContract):
    @pytest.fixture
    def bench(self, kafka_address: str) -> KafkaBench:
        return KafkaBench(Topics.make(kafka_address))


def test_an_address_has_servers_a_topic_and_settings() -> None:
    found = Address.parse("kafka://ada:p%40ss@one:9093,two:9093/requests?security.protocol=SASL_SSL&sasl.mechanism=PLAIN")
    assert (found.servers, found.topic) == ("one:9093,two:9093", "requests")
    assert found.settings == {
        "security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "ada", "sasl.password": "p@ss",
    }  # fmt: skip


def test_settings_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "kafka.conf"
    file.write_text("# ours\nsecurity.protocol = SSL\nssl.key.password=a=b\n\n")
    found = Address.parse(f"kafka://one:9093/requests?config={file}&linger.ms=1")
    assert found.settings == {"security.protocol": "SSL", "ssl.key.password": "a=b", "linger.ms": "1"}


def test_no_secret_is_told() -> None:
    found = Address.parse("kafka://ada:secret@one:9093/requests?ssl.key.password=secret")
    link = Link("kafka://ada:secret@one:9093/a", "kafka://one:9093/b", None, "group", "worker", Stop())
    assert "secret" not in f"{found} {found!r} {link!r}"
    with pytest.raises(Problem) as caught:
        Address.parse("kafka://ada:secret@one:9093/?ssl.key.password=secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["requests", "http://one/requests", "kafka://one:9092", "kafka://one:9092/", "kafka:///requests", "kafka://one/a/b"]
)
def test_what_is_no_topic_is_refused(url: str) -> None:
    with pytest.raises(Problem) as caught:
        Address.parse(url)
    assert caught.value.code == "broker.invalid"


@pytest.mark.parametrize(
    ("source", "target", "why"),
    [
        ("kafka://one:9092/a", "kafka://two:9092/b", "cluster"),
        ("kafka://one:9092/a", "kafka://one:9092/a", "topic each"),
        ("kafka://one:9092/a?client.id=x", "kafka://one:9092/b?client.id=y", "share"),
        ("kafka://one:9092/a?isolation.level=read_uncommitted", "kafka://one:9092/b", "exactly-once"),
        ("kafka://one:9092/a?config=nowhere.conf", "kafka://one:9092/b", "No such file"),
    ],
)
def test_links_that_cannot_be_exact_are_refused(source: str, target: str, why: str) -> None:
    with pytest.raises(Problem, match=why) as caught:
        KafkaBroker(Link(source, target, None, "group", "worker", Stop()))
    assert caught.value.code == "broker.invalid"


def test_a_setting_that_there_is_not_is_told() -> None:
    broker = KafkaBroker(Link("kafka://127.0.0.1:1/a?no.such=1", "kafka://127.0.0.1:1/b", None, "group", "worker", Stop()))
    with pytest.raises(Problem, match=r"no\.such"):
        broker.claim()
