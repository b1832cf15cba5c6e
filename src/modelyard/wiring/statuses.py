"""The one table from kinds of problem to HTTP statuses, and the form in which a problem is told (RFC 9457)."""

from collections.abc import Mapping
from typing import Any

from modelyard.core import Problem, ProblemKind

MEDIA_TYPE = "application/problem+json"

STATUSES: Mapping[ProblemKind, int] = {
    ProblemKind.INVALID: 400,
    ProblemKind.UNAUTHENTICATED: 401,
    ProblemKind.FORBIDDEN: 403,
    ProblemKind.MISSING: 404,
    ProblemKind.DROPPED: 410,
    ProblemKind.EXISTS: 409,
    ProblemKind.CONFLICT: 409,
    ProblemKind.REFUSED: 409,
    ProblemKind.TOO_LARGE: 413,
    ProblemKind.LIMITED: 429,
    ProblemKind.FAILED: 500,
    ProblemKind.UNAVAILABLE: 503,
    ProblemKind.TIMEOUT: 504,
}


# Missing in the request itself, not at its address: nobody is to take it for an unknown model.
IN_REQUEST = frozenset({"column.missing", "output.missing", "signature.missing"})


def kind_of(problem: Problem) -> ProblemKind:
    """Return the kind by which a problem is told outside."""
    return ProblemKind.INVALID if problem.code in IN_REQUEST else problem.kind


def status_of(problem: Problem) -> int:
    """Return the HTTP status of a problem.

    >>> status_of(Problem("run.missing", "There is no run 8f2c"))
    404
    """
    return STATUSES[kind_of(problem)]


def problem_document(problem: Problem) -> dict[str, Any]:
    """Return the body of an answer of the media type `application/problem+json`.

    `type` names the code as a URN, so that clients can tell problems apart without reading the text.

    >>> problem_document(Problem("run.missing", "There is no run 8f2c", "the project has 3 runs"))["detail"]
    'There is no run 8f2c: the project has 3 runs.'
    """
    return {
        "type": f"urn:modelyard:problem:{problem.code}",
        "title": problem.what,
        "status": status_of(problem),
        "detail": str(problem),
        "code": problem.code,
        "what": problem.what,
        "why": problem.why,
        "next_step": problem.next_step,
        "context": problem.detail,
    }
