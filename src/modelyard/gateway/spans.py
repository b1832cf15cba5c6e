"""A request as spans of a trace: the whole of it, how long it waited for its version, and how long the version took."""

from collections.abc import Mapping

from modelyard.core import Span
from modelyard.core.traces import Fact
from modelyard.gateway.calls import Ask, Call


def end_span(span: Span, call: Call) -> None:
    """Tell what came of a call, once it was answered or came to a problem."""
    ask, loaded = call.ask, call.loaded
    if call.began_at:
        span.part("wait", ask.begun, call.began_at)
        span.part("infer", call.began_at, ask.begun + call.seconds)
    told: dict[str, Fact] = {
        "modelyard.version": loaded.served.version,
        "modelyard.form": loaded.served.form,
        "modelyard.route": call.route,
        "modelyard.rows": call.count,
    }
    span.end({**facts_of(ask), **told, "modelyard.request": call.request}, call.problem)


def facts_of(ask: Ask) -> Mapping[str, Fact]:
    """Return what is known of a request before it is read."""
    served = ask.target.served
    return {"modelyard.project": served.project_name, "modelyard.deployment": served.name, "modelyard.request": ask.id}
