"""Where a piece of work stands in a trace (W3C Trace Context), and the port by which it is told to whoever collects traces."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
LONGEST_STATE = 512  # characters; what is longer is dropped, as the standard allows

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_FIRST_VERSION = "00"
_NO_VERSION = "ff"


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A trace, and the span in it to which something belongs."""

    trace_id: str  # 32 lower-case hexadecimal digits
    span_id: str  # 16 of them
    flags: str = "01"  # two of them; the lowest bit: its trace is recorded
    state: str = ""  # what vendors keep beside it

    @classmethod
    def parse(cls, traceparent: str | None, state: str = "") -> "TraceContext | None":
        """Return what the header `traceparent` says; None where there is none or it is not well-formed: then nothing is traced.

        >>> TraceContext.parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").trace_id
        '4bf92f3577b34da6a3ce929d0e0e4736'
        """
        found = _FORM.fullmatch(traceparent) if traceparent else None
        if found is None:
            return None
        version, trace_id, span_id, flags, more = found.groups()
        known = version != _NO_VERSION and not (version == _FIRST_VERSION and more)
        if not known or not trace_id.strip("0") or not span_id.strip("0"):
            return None
        return cls(trace_id, span_id, flags, state if len(state) <= LONGEST_STATE else "")

    @property
    def traceparent(self) -> str:
        """What the header `traceparent` says of it."""
        return f"{_FIRST_VERSION}-{self.trace_id}-{self.span_id}-{self.flags}"


Fact = str | int | float | bool


class Span(Protocol):
    """A piece of work that is traced. Times are those of `time.perf_counter`. Nothing here raises."""

    @property
    def context(self) -> TraceContext:
        """What belongs to it is told this."""
        ...

    def part(self, name: str, begun: float, ended: float) -> None:
        """Tell of a part of it that is over."""
        ...

    def end(self, facts: Mapping[str, Fact], *, name: str | None = None, failed: bool = False) -> None:
        """End it, with what came of it, and under another name than it began with. Only the first end counts."""
        ...


class Tracer(Protocol):
    """Who collects traces. Safe to share between threads; nothing here waits or raises, whether or not anybody listens."""

    def begin(self, name: str, parent: TraceContext | None, begun: float) -> Span:
        """Begin a span, at a time of `time.perf_counter`; without a parent a trace of its own."""
        ...

    def close(self) -> None:
        """Tell what is not told yet, for a few seconds at most."""
        ...
