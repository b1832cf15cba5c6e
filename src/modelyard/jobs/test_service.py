from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from modelyard.adapters.sql import SqlMetadata
from modelyard.core import IdMaker, ManualClock, PageRequest, Problem, ProjectId
from modelyard.jobs import Job, JobId, JobState, JobTransaction, Lease, Limits, Progress, Schedule, lease
from modelyard.jobs.service import (
    MAX_PAYLOAD_BYTES,
    cancel,
    enable_schedule,
    find,
    find_schedules,
    get,
    lapse,
    logs,
    retry,
    run_due,
    save_schedule,
    submit,
)
from modelyard.tenancy import Actor, Role
from modelyard.tenancy.service import actor_of, create_member, create_project, local_owner, set_role

NOON = datetime(2013, 6, 24, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Ports:
    clock: ManualClock
    ids: IdMaker
    metadata: SqlMetadata

    def transaction(self) -> AbstractContextManager[JobTransaction]:
        return self.metadata.transaction()


@dataclass(frozen=True)
class Desk:
    """Who asks for work, and where."""

    ports: Ports
    owner: Actor
    project: ProjectId

    def submit(self, **more: Any) -> Job:
        asked = {"kind": "run.train", "title": "train", "payload": {"run": "run_1"}, **more}
        return submit(self.ports, self.owner, self.project, **asked)

    def take(self, **more: Any) -> Lease:
        held = lease.take(self.ports, "worker-1", **{"lease_s": 60, **more})
        assert held is not None
        return held

    def get(self, job: Job) -> Job:
        return get(self.ports, self.owner, self.project, job.id)

    def schedule(self, cron: str = "0 * * * *", name: str = "hourly") -> Schedule:
        return save_schedule(
            self.ports, self.owner, self.project, name=name, cron=cron, kind="deployment.score", title="score", payload={"n": 1}
        )

    def facts(self, subject: str) -> list[str]:
        with self.ports.transaction() as tx:
            return [event.kind for event in tx.events.read(self.project, subject=subject)]


@pytest.fixture
def desk(metadata_url: str) -> Iterator[Desk]:
    clock = ManualClock(NOON)
    ports = Ports(clock, IdMaker(clock), SqlMetadata(metadata_url))
    ports.metadata.upgrade()
    owner = local_owner(ports)
    yield Desk(ports, owner, create_project(ports, owner, "flights").id)
    ports.metadata.close()


def refused(code: str) -> "pytest.RaisesExc[Problem]":
    return pytest.raises(Problem, check=lambda problem: problem.code == code)


def test_a_job_waits_as_it_was_asked_for(desk: Desk) -> None:
    job = desk.submit(cause="run_1", priority=3, max_attempts=2, limits=Limits(time_s=1.5, memory_mb=100))
    assert desk.get(job) == job
    assert (job.state, job.created_by, job.created_at) == (JobState.QUEUED, desk.owner.member, NOON)
    assert (job.limits, job.priority, job.max_attempts) == (Limits(1.5, 100), 3, 2)
    assert desk.facts(job.id) == ["job.queued"]
    assert find(desk.ports, desk.owner, desk.project).items == (job,)
    assert find(desk.ports, desk.owner, desk.project, PageRequest(), states=[JobState.FAILED]).items == ()


def test_one_cause_makes_one_job_of_a_kind(desk: Desk) -> None:
    first = desk.submit(cause="alert_1")
    again = desk.submit(cause="alert_1", payload={"run": "run_2"})
    assert again == first
    assert desk.facts(first.id) == ["job.queued"]
    assert desk.submit(cause="alert_1", kind="model.register").id != first.id
    assert desk.submit(cause=None).id != desk.submit(cause=None).id


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": "train"}, "job.invalid"),
    ({"kind": "Run.train"}, "job.invalid"),
    ({"kind": "run.train\n"}, "job.invalid"),
    ({"kind": "run." + "x" * 100}, "job.invalid"),
    ({"title": ""}, "job.invalid"),
    ({"title": "a\x00"}, "job.invalid"),
    ({"payload": {"x": float("nan")}}, "job.invalid"),
    ({"payload": {"x": {1, 2}}}, "job.invalid"),
    ({"payload": {"x": "y" * MAX_PAYLOAD_BYTES}}, "job.too_large"),
    ({"priority": 10_000}, "job.invalid"),
    ({"max_attempts": 0}, "job.invalid"),
    ({"limits": Limits(time_s=0)}, "job.invalid"),
    ({"limits": Limits(time_s=float("nan"))}, "job.invalid"),
    ({"limits": Limits(memory_mb=-1)}, "job.invalid"),
]


def test_what_cannot_be_a_job_is_refused(desk: Desk) -> None:
    for wrong, code in WRONG:
        with refused(code):
            desk.submit(**wrong)
    assert find(desk.ports, desk.owner, desk.project).items == ()


def test_a_viewer_reads_jobs_and_writes_none(desk: Desk) -> None:
    job = desk.submit()
    viewer = replace(desk.owner, role=Role.VIEWER)
    assert get(desk.ports, viewer, desk.project, job.id) == job
    assert logs(desk.ports, viewer, desk.project, job.id) == []
    assert find_schedules(desk.ports, viewer, desk.project) == []
    for forbidden in (
        lambda: submit(desk.ports, viewer, desk.project, kind="run.train", title="t", payload={}),
        lambda: cancel(desk.ports, viewer, desk.project, job.id),
        lambda: retry(desk.ports, viewer, desk.project, job.id),
        lambda: enable_schedule(desk.ports, viewer, desk.project, "hourly"),
        lambda: desk.__class__(desk.ports, viewer, desk.project).schedule(),
    ):
        with refused("action.forbidden"):
            forbidden()


def test_an_unknown_job_is_missing(desk: Desk) -> None:
    for ask in (get, cancel, retry, logs):
        with refused("job.missing"):
            ask(desk.ports, desk.owner, desk.project, JobId("job_none"))


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_is_asked(desk: Desk) -> None:
    waiting = desk.submit()
    assert cancel(desk.ports, desk.owner, desk.project, waiting.id).state is JobState.CANCELLED
    assert cancel(desk.ports, desk.owner, desk.project, waiting.id).state is JobState.CANCELLED
    assert desk.facts(waiting.id) == ["job.queued", "job.cancelled"]
    running = desk.submit()
    held = desk.take()
    assert not lease.keep(desk.ports, held, lease_s=60)
    assert cancel(desk.ports, desk.owner, desk.project, running.id).state is JobState.RUNNING
    cancel(desk.ports, desk.owner, desk.project, running.id)
    assert lease.keep(desk.ports, held, lease_s=60)
    assert lease.stop(desk.ports, held).state is JobState.CANCELLED
    assert desk.facts(running.id) == ["job.queued", "job.started", "job.cancel_requested", "job.cancelled"]


def test_a_finished_job_is_neither_cancelled_nor_tried_again(desk: Desk) -> None:
    job = desk.submit()
    lease.finish(desk.ports, desk.take(), {"rows": 3})
    assert desk.get(job).result == {"rows": 3}
    for late in (cancel, retry):
        with refused("job.conflict"):
            late(desk.ports, desk.owner, desk.project, job.id)


def test_a_failed_job_is_tried_again_with_all_its_tries(desk: Desk) -> None:
    job = desk.submit(max_attempts=1)
    lost = desk.take()
    assert lease.fail(desk.ports, lost, Problem("job.failed", "It broke")).state is JobState.FAILED
    again = retry(desk.ports, desk.owner, desk.project, job.id)
    assert (again.state, again.attempts, again.finished_at) == (JobState.QUEUED, 0, None)
    with refused("lease.conflict"):
        lease.finish(desk.ports, lost, {})
    assert lease.finish(desk.ports, desk.take(), {}).state is JobState.FINISHED
    assert desk.facts(job.id) == ["job.queued", "job.started", "job.failed", "job.retried", "job.started", "job.finished"]


def test_a_failed_try_waits_before_the_next_and_says_why(desk: Desk) -> None:
    job = desk.submit()
    queued = lease.fail(desk.ports, desk.take(), Problem("job.failed", "It broke", "why"), first_retry_s=60)
    assert queued.state is JobState.QUEUED
    assert queued.problem is not None
    assert queued.problem["what"] == "It broke"
    assert lease.take(desk.ports, "worker-1", lease_s=60) is None
    with desk.ports.transaction() as tx:
        [event] = tx.events.read(desk.project, kinds=["job.retried"])
    assert (event.subject, event.data["problem"]["code"]) == (job.id, "job.failed")


def test_the_highest_priority_is_taken_first_then_the_oldest(desk: Desk) -> None:
    low, first, second, high = (desk.submit(priority=priority) for priority in (-1, 0, 0, 5))
    assert [desk.take().job.id for _ in range(4)] == [high.id, first.id, second.id, low.id]


def test_a_worker_takes_the_kinds_it_is_for(desk: Desk) -> None:
    desk.submit()
    ours = desk.submit(kind="model.register")
    assert desk.take(kinds=["model.register", "model.evaluate"]).job.id == ours.id
    assert lease.take(desk.ports, "worker-1", lease_s=60, kinds=["model.register"]) is None


def test_a_try_that_is_given_back_goes_on_at_once(desk: Desk) -> None:
    job = desk.submit()
    lease.give_back(desk.ports, desk.take())
    assert desk.take().job.id == job.id


def test_progress_and_lines_are_seen_as_they_come(desk: Desk) -> None:
    job = desk.submit()
    held = desk.take()
    lease.keep(desk.ports, held, lease_s=60, progress=Progress(0.5, "half"))
    assert desk.get(job).progress == Progress(0.5, "half")
    lease.log(desk.ports, held, [(NOON, "stdout", "one"), (NOON, "stderr", "two")])
    lease.log(desk.ports, held, [(NOON, "stdout", "three")])
    lines = logs(desk.ports, desk.owner, desk.project, job.id)
    assert [(line.number, line.text) for line in lines] == [(1, "one"), (2, "two"), (3, "three")]
    assert logs(desk.ports, desk.owner, desk.project, job.id, after=1, limit=1) == lines[1:2]


def test_a_lapsed_lease_passes_on_and_its_old_holder_is_told(desk: Desk) -> None:
    job = desk.submit()
    old = desk.take(lease_s=-1)
    new = desk.take()
    assert (new.job.id, new.job.attempts) == (job.id, 2)
    for late in (lambda: lease.keep(desk.ports, old, lease_s=60), lambda: lease.finish(desk.ports, old, {})):
        with refused("lease.conflict"):
            late()
    assert desk.get(job).state is JobState.RUNNING


def test_a_job_whose_last_try_was_lost_has_failed(desk: Desk) -> None:
    job = desk.submit(max_attempts=1)
    desk.take(lease_s=-1)
    assert lease.take(desk.ports, "worker-2", lease_s=60) is None
    assert [lost.id for lost in lapse(desk.ports)] == [job.id]
    assert lapse(desk.ports) == []
    assert desk.facts(job.id) == ["job.queued", "job.started", "job.failed"]


def test_a_lost_job_that_was_to_be_cancelled_is_cancelled(desk: Desk) -> None:
    job = desk.submit()
    desk.take(lease_s=-1)
    cancel(desk.ports, desk.owner, desk.project, job.id)
    assert [ended.state for ended in lapse(desk.ports)] == [JobState.CANCELLED]
    assert desk.facts(job.id)[-1] == "job.cancelled"


def test_a_schedule_makes_a_job_at_its_time_and_not_before(desk: Desk) -> None:
    made = desk.schedule()
    assert made.next_at == NOON.replace(hour=13)
    desk.ports.clock.advance(minutes=59)
    assert run_due(desk.ports, desk.project) == []
    desk.ports.clock.advance(minutes=1)
    [job] = run_due(desk.ports, desk.project)
    assert (job.kind, job.payload, job.created_by) == ("deployment.score", {"n": 1}, desk.owner.member)
    assert job.cause == "schedule:hourly@2013-06-24T13:00:00.000000Z"
    assert run_due(desk.ports, desk.project) == []
    assert desk.facts(job.id) == ["job.queued"]
    assert desk.facts("hourly") == ["schedule.saved"]
    [after] = find_schedules(desk.ports, desk.owner, desk.project)
    assert after.next_at == NOON.replace(hour=14)


def test_a_schedule_that_missed_many_times_catches_up_with_one_job(desk: Desk) -> None:
    desk.schedule("*/5 * * * *")
    desk.ports.clock.advance(days=30)
    assert len(run_due(desk.ports, desk.project)) == 1
    assert run_due(desk.ports, desk.project) == []
    desk.ports.clock.advance(minutes=5)
    assert len(run_due(desk.ports, desk.project)) == 1


def test_a_due_time_makes_one_job_whoever_looks(desk: Desk) -> None:
    before = desk.schedule()
    desk.ports.clock.advance(hours=1)
    [job] = run_due(desk.ports, desk.project)
    with desk.ports.transaction() as tx:  # as if a second follower had read the schedule before the first saved it
        tx.jobs.save_schedules(desk.project, [before])
    assert run_due(desk.ports, desk.project) == []
    assert [found.id for found in find(desk.ports, desk.owner, desk.project).items] == [job.id]


def test_a_schedule_switched_off_makes_nothing_and_goes_on_from_now(desk: Desk) -> None:
    desk.schedule()
    enable_schedule(desk.ports, desk.owner, desk.project, "hourly", enabled=False)
    desk.ports.clock.advance(hours=5)
    assert run_due(desk.ports, desk.project) == []
    again = enable_schedule(desk.ports, desk.owner, desk.project, "hourly")
    assert again.next_at == NOON.replace(hour=18)
    assert run_due(desk.ports, desk.project) == []
    assert desk.facts("hourly") == ["schedule.saved", "schedule.disabled", "schedule.enabled"]
    with refused("schedule.missing") as raised:
        enable_schedule(desk.ports, desk.owner, desk.project, "hurly")
    assert raised.value.detail["nearest"] == ["hourly"]


def test_a_schedule_whose_maker_may_no_longer_is_switched_off_and_holds_up_no_other(desk: Desk) -> None:
    ada = create_member(desk.ports, desk.owner, name="ada")
    set_role(desk.ports, desk.owner, desk.project, member="ada", role=Role.TRAINER)
    theirs = Desk(desk.ports, actor_of(desk.ports, ada.id), desk.project)
    theirs.schedule(name="a-first")
    desk.schedule(name="b-second")
    set_role(desk.ports, desk.owner, desk.project, member="ada", role=Role.VIEWER)
    desk.ports.clock.advance(hours=1)
    [job] = run_due(desk.ports, desk.project)
    assert job.created_by == desk.owner.member
    assert desk.facts("a-first") == ["schedule.saved", "schedule.disabled"]
    assert [schedule.enabled for schedule in find_schedules(desk.ports, desk.owner, desk.project)] == [False, True]


@pytest.mark.parametrize(("name", "cron"), [("Hourly", "0 * * * *"), ("a/b", "0 * * * *"), ("hourly", "every hour")])
def test_what_cannot_be_a_schedule_is_refused(desk: Desk, name: str, cron: str) -> None:
    with refused("schedule.invalid"):
        desk.schedule(cron, name)
    assert find_schedules(desk.ports, desk.owner, desk.project) == []


def test_one_project_s_jobs_are_unknown_to_another(desk: Desk) -> None:
    job = desk.submit()
    desk.schedule()
    other = create_project(desk.ports, desk.owner, "churn").id
    with refused("job.missing"):
        get(desk.ports, desk.owner, other, job.id)
    assert find(desk.ports, desk.owner, other).items == ()
    assert find_schedules(desk.ports, desk.owner, other) == []
    desk.ports.clock.advance(hours=1)
    assert run_due(desk.ports, other) == []
    with desk.ports.transaction() as tx:
        assert tx.jobs.requeue(other, []) == []
