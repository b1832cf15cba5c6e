"""Studies and runs as services know them: a worker's part is played by the test."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, nan
from typing import Any

import pytest

from modelyard.core import Digest, PageRequest, Problem
from modelyard.data import Split, SplitKind
from modelyard.data.service import get_version
from modelyard.jobs import JobState
from modelyard.jobs.lease import fail, finish, take
from modelyard.jobs.service import cancel, lapse
from modelyard.jobs.service import find as find_jobs
from modelyard.prepare import Code, Pipeline
from modelyard.tenancy import Role
from modelyard.tenancy.service import create_member, set_role
from modelyard.training import (
    Choice,
    Direction,
    Float,
    Int,
    MetricPoint,
    Recipe,
    Run,
    RunId,
    RunKind,
    RunState,
    Space,
    Study,
    StudyState,
    Trainer,
)
from modelyard.training.documents import trainer_from_json, trainer_to_json
from modelyard.training.service import (
    NewRun,
    Outputs,
    advance_study,
    begin,
    end_badly,
    end_runs_of,
    find_runs,
    find_studies,
    get_run,
    get_study,
    load_trainer,
    log,
    metric_points,
    save_trainer,
    start_runs,
    start_study,
)
from modelyard.training.service import finish as finish_run
from modelyard.wiring import Follower
from tests.living import DIGEST, Living

SPACE = Space({"rate": Float(0.01, 0.3, log=True)}, {"depth": Int(2, 6)}, {"family": Choice(("boosting", "linear"))})
TRAINER = Trainer(
    "late", Code("def train(run, fit, test): ...\n", "train"), Pipeline(()), "late", "log_loss", Direction.MINIMISE
)

Picked = Callable[[Run], bool]


def loss(run: Run) -> float:
    """Return the loss that a trial of these parameters has."""
    params = run.recipe.params
    return abs(float(params["rate"]) - 0.1) + abs(int(params["depth"]) - 4) / 10 + float(params["family"] == "linear")


@dataclass
class Desk:
    """A project with a trainer, whose jobs are done by hand."""

    living: Living
    trainer: Digest

    @property
    def place(self) -> tuple[Any, Any, Any]:
        """Platform, actor and project."""
        return self.living.platform, self.living.actor, self.living.project

    def study(self, trials: int = 9, **rest: Any) -> Study:
        """Start a study."""
        data = get_version(*self.place, "trips").id
        return start_study(*self.place, trainer=self.trainer, space=SPACE, data=data, trials=trials, **rest)

    def run(self, **rest: Any) -> Run:
        """Start one run."""
        data = get_version(*self.place, "trips").id
        [run] = start_runs(*self.place, [NewRun(Recipe(self.trainer, {"rate": 0.1}), data, **rest)])
        return run

    def end(self, run: Run, **metrics: float) -> Run:
        """End a run well."""
        return finish_run(*self.place, run.id, Outputs(metrics, {"model": DIGEST}, "sklearn", DIGEST))

    def work(
        self, *, fails: Callable[[Run], bool] = lambda run: False, loses: Callable[[Run], bool] = lambda run: False
    ) -> None:
        """Do jobs and follow them until nothing is left to do."""
        follower = Follower(self.living.platform)
        while True:
            while follower.turn(self.living.project):
                pass
            lease = take(self.living.platform, "worker", lease_s=600)
            if lease is None:
                return
            run = begin(*self.place, RunId(lease.job.payload["run"]))
            if loses(run):
                self.lose()
            elif fails(run):
                end_badly(
                    *self.place[:1], self.living.actor.member, self.living.project, run.id, RunState.FAILED, {"what": "raised"}
                )
                fail(self.living.platform, lease, Problem("code.failed", "It raised"))
            else:
                self.end(run, log_loss=loss(run))
                finish(self.living.platform, lease, {})

    def lose(self) -> None:
        """Lose the worker of the job that runs, and of each further try."""
        with self.living.platform.transaction() as tx:
            [job] = tx.jobs.find(self.living.project, PageRequest(), states=[JobState.RUNNING]).items
            tx.jobs.heartbeat(self.living.project, job.id, job.attempts, lease_s=-1)
        for _ in range(job.max_attempts - job.attempts):
            assert take(self.living.platform, "another", lease_s=-1) is not None
        assert [one.id for one in lapse(self.living.platform)] == [job.id]

    def trials(self, study: Study) -> list[Run]:
        """Return a study's trials."""
        return get_study(*self.place, study.id)[1]


@pytest.fixture
def desk(living: Living) -> Desk:
    return Desk(living, save_trainer(living.platform, living.actor, living.project, TRAINER))


def test_a_study_ends_with_the_number_of_trials_asked_for_and_names_the_best(desk: Desk) -> None:
    study = desk.study(9, parallel=4)
    assert [run.trial for run in desk.trials(study)] == [0, 1, 2, 3], "the first batch is queued at once"
    desk.work()
    ended, trials = get_study(*desk.place, study.id)
    assert (ended.state, len(trials)) == (StudyState.FINISHED, 9)
    assert [run.trial for run in trials] == list(range(9))
    assert {run.state for run in trials} == {RunState.FINISHED}
    assert ended.best == min(trials, key=loss).id
    assert ended.finished_at == desk.living.clock()


def test_a_study_ends_with_as_many_trials_when_some_fail_or_lose_their_worker(desk: Desk) -> None:
    study = desk.study(8, parallel=3)
    desk.work(fails=lambda run: (run.trial or 0) % 3 == 0, loses=lambda run: run.trial == 4)
    ended, trials = get_study(*desk.place, study.id)
    states = [run.state.value for run in trials]
    assert states == ["failed", "finished", "finished", "failed", "failed", "finished", "failed", "finished"]
    assert ended.state is StudyState.FINISHED
    assert trials[4].problem is not None
    assert "worker" in trials[4].problem["what"] + trials[4].problem["why"]


def test_a_study_of_which_no_trial_ended_well_has_failed(desk: Desk) -> None:
    study = desk.study(3)
    desk.work(fails=lambda run: True)
    ended, trials = get_study(*desk.place, study.id)
    assert (ended.state, ended.best, len(trials)) == (StudyState.FAILED, None, 3)


def test_a_cancelled_trial_counts_as_one(desk: Desk) -> None:
    study = desk.study(2, parallel=1)
    [job] = find_jobs(*desk.place).items
    cancel(*desk.place, job.id)
    desk.work()
    assert [run.state.value for run in desk.trials(study)] == ["cancelled", "finished"]


def test_the_same_seed_gives_the_same_trials_in_whichever_order_a_batch_ends(desk: Desk) -> None:
    first, second, third = desk.study(8, seed=5), desk.study(8, seed=5), desk.study(8, seed=6)
    order: list[bool] = []

    def backwards(run: Run) -> bool:
        order.append(run.study == second.id)
        return False

    desk.work(fails=backwards)
    params = [[run.recipe.params for run in desk.trials(study)] for study in (first, second, third)]
    assert params[0] == params[1] != params[2]
    assert any(order)
    assert not all(order)


def test_the_next_batch_hangs_on_whole_batches_and_is_queued_once(desk: Desk) -> None:
    study = desk.study(6, parallel=3)
    started = desk.trials(study)
    for run in started[:2]:
        begin(*desk.place, run.id)
        desk.end(run, log_loss=loss(run))
        advance_study(*desk.place, study.id)
    assert len(desk.trials(study)) == 3
    begin(*desk.place, started[2].id)
    desk.end(started[2], log_loss=0.1)
    for _ in range(3):
        advance_study(*desk.place, study.id)
    assert len(desk.trials(study)) == 6


def test_a_study_whose_maker_may_no_longer_train_ends_and_holds_up_no_other(desk: Desk) -> None:
    ann = create_member(desk.living.platform, desk.living.actor, name="ann")
    set_role(*desk.place, member="ann", role=Role.TRAINER)
    theirs = Desk(replace(desk.living, actor=desk.living.member(ann.id)), desk.trainer)
    cut, whole = theirs.study(8, parallel=2), desk.study(4, parallel=2)
    set_role(*desk.place, member="ann", role=Role.VIEWER)
    desk.work()
    assert get_study(*desk.place, whole.id)[0].state is StudyState.FINISHED
    ended, trials = get_study(*desk.place, cut.id)
    assert (ended.state, len(trials)) == (StudyState.FINISHED, 2)
    with desk.living.platform.reading() as tx:
        [event] = tx.events.read(desk.living.project, subject=cut.id, kinds=["study.finished"])
    assert "it needs the role trainer" in event.data["cut_short"]


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        ({"trials": 0}, "study.invalid"),
        ({"trials": 10_001}, "study.invalid"),
        ({"parallel": 0}, "study.invalid"),
        ({"sampler": "tpee"}, "adapter.missing"),
    ],
)
def test_a_study_that_cannot_run_is_refused_and_queues_nothing(desk: Desk, rest: dict[str, Any], code: str) -> None:
    with pytest.raises(Problem) as told:
        desk.study(**rest)
    assert told.value.code == code
    assert find_studies(*desk.place, PageRequest()).items == ()
    assert find_jobs(*desk.place).items == ()


@pytest.mark.parametrize(
    "space",
    [
        Space(),
        Space(floats={"rate": Float(0.3, 0.1)}),
        Space(floats={"rate": Float(0.0, 1.0, log=True)}),
        Space(floats={"rate": Float(0.0, inf)}),
        Space(ints={"depth": Int(9, 3)}),
        Space(choices={"family": Choice(())}),
        Space(floats={"depth": Float(0.1, 0.3)}, ints={"depth": Int(3, 9)}),
    ],
    ids=["empty", "backwards", "log-of-0", "endless", "backwards-ints", "no-choice", "twice"],
)
def test_a_space_that_cannot_be_searched_is_refused(desk: Desk, space: Space) -> None:
    data = get_version(*desk.place, "trips").id
    with pytest.raises(Problem) as told:
        start_study(*desk.place, trainer=desk.trainer, space=space, data=data, trials=2)
    assert told.value.code == "study.invalid"


# Runs


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_metric_that_is_no_finite_number_is_refused_with_its_whole_batch(desk: Desk, value: float) -> None:
    run = begin(*desk.place, desk.run().id)
    points = [MetricPoint("loss", 0, 0.5, desk.living.clock()), MetricPoint("loss", 1, value, desk.living.clock())]
    with pytest.raises(Problem) as told:
        log(*desk.place, run.id, points)
    assert told.value.code == "metric.invalid"
    assert get_run(*desk.place, run.id).metrics == {}


def test_a_finished_run_is_never_changed_again(desk: Desk) -> None:
    run = begin(*desk.place, desk.run().id)
    finished = desk.end(run, log_loss=0.4)
    for attempt in (
        lambda: begin(*desk.place, run.id),
        lambda: desk.end(run, log_loss=0.1),
        lambda: log(*desk.place, run.id, [MetricPoint("log_loss", 1, 0.1, desk.living.clock())]),
    ):
        with pytest.raises(Problem) as told:
            attempt()
        assert told.value.code == "run.conflict"
    end_badly(desk.living.platform, "late", desk.living.project, run.id, RunState.FAILED, {"what": "too late"})
    assert get_run(*desk.place, run.id) == finished


def test_a_retried_run_begins_again_and_its_latest_points_count(desk: Desk) -> None:
    run = desk.run()
    for value in (0.9, 0.5):
        begin(*desk.place, run.id)
        log(*desk.place, run.id, [MetricPoint("loss", step, value - step / 10, desk.living.clock()) for step in range(3)])
    log(*desk.place, run.id, [MetricPoint("loss", 1, 0.7, desk.living.clock())])
    assert get_run(*desk.place, run.id).metrics == {"loss": pytest.approx(0.3)}, "the highest step is the latest"
    [points] = metric_points(*desk.place, [run.id], "loss").values()
    assert [(one.step, round(one.value, 6)) for one in points] == [(0, 0.5), (1, 0.7), (2, 0.3)]


def test_runs_and_their_jobs_are_one_transaction(desk: Desk) -> None:
    data = get_version(*desk.place, "trips").id
    good = NewRun(Recipe(desk.trainer, {}), data)
    with pytest.raises(Problem) as told:
        start_runs(*desk.place, [good, replace(good, data="dsv_unknown")])  # type: ignore[arg-type]
    assert told.value.kind.value == "missing"
    assert find_runs(*desk.place, PageRequest()).items == ()
    assert find_jobs(*desk.place).items == ()


def test_a_run_is_found_by_number_also_behind_a_thousand_newer_ones(desk: Desk) -> None:
    first = desk.run()
    with desk.living.platform.transaction() as tx:
        tx.runs.add(desk.living.project, [replace(first, id=RunId(f"run_{n}"), number=n, job=None) for n in range(2, 1103)])
    assert get_run(*desk.place, "1").id == first.id
    assert get_run(*desk.place, "1102").id == "run_1102"
    with pytest.raises(Problem, match="the newest is 1102"):
        get_run(*desk.place, "1103")


def test_a_lost_job_ends_all_the_runs_that_it_was_training_and_no_others(desk: Desk) -> None:
    mine = desk.run()
    with desk.living.platform.reading() as tx:
        [job] = tx.jobs.find(desk.living.project, PageRequest()).items
    side = desk.run(queued=False, job=job.id, kind=RunKind.REFIT)
    other = desk.run(queued=False)
    for run in (mine, side, other):
        begin(*desk.place, run.id)
    failed = replace(job, state=JobState.FAILED, problem={"what": "lost"})
    ended = end_runs_of(desk.living.platform, "judge", desk.living.project, failed)
    assert {run.id for run in ended} == {mine.id, side.id}
    assert [get_run(*desk.place, run.id).state.value for run in (mine, side, other)] == ["failed", "failed", "running"]


def test_a_trainer_comes_back_as_it_was_kept(desk: Desk) -> None:
    for split in (None, Split(test_share=0.25), Split(SplitKind.GROUP, column="carrier", seed=7)):
        made = replace(TRAINER, split=split)
        digest = save_trainer(*desk.place, made)
        assert load_trainer(*desk.place, digest) == made
        assert save_trainer(*desk.place, made) == digest


def test_a_run_is_split_as_it_was_asked_for_else_as_the_trainer_says(desk: Desk) -> None:
    mine, asked = Split(SplitKind.STRATIFIED, column="late"), Split(SplitKind.RANDOM, seed=2)
    desk.trainer = save_trainer(*desk.place, replace(TRAINER, split=mine))
    assert desk.run().split == mine
    assert desk.run(split=asked).split == asked


def test_a_trainer_that_was_kept_before_there_were_columns_and_seeds_is_read(desk: Desk) -> None:
    document = trainer_to_json(TRAINER) | {"split": {"kind": "hash", "test_share": 0.3, "boundary": None}}
    assert trainer_from_json(document).split == Split(SplitKind.HASH, test_share=0.3)
