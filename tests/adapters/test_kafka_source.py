"""Topics of the real broker as sources of datasets."""

import csv
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import Producer
from fastavro import parse_schema, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form

from modelyard.adapters import open_source
from modelyard.adapters.kafka import KafkaSource
from modelyard.adapters.kafka import source as source_room
from modelyard.adapters.kafka import topic as topic_room
from modelyard.core import Problem
from modelyard.data.sources import Ask, Source, Undecoded
from modelyard.serving.broker import Record
from modelyard.testing.source import TYPES, SourceContract
from tests.fetch import fetch_kafka
from tests.kafka import KafkaNode
from tests.schema_registry import SchemaRegistry, registering
from tests.topics import PATIENCE_S, Topics

FLIGHT = {
    "type": "record",
    "name": "Flight",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
        {"name": "origin", "type": ["null", "string"]},
        {"name": "delay", "type": ["null", "double"]},
        {"name": "late", "type": ["null", "boolean"]},
        {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}]},
    ],
}
OLD = {"type": "record", "name": "Flight", "fields": [{"name": "id", "type": "int"}, {"name": "gate", "type": "string"}]}
NEW = {
    "type": "record",
    "name": "Flight",
    "fields": [{"name": "id", "type": "long"}, {"name": "delay", "type": ["null", "double"], "default": None}],
}


@pytest.fixture
def topics(kafka_address: str) -> Topics:
    return Topics.make(kafka_address)


@pytest.fixture
def registry() -> Iterator[SchemaRegistry]:
    with registering() as found:
        yield found


# Every form keeps the contract


def as_json(rows: pl.DataFrame) -> list[bytes]:
    return [line.encode() for line in rows.write_ndjson().splitlines()]


def as_csv(rows: pl.DataFrame) -> list[bytes]:
    told = rows.with_columns(pl.col("at").dt.to_string("iso:strict"), pl.col("day").dt.to_string("iso"))
    messages = []
    for row in told.rows():
        line = StringIO()
        csv.writer(line).writerow(row)
        messages.append(line.getvalue().encode())
    return messages


def as_arrow(rows: pl.DataFrame) -> list[bytes]:
    return [arrow(rows[start : start + 7]) for start in range(0, rows.height, 7)]


def as_avro(rows: pl.DataFrame) -> list[bytes]:
    return [single(FLIGHT, row) for row in rows.to_dicts()]


def arrow(frame: pl.DataFrame) -> bytes:
    content = BytesIO()
    frame.write_ipc_stream(content)
    return content.getvalue()


def single(schema: Any, row: Mapping[str, Any]) -> bytes:
    """Return a row in Avro's single-object encoding."""
    _, mark = known(json.dumps(schema))
    return b"\xc3\x01" + mark + record(schema, row)


def record(schema: Any, row: Mapping[str, Any]) -> bytes:
    content = BytesIO()
    parsed, _ = known(json.dumps(schema))
    schemaless_writer(content, parsed, row)
    return content.getvalue()


@cache
def known(schema: str) -> tuple[Any, bytes]:
    """Return a schema parsed, and its fingerprint."""
    told = json.loads(schema)
    return parse_schema(told), bytes.fromhex(fingerprint(to_parsing_canonical_form(told), "CRC-64-AVRO"))


def named(folder: Path, schema: Any, name: str = "flight.avsc") -> Path:
    """Return a file with a schema."""
    file = folder / name
    file.write_text(json.dumps(schema))
    return file


@dataclass(frozen=True)
class TopicBench:
    """A topic of three partitions."""

    topics: Topics
    options: str
    messages: Callable[[pl.DataFrame], Sequence[bytes]]

    @property
    def source(self) -> Source:
        return open_source(url(self.topics, self.options))

    def fill(self, rows: pl.DataFrame) -> None:
        send(self.topics, *self.messages(rows))

    def empty(self) -> None:
        """Leave it as it was made."""

    def elsewhere(self) -> Source:
        return open_source(f"kafka://{self.topics.address}/nowhere-{self.topics.name}")


class TestKafkaSource(SourceContract):
    @pytest.fixture(params=["json", "csv", "arrow", "avro"])
    def bench(self, request: pytest.FixtureRequest, topics: Topics, tmp_path: Path) -> TopicBench:
        options, messages = {
            "json": ("", as_json),
            "csv": (f"format=csv&columns={','.join(TYPES)}", as_csv),
            "arrow": ("format=arrow", as_arrow),
            "avro": (f"format=avro&schema={named(tmp_path, FLIGHT)}", as_avro),
        }[request.param]
        return TopicBench(topics, options, messages)


# What a topic holds


def url(topics: Topics, options: str = "") -> str:
    """Return the URL of the source of a test."""
    return f"kafka://{topics.address}/{topics.source}" + (f"?{options}" if options else "")


def send(topics: Topics, *values: bytes | None, partition: int = -1) -> None:
    """Put messages on the source."""
    topics.send([Record(None, value, ()) for value in values], partition=partition)


@dataclass(frozen=True)
class Taken:
    """What one reading gave."""

    rows: pl.DataFrame
    undecoded: list[Undecoded]
    bookmark: str
    waiting: int

    def column(self, name: str) -> list[Any]:
        """Return the values of a column."""
        return self.rows[name].to_list()


def taken(topics: Topics, options: str = "", ask: Ask | None = None) -> Taken:
    """Read the source of a test."""
    with open_source(url(topics, options)).read(ask or Ask()) as reading:
        rows = pl.concat(list(reading.frames), how="diagonal_relaxed")
        return Taken(rows, reading.undecoded, reading.bookmark, reading.waiting)


def problem(topics: Topics, options: str = "", ask: Ask | None = None) -> Problem:
    """Return what reading the source of a test raises."""
    with pytest.raises(Problem) as told:
        taken(topics, options, ask)
    return told.value


def test_poison_is_set_aside_as_it_came_with_place_and_reason(topics: Topics) -> None:
    poison = [b"\xff\x00", b"[1]", b'{"n": 1, "n": 2}', b'{"n": "x"}', b'{"n": 1e999}']
    send(topics, b'{"n": 0}', *poison[:2], b'{"n": 1}', *poison[2:], b'{"n": 2}', partition=1)
    found = taken(topics)
    assert found.column("n") == [0, 1, 2]
    assert [one.content for one in found.undecoded] == poison
    assert [one.place for one in found.undecoded] == [f"{topics.source}/1/{offset}" for offset in (1, 2, 4, 5, 6)]
    assert all(one.why for one in found.undecoded)


def test_a_schema_that_changes_in_midstream_loses_nothing(topics: Topics) -> None:
    before = b'{"id": 1, "delay": 4}', b'{"id": 2, "delay": 4.5}', b'{"id": 3, "gate": "B"}', b'{"id": "4"}', b'{"id": [5]}'
    send(topics, *before, partition=0)
    found = taken(topics)
    assert found.rows.rows() == [(1, 4.0, None), (2, 4.5, None), (3, None, "B"), (4, None, None)]
    assert [one.why for one in found.undecoded] == ["the field id holds [5], and Int64 is expected"]
    after = b'{"id": 6, "delay": "late", "gate": "C"}', b'{"id": 7, "delay": 1, "gate": 5, "seat": 1}', b'{"id": 8, "seat": 2}'
    send(topics, *after, partition=0)
    found = taken(topics, ask=Ask(after=found.bookmark, types=found.rows.schema))
    assert found.rows.rows(named=True) == [{"id": 8, "delay": None, "gate": None, "seat": 2}]
    assert [one.why for one in found.undecoded] == [
        "the field delay holds 'late', and Float64 is expected",
        "the field gate holds 5, and String is expected",
    ]


def test_transactions_that_were_undone_or_still_last_are_not_read(topics: Topics) -> None:
    producer = Producer({"bootstrap.servers": topics.address, "transactional.id": topics.name})
    producer.init_transactions(PATIENCE_S)

    def send_within(*numbers: int) -> None:
        producer.begin_transaction()
        for number in numbers:
            producer.produce(topics.source, b'{"n": %d}' % number, partition=0)
        assert producer.flush(PATIENCE_S) == 0

    send_within(1, 2)
    producer.commit_transaction()
    send_within(3, 4)
    producer.abort_transaction()
    first = taken(topics)
    assert (first.column("n"), first.waiting) == ([1, 2], 0)
    send_within(5, 6)
    lasting = taken(topics, ask=Ask(after=first.bookmark))
    assert (lasting.rows.height, lasting.bookmark, lasting.waiting) == (0, first.bookmark, 0)
    producer.commit_transaction()
    then = taken(topics, ask=Ask(after=first.bookmark))
    assert (then.column("n"), then.undecoded) == ([5, 6], [])
    assert json.loads(then.bookmark)["next"]["0"] == 9  # six messages and three ends of transactions


def test_partitions_come_one_after_the_other_each_in_its_order(topics: Topics) -> None:
    for number in range(30):
        send(topics, b'{"n": %d}' % number, partition=number % 3)
    found = taken(topics)
    assert found.column("n") == [*range(0, 30, 3), *range(1, 30, 3), *range(2, 30, 3)]


def test_a_new_partition_is_read_from_its_beginning(topics: Topics) -> None:
    send(topics, b'{"n": 1}', partition=0)
    first = taken(topics)
    topics.widen(5)
    send(topics, b'{"n": 2}', b'{"n": 3}', partition=4)
    then = taken(topics, ask=Ask(after=first.bookmark))
    assert then.column("n") == [2, 3]
    assert json.loads(then.bookmark)["next"] == {"0": 1, "1": 0, "2": 0, "3": 0, "4": 2}


def test_a_reading_takes_a_bounded_number_and_tells_how_many_wait(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_room, "MOST_STREAMED", 10)
    monkeypatch.setattr(source_room, "STRETCH_MESSAGES", 4)
    send(topics, *(b'{"n": %d}' % number for number in range(25)))
    numbers: list[int] = []
    bookmark, left = "", []
    for _ in range(3):
        with open_source(url(topics)).read(Ask(after=bookmark)) as reading:
            for frame in reading.frames:
                numbers += frame["n"].to_list()
                assert frame.height <= 4
            bookmark = reading.bookmark
            left.append(reading.waiting)
    assert left == [15, 5, 0]
    assert sorted(numbers) == list(range(25))


def test_a_reading_takes_a_bounded_number_of_bytes(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_room, "MOST_BYTES", 1_000)
    send(topics, *(b'{"n": %d, "more": "%s"}' % (number, b"x" * 600) for number in range(3)), partition=0)
    first = taken(topics)
    assert first.rows.height > 0
    assert first.rows.height + first.waiting == 3


def test_what_retention_has_deleted_is_told_and_passed_over_only_by_name(
    topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    send(topics, *(b'{"n": %d}' % number for number in range(3)), partition=2)
    first = taken(topics)
    send(topics, *(b'{"n": %d}' % number for number in range(3, 10)), partition=2)
    topics.forget({2: 8})
    told = problem(topics, ask=Ask(after=first.bookmark))
    assert told.code == "source.conflict"
    assert told.detail == {"gone": 5}
    assert "3 to 7 of partition 2" in told.why
    assert "missing=skip" in told.next_step
    with caplog.at_level(logging.WARNING):
        then = taken(topics, "missing=skip", Ask(after=first.bookmark))
    assert then.column("n") == [8, 9]
    assert "5 messages" in caplog.text
    assert taken(topics).column("n") == [8, 9]  # who begins misses nothing


def test_a_topic_that_was_made_anew_is_not_read_on(topics: Topics) -> None:
    send(topics, b'{"n": 1}', b'{"n": 2}', partition=0)
    first = taken(topics)
    topics.make_anew()
    send(topics, *(b'{"n": %d}' % number for number in range(10, 15)), partition=0)
    told = problem(topics, ask=Ask(after=first.bookmark))
    assert told.code == "source.conflict"
    assert "not the topic that was read before" in told.what
    assert taken(topics, "missing=skip", Ask(after=first.bookmark)).column("n") == [10, 11, 12, 13, 14]


def test_a_bookmark_of_something_else_is_told(topics: Topics) -> None:
    assert problem(topics, ask=Ask(after="2013-01-01")).code == "source.invalid"


def test_messages_without_a_value_are_set_aside_or_passed_over(topics: Topics) -> None:
    send(topics, b'{"n": 1}', None, b'{"n": 2}', partition=0)
    kept = taken(topics)
    assert kept.column("n") == [1, 2]
    assert kept.undecoded == [Undecoded(b"", f"{topics.source}/0/1", "no value")]
    skipped = taken(topics, "tombstones=skip")
    assert (skipped.column("n"), skipped.undecoded) == ([1, 2], [])


def test_rows_may_tell_where_they_come_from(topics: Topics) -> None:
    values = [(b"UA1", b'{"n": 1}'), (None, b'{"n": 2}'), (b"\xff", b'{"n": 3}'), (b"UA2", b'{"n": 4, "kafka_key": 1}')]
    topics.send([Record(key, value, ()) for key, value in values], partition=1)
    found = taken(topics, "meta=true")
    assert found.rows.drop("kafka_time").rows() == [(1, "UA1", 1, 0), (2, None, 1, 1)]
    assert found.rows["kafka_time"].dtype == pl.Datetime("us", "UTC")
    assert found.rows["kafka_time"].is_sorted()
    assert [one.place[-1] for one in found.undecoded] == ["2", "3"]
    again = taken(topics, "meta=true", Ask(columns=("kafka_offset", "n"), types=found.rows.schema))
    assert again.rows.rows() == [(0, 1), (1, 2), (3, 4)]  # nobody wants its kafka_key


def test_messages_of_megabytes_are_read(kafka_address: str) -> None:
    topics = Topics.make(kafka_address, largest=8 << 20)
    send(topics, *(b'{"n": %d, "text": "%s"}' % (number, b"x" * (3 << 20)) for number in range(12)))
    found = taken(topics)
    assert sorted(found.column("n")) == list(range(12))
    assert found.rows["text"].str.len_bytes().unique().to_list() == [3 << 20]


# Avro and Arrow


def test_avro_of_an_older_schema_is_read_as_the_newer_one(topics: Topics, tmp_path: Path) -> None:
    files = f"{named(tmp_path, NEW, 'new.avsc')},{named(tmp_path, OLD, 'old.avsc')}"
    good = [single(NEW, {"id": 2**40, "delay": 4.5}), single(OLD, {"id": 7, "gate": "B"})]
    poison = [good[0][:-1], good[0] + b"x", b"", b"\xc3\x01" + bytes(8) + b"xx", b"\x00\x00\x00\x00\x01\x02", b"{}"]
    send(topics, *good, *poison, partition=0)
    found = taken(topics, f"format=avro&schema={files}")
    assert found.rows.rows() == [(2**40, 4.5), (7, None)]
    assert [one.content for one in found.undecoded] == poison
    assert "which no file that is named holds" in found.undecoded[3].why
    assert "none is named" in found.undecoded[4].why


def numbers_of(schema: Any, number: int, row: Mapping[str, Any]) -> bytes:
    """Return a row as producers with a registry write it."""
    return b"\x00" + number.to_bytes(4, "big") + record(schema, row)


def test_avro_of_a_registry_is_read_by_what_wrote_it(topics: Topics, registry: SchemaRegistry, tmp_path: Path) -> None:
    old, new = registry.add(OLD), registry.add(NEW)
    strange = [registry.add({}, schemaType="PROTOBUF"), registry.add({"type": "nothing"}), registry.add("int"), 99]
    good = [numbers_of(OLD, old, {"id": 1, "gate": "B"}), numbers_of(NEW, new, {"id": 2, "delay": 0.5})]
    send(topics, *good, *good, *(b"\x00" + number.to_bytes(4, "big") + b"\x02" for number in strange), partition=0)
    found = taken(topics, f"format=avro&registry={registry.url}")
    assert found.rows.rows() == [(1, "B", None), (2, None, 0.5)] * 2
    assert [one.why.partition(f"registry {registry.url} ")[2].partition(":")[0] for one in found.undecoded] == [
        "is none of Avro, or refers to others", "cannot be read", "", "knows no schema 99",
    ]  # fmt: skip
    assert sorted(registry.asked) == sorted(f"/schemas/ids/{number}" for number in (old, new, *strange))  # each once
    found = taken(topics, f"format=avro&registry={registry.url}&schema={named(tmp_path, NEW)}")
    assert found.rows.rows() == [(1, None), (2, 0.5)] * 2


@pytest.mark.parametrize(("status", "code"), [(500, "source.unavailable"), (401, "source.forbidden")])
def test_a_registry_that_does_not_answer_is_told(topics: Topics, registry: SchemaRegistry, status: int, code: str) -> None:
    send(topics, numbers_of(OLD, registry.add(OLD), {"id": 1, "gate": "B"}))
    registry.status = status
    assert problem(topics, f"format=avro&registry={registry.url}").code == code


def test_a_registry_that_is_not_there_is_told(topics: Topics) -> None:
    send(topics, b"\x00\x00\x00\x00\x01\x02")
    assert problem(topics, "format=avro&registry=http://127.0.0.1:1").code == "source.unavailable"


def test_an_arrow_stream_is_many_rows_or_none(topics: Topics) -> None:
    first, other = pl.DataFrame({"n": [1, 2]}), pl.DataFrame({"n": [3, None], "gate": ["B", None]})
    wrong = arrow(pl.DataFrame({"n": [4, 5], "gate": [1.5, 2.5]}))
    send(topics, arrow(first), arrow(other), wrong, b"ARROW", arrow(first.head(0)), partition=0)
    found = taken(topics, "format=arrow&meta=true")
    assert found.rows.select("n", "gate", "kafka_offset").rows() == [(1, None, 0), (2, None, 0), (3, "B", 1), (None, None, 1)]
    assert [one.content for one in found.undecoded] == [wrong, b"ARROW"]


# What goes wrong


def test_the_nearest_topic_is_suggested(topics: Topics) -> None:
    send(topics, b"{}")
    with pytest.raises(Problem) as told, open_source(f"{url(topics)}x").read(Ask()):
        pass
    assert told.value.code == "source.missing"
    assert topics.source in told.value.why


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("kafka://ada:hidden@127.0.0.1:1/flights", "sasl.password"),
        ("kafka://127.0.0.1:1/flights?format=avro&schema=/etc/hosts", "no Avro schema"),
        ("kafka://127.0.0.1:1/flights?ssl.key.password=hidden", "ssl.key.password"),
        ("kafka://127.0.0.1:1/flights?bootstrap.servers=127.0.0.1:2", "bootstrap.servers"),
        ("kafka://127.0.0.1:1/flights?sasl.kerberos.kinit.cmd=true", "sasl.kerberos.kinit.cmd"),
        ("kafka://127.0.0.1:1/flights?plugin.library.paths=mine", "plugin.library.paths"),
        ("kafka://127.0.0.1:1/flights?format=avro&registry=http://ada:hidden@127.0.0.1:1", "registry"),
        ("kafka://127.0.0.1:1/flights?format=xml", "format"),
        ("kafka://127.0.0.1:1/flights?missing=hidden", "missing"),
        ("kafka://127.0.0.1:1/flights?format=avro", "schema=FILE"),
        ("kafka://127.0.0.1:1/flights?format=avro&schema=nowhere.avsc", "nowhere.avsc"),
        ("kafka://127.0.0.1:1/flights?config=/etc/passwd", "in a file"),
        ("kafka://127.0.0.1:1/flights?group.id=mine", "group.id"),
        ("kafka://127.0.0.1:1/", "no topic"),
    ],
)
def test_a_url_that_cannot_be_kept_or_read_is_refused(source: str, why: str) -> None:
    with pytest.raises(Problem, match=why) as told:
        open_source(source)
    assert told.value.code == "source.invalid"
    assert "ada:hidden" not in str(told.value)


def test_a_setting_that_there_is_not_is_told(topics: Topics) -> None:
    told = problem(topics, "client.such=1")
    assert (told.code, "client.such" in told.why) == ("source.invalid", True)


def test_a_broker_that_is_away_is_told_after_a_while() -> None:
    with pytest.raises(Problem) as told, KafkaSource("kafka://127.0.0.1:1/flights", patience_s=0.5).read(Ask()):
        pass
    assert told.value.code == "source.unavailable"
    assert told.value.why


def test_a_broker_that_is_lost_in_midread_is_told(kafka_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = KafkaNode(fetch_kafka(), tmp_path / "kafka")
    node.start()
    try:
        topics = Topics.make(node.address)
        for start in range(0, 1_000, 20):  # a batch each: the broker gives whole ones, and one of all would be read at once
            send(topics, *(b'{"n": %d, "text": "%s"}' % (number, b"x" * 900) for number in range(start, start + 20)))
        taken_in, add = 0, topic_room._message

        def kill_at_the_tenth(found: KafkaMessage) -> topic_room.Message:
            nonlocal taken_in
            taken_in += 1
            if taken_in == 10:
                node.kill()
            return add(found)

        monkeypatch.setattr(topic_room, "_message", kill_at_the_tenth)
        slowly = "fetch.message.max.bytes=5000&queued.max.messages.kbytes=5&queued.min.messages=1"
        with KafkaSource(url(topics, slowly), patience_s=2.0).read(Ask()) as reading, pytest.raises(Problem) as told:
            list(reading.frames)
        assert told.value.code == "source.unavailable"
        assert 10 <= taken_in < 1_000
        assert reading.bookmark == ""
    finally:
        node.stop()


def test_who_may_not_read_is_told(kafka_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = KafkaNode(fetch_kafka(), tmp_path / "kafka", accounts={"ada": "s3cret", "bob": "hidden"})
    node.start()
    try:
        topics = Topics.make(node.address)
        send(topics, b'{"n": 1}')
        codes = {}
        guarded = f"kafka://{node.guarded_address}/{topics.source}?security.protocol=SASL_PLAINTEXT&sasl.mechanism=PLAIN"
        for name, password in (("ada", "s3cret"), ("ada", "wr0ng"), ("bob", "hidden")):
            monkeypatch.setenv("MODELYARD_SECRET_BROKER", f"kafka://{name}:{password}@{node.guarded_address}")
            source = KafkaSource(f"{guarded}&secret=BROKER", patience_s=4.0)
            try:
                with source.read(Ask()) as reading:
                    codes[password] = str(sum(frame.height for frame in reading.frames))
            except Problem as told:
                codes[password] = told.code
                assert password not in str(told)
        elsewhere = KafkaSource(f"kafka://{kafka_address}/{topics.source}?secret=BROKER")
        with pytest.raises(Problem) as refused, elsewhere.read(Ask()):
            pass
        assert refused.value.code == "secret.refused"
        assert codes == {"s3cret": "1", "wr0ng": "source.forbidden", "hidden": "source.forbidden"}
    finally:
        node.stop()
