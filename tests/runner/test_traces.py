"""A job stands in the trace of the request that made it, from the API through the queue and the worker into the user's code."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from modelyard.api import create_app
from modelyard.api.tracing import Traced
from modelyard.core import TraceContext
from modelyard.embedded.loop import Application, ApplicationTransport, LoopThread
from modelyard.jobs import JobId, JobState
from modelyard.jobs.service import get
from modelyard.wiring.tracing import open_tracer
from tests.collector import Collector, Told, collecting
from tests.runner.yard import Yard

CALLER = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield found


@contextmanager
def asking(application: Application) -> Iterator[httpx.Client]:
    """Give a client of an application in this process."""
    thread = LoopThread()
    with httpx.Client(transport=ApplicationTransport(application, thread), base_url="http://testserver") as client:
        yield client
    thread.close()


def post_job(client: httpx.Client, yard: Yard, step: str, **payload: int) -> JobId:
    """Queue a job through the API, as part of the caller's trace."""
    body = {"kind": f"strange.{step}", "title": step, "payload": payload}
    answer = client.post(f"/v1/projects/{yard.project}/jobs", json=body, headers={"traceparent": CALLER.traceparent})
    assert answer.status_code == 201, answer.text
    return JobId(answer.json()["id"])


def test_a_request_its_job_and_the_code_in_it_are_one_trace(yard: Yard, collector: Collector) -> None:
    yard.start("traced")
    tracer = open_tracer("modelyard-control")
    assert tracer is not None
    with asking(Traced(create_app(yard.platform, owner=yard.actor), tracer)) as client:
        made = post_job(client, yard, "echo")
        failing = post_job(client, yard, "fail", succeeds_at=2)
        assert client.get("/v1/projects/nowhere/jobs").status_code == 404
        assert client.get("/v1/nothing").status_code == 404
    jobs = [yard.ended(get(yard.platform, yard.actor, yard.project, job)) for job in (made, failing)]
    tracer.close()
    spans = collector.wait(lambda spans: sum(span.service == "modelyard-worker" for span in spans) == 3)
    asked = {span.id: span for span in spans if span.service == "modelyard-control"}
    assert sorted((span.name, span.facts["http.response.status_code"]) for span in asked.values()) == [
        ("GET", 404),
        ("GET /v1/projects/{project}/jobs", 404),
        ("POST /v1/projects/{project}/jobs", 201),
        ("POST /v1/projects/{project}/jobs", 201),
    ]
    worked = [span for span in spans if span.service == "modelyard-worker"]
    assert {(span.trace, asked[span.parent].parent) for span in worked} == {(CALLER.trace_id, CALLER.span_id)}
    echoed, failed, mended = worked
    assert [(span.name, span.failed, span.facts["modelyard.state"], span.facts["modelyard.attempt"]) for span in worked] == [
        ("job strange.echo", False, "finished", 1),
        ("job strange.fail", True, "queued", 1),
        ("job strange.fail", False, "finished", 2),
    ]
    assert failed.facts["error.type"] == "job.failed"
    assert failed.parent == mended.parent
    assert jobs[0].result is not None
    assert jobs[0].result["traces"] == [TraceContext(echoed.trace, echoed.id).traceparent] * 2
    assert asked[echoed.parent].ended_ns <= echoed.ended_ns


def test_without_a_collector_a_job_keeps_the_callers_trace(yard: Yard) -> None:
    yard.start("plain")
    with asking(create_app(yard.platform, owner=yard.actor)) as client:
        made = post_job(client, yard, "echo")
    job = yard.ended(get(yard.platform, yard.actor, yard.project, made))
    assert (job.state, job.trace) == (JobState.FINISHED, CALLER)
    assert job.result is not None
    assert job.result["traces"] == [CALLER.traceparent] * 2
    untraced = yard.run("echo").result
    assert untraced is not None
    assert untraced["traces"] == [None, None]


def test_spans_of_one_service_have_its_name(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ours")
    tracer = open_tracer("modelyard-control")
    assert tracer is not None
    span = tracer.begin("one", None, 0.0)
    span.end({"fact": 1})
    span.end({"fact": 2}, failed=True)
    tracer.close()
    found: list[Told] = collector.spans
    assert [(one.service, one.name, one.facts, one.failed) for one in found] == [("ours", "one", {"fact": 1}, False)]
