"""What every job table must do."""

from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import count
from threading import Barrier
from time import monotonic

import pytest

from modelyard.core import PageRequest, Problem
from modelyard.jobs import Job, JobId, JobState, Lease, LogLine, Progress
from modelyard.reactions import Metadata
from modelyard.testing import examples
from modelyard.testing.examples import CHURN, FLIGHTS, NOON
from modelyard.testing.metadata import TIMEOUT_S, Opener, StoreContract, processes

LONG_S = 600.0
SHORT_S = 0.05
LATER = NOON + timedelta(hours=1)


def add(metadata: Metadata, *jobs: Job) -> None:
    """Queue jobs of one project in a transaction of their own."""
    with metadata.transaction() as tx:
        tx.jobs.add(jobs[0].project, jobs)


def lease(metadata: Metadata, worker: str = "worker_1", *, lease_s: float = LONG_S) -> Lease | None:
    """Ask for the next job in a transaction of its own."""
    with metadata.transaction() as tx:
        return tx.jobs.lease(worker, lease_s=lease_s, at=NOON)


def wait_for_lease(metadata: Metadata, worker: str, *, lease_s: float = LONG_S) -> Lease:
    """Ask again and again: the database's clock is not ours to move."""
    until = monotonic() + TIMEOUT_S
    while monotonic() < until:
        if (found := lease(metadata, worker, lease_s=lease_s)) is not None:
            return found
    raise AssertionError("no job could be had")


def wait_for_lapse(metadata: Metadata) -> list[Job]:
    """Look for lapsed jobs again and again."""
    until = monotonic() + TIMEOUT_S
    while monotonic() < until:
        with metadata.transaction() as tx:
            if lapsed := tx.jobs.lapse(at=LATER):
                return lapsed
    raise AssertionError("no lease lapsed")


def only(metadata: Metadata, job: JobId) -> Job:
    """Return a job of the flights project."""
    with metadata.transaction() as tx:
        return tx.jobs.get(FLIGHTS, [job])[0]


class JobStoreContract(StoreContract):
    """Jobs, logs and schedules; `LeaseContract` has the leases."""

    def test_jobs_come_back_whole_and_in_order(self, metadata: Metadata) -> None:
        jobs = [examples.job(1), replace(examples.job(2), cause="run_2", priority=5, max_attempts=1, payload={})]
        with metadata.transaction() as tx:
            assert tx.jobs.add(FLIGHTS, jobs) == jobs
            assert tx.jobs.add(FLIGHTS, []) == []
        with metadata.transaction() as tx:
            assert tx.jobs.get(FLIGHTS, [jobs[1].id, jobs[0].id, jobs[1].id]) == [jobs[1], jobs[0], jobs[1]]
            assert tx.jobs.get(FLIGHTS, []) == []
            with pytest.raises(Problem) as told:
                tx.jobs.get(FLIGHTS, [jobs[0].id, JobId("job_none")])
        assert told.value.code == "job.missing"
        assert "job_none" in told.value.what

    def test_one_kind_and_cause_is_one_job(self, metadata: Metadata) -> None:
        first = replace(examples.job(1), cause="alert_1")
        same = replace(examples.job(2), cause="alert_1")
        other_kind = replace(examples.job(3), cause="alert_1", kind="run.score")
        no_cause = examples.job(4)
        with metadata.transaction() as tx:
            assert tx.jobs.add(FLIGHTS, [first]) == [first]
        with metadata.transaction() as tx:
            assert tx.jobs.add(FLIGHTS, [no_cause, same, other_kind]) == [no_cause, first, other_kind]
            assert tx.jobs.add(FLIGHTS, [examples.job(5)]) == [examples.job(5)]
            assert tx.jobs.add(CHURN, [replace(same, project=CHURN)]) == [replace(same, project=CHURN)]
        with metadata.transaction() as tx:
            assert len(tx.jobs.find(FLIGHTS, PageRequest()).items) == 4

    def test_one_batch_with_a_cause_twice_makes_one_job(self, metadata: Metadata) -> None:
        twins = [replace(examples.job(number), cause="alert_1") for number in (1, 2)]
        with metadata.transaction() as tx:
            made = tx.jobs.add(FLIGHTS, twins)
            assert made == [made[0], made[0]]
            assert tx.jobs.find(FLIGHTS, PageRequest()).items == (made[0],)

    def test_two_who_act_on_one_cause_at_once_get_one_job(self, metadata: Metadata) -> None:
        together = Barrier(4)

        def act(number: int) -> JobId:
            together.wait(TIMEOUT_S)
            with metadata.transaction() as tx:
                [job] = tx.jobs.add(FLIGHTS, [replace(examples.job(number), cause="alert_1")])
                return job.id

        with ThreadPoolExecutor(4) as threads:
            assert len(set(threads.map(act, range(4)))) == 1

    def test_a_taken_id_is_refused(self, metadata: Metadata) -> None:
        add(metadata, examples.job())
        with metadata.transaction() as tx, pytest.raises(Problem) as told:
            tx.jobs.add(FLIGHTS, [examples.job()])
        assert told.value.code == "job.exists"

    def test_jobs_are_found_newest_first_in_pages(self, metadata: Metadata) -> None:
        add(metadata, *(examples.job(number) for number in range(1, 6)))
        seen: list[str] = []
        page = PageRequest(limit=2)
        for _ in count():
            with metadata.transaction() as tx:
                found = tx.jobs.find(FLIGHTS, page)
            assert len(found.items) <= 2
            seen += [job.id for job in found.items]
            if found.next_key is None:
                break
            page = PageRequest(found.next_key, limit=2)
        assert seen == [f"job_{number:04}" for number in (5, 4, 3, 2, 1)]

    def test_a_page_that_just_fits_is_the_last(self, metadata: Metadata) -> None:
        add(metadata, examples.job(1), examples.job(2))
        with metadata.transaction() as tx:
            assert tx.jobs.find(FLIGHTS, PageRequest(limit=2)).next_key is None

    def test_jobs_are_picked_by_state_and_kind(self, metadata: Metadata) -> None:
        add(metadata, examples.job(1), replace(examples.job(2), kind="dataset.snapshot"), examples.job(3))
        with metadata.transaction() as tx:
            tx.jobs.request_cancel(FLIGHTS, [examples.job(3).id], at=NOON)
            queued = tx.jobs.find(FLIGHTS, PageRequest(), states=[JobState.QUEUED]).items
            ended = tx.jobs.find(FLIGHTS, PageRequest(), states=[JobState.CANCELLED, JobState.FAILED]).items
            training = tx.jobs.find(FLIGHTS, PageRequest(), kinds=["run.train"], states=[JobState.QUEUED]).items
        assert [[job.id[-1] for job in found] for found in (queued, ended, training)] == [["2", "1"], ["3"], ["1"]]

    def test_lines_are_numbered_on(self, metadata: Metadata) -> None:
        add(metadata, examples.job())
        job = examples.job().id
        with metadata.transaction() as tx:
            tx.jobs.log(FLIGHTS, job, [(NOON, "stdout", "one"), (LATER, "stderr", "zwei ✓")])
            tx.jobs.log(FLIGHTS, job, [])
        with metadata.transaction() as tx:
            tx.jobs.log(FLIGHTS, job, [(LATER, "worker", "")])
            whole = tx.jobs.logs(FLIGHTS, job)
            assert whole == [
                LogLine(1, NOON, "stdout", "one"),
                LogLine(2, LATER, "stderr", "zwei ✓"),
                LogLine(3, LATER, "worker", ""),
            ]
            assert tx.jobs.logs(FLIGHTS, job, after=1, limit=1) == whole[1:2]

    def test_a_line_may_hold_what_no_database_takes(self, metadata: Metadata) -> None:
        add(metadata, examples.job())
        with metadata.transaction() as tx:
            tx.jobs.log(FLIGHTS, examples.job().id, [(NOON, "stdout", "a\0b\ud800c")])
            [line] = tx.jobs.logs(FLIGHTS, examples.job().id)
        assert line.text[0] == "a"
        assert line.text[-1] == "c"

    def test_lines_of_an_unknown_job_are_refused(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx, pytest.raises(Problem) as told:
            tx.jobs.log(FLIGHTS, JobId("job_none"), [(NOON, "stdout", "one")])
        assert told.value.code == "job.missing"

    def test_schedules_are_replaced_by_name(self, metadata: Metadata) -> None:
        moved = replace(examples.schedule(), next_at=LATER, enabled=False, payload={})
        with metadata.transaction() as tx:
            tx.jobs.save_schedules(FLIGHTS, [examples.schedule(), examples.schedule("hourly")])
            tx.jobs.save_schedules(FLIGHTS, [moved])
            assert tx.jobs.schedules(FLIGHTS) == [examples.schedule("hourly"), moved]


class LeaseContract(StoreContract):
    """Who may work on a job, and until when."""

    def test_the_highest_priority_goes_first_then_the_oldest(self, metadata: Metadata) -> None:
        older = replace(examples.job(9), created_at=NOON - timedelta(days=1))
        add(metadata, examples.job(1), replace(examples.job(2), priority=1), older, replace(examples.job(3), priority=-1))
        taken = [lease(metadata) for _ in range(5)]
        assert [found.job.id if found else None for found in taken] == ["job_0002", "job_0009", "job_0001", "job_0003", None]

    def test_a_lease_says_who_has_the_job_and_since_when(self, metadata: Metadata) -> None:
        add(metadata, examples.job())
        found = lease(metadata, "worker_7")
        assert found is not None
        running = replace(examples.job(), state=JobState.RUNNING, worker="worker_7", attempts=1, started_at=NOON)
        assert found.job == running == only(metadata, running.id)
        assert found.fence >= 1

    def test_without_a_time_the_database_says_when_a_try_started(self, metadata: Metadata) -> None:
        add(metadata, examples.job())
        with metadata.transaction() as tx:
            found = tx.jobs.lease("worker_1", lease_s=LONG_S)
        assert found is not None
        assert found.job.started_at is not None
        assert found.job.started_at > NOON + timedelta(days=365)

    def test_a_worker_asks_for_some_kinds_and_projects_only(self, metadata: Metadata) -> None:
        add(metadata, examples.job(1))
        add(metadata, replace(examples.job(2, CHURN), kind="dataset.snapshot"))
        with metadata.transaction() as tx:
            assert tx.jobs.lease("w", lease_s=LONG_S, kinds=["run.score"]) is None
            assert tx.jobs.lease("w", lease_s=LONG_S, kinds=["run.train"], projects=[CHURN]) is None
            found = tx.jobs.lease("w", lease_s=LONG_S, kinds=["run.train", "dataset.snapshot"], projects=[CHURN])
            assert found is not None
            assert found.job.id == "job_0002"

    def test_each_job_goes_to_one_of_many_threads(self, metadata: Metadata) -> None:
        add(metadata, *(examples.job(number) for number in range(1, 25)))
        together = Barrier(6)

        def work(worker: int) -> list[str]:
            together.wait(TIMEOUT_S)
            return take_all(metadata, f"worker_{worker}")

        with ThreadPoolExecutor(6) as threads:
            taken = Counter(job for jobs in threads.map(work, range(6)) for job in jobs)
        assert taken == Counter(f"job_{number:04}" for number in range(1, 25))

    def test_each_job_goes_to_one_of_many_processes(self, metadata: Metadata, opener: Opener) -> None:
        add(metadata, *(examples.job(number) for number in range(1, 25)))
        with processes(3, opener) as pool:
            begun: list[Future[list[str]]] = [pool.submit(open_and_take_all, opener, f"worker_{n}") for n in range(3)]
            taken = Counter(job for done in begun for job in done.result(TIMEOUT_S))
        assert taken == Counter(f"job_{number:04}" for number in range(1, 25))

    def test_a_heartbeat_keeps_the_lease_and_tells_how_far_the_job_is(self, metadata: Metadata) -> None:
        add(metadata, examples.job())
        held = lease(metadata, lease_s=SHORT_S)
        assert held is not None
        with metadata.transaction() as tx:
            assert tx.jobs.heartbeat(FLIGHTS, held.job.id, held.fence, lease_s=LONG_S, progress=Progress(0.5, "half")) is False
        with metadata.transaction() as tx:
            assert tx.jobs.heartbeat(FLIGHTS, held.job.id, held.fence, lease_s=LONG_S) is False
        assert only(metadata, held.job.id).progress == Progress(0.5, "half")
        assert lease(metadata, "worker_2") is None

    def test_a_lapsed_lease_goes_to_another_worker_and_the_first_has_lost_it(self, metadata: Metadata) -> None:
        add(metadata, examples.job())
        lost = lease(metadata, "worker_1", lease_s=SHORT_S)
        assert lost is not None
        held = wait_for_lease(metadata, "worker_2")
        assert held.job.id == lost.job.id
        assert held.fence > lost.fence
        assert (held.job.attempts, held.job.worker) == (2, "worker_2")
        with metadata.transaction() as tx:
            with pytest.raises(Problem) as told:
                tx.jobs.heartbeat(FLIGHTS, lost.job.id, lost.fence, lease_s=LONG_S)
            assert told.value.code == "lease.conflict"
            with pytest.raises(Problem) as told:
                tx.jobs.close(FLIGHTS, lost.job.id, lost.fence, JobState.FINISHED, at=LATER, result={})
            assert told.value.code == "lease.conflict"
            closed = tx.jobs.close(FLIGHTS, held.job.id, held.fence, JobState.FINISHED, at=LATER, result={"by": 2})
        assert closed.result == {"by": 2}

    @pytest.mark.parametrize("state", [JobState.FINISHED, JobState.FAILED, JobState.CANCELLED])
    def test_a_closed_job_has_ended_for_good(self, metadata: Metadata, state: JobState) -> None:
        add(metadata, examples.job())
        held = lease(metadata)
        assert held is not None
        problem: dict[str, object] = {"code": "run.failed", "what": "It raised"}
        with metadata.transaction() as tx:
            closed = tx.jobs.close(FLIGHTS, held.job.id, held.fence, state, at=LATER, result={"a": [1]}, problem=problem)
            assert closed == replace(held.job, state=state, finished_at=LATER, result={"a": [1]}, problem=problem)
        assert only(metadata, held.job.id) == closed
        assert lease(metadata) is None
        with metadata.transaction() as tx, pytest.raises(Problem) as told:
            tx.jobs.close(FLIGHTS, held.job.id, held.fence, JobState.FINISHED, at=LATER)
        assert told.value.code == "lease.conflict"

    def test_a_job_that_is_to_go_again_waits_its_time(self, metadata: Metadata) -> None:
        add(metadata, examples.job(1), examples.job(2))
        first, second = lease(metadata), lease(metadata)
        assert first is not None
        assert second is not None
        with metadata.transaction() as tx:
            soon = tx.jobs.close(FLIGHTS, first.job.id, first.fence, JobState.QUEUED, at=LATER, retry_after_s=SHORT_S)
            tx.jobs.close(FLIGHTS, second.job.id, second.fence, JobState.QUEUED, at=LATER, retry_after_s=LONG_S)
        assert (soon.state, soon.worker, soon.finished_at) == (JobState.QUEUED, None, None)
        again = wait_for_lease(metadata, "worker_2")
        assert (again.job.id, again.job.attempts) == (first.job.id, 2)
        assert lease(metadata) is None

    def test_a_queued_job_is_cancelled_at_once(self, metadata: Metadata) -> None:
        add(metadata, examples.job())
        with metadata.transaction() as tx:
            [stopped] = tx.jobs.request_cancel(FLIGHTS, [examples.job().id], at=LATER)
            assert (stopped.state, stopped.finished_at) == (JobState.CANCELLED, LATER)
            assert tx.jobs.request_cancel(FLIGHTS, [examples.job().id], at=NOON) == [stopped]
        assert lease(metadata) is None

    def test_a_running_job_is_asked_to_stop(self, metadata: Metadata) -> None:
        add(metadata, examples.job())
        held = lease(metadata)
        assert held is not None
        with metadata.transaction() as tx:
            [asked] = tx.jobs.request_cancel(FLIGHTS, [held.job.id], at=LATER)
            assert (asked.state, asked.cancel_requested, asked.finished_at) == (JobState.RUNNING, True, None)
            assert tx.jobs.heartbeat(FLIGHTS, held.job.id, held.fence, lease_s=LONG_S) is True
            closed = tx.jobs.close(FLIGHTS, held.job.id, held.fence, JobState.QUEUED, at=LATER, retry_after_s=0)
        assert (closed.state, closed.finished_at, closed.worker) == (JobState.CANCELLED, LATER, "worker_1")
        assert lease(metadata) is None

    def test_a_finished_job_cannot_be_cancelled_and_an_unknown_one_is_missing(self, metadata: Metadata) -> None:
        add(metadata, examples.job())
        held = lease(metadata)
        assert held is not None
        with metadata.transaction() as tx:
            finished = tx.jobs.close(FLIGHTS, held.job.id, held.fence, JobState.FINISHED, at=LATER)
            assert tx.jobs.request_cancel(FLIGHTS, [held.job.id], at=LATER) == [finished]
            with pytest.raises(Problem) as told:
                tx.jobs.request_cancel(FLIGHTS, [JobId("job_none")], at=LATER)
        assert told.value.code == "job.missing"

    def test_a_job_that_lost_its_last_worker_has_failed(self, metadata: Metadata) -> None:
        add(metadata, replace(examples.job(1), max_attempts=2), replace(examples.job(2), priority=1))
        alive = lease(metadata)
        first = lease(metadata, lease_s=SHORT_S)
        assert first is not None
        assert alive is not None
        last = wait_for_lease(metadata, "worker_2", lease_s=SHORT_S)
        [failed] = wait_for_lapse(metadata)
        assert (failed.id, failed.state, failed.finished_at, failed.attempts) == (last.job.id, JobState.FAILED, LATER, 2)
        assert failed.problem is not None
        assert {"code", "what", "why", "next_step", "detail"} == set(failed.problem)
        assert lease(metadata) is None
        with metadata.transaction() as tx:
            assert tx.jobs.lapse(at=LATER) == []
            with pytest.raises(Problem) as told:
                tx.jobs.close(FLIGHTS, last.job.id, last.fence, JobState.FINISHED, at=LATER)
        assert told.value.code == "lease.conflict"
        assert only(metadata, alive.job.id).state is JobState.RUNNING

    def test_a_lost_job_that_was_to_be_cancelled_is_cancelled(self, metadata: Metadata) -> None:
        add(metadata, examples.job())
        held = lease(metadata, lease_s=SHORT_S)
        assert held is not None
        with metadata.transaction() as tx:
            tx.jobs.request_cancel(FLIGHTS, [held.job.id], at=NOON)
        [stopped] = wait_for_lapse(metadata)
        assert (stopped.state, stopped.problem) == (JobState.CANCELLED, None)
        assert lease(metadata) is None

    def test_a_failed_job_is_queued_anew_with_all_its_tries(self, metadata: Metadata) -> None:
        add(metadata, examples.job(1), examples.job(2))
        held = lease(metadata)
        assert held is not None
        with metadata.transaction() as tx:
            tx.jobs.close(FLIGHTS, held.job.id, held.fence, JobState.FAILED, at=LATER, problem={"code": "run.failed"})
            queued, other = tx.jobs.requeue(FLIGHTS, [held.job.id, examples.job(2).id])
        assert (queued.state, queued.attempts, queued.finished_at) == (JobState.QUEUED, 0, None)
        assert other == examples.job(2)
        again = lease(metadata)
        assert again is not None
        assert again.job.id == held.job.id
        assert again.fence > held.fence


def take_all(metadata: Metadata, worker: str) -> list[str]:
    """Take and finish jobs until there are no more, and return their ids."""
    taken: list[str] = []
    while (held := lease(metadata, worker)) is not None:
        with metadata.transaction() as tx:
            tx.jobs.close(held.job.project, held.job.id, held.fence, JobState.FINISHED, at=LATER)
        taken.append(held.job.id)
    return taken


def open_and_take_all(opener: Opener, worker: str) -> list[str]:
    """Do the same in this process."""
    metadata = opener()
    taken = take_all(metadata, worker)
    metadata.close()
    return taken
