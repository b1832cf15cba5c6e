"""Streams on the real broker: equal numbers, dead letters, and exactly one answer whatever is killed."""

import random
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import httpx
import orjson
import polars as pl
import pytest

from modelyard.adapters.onnx import OnnxFramework
from modelyard.core import TraceContext
from modelyard.serving import Route, RouteKind
from modelyard.serving.broker import Record
from modelyard.serving.infer import load_version
from modelyard.serving.ledger import shadow_table
from modelyard.serving.rules import choose
from tests.collector import collecting
from tests.fetch import fetch_kafka
from tests.gateway.packages import flights
from tests.gateway.streaming import PATIENCE_S, Ports, Worker, header, requests, until
from tests.gateway.world import PROJECT, World
from tests.kafka import KafkaNode
from tests.topics import Topics

pytestmark = pytest.mark.xdist_group("kafka")  # one after another: each starts processes enough

MakeWorker = Callable[[str], Worker]


@pytest.fixture
def topics(kafka_address: str) -> Topics:
    return Topics.make(kafka_address)


@pytest.fixture
def make_worker(world: World, topics: Topics) -> Iterator[MakeWorker]:
    made: list[Worker] = []

    def make(name: str) -> Worker:
        made.append(Worker(world, topics, name))
        return made[-1]

    yield make
    for worker in made:
        if worker.process is not None:
            worker.kill()


@pytest.fixture
def own_kafka(kafka_address: str, tmp_path: Path) -> Iterator[KafkaNode]:
    """Give a broker that may be killed."""
    node = KafkaNode(fetch_kafka(), tmp_path / "kafka")
    node.start()
    yield node
    node.kill()


def raw(rows: int, seed: int = 5) -> pl.DataFrame:
    return flights(rows, seed).drop("late")


def expected(world: World, version: int, frame: pl.DataFrame, folder: Path) -> list[float]:
    loaded = load_version(Ports(world.objects, lambda _: OnnxFramework()), PROJECT, world.package(version).form, folder)
    answers: list[float] = loaded.infer(frame)["probability"].tolist()
    return answers


def answered(records: list[Record]) -> dict[bytes | None, float]:
    assert len({one.key for one in records}) == len(records)
    return {one.key: orjson.loads(one.value or b"")["probability"] for one in records}


def test_each_message_is_answered_as_by_every_other_door(
    world: World, topics: Topics, make_worker: MakeWorker, tmp_path: Path
) -> None:
    world.publish(world.served(Route(1, 100)))
    frame = raw(600)
    sent = requests(frame)
    trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    sent[0] = Record(sent[0].key, sent[0].value, (("traceparent", trace), ("other", b"x")))
    sent[2] = Record(sent[2].key, sent[2].value, (("modelyard-time", b"2013-05-06T07:08:09+02:00"),))
    topics.send(sent)
    worker = make_worker("one")
    worker.start()
    until(lambda: topics.read(topics.target), 600, [worker])
    assert worker.stop() == 0
    messages = topics.messages(topics.source)
    places = {one.key(): f"{one.topic()}-{one.partition()}-{one.offset()}" for one in messages}
    found = topics.read(topics.target)
    assert answered(found) == dict(zip([one.key for one in sent], expected(world, 1, frame, tmp_path / "kept"), strict=True))
    for one in found:
        number = int(one.key or b"")
        told = f"mine-{number}" if number % 2 else places[one.key]
        assert header(one, "modelyard-prediction-id") == told
        assert (header(one, "modelyard-model"), header(one, "modelyard-version")) == ("delay", "1")
        assert header(one, "modelyard-route") == "live"
        assert header(one, "traceparent") == (trace.decode() if number == 0 else None)
        assert header(one, "other") is None
    ledger = world.ledger()
    assert sorted(ledger["id"]) == sorted(header(one, "modelyard-prediction-id") or "" for one in found)
    at = ledger.filter(pl.col("id") == places[b"2"])["time"].item()
    assert at == datetime(2013, 5, 6, 5, 8, 9, tzinfo=UTC)
    traced = ledger.filter(pl.col("trace").is_not_null())
    assert traced.select("id", "trace").rows() == [(places[b"0"], trace.decode().split("-")[1])]
    assert topics.committed(worker.group) == 600
    assert topics.read(topics.dead) == []


def test_each_message_is_a_span_and_its_answer_is_told_to_which(
    world: World, topics: Topics, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.publish(world.served(Route(1, 100)))
    caller = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    [first, second] = requests(raw(2))
    marked = Record(first.key, first.value, (("traceparent", caller.traceparent.encode()),))
    topics.send([marked, second, Record(b"x", b"{", ())])
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        worker = make_worker("one")
        worker.start()
        answers = until(lambda: topics.read(topics.target), 2, [worker])
        until(lambda: topics.read(topics.dead), 1, [worker])
        assert worker.stop() == 0
    spans = [span for span in collector.spans if span.name == "answer delay"]
    assert {span.service for span in spans} == {"modelyard-stream"}
    assert sorted(span.facts.get("error.type", "") for span in spans) == ["", "", "request.invalid"]
    [mine] = [span for span in spans if span.trace == caller.trace_id]
    assert mine.parent == caller.span_id
    told = {one.key: header(one, "traceparent") for one in answers}
    assert told[first.key] == TraceContext(mine.trace, mine.id).traceparent
    assert TraceContext.parse(told[second.key]) is not None


def test_a_worker_tells_its_figures(world: World, topics: Topics, make_worker: MakeWorker) -> None:
    world.publish(world.served(Route(1, 100)))
    topics.send([*requests(raw(300)), Record(b"bad", b"{", ())])
    worker = make_worker("one")
    told = worker.start("--metrics-port", "0")
    until(lambda: topics.read(topics.target), 300, [worker])
    with httpx.Client(base_url=told["metrics"], trust_env=False) as client:
        deadline = monotonic() + PATIENCE_S
        figures: dict[str, float] = {}
        while figures.get("modelyard_stream_dead_letters_total") != 1 or figures["modelyard_stream_lag_messages"]:
            assert monotonic() < deadline, figures
            figures = figures_of(client.get("/metrics").text)
        assert client.get("/health").status_code == 200
        assert client.get("/other").status_code == 404
    assert figures["modelyard_stream_answered_total"] == figures["modelyard_ledger_rows_written_total"] == 300
    assert figures["modelyard_stream_batches_total"] >= 2
    assert figures["modelyard_stream_batches_undone_total"] == figures["modelyard_stream_restarts_total"] == 0
    live = '{deployment="delay",project="flights",route="live",version="1"}'
    assert figures[f"modelyard_rows_total{live}"] == 300
    assert worker.stop() == 0


def figures_of(text: str) -> dict[str, float]:
    """Return Prometheus' text by name and labels."""
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_what_cannot_be_answered_goes_to_the_dead_letters_as_it_came(
    world: World, topics: Topics, make_worker: MakeWorker
) -> None:
    world.publish(world.served(Route(1, 100)))
    frame = raw(20)
    good = requests(frame)
    row = frame.row(0, named=True)
    bad: dict[bytes, tuple[bytes | None, str]] = {
        b"no json": (b"{", "request.invalid"),
        b"no text": (b"\xff\xfe", "request.invalid"),
        b"no object": (b"[1, 2]", "request.invalid"),
        b"no value": (None, "request.invalid"),
        b"empty": (b"{}", "request.invalid"),
        b"lacks one": (orjson.dumps({name: value for name, value in row.items() if name != "wind"}), "column.missing"),
        b"wrong type": (orjson.dumps({**row, "distance": "far"}), "column.invalid"),
        b"\xff no utf-8 in the key": (b"nothing", "request.invalid"),
    }
    poison = [Record(key, value, (("kept", b"\x00\xff"), ("none", None))) for key, (value, _) in bad.items()]
    wrong_time = Record(b"time", good[0].value, (("modelyard-time", b"soon"),))
    long_id = Record(b"id", good[0].value, (("modelyard-prediction-id", b"x" * 201),))
    mixed = [*good[:10], *poison, wrong_time, long_id, *good[10:]]
    topics.send(mixed)
    worker = make_worker("one")
    worker.start()
    until(lambda: topics.read(topics.target), 20, [worker])
    dead = until(lambda: topics.read(topics.dead), len(poison) + 2, [worker])
    assert worker.stop() == 0
    assert set(answered(topics.read(topics.target))) == {one.key for one in good}
    assert len(dead) == len(poison) + 2
    by_key = {one.key: one for one in dead}
    for sent in (*poison, wrong_time, long_id):
        found = by_key[sent.key]
        assert (found.value, found.headers[: len(sent.headers)]) == (sent.value, sent.headers)
        code = bad[sent.key or b""][1] if sent in poison else "request.invalid"
        assert header(found, "modelyard-problem-code") == code
        assert len(header(found, "modelyard-problem") or "") > 20
    assert topics.committed(worker.group) == len(mixed)
    assert world.ledger().height == 20


def test_a_key_meets_the_version_that_its_route_says(world: World, topics: Topics, make_worker: MakeWorker) -> None:
    served = world.served(Route(1, 60), Route(2, 40, RouteKind.CANARY))
    world.publish(served)
    topics.send(requests(raw(200)))
    worker = make_worker("one")
    worker.start()
    found = until(lambda: topics.read(topics.target), 200, [worker])
    assert worker.stop() == 0
    for one in found:
        route = choose(served.revision, (one.key or b"").decode())
        assert (header(one, "modelyard-version"), header(one, "modelyard-route")) == (str(route.version), route.kind.value)
    assert {header(one, "modelyard-route") for one in found} == {"live", "canary"}


def test_a_shadow_is_asked_about_what_was_answered(world: World, topics: Topics, make_worker: MakeWorker) -> None:
    world.publish(world.served(Route(1, 100), Route(2, 100, RouteKind.SHADOW)))
    topics.send([*requests(raw(300)), Record(b"x", b"poison", ())])
    worker = make_worker("one")
    worker.start()
    until(lambda: world.table(shadow_table("delay")).rows(), 300, [worker])
    assert worker.stop() == 0
    shadows, ledger = world.table(shadow_table("delay")), world.ledger()
    assert sorted(shadows["id"]) == sorted(ledger["id"])
    assert (set(shadows["version"]), set(ledger["version"])) == ({2}, {1})


def test_killed_again_and_again_it_answers_each_message_once(
    world: World, topics: Topics, make_worker: MakeWorker, tmp_path: Path
) -> None:
    world.publish(world.served(Route(1, 100)))
    draw = random.Random(7)
    frame = raw(6000)
    sent = requests(frame)
    sent[100] = Record(sent[100].key, b"poison", ())
    worker = make_worker("one")
    cut = 0
    for part in range(5):
        topics.send(sent[1200 * part : 1200 * (part + 1)])
        worker.start()
        worker.kill_in_batch(draw.randrange(1, 4))
        cut += worker.uncommitted() > 0
    assert cut >= 2, "the kills came between batches"
    worker.start()
    until(lambda: topics.read(topics.target), 5999, [worker])
    assert worker.stop() == 0
    found = topics.read(topics.target)
    good = [one.key for one in sent if one.value != b"poison"]
    numbers = [value for place, value in enumerate(expected(world, 1, frame, tmp_path / "kept")) if place != 100]
    assert answered(found) == dict(zip(good, numbers, strict=True))
    assert [one.value for one in topics.read(topics.dead)] == [b"poison"]
    ids = [header(one, "modelyard-prediction-id") for one in found]
    assert len(set(ids)) == 5999
    ledger = world.ledger()
    assert sorted(ledger["id"]) == sorted(str(one) for one in ids)
    assert topics.committed(worker.group) == 6000


def test_two_workers_share_a_group_and_one_takes_over_when_the_other_dies(
    world: World, topics: Topics, make_worker: MakeWorker
) -> None:
    world.publish(world.served(Route(1, 100)))
    sent = requests(raw(4000))
    one, two = make_worker("one"), make_worker("two")
    one.start()
    two.start()
    topics.send(sent[:2000])
    until(lambda: topics.read(topics.target), 500, [one, two])
    one.kill()
    topics.send(sent[2000:])
    until(lambda: topics.read(topics.target), 4000, [one, two])
    one.start()  # settles what its ledger held when it was killed
    assert one.stop() == 0
    assert two.stop() == 0
    found = topics.read(topics.target)
    assert set(answered(found)) == {record.key for record in sent}
    assert sorted(world.ledger()["id"]) == sorted(str(header(record, "modelyard-prediction-id")) for record in found)
    assert topics.committed(one.group) == 4000


def test_a_switch_under_traffic_loses_and_doubles_nothing(
    world: World, topics: Topics, make_worker: MakeWorker, tmp_path: Path
) -> None:
    world.publish(world.served(Route(1, 100)))
    frame = raw(3000)
    sent = requests(frame)
    worker = make_worker("one")
    worker.start()
    topics.send(sent[:1000])
    until(lambda: topics.read(topics.target), 1000, [worker])
    world.publish(world.served(Route(2, 100)))
    start = 1000
    while start < 2900 and not any(header(one, "modelyard-version") == "2" for one in topics.read(topics.target)):
        topics.send(sent[start : start + 100])
        start += 100
        until(lambda: topics.read(topics.target), start, [worker])
    topics.send(sent[start:])
    found = until(lambda: topics.read(topics.target), 3000, [worker])
    assert worker.stop() == 0
    told = {version: expected(world, version, frame, tmp_path / "kept") for version in (1, 2)}
    for one in found:
        version, number = int(header(one, "modelyard-version") or 0), int(one.key or b"")
        assert orjson.loads(one.value or b"")["probability"] == told[version][number]
    assert len(answered(list(found))) == 3000
    assert {header(one, "modelyard-version") for one in found} == {"1", "2"}


def test_a_newer_instance_of_a_worker_ends_the_older_one(
    world: World, topics: Topics, make_worker: MakeWorker, tmp_path: Path
) -> None:
    world.publish(world.served(Route(1, 100)))
    older, newer = make_worker("one"), make_worker("one")
    older.start()
    newer.world = World(tmp_path / "elsewhere", world.control)
    shutil.copytree(world.home / "objects", newer.world.home / "objects", dirs_exist_ok=True)
    newer.start()
    sent = requests(raw(300))
    topics.send(sent)
    assert older.ended() != 0
    assert "Another instance of this worker has taken over" in older.log.read_text()
    found = until(lambda: topics.read(topics.target), 300, [older, newer])
    assert set(answered(list(found))) == {one.key for one in sent}
    assert newer.stop() == 0


def test_a_name_that_works_here_already_is_refused(world: World, make_worker: MakeWorker) -> None:
    world.publish(world.served(Route(1, 100)))
    one, again = make_worker("one"), make_worker("one")
    one.start()
    again.start(ready=False)
    assert again.ended() != 0
    assert "The worker one runs already" in again.log.read_text()
    assert one.stop() == 0


def test_a_model_that_is_not_there_ends_it_with_the_nearest_names(
    world: World, topics: Topics, make_worker: MakeWorker
) -> None:
    world.publish(world.served(Route(1, 100), name="delays"))
    worker = make_worker("one")
    worker.start(ready=False)
    assert worker.ended() != 0
    assert "did you mean 'delays'?" in worker.log.read_text()


def test_a_broker_that_goes_away_is_waited_for_and_told_once(world: World, own_kafka: KafkaNode) -> None:
    world.publish(world.served(Route(1, 100)))
    topics = Topics.make(own_kafka.address)
    sent = requests(raw(3000))
    worker = Worker(world, topics, "one")
    try:
        worker.start()
        topics.send(sent[:1500])
        until(lambda: topics.read(topics.target), 300, [worker])
        own_kafka.kill()
        until(lambda: re.findall("does not answer", worker.log.read_text()), 1, [worker])
        own_kafka.start()
        topics.send(sent[1500:])
        found = until(lambda: topics.read(topics.target), 3000, [worker])
        assert worker.stop() == 0
    finally:
        if worker.process is not None:
            worker.kill()
    assert set(answered(list(found))) == {one.key for one in sent}
    assert sorted(world.ledger()["id"]) == sorted(str(header(one, "modelyard-prediction-id")) for one in found)
    told = worker.log.read_text()
    assert told.count("does not answer, and is waited for") == told.count("answers again") == 1, told


def test_an_answer_that_the_broker_does_not_take_becomes_a_dead_letter(
    world: World, make_worker: MakeWorker, topics: Topics
) -> None:
    world.publish(world.served(Route(1, 100)))
    topics.limit(topics.target, 250)
    frame = raw(10)
    sent = requests(frame)
    sent[4] = Record(sent[4].key, sent[4].value, (("traceparent", b"0" * 400),))
    topics.send(sent)
    worker = make_worker("one")
    worker.start()
    [dead] = until(lambda: topics.read(topics.dead), 1, [worker])
    until(lambda: topics.read(topics.target), 9, [worker])
    assert worker.stop() == 0
    assert (dead.key, dead.value, header(dead, "modelyard-problem-code")) == (sent[4].key, sent[4].value, "message.too_large")
    assert set(answered(topics.read(topics.target))) == {one.key for one in sent} - {dead.key}
    assert world.ledger().height == 9
