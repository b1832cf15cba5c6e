"""Traces by OpenTelemetry, told over OTLP (HTTP, protobuf). Everything is set by OpenTelemetry's own environment variables.

Spans are told in batches by a thread of the SDK's own; while nobody listens they are dropped, with a line in the log.
"""

import os
from collections.abc import Mapping
from threading import Thread
from time import perf_counter_ns, time_ns

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)

from modelyard.core import TraceContext
from modelyard.core.traces import Fact
from modelyard.version import __version__

CLOSE_S = 5.0
_NS = 1_000_000_000


class OtlpTracer:
    """`modelyard.core.Tracer`.

    Parameters
    ----------
    service
        The service's name, where the environment names none.
    """

    def __init__(self, service: str) -> None:
        named = OTEL_SERVICE_NAME in os.environ or f"{SERVICE_NAME}=" in os.environ.get(OTEL_RESOURCE_ATTRIBUTES, "")
        about = {SERVICE_VERSION: __version__} | ({} if named else {SERVICE_NAME: service})
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("modelyard", __version__)
        self._epoch_ns = time_ns() - perf_counter_ns()

    def begin(self, name: str, parent: TraceContext | None, begun: float) -> "OtlpSpan":
        """Begin a span, at a time of `time.perf_counter`; without a parent a trace of its own."""
        context = Context() if parent is None else set_span_in_context(NonRecordingSpan(_told(parent)), Context())
        made = self._tracer.start_span(name, context, SpanKind.SERVER, start_time=self._at(begun))
        return OtlpSpan(self._tracer, made, self._epoch_ns)

    def close(self) -> None:
        """Tell what is not told yet, for a few seconds at most."""
        closing = Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(CLOSE_S)

    def _at(self, seconds: float) -> int:
        return self._epoch_ns + int(seconds * _NS)


class OtlpSpan:
    """`modelyard.core.Span`."""

    def __init__(self, tracer: Tracer, span: Span, epoch_ns: int) -> None:
        self._tracer = tracer
        self._span = span
        self._epoch_ns = epoch_ns
        own = span.get_span_context()
        self._context = TraceContext(
            f"{own.trace_id:032x}", f"{own.span_id:016x}", f"{own.trace_flags:02x}", own.trace_state.to_header()
        )

    @property
    def context(self) -> TraceContext:
        """What belongs to it is told this."""
        return self._context

    def part(self, name: str, begun: float, ended: float) -> None:
        """Tell of a part of it that is over."""
        if self._span.is_recording():
            inside = set_span_in_context(self._span, Context())
            made = self._tracer.start_span(name, inside, start_time=self._epoch_ns + int(begun * _NS))
            made.end(self._epoch_ns + int(ended * _NS))

    def end(self, facts: Mapping[str, Fact], *, name: str | None = None, failed: bool = False) -> None:
        """End it, with what came of it, and under another name than it began with. Only the first end counts."""
        if not self._span.is_recording():
            return
        self._span.set_attributes(dict(facts))
        if name is not None:
            self._span.update_name(name)
        if failed:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


def _told(context: TraceContext) -> SpanContext:
    return SpanContext(
        trace_id=int(context.trace_id, 16),
        span_id=int(context.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(context.flags, 16)),
        trace_state=TraceState.from_header([context.state] if context.state else []),
    )
