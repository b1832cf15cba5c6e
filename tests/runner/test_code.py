"""A stranger's code in a worker: however it ends, the job says so, and nothing is left of it."""

import pytest

from modelyard.jobs import JobState, Limits
from modelyard.registry import imports
from modelyard.registry.imports import Wish, request_import
from modelyard.registry.service import find_models
from tests.runner.yard import Yard

pytestmark = pytest.mark.contract


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (b"while True: pass", "job.timeout"),
        (b"import os; os._exit(0)", "job.failed"),
        (b"import os; os.kill(os.getpid(), 11)", "job.failed"),
        (b"raise KeyboardInterrupt", "job.failed"),
    ],
)
def test_code_that_never_ends_or_ends_the_process_fails_its_job(
    busy_yard: Yard, monkeypatch: pytest.MonkeyPatch, code: bytes, problem: str
) -> None:
    who = (busy_yard.platform, busy_yard.actor, busy_yard.project)
    monkeypatch.setattr(imports, "LIMITS", Limits(time_s=6.0))
    [digest] = busy_yard.platform.objects.put(busy_yard.project, [code])
    job = busy_yard.ended(request_import(*who, "faces", Wish("faces", {"model.py": digest}, allow_code=True)))
    assert job.state is JobState.FAILED
    assert job.problem is not None
    assert job.problem["code"] == problem
    assert find_models(*who) == []
