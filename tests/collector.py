"""Somebody who collects traces: a server of OTLP over HTTP that keeps every span it is told of."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from tests.listening import Quiet, listening

DEADLINE_S = 30.0


@dataclass(frozen=True)
class Told:
    """One span, as it was told."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    facts: dict[str, Any]
    begun_ns: int
    ended_ns: int
    failed: bool


@dataclass
class Collector:
    """Listens on loopback."""

    spans: list[Told] = field(default_factory=list)
    url: str = ""
    _heard: Condition = field(default_factory=Condition)

    def wait(self, until: Callable[[list[Told]], bool]) -> list[Told]:
        """Return all spans once `until` holds for them."""
        with self._heard:
            assert self._heard.wait_for(lambda: until(self.spans), DEADLINE_S), self.spans
            return list(self.spans)

    def hear(self, body: bytes) -> None:
        """Keep the spans of one message."""
        with self._heard:
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = _facts(group.resource.attributes)["service.name"]
                self.spans += [_span(service, span) for scope in group.scope_spans for span in scope.spans]
            self._heard.notify_all()


@contextmanager
def collecting() -> Iterator[Collector]:
    """Give a collector that listens."""
    found = Collector()
    with listening(_handler(found)) as found.url:
        yield found


def _span(service: str, span: Any) -> Told:
    parent = span.parent_span_id.hex()
    facts = _facts(span.attributes)
    times = span.start_time_unix_nano, span.end_time_unix_nano
    return Told(service, span.name, span.trace_id.hex(), span.span_id.hex(), parent, facts, *times, span.status.code == 2)


def _facts(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def _handler(collector: Collector) -> type[Quiet]:
    class Handler(Quiet):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces"
            collector.hear(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            told = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

    return Handler
