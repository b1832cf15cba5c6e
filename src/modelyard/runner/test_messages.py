import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.jobs import Progress
from modelyard.runner.messages import MAX_LINE_BYTES, Teller, Told


def heard(*tellings: object) -> Told:
    """Return what is heard when a teller tells: a result, a problem, or (fraction, message)."""
    read, write = os.pipe()
    teller = Teller(write)
    for one in tellings:
        if isinstance(one, Problem):
            teller.problem(one)
        elif isinstance(one, dict):
            teller.result(one)
        else:
            teller.progress(*one)  # type: ignore[misc]
    os.close(write)
    told = Told()
    while part := os.read(read, 7):
        told.hear(part)
    os.close(read)
    return told


def test_what_is_told_is_heard_whole_in_any_parts() -> None:
    told = heard((0.1, "a"), (0.2, "b ä"), {"rows": [1, "x"]}, (0.9, "late"))
    assert told.result == {"rows": [1, "x"]}
    assert told.progress == Progress(0.9, "late")
    assert told.over


def test_a_problem_comes_with_all_its_parts() -> None:
    told = heard(Problem("code.failed", "what", "why", "next", {"traceback": "T"}))
    assert told.problem is not None
    assert str(told.problem) == "what: why. Next: next"
    assert told.problem.detail == {"traceback": "T"}


def test_the_first_outcome_counts() -> None:
    told = heard({"a": 1}, Problem("job.failed", "late"), {"a": 2})
    assert (told.result, told.problem) == ({"a": 1}, None)


@pytest.mark.parametrize(("given_", "heard_"), [(-1, 0), (0.5, 0.5), (7, 1), (float("nan"), 0), (float("inf"), 1)])
def test_a_fraction_stays_within_its_bounds(given_: float, heard_: float) -> None:
    assert heard((given_, "x" * 10_000)).progress == Progress(heard_, "x" * 500)


def test_detail_that_is_no_json_is_told_as_text() -> None:
    told = heard(Problem("job.failed", "w", detail={"path": {1, 2}, "x": float("nan")}))
    assert told.problem is not None
    assert told.problem.detail["x"] is None
    assert isinstance(told.problem.detail["path"], str)


@given(st.binary(max_size=200))
def test_noise_on_the_pipe_hides_no_outcome(noise: bytes) -> None:
    told = Told()
    told.hear(noise + b"\n" + json.dumps({"result": {"a": 1}}).encode() + b"\n")
    assert told.over


def test_an_endless_line_ends() -> None:
    told = Told()
    for _ in range(MAX_LINE_BYTES // (1 << 20) + 2):
        told.hear(b"x" * (1 << 20))
    assert told.problem is not None
    assert told.problem.code == "job.invalid"
