"""A request as spans of a trace: the whole of it, how long it waited for its version, and how long the version took."""

from collections.abc import Mapping

from modelyard.core import Problem, ProblemKind, Span
from modelyard.core.traces import Fact
from modelyard.gateway.calls import Ask, Call
from modelyard.wiring.statuses import kind_of

OURS = frozenset({ProblemKind.FAILED, ProblemKind.UNAVAILABLE, ProblemKind.TIMEOUT})


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
    _end(span, {**_facts(ask), **told, "modelyard.request": call.request}, call.problem)


def end_refused(span: Span, ask: Ask, problem: Problem) -> None:
    """Tell that a request was refused before it became a call."""
    _end(span, _facts(ask), problem)


def _facts(ask: Ask) -> dict[str, Fact]:
    served = ask.target.served
    return {"modelyard.project": served.project_name, "modelyard.deployment": served.name, "modelyard.request": ask.id}


def _end(span: Span, facts: Mapping[str, Fact], problem: Problem | None) -> None:
    """End a span; a caller's own fault is told, and does not make it a failed one."""
    if problem is None:
        span.end(facts)
    else:
        told = {"error.type": problem.code, "modelyard.problem": problem.what}
        span.end({**facts, **told}, failed=kind_of(problem) in OURS)
