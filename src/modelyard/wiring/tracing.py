"""Whether traces are told, and to whom: by OpenTelemetry's own environment variables."""

import logging
import os
from collections.abc import Mapping
from typing import Any

from modelyard.adapters import TRACER, resolve
from modelyard.core import TraceContext, Tracer
from modelyard.core.traces import TRACEPARENT, TRACESTATE

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
TRACE = "modelyard.trace"  # the member of an ASGI scope that holds the context of the request's span
OFF = {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "none"}


def trace_of(scope: Mapping[str, Any], headers: Mapping[str, str]) -> TraceContext | None:
    """Return the trace that an ASGI request belongs to: its own span's, else the caller's; None where nobody traces it."""
    own: TraceContext | None = scope.get(TRACE)
    if own is not None:
        return own
    told = headers.get(TRACEPARENT)
    return None if told is None else TraceContext.parse(told, headers.get(TRACESTATE, ""))


def open_tracer(service: str, environment: Mapping[str, str] = os.environ) -> Tracer | None:
    """Return what tells traces where the environment names an endpoint; None where it does not.

    Traces hurt nothing: where they cannot be told at all, the log says why, and the process goes on without.
    """
    if not any(environment.get(name) for name in ENDPOINTS):
        return None
    if any(environment.get(name, "").strip().lower() == off for name, off in OFF.items()):
        return None
    try:
        return resolve(TRACER, "otlp")(service)
    except Exception as error:  # a package that is not there, or a variable that says nothing sensible
        log.warning("no traces are told: %s", error)
        return None
