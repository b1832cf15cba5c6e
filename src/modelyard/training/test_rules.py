"""The life of a run, pair by pair, and which trial comes next."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from modelyard.core import Digest, Problem, ProjectId
from modelyard.data import DatasetVersionId, Split
from modelyard.training import (
    Direction,
    Recipe,
    Run,
    RunId,
    RunKind,
    RunState,
    Space,
    Study,
    StudyId,
    StudyState,
)
from modelyard.training.rules import ENDED, MOVES, best, due_trials, move

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def a_run(number: int = 1, state: RunState = RunState.PENDING, **metrics: float) -> Run:
    return Run(
        id=RunId(f"run_{number}"),
        project=ProjectId("p"),
        experiment="train",
        number=number,
        kind=RunKind.TRIAL,
        recipe=Recipe(Digest("sha256:0"), {}),
        metric="roc_auc",
        data=DatasetVersionId("v"),
        split=Split(),
        state=state,
        created_by="m",
        created_at=NOW,
        metrics=metrics,
    )


def a_study(trials: int, parallel: int) -> Study:
    return Study(
        id=StudyId("s"),
        project=ProjectId("p"),
        experiment="train",
        trainer=Digest("sha256:0"),
        data=DatasetVersionId("v"),
        space=Space(),
        metric="roc_auc",
        direction=Direction.MAXIMISE,
        trials=trials,
        parallel=parallel,
        sampler="tpe",
        seed=0,
        state=StudyState.RUNNING,
        created_by="m",
        created_at=NOW,
    )


@pytest.mark.parametrize(("start", "to"), list(product(RunState, RunState)))
def test_every_pair_of_states_moves_or_refuses(start: RunState, to: RunState) -> None:
    later = NOW + timedelta(minutes=1)
    run = a_run(state=start)
    if to in MOVES[start]:
        moved = move(run, to, later)
        assert moved.state is to
        assert (moved.finished_at == later) == (to in ENDED)
        assert (moved.started_at == later) == (to is RunState.RUNNING)
    else:
        with pytest.raises(Problem, match=f"cannot become {to.value}") as caught:
            move(run, to, later)
        assert caught.value.code == "run.conflict"


def test_a_finished_run_never_changes_again() -> None:
    assert MOVES[RunState.FINISHED] == frozenset()


def test_the_best_run_is_finished_has_the_metric_and_is_the_earliest_among_equals() -> None:
    runs = [
        a_run(1, RunState.FAILED, roc_auc=0.99),
        a_run(2, RunState.FINISHED, roc_auc=0.7),
        a_run(3, RunState.FINISHED, roc_auc=0.8),
        a_run(4, RunState.FINISHED, roc_auc=0.8),
        a_run(5, RunState.FINISHED, other=1.0),
    ]
    chosen = best(runs, "roc_auc", Direction.MAXIMISE)
    assert chosen is not None
    assert chosen.number == 3
    lowest = best(runs, "roc_auc", Direction.MINIMISE)
    assert lowest is not None
    assert lowest.number == 2
    assert best(runs[:1], "roc_auc", Direction.MAXIMISE) is None


def test_trials_come_in_whole_batches_and_stop_at_the_number_asked_for() -> None:
    study = a_study(trials=5, parallel=2)
    ended = [a_run(n, RunState.FINISHED) for n in range(4)]
    assert due_trials(study, []) == 2
    assert due_trials(study, [a_run(0, RunState.FINISHED), a_run(1, RunState.RUNNING)]) == 0
    assert due_trials(study, ended[:2]) == 2
    assert due_trials(study, ended) == 1
    assert due_trials(study, [*ended, a_run(4, RunState.FAILED)]) == 0
    assert due_trials(replace(study, state=StudyState.CANCELLED), []) == 0
