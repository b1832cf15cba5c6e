"""The one table from kinds of problem to exit codes."""

from collections.abc import Mapping

from modelyard.core import Problem, ProblemKind

OK = 0

EXITS: Mapping[ProblemKind, int] = {
    ProblemKind.FAILED: 1,
    ProblemKind.INVALID: 2,  # also what the command line itself cannot read
    ProblemKind.MISSING: 3,
    ProblemKind.EXISTS: 4,
    ProblemKind.CONFLICT: 5,
    ProblemKind.REFUSED: 6,
    ProblemKind.FORBIDDEN: 7,
    ProblemKind.UNAUTHENTICATED: 8,
    ProblemKind.TOO_LARGE: 9,
    ProblemKind.LIMITED: 10,
    ProblemKind.UNAVAILABLE: 11,
    ProblemKind.TIMEOUT: 12,
    ProblemKind.DROPPED: 13,
}


def exit_code(problem: Problem) -> int:
    """Return the exit code of a problem; 1 for a kind that this version does not know.

    >>> exit_code(Problem("gate.refused", "The gate does not let version 3 through"))
    6
    """
    try:
        return EXITS[problem.kind]
    except ValueError:
        return EXITS[ProblemKind.FAILED]


def told() -> str:
    """Return the table in one line, for the end of a help text.

    >>> told()[:30]
    'exit codes: 0 ok · 1 failed · '
    """
    return "exit codes: " + " · ".join([f"{OK} ok", *(f"{code} {kind.value}" for kind, code in EXITS.items())])
