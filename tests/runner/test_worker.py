"""What becomes of a job that a worker runs."""

from datetime import datetime
from pathlib import Path

import pytest

from modelyard.jobs import JobState, Limits
from modelyard.jobs.service import cancel
from tests.runner.yard import Yard, assert_failed, gone, until

pytestmark = pytest.mark.contract


def test_a_job_s_result_is_what_its_step_returned(busy_yard: Yard) -> None:
    job = busy_yard.run("echo", {"rows": [1, 2.5, None, "ä"]})
    assert job.state is JobState.FINISHED
    assert job.result is not None
    assert job.result["payload"] == {"rows": [1, 2.5, None, "ä"]}
    assert job.result["actor"] == "owner"
    assert job.worker == "busy"
    assert isinstance(job.started_at, datetime)
    assert not Path(job.result["scratch"]).exists()
    assert busy_yard.facts(job) == ["job.queued", "job.started", "job.finished"]


def test_what_a_step_prints_is_never_its_result(busy_yard: Yard) -> None:
    job = busy_yard.run("echo")
    assert job.result is not None
    assert "forged" not in job.result
    assert busy_yard.texts(job, "stdout") == ['{"result": {"forged": true}}']


def test_each_try_draws_its_own_random_numbers(busy_yard: Yard) -> None:
    first, second = (busy_yard.run("echo").result for _ in range(2))
    assert first is not None
    assert second is not None
    assert set(first["numbers"]).isdisjoint(second["numbers"])


def test_lines_are_kept_in_order_readable_and_without_secrets(busy_yard: Yard) -> None:
    job = busy_yard.run("talk", {"lines": 3000, "token": "yard_" + "a" * 43})
    *lines, bar, secret, rest = busy_yard.texts(job, "stdout")
    assert lines == [f"line {number}" for number in range(3000)]
    assert bar == "a bar 100 %"
    assert secret == "my token is yard_…, and …"
    assert rest == "\ufffd without an end"
    assert busy_yard.texts(job, "stderr") == ["ä → ␀ end"]


def test_progress_is_seen_while_the_job_runs_and_stays_in_its_bounds(busy_yard: Yard, tmp_path: Path) -> None:
    job, _ = busy_yard.hold(tmp_path)
    until(lambda: busy_yard.get(job).progress.message == "holding", "its progress")
    assert busy_yard.get(job).progress.fraction == 0.5
    (tmp_path / "go").touch()
    assert busy_yard.ended(job).state is JobState.FINISHED


def test_a_failed_try_is_followed_by_another(busy_yard: Yard) -> None:
    job = busy_yard.run("fail", {"succeeds_at": 2})
    assert job.state is JobState.FINISHED
    assert job.attempts == 2
    assert job.problem is None
    assert busy_yard.facts(job) == ["job.queued", "job.started", "job.retried", "job.started", "job.finished"]


def test_tries_end_at_their_limit_and_the_last_one_tells_why(busy_yard: Yard) -> None:
    job = busy_yard.run("fail", max_attempts=2)
    problem = assert_failed(job, "job.failed")
    assert job.attempts == 2
    assert problem["why"] == "ValueError: bad rows in try 2"
    assert problem["detail"]["traceback"].splitlines()[1].strip().startswith("File")
    assert "strange_steps.py" in problem["detail"]["traceback"].splitlines()[1]
    assert busy_yard.facts(job)[-1] == "job.failed"


@pytest.mark.parametrize("code", ["code.failed", "metric.missing", "gate.refused", "column.invalid"])
def test_a_failure_that_would_come_again_is_not_tried_again(busy_yard: Yard, code: str) -> None:
    job = busy_yard.run("refuse", {"code": code})
    problem = assert_failed(job, code)
    assert job.attempts == 1
    assert "KeyError: 'strange.refuse'" in problem["detail"]["traceback"]


def test_an_unknown_kind_is_told_with_the_nearest(busy_yard: Yard) -> None:
    job = busy_yard.run("ecko")
    assert "strange.echo" in assert_failed(job, "step.missing")["why"]
    assert job.attempts == 1


@pytest.mark.parametrize(
    ("how", "code", "told"),
    [
        ("exit", "job.failed", "its exit status was 7"),
        ("segfault", "job.failed", "its process was ended by signal 11 (SIGSEGV)"),
        ("kill", "job.failed", "its process was ended by signal 9 (SIGKILL)"),
        ("sys.exit", "job.failed", "SystemExit: 3"),
        ("no json", "job.invalid", "not JSON serializable"),
    ],
)
def test_a_try_that_ends_oddly_is_told_clearly(busy_yard: Yard, how: str, code: str, told: str) -> None:
    job = busy_yard.run("leave", {"how": how}, max_attempts=1)
    assert told in assert_failed(job, code)["why"]
    if how == "segfault":
        assert any("strange_steps.py" in line for line in busy_yard.texts(job, "stderr"))


def test_a_cancelled_job_ends_with_all_its_processes(busy_yard: Yard, tmp_path: Path) -> None:
    job, pids = busy_yard.hold(tmp_path)
    cancel(busy_yard.platform, busy_yard.actor, busy_yard.project, job.id)
    ended = busy_yard.ended(job)
    assert ended.state is JobState.CANCELLED
    assert ended.result is None
    gone(pids)
    assert busy_yard.facts(job) == ["job.queued", "job.started", "job.cancel_requested", "job.cancelled"]


def test_a_try_over_its_time_is_ended(busy_yard: Yard, tmp_path: Path) -> None:
    job = busy_yard.run("hold", {"folder": str(tmp_path)}, limits=Limits(time_s=0.5), max_attempts=1)
    assert "0.5 s" in assert_failed(job, "job.timeout")["what"]
    assert busy_yard.facts(job)[-1] == "job.failed"


def test_a_try_whose_processes_hold_too_much_together_is_ended(busy_yard: Yard) -> None:
    job = busy_yard.run("eat", limits=Limits(memory_mb=400), max_attempts=1)
    detail = assert_failed(job, "job.too_large")["detail"]
    assert detail["limit_mb"] == 400
    assert detail["used_mb"] > 400


def test_a_try_that_writes_too_much_is_ended_and_what_it_wrote_is_gone(busy_yard: Yard) -> None:
    job = busy_yard.run("fill", limits=Limits(disk_mb=5), max_attempts=1)
    detail = assert_failed(job, "job.too_large")["detail"]
    assert detail["limit_mb"] == 5
    assert detail["used_mb"] >= 9
    assert not list(busy_yard.home.glob("scratch/**/much"))


def test_what_a_step_leaves_running_ends_with_its_job(busy_yard: Yard, tmp_path: Path) -> None:
    job = busy_yard.run("abandon", {"folder": str(tmp_path)})
    assert job.result is not None
    assert len(job.result["pids"]) == 2
    gone(job.result["pids"])


def test_two_workers_share_the_work_and_no_job_runs_twice(busy_yard: Yard) -> None:
    other = busy_yard.start("other")
    until(lambda: "worker.started" in busy_yard.said("other"), "a second worker")
    ended = [busy_yard.ended(job) for job in [busy_yard.submit("echo") for _ in range(12)]]
    assert {job.attempts for job in ended} == {1}
    assert {job.worker for job in ended} == {"busy", "other"}
    other.terminate()
    assert other.wait(60) == 0


def test_a_new_interpreter_for_each_try_does_the_same(yard: Yard) -> None:
    yard.start("fresh", "--fresh")
    job = yard.run("echo", {"a": 1})
    assert job.result is not None
    assert job.result["payload"] == {"a": 1}
    assert yard.texts(job, "stdout") == ['{"result": {"forged": true}}']
