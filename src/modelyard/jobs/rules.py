"""How a job moves between its states, and what follows when a try of it ends badly."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.core import Problem, ProblemKind
from modelyard.jobs.types import Job, JobState

MOVES: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    # QUEUED again: the try failed and another follows, or its worker gave it back. RUNNING again: its lease lapsed and another
    # worker took it.
    JobState.RUNNING: frozenset(
        {JobState.RUNNING, JobState.QUEUED, JobState.FINISHED, JobState.FAILED, JobState.CANCELLED},
    ),
    JobState.FAILED: frozenset({JobState.QUEUED}),  # somebody asked for it once more
    JobState.FINISHED: frozenset(),
    JobState.CANCELLED: frozenset(),
}
ENDED = frozenset({JobState.FINISHED, JobState.FAILED, JobState.CANCELLED})

# A further try of these would end the same way; so would one of the user's code, whose code is CODE_FAILED.
FINAL_KINDS = frozenset(
    {
        ProblemKind.INVALID,
        ProblemKind.REFUSED,
        ProblemKind.MISSING,
        ProblemKind.DROPPED,
        ProblemKind.FORBIDDEN,
        ProblemKind.UNAUTHENTICATED,
        ProblemKind.TOO_LARGE,
    }
)
CODE_FAILED = "code.failed"

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 300.0


@dataclass(frozen=True)
class Ending:
    """How a try ends: the state the job goes to, and when the next try may start."""

    state: JobState
    retry_after_s: float | None = None


def check_move(job: Job, to: JobState, command: str) -> None:
    """Return when `job` may go to the state `to`; raise Problem `job.conflict` otherwise. `command` is what to try instead."""
    if to not in MOVES[job.state]:
        why = f"it is {job.state.value}"
        raise Problem("job.conflict", f"Job {job.id} cannot become {to.value}", why, command)


def retryable(problem: Problem) -> bool:
    """Return whether another try may end better than this one did."""
    return problem.code != CODE_FAILED and problem.kind not in FINAL_KINDS


def ending_of_failure(job: Job, problem: Problem, *, first_s: float = FIRST_RETRY_S) -> Ending:
    """Return what follows a failed try: another one after a pause, or the end of the job."""
    if retryable(problem) and job.attempts < job.max_attempts:
        return Ending(JobState.QUEUED, retry_after_s(job.attempts, job.id, first_s=first_s))
    return Ending(JobState.FAILED)


def retry_after_s(attempt: int, key: str = "", *, first_s: float = FIRST_RETRY_S, longest_s: float = LONGEST_RETRY_S) -> float:
    """Return the pause in seconds after try number `attempt` (from 1): doubled each time, up to `longest_s`.

    Between half of it and all of it is taken, by the digest of `key` and `attempt`: jobs that failed together come back apart,
    and one job always waits the same.

    >>> [round(retry_after_s(attempt, "job_a"), 2) for attempt in (1, 2, 3, 20)]
    [0.78, 1.61, 3.06, 215.7]
    """
    whole = min(longest_s, first_s * 2.0 ** min(attempt - 1, 60))
    digest = hashlib.sha256(f"{key}/{attempt}".encode()).digest()
    return whole * (0.5 + 0.5 * int.from_bytes(digest[:4], "big") / 2**32)


def problem_to_json(problem: Problem) -> dict[str, Any]:
    """Return a problem as it is kept with a job."""
    return {
        "code": problem.code,
        "what": problem.what,
        "why": problem.why,
        "next_step": problem.next_step,
        "detail": dict(problem.detail),
    }


def problem_from_json(kept: Mapping[str, Any]) -> Problem:
    """Return the problem that `problem_to_json` kept."""
    return Problem(kept["code"], kept["what"], kept["why"], kept["next_step"], dict(kept["detail"]))
