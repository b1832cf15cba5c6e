from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem, ProblemKind, ProjectId
from modelyard.jobs.rules import (
    ENDED,
    MOVES,
    check_move,
    ending_of_failure,
    problem_from_json,
    problem_to_json,
    retry_after_s,
    retryable,
)
from modelyard.jobs.types import Job, JobId, JobState

Q, R, F, X, C = JobState.QUEUED, JobState.RUNNING, JobState.FINISHED, JobState.FAILED, JobState.CANCELLED
JOB = Job(JobId("job_1"), ProjectId("proj_1"), "run.train", "train", {}, Q, "mem_1", datetime(2013, 1, 1, tzinfo=UTC))
ALLOWED = {(Q, R), (Q, C), (R, R), (R, Q), (R, F), (R, X), (R, C), (X, Q)}


@pytest.mark.parametrize(("before", "after"), list(product(JobState, JobState)))
def test_every_pair_of_states_is_a_move_or_a_conflict(before: JobState, after: JobState) -> None:
    job = replace(JOB, state=before)
    if (before, after) in ALLOWED:
        check_move(job, after, "yard job show job_1")
    else:
        with pytest.raises(Problem) as raised:
            check_move(job, after, "yard job show job_1")
        assert raised.value.code == "job.conflict"


def test_a_worker_moves_no_job_that_has_ended() -> None:
    assert all(MOVES[state] <= {Q} for state in ENDED)


@pytest.mark.parametrize("kind", ProblemKind)
def test_what_would_fail_again_is_not_retried(kind: ProblemKind) -> None:
    final = {"invalid", "refused", "missing", "dropped", "forbidden", "unauthenticated", "too_large"}
    assert retryable(Problem(f"thing.{kind.value}", "x")) is (kind.value not in final)


def test_the_user_s_code_is_not_retried() -> None:
    assert not retryable(Problem("code.failed", "x"))


def test_tries_follow_until_the_last() -> None:
    problem = Problem("job.failed", "x")
    endings = [ending_of_failure(replace(JOB, attempts=attempt, max_attempts=3), problem) for attempt in (1, 2, 3)]
    assert [ending.state for ending in endings] == [Q, Q, X]
    assert endings[2].retry_after_s is None


@given(key=st.text(max_size=20), attempt=st.integers(1, 200))
def test_a_pause_is_within_its_half_and_its_whole(key: str, attempt: int) -> None:
    whole = min(60.0, 2.0 * 2 ** (attempt - 1))
    assert whole / 2 <= retry_after_s(attempt, key, first_s=2.0, longest_s=60.0) <= whole


def test_jobs_that_failed_together_come_back_apart() -> None:
    pauses = sorted(retry_after_s(3, f"job_{number}") for number in range(50))
    assert all(later > earlier for earlier, later in pairwise(pauses))


def test_a_problem_is_kept_and_told_again_whole() -> None:
    problem = Problem("code.failed", "what", "why", "next", {"traceback": "T", "n": [1]})
    assert problem_to_json(problem_from_json(problem_to_json(problem))) == problem_to_json(problem)
    assert str(problem_from_json(problem_to_json(problem))) == str(problem)
