from pathlib import Path
from typing import Any

import pytest

from modelyard.core import Problem
from modelyard.runner.failure import MAX_TRACEBACK, told


def raised_by(code: str, name: str) -> BaseException:
    """Return what a user's function raises when this package calls it."""
    names: dict[str, Any] = {}
    exec(compile(code, f"/somewhere/{name}.py", "exec"), names)  # noqa: S102 - the point of it
    with pytest.raises(BaseException) as raised:
        names["run"]()
    return raised.value


def test_the_traceback_begins_with_the_user_s_code() -> None:
    error = raised_by("def run():\n    inner()\ndef inner():\n    raise ValueError('no rows')", "train")
    problem = told(error, "Job 1")
    lines = problem.detail["traceback"].splitlines()
    assert 'File "/somewhere/train.py", line 2, in run' in lines[1]
    assert lines[-1] == "ValueError: no rows"
    assert str(Path(__file__).parent) not in problem.detail["traceback"]
    assert (problem.code, problem.why, problem.detail["exception"]) == ("job.failed", "ValueError: no rows", "ValueError")


def test_a_problem_stays_itself_and_takes_on_the_traceback_of_its_cause() -> None:
    problem = Problem("code.failed", "The trainer raised")
    problem.__cause__ = raised_by("def run():\n    1 / 0", "train")
    assert told(problem, "Job 1") is problem
    assert problem.detail["traceback"].endswith("ZeroDivisionError: division by zero\n")


def test_a_traceback_that_a_problem_has_is_kept() -> None:
    problem = Problem("code.failed", "The trainer raised", detail={"traceback": "theirs"})
    problem.__cause__ = ValueError()
    assert told(problem, "Job 1").detail["traceback"] == "theirs"


@pytest.mark.parametrize(
    ("code", "expected", "why"),
    [
        ("def run():\n    raise MemoryError", "job.too_large", "MemoryError"),
        ("def run():\n    raise SystemExit(3)", "job.failed", "SystemExit: 3"),
        ("def run():\n    raise KeyboardInterrupt", "job.failed", "KeyboardInterrupt"),
        (
            "class E(Exception):\n    def __str__(self): 1 / 0\ndef run():\n    raise E",
            "job.failed",
            "E: <exception str() failed>",
        ),
        ("def run():\n    run()", "job.failed", "RecursionError"),
    ],
)
def test_whatever_is_raised_is_told(code: str, expected: str, why: str) -> None:
    problem = told(raised_by(code, "odd"), "Job 1")
    assert problem.code == expected
    assert why in problem.why


def test_a_huge_traceback_keeps_both_its_ends() -> None:
    problem = told(raised_by("def run():\n    raise ValueError('x' * 200_000 + 'END')", "big"), "Job 1")
    text = problem.detail["traceback"]
    assert len(text) <= MAX_TRACEBACK + 3
    assert text.startswith("Traceback")
    assert text.rstrip().endswith("END")
