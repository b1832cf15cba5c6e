"""Workers, fork servers and databases that go away in the middle of a job."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from modelyard.jobs import JobState, lease
from tests.runner.yard import Yard, gone, until

pytestmark = pytest.mark.contract


def fork_server(worker_pid: int) -> int:
    [server] = psutil.Process(worker_pid).children()
    return server.pid


def test_a_killed_worker_takes_its_job_s_processes_with_it_and_another_finishes_the_job(yard: Yard, tmp_path: Path) -> None:
    first = yard.start("first")
    job, pids = yard.hold(tmp_path / "hold")
    server = fork_server(first.pid)
    first.kill()
    first.wait()
    gone([*pids, server])
    lost = yard.get(job)
    assert (lost.state, lost.worker) == (JobState.RUNNING, "first")
    with yard.platform.transaction() as tx:
        tx.jobs.heartbeat(yard.project, job.id, 1, lease_s=0)
    yard.start("second", "--kinds", "strange.hold")
    again = yard.held(tmp_path / "hold", 2)
    assert set(again).isdisjoint(pids)
    (tmp_path / "hold" / "go").touch()
    ended = yard.ended(job)
    assert (ended.state, ended.attempts, ended.worker) == (JobState.FINISHED, 2, "second")
    gone(again)


def test_a_worker_told_to_stop_gives_its_job_back_at_once(yard: Yard, tmp_path: Path) -> None:
    worker = yard.start("first")
    job, pids = yard.hold(tmp_path / "hold")
    worker.terminate()
    assert worker.wait(60) == 0
    gone(pids)
    assert yard.get(job).state is JobState.QUEUED
    again = lease.take(yard.platform, "second", lease_s=60)
    assert again is not None
    assert again.job.id == job.id
    assert list((yard.home / "scratch").iterdir()) == []


def test_a_worker_that_lost_its_lease_ends_its_try_and_its_result_is_void(busy_yard: Yard, tmp_path: Path) -> None:
    job, pids = busy_yard.hold(tmp_path)
    held = busy_yard.lapse(job)
    gone(pids)
    until(lambda: f'"job.lost", "job": "{job.id}"' in busy_yard.said("busy"), "the worker to see it")
    assert busy_yard.get(job).state is JobState.RUNNING
    ended = lease.finish(busy_yard.platform, held, {"by": "hand"})
    assert (ended.state, ended.attempts, ended.result) == (JobState.FINISHED, 2, {"by": "hand"})


def test_a_killed_fork_server_costs_a_try_and_no_more(busy_yard: Yard, tmp_path: Path) -> None:
    job, pids = busy_yard.hold(tmp_path)
    os.kill(fork_server(busy_yard.workers[0].pid), signal.SIGKILL)
    gone(pids)
    busy_yard.held(tmp_path, 2)
    (tmp_path / "go").touch()
    ended = busy_yard.ended(job)
    assert (ended.state, ended.attempts) == (JobState.FINISHED, 2)


def test_a_database_that_goes_away_is_waited_for(busy_yard: Yard, tmp_path: Path) -> None:
    sign = busy_yard.home / "metadata.sqlite.away"
    job, _ = busy_yard.hold(tmp_path)
    sign.touch()
    before = len(busy_yard.said("busy"))
    until(lambda: busy_yard.said("busy")[before:].count('"what": "heartbeat"') > 1, "two heartbeats in vain")
    (tmp_path / "go").touch()
    until(lambda: '"what": "outcome"' in busy_yard.said("busy")[before:], "the outcome to be kept back")
    sign.unlink()
    ended = busy_yard.ended(job)
    assert (ended.state, ended.attempts) == (JobState.FINISHED, 1)
    sign.touch()
    until(lambda: busy_yard.said("busy").rstrip().endswith('"code": "metadata.unavailable"}'), "an idle worker to see it")
    sign.unlink()
    assert busy_yard.run("echo").state is JobState.FINISHED
