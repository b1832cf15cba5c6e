"""A request's trace goes from its caller into the answer, the ledger and, where somebody collects them, into spans."""

from collections.abc import Callable, Iterator

import grpc
import httpx
import polars as pl
import pytest

from modelyard.core import TraceContext
from modelyard.gateway.messages import SERVICE
from modelyard.serving import Route
from modelyard.serving.ledger import META, ledger_table, read_ledger
from tests.collector import Collector, Told, collecting
from tests.gateway import doors
from tests.gateway.packages import flights
from tests.gateway.world import PROJECT, TOKEN, World

CALLER = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
LARGE = 600  # rows, more than are answered on the event loop


def ids(name: str) -> dict[str, str]:
    return {"modelyard-prediction-ids": name}


def ask_oip(client: httpx.Client, world: World, name: str, headers: dict[str, str], rows: int = 1) -> httpx.Response:
    told = [name, *(f"{name}-{row}" for row in range(1, rows))]
    return client.post("/v2/models/delay/infer", json=world.body(flights(rows), parameters={"ids": told}), headers=headers)


def ask_large(client: httpx.Client, world: World, name: str, headers: dict[str, str]) -> httpx.Response:
    return ask_oip(client, world, name, headers, LARGE)


def ask_mlflow(client: httpx.Client, world: World, name: str, headers: dict[str, str]) -> httpx.Response:
    body = {"dataframe_records": doors.records(world, flights(1))}
    return client.post("/mlflow/delay/invocations", json=body, headers=headers | ids(name))


def ask_tensorflow(client: httpx.Client, world: World, name: str, headers: dict[str, str]) -> httpx.Response:
    body = {"instances": doors.records(world, flights(1))}
    return client.post("/v1/models/delay:predict", json=body, headers=headers | ids(name))


WAYS: dict[str, Callable[[httpx.Client, World, str, dict[str, str]], httpx.Response]] = {
    "REST": ask_oip,
    "REST-large": ask_large,
    "MLflow": ask_mlflow,
    "TensorFlow": ask_tensorflow,
}


def traces_of(world: World, names: list[str]) -> dict[str, str | None]:
    """Return the trace of each prediction, as the ledger has it."""
    with world.client() as client:
        client.post("/v1/ledger/flush").raise_for_status()
    found = world.ledger().filter(pl.col("id").is_in(names))
    return dict(zip(found["id"], found["trace"], strict=True))


@pytest.mark.parametrize("way", WAYS)
def test_a_trace_is_kept_in_the_ledger_and_told_in_the_answer(shared: World, way: str) -> None:
    traced, plain, broken = f"{way}-traced", f"{way}-plain", f"{way}-broken"
    with shared.client() as client:
        answers = {
            traced: WAYS[way](client, shared, traced, {"traceparent": CALLER.traceparent, "tracestate": "vendor=1"}),
            plain: WAYS[way](client, shared, plain, {}),
            broken: WAYS[way](client, shared, broken, {"traceparent": "00-what-is-this"}),
        }
    assert {name: (answer.status_code, answer.headers.get("traceparent")) for name, answer in answers.items()} == {
        traced: (200, CALLER.traceparent),
        plain: (200, None),
        broken: (200, None),
    }
    assert traces_of(shared, [traced, plain, broken]) == {traced: CALLER.trace_id, plain: None, broken: None}


@pytest.mark.parametrize("path", ["/v2/models/delay/infer", "/mlflow/delay/invocations", "/v1/models/delay:predict"])
def test_a_refusal_tells_its_trace_too(shared: World, path: str) -> None:
    with shared.client() as client:
        answer = client.post(
            path, content=b"{", headers={"traceparent": CALLER.traceparent, "content-type": "application/json"}
        )
    assert (answer.status_code, answer.headers["traceparent"]) == (400, CALLER.traceparent)


def test_grpc_tells_the_trace_in_the_trailing_metadata(shared: World) -> None:
    told = {}
    with grpc.insecure_channel(shared.grpc) as channel:
        call = channel.unary_unary(f"/{SERVICE}/ModelInfer", request_serializer=lambda message: message.SerializeToString())
        columns = doors.columns(shared, flights(1))
        metadata = [("authorization", f"Bearer {TOKEN}"), ("traceparent", CALLER.traceparent)]
        good = doors.message(columns, raw=True)
        good.parameters["ids"].string_param = '["grpc-traced"]'
        _, outcome = call.with_call(good, metadata=metadata)
        told["good"] = dict(outcome.trailing_metadata())["traceparent"]
        with pytest.raises(grpc.RpcError) as refused:
            call(doors.message(columns[:1], raw=True), metadata=metadata)
        trailing = dict(refused.value.trailing_metadata())
        told["bad"] = trailing["traceparent"]
        assert trailing["modelyard-code"] == "column.missing"
    assert told == {"good": CALLER.traceparent, "bad": CALLER.traceparent}
    assert traces_of(shared, ["grpc-traced"]) == {"grpc-traced": CALLER.trace_id}


def test_a_ledger_of_before_takes_traces_up(world: World) -> None:
    before = pl.DataFrame({name: [None] for name in META}, schema=dict(META)).with_columns(id=pl.lit("old")).drop("trace")
    world.lake.append(PROJECT, ledger_table("delay"), before, commit="of a version before")
    assert read_ledger(world, PROJECT, "delay").collect().columns == before.columns
    world.publish(world.served(Route(1, 100)))
    world.start()
    with world.client() as client:
        ask_oip(client, world, "new", {"traceparent": CALLER.traceparent}).raise_for_status()
    assert traces_of(world, ["old", "new"]) == {"old": None, "new": CALLER.trace_id}


@pytest.fixture
def collected(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[World, Collector]]:
    """Give a gateway whose traces are collected."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        world.publish(world.served(Route(1, 100)))
        yield world, collector


def of_answers(spans: list[Told]) -> list[Told]:
    return [span for span in spans if span.name == "infer delay"]


def test_each_request_is_a_span_with_what_it_waited_and_what_its_version_took(collected: tuple[World, Collector]) -> None:
    world, collector = collected
    world.start("--grpc-port", "0")
    with world.client() as client:
        answers = [way(client, world, name, {"traceparent": CALLER.traceparent}) for name, way in WAYS.items()]
        refused = client.post("/v2/models/delay/infer", content=b"{", headers={"traceparent": CALLER.traceparent})
        alone = ask_oip(client, world, "alone", {})
    doors.infer(world, doors.message(doors.columns(world, flights(2)), raw=True), traceparent=CALLER.traceparent)
    spans = collector.wait(lambda spans: len(of_answers(spans)) == len(WAYS) + 3)
    mine = [span for span in of_answers(spans) if span.trace == CALLER.trace_id]
    assert {span.parent for span in mine} == {CALLER.span_id}
    assert {span.service for span in spans} == {"modelyard-gateway"}
    told = [TraceContext.parse(answer.headers["traceparent"]) for answer in [*answers, refused]]
    assert {one.span_id for one in told if one is not None} <= {span.id for span in mine}
    assert sorted(span.facts.get("modelyard.rows", 0) for span in mine) == [0, 1, 1, 1, 2, LARGE]
    [failed] = [span for span in mine if span.facts.get("error.type") == "request.invalid"]
    assert not any(span.failed for span in mine)
    for span in mine:
        inside = {part.name: part for part in spans if part.parent == span.id}
        if span is failed:
            assert inside == {}
            continue
        assert set(inside) == {"wait", "infer"}
        assert span.begun_ns == inside["wait"].begun_ns <= inside["wait"].ended_ns == inside["infer"].begun_ns
        assert inside["infer"].begun_ns <= inside["infer"].ended_ns <= span.ended_ns
        expected = {"modelyard.project": "flights", "modelyard.deployment": "delay", "modelyard.version": 1}
        assert {**span.facts, **expected, "modelyard.form": "onnx", "modelyard.route": "live"} == span.facts
    begun = TraceContext.parse(alone.headers["traceparent"])
    assert begun is not None
    assert begun.trace_id != CALLER.trace_id
    assert traces_of(world, ["alone", "REST"]) == {"alone": begun.trace_id, "REST": CALLER.trace_id}


def test_spans_not_told_yet_are_told_at_the_end(collected: tuple[World, Collector], monkeypatch: pytest.MonkeyPatch) -> None:
    world, collector = collected
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    world.start()
    with world.client() as client:
        ask_oip(client, world, "last", {}).raise_for_status()
    assert world.stop() == 0
    assert len(of_answers(collector.spans)) == 1


def test_what_is_not_sampled_is_not_told_but_keeps_its_id(
    collected: tuple[World, Collector], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, collector = collected
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    world.start()
    with world.client() as client:
        quiet = ask_oip(client, world, "quiet", {})
        told = ask_oip(client, world, "told", {"traceparent": CALLER.traceparent})
        silent = ask_oip(client, world, "silent", {"traceparent": CALLER.traceparent[:-2] + "00"})
    assert world.stop() == 0
    assert [span.trace for span in of_answers(collector.spans)] == [CALLER.trace_id]
    assert [int(answer.headers["traceparent"][-1], 16) & 1 for answer in (quiet, told, silent)] == [0, 1, 0]


def test_where_nobody_collects_the_gateway_answers_all_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as gone:
        pass
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", gone.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    world.publish(world.served(Route(1, 100)))
    world.start()
    with world.client() as client:
        assert [ask_oip(client, world, f"id-{n}", {}).status_code for n in range(50)] == [200] * 50
    assert world.stop() == 0


@pytest.mark.parametrize("variable", ["OTEL_SDK_DISABLED=true", "OTEL_TRACES_EXPORTER=none", "OTEL_BSP_SCHEDULE_DELAY=-1"])
def test_what_turns_traces_off_or_cannot_be_used_costs_traces_only(
    collected: tuple[World, Collector], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    world, collector = collected
    monkeypatch.setenv(*variable.split("="))
    world.start()
    with world.client() as client:
        answer = ask_oip(client, world, "one", {"traceparent": CALLER.traceparent})
    assert (answer.status_code, answer.headers["traceparent"]) == (200, CALLER.traceparent)
    assert world.stop() == 0
    assert collector.spans == []
