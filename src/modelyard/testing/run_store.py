"""What every store of runs must do."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest

from modelyard.core import PageRequest, Problem
from modelyard.reactions import Metadata
from modelyard.testing import examples
from modelyard.testing.examples import CHURN, FLIGHTS, NOON
from modelyard.testing.metadata import TIMEOUT_S, StoreContract
from modelyard.testing.pages import through
from modelyard.training import MetricPoint, Run, RunId, RunState, StudyId, StudyState


def numbers(runs: tuple[Run, ...]) -> list[int]:
    """Return the numbers of runs."""
    return [run.number for run in runs]


def scored(number: int, **metrics: float) -> Run:
    """Return a run with these metrics alone."""
    return replace(examples.run(number), metrics=metrics)


class RunStoreContract(StoreContract):
    """Runs and studies; `MetricContract` has what is measured."""

    def test_runs_come_back_whole_and_in_order(self, metadata: Metadata) -> None:
        whole = examples.run(1)
        pending = replace(
            examples.run(2),
            state=RunState.PENDING,
            metrics={},
            artifacts={},
            job=None,
            trial=None,
            cause=None,
            refit_of=None,
            environment=None,
            source=None,
            started_at=None,
            finished_at=None,
            problem=None,
        )
        with metadata.transaction() as tx:
            tx.runs.add(FLIGHTS, [whole, pending])
        with metadata.transaction() as tx:
            assert tx.runs.get(FLIGHTS, [pending.id, whole.id, pending.id]) == [pending, whole, pending]
            assert tx.runs.get(FLIGHTS, []) == []
            with pytest.raises(Problem) as told:
                tx.runs.get(FLIGHTS, [RunId("run_none")])
        assert told.value.code == "run.missing"

    def test_a_run_is_replaced_by_id(self, metadata: Metadata) -> None:
        failed = replace(examples.run(1), state=RunState.FAILED, metrics={"log_loss": 0.4, "brier": 0.1}, artifacts={})
        with metadata.transaction() as tx:
            tx.runs.add(FLIGHTS, [replace(examples.run(1), metrics={"log_loss": 0.5}), examples.run(2)])
            tx.runs.save(FLIGHTS, [failed])
            assert tx.runs.get(FLIGHTS, [failed.id, examples.run(2).id]) == [failed, examples.run(2)]
            with pytest.raises(Problem) as told:
                tx.runs.save(FLIGHTS, [examples.run(3)])
        assert told.value.code == "run.missing"

    def test_numbers_follow_one_another_within_a_project(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            assert tx.runs.next_number(FLIGHTS) == 1
            tx.runs.add(FLIGHTS, [examples.run(1), examples.run(2)])
            assert tx.runs.next_number(FLIGHTS) == 3
            assert tx.runs.next_number(CHURN) == 1
            with pytest.raises(Problem) as told:
                tx.runs.add(FLIGHTS, [replace(examples.run(3), number=2)])
        assert told.value.code == "run.conflict"

    def test_many_who_start_runs_at_once_get_numbers_of_their_own(self, metadata: Metadata) -> None:
        together = Barrier(4)

        def start(worker: int) -> None:
            together.wait(TIMEOUT_S)
            for step in range(3):
                with metadata.transaction() as tx:
                    number = tx.runs.next_number(FLIGHTS)
                    tx.runs.add(FLIGHTS, [replace(examples.run(number), id=RunId(f"run_{worker}_{step}"))])

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(start, range(4)))
        with metadata.transaction() as tx:
            assert numbers(tx.runs.find(FLIGHTS, PageRequest()).items) == list(range(12, 0, -1))

    def test_runs_are_found_newest_first_in_pages(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.runs.add(FLIGHTS, [examples.run(number) for number in (3, 1, 5, 2, 4)])
            found = through(lambda page: tx.runs.find(FLIGHTS, page), 2)
        assert [numbers(items) for items in found] == [[5, 4], [3, 2], [1]]
        assert found[0][0] == examples.run(5)

    def test_runs_are_picked_by_state_study_and_experiment(self, metadata: Metadata) -> None:
        study = StudyId("study_1")
        runs = [
            replace(examples.run(1), state=RunState.RUNNING),
            replace(examples.run(2), study=study),
            replace(examples.run(3), study=study, state=RunState.FAILED),
            replace(examples.run(4), experiment="churn"),
        ]
        with metadata.transaction() as tx:
            tx.runs.add(FLIGHTS, runs)
            assert numbers(tx.runs.find(FLIGHTS, PageRequest(), states=[RunState.RUNNING, RunState.FAILED]).items) == [3, 1]
            assert numbers(tx.runs.find(FLIGHTS, PageRequest(), study=study).items) == [3, 2]
            assert numbers(tx.runs.find(FLIGHTS, PageRequest(), study=study, states=[RunState.FINISHED]).items) == [2]
            assert numbers(tx.runs.find(FLIGHTS, PageRequest(), experiment="delay").items) == [3, 2, 1]

    def test_studies_come_back_whole_and_are_replaced(self, metadata: Metadata) -> None:
        ended = replace(examples.study(2), state=StudyState.FAILED, best=None, finished_at=None)
        with metadata.transaction() as tx:
            tx.runs.add_studies(FLIGHTS, [examples.study(number) for number in range(1, 4)])
            tx.runs.save_studies(FLIGHTS, [ended])
            assert tx.runs.get_studies(FLIGHTS, [ended.id, examples.study(1).id]) == [ended, examples.study(1)]
            pages = through(lambda page: tx.runs.studies(FLIGHTS, page), 2)
            assert pages == [(examples.study(3), ended), (examples.study(1),)]
            for ask in (tx.runs.get_studies, lambda project, _: tx.runs.save_studies(project, [examples.study(9)])):
                with pytest.raises(Problem) as told:
                    ask(FLIGHTS, [StudyId("study_none")])
                assert told.value.code == "study.missing"


class MetricContract(StoreContract):
    """Points, the latest values, and runs ranked and filtered by them."""

    def test_the_latest_point_is_the_runs_metric(self, metadata: Metadata) -> None:
        run = scored(1)
        points = [MetricPoint("loss", step, 1 / (step + 1), NOON + timedelta(seconds=step)) for step in range(4)]
        with metadata.transaction() as tx:
            tx.runs.add(FLIGHTS, [run])
            tx.runs.log(FLIGHTS, run.id, [points[2], points[0], points[1]])
            assert tx.runs.get(FLIGHTS, [run.id])[0].metrics == {"loss": points[2].value}
            tx.runs.log(FLIGHTS, run.id, [points[3], MetricPoint("auc", 0, 0.5, NOON)])
            tx.runs.log(FLIGHTS, run.id, [])
        with metadata.transaction() as tx:
            assert tx.runs.get(FLIGHTS, [run.id])[0].metrics == {"auc": 0.5, "loss": 0.25}
            assert tx.runs.points(FLIGHTS, [run.id], "loss") == {run.id: points}

    def test_a_late_batch_of_early_steps_is_not_the_latest(self, metadata: Metadata) -> None:
        run = scored(1)
        with metadata.transaction() as tx:
            tx.runs.add(FLIGHTS, [run])
            tx.runs.log(FLIGHTS, run.id, [MetricPoint("loss", 5, 0.1, NOON)])
            tx.runs.log(FLIGHTS, run.id, [MetricPoint("loss", 2, 0.9, NOON)])
            assert tx.runs.get(FLIGHTS, [run.id])[0].metrics == {"loss": 0.1}

    def test_a_point_at_the_same_step_replaces_the_older_one(self, metadata: Metadata) -> None:
        run = scored(1)
        with metadata.transaction() as tx:
            tx.runs.add(FLIGHTS, [run])
            tx.runs.log(FLIGHTS, run.id, [MetricPoint("loss", 1, 0.5, NOON), MetricPoint("loss", 1, 0.4, NOON)])
            tx.runs.log(FLIGHTS, run.id, [MetricPoint("loss", 1, 0.3, NOON)])
            assert tx.runs.points(FLIGHTS, [run.id], "loss") == {run.id: [MetricPoint("loss", 1, 0.3, NOON)]}
            assert tx.runs.get(FLIGHTS, [run.id])[0].metrics == {"loss": 0.3}

    def test_points_of_several_runs_come_at_once(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.runs.add(FLIGHTS, [scored(1), scored(2)])
            for run in (1, 2):
                tx.runs.log(
                    FLIGHTS, scored(run).id, [MetricPoint("loss", 2**40 + run, run, NOON), MetricPoint("x", 0, 0, NOON)]
                )
            found = tx.runs.points(FLIGHTS, [scored(2).id, scored(1).id, RunId("run_none")], "loss")
        assert {run: [(point.step, point.value) for point in points] for run, points in found.items()} == {
            "run_0001": [(2**40 + 1, 1.0)],
            "run_0002": [(2**40 + 2, 2.0)],
            "run_none": [],
        }

    def test_points_of_an_unknown_run_are_refused(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx, pytest.raises(Problem) as told:
            tx.runs.log(FLIGHTS, RunId("run_none"), [MetricPoint("loss", 1, 0.5, NOON)])
        assert told.value.code == "run.missing"

    def test_what_a_run_is_saved_with_counts_from_then_on(self, metadata: Metadata) -> None:
        run = scored(1)
        with metadata.transaction() as tx:
            tx.runs.add(FLIGHTS, [run])
            tx.runs.log(FLIGHTS, run.id, [MetricPoint("loss", 3, 0.5, NOON)])
            tx.runs.save(FLIGHTS, [replace(run, metrics={"loss": 0.45})])
            assert tx.runs.get(FLIGHTS, [run.id])[0].metrics == {"loss": 0.45}
            tx.runs.log(FLIGHTS, run.id, [MetricPoint("loss", 4, 0.4, NOON)])
            assert tx.runs.get(FLIGHTS, [run.id])[0].metrics == {"loss": 0.4}

    def test_a_metric_that_is_no_number_is_kept_and_ranks_last(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.runs.add(
                FLIGHTS, [scored(1, loss=math.nan), scored(2, loss=math.inf), scored(3, loss=-math.inf), scored(4, loss=0)]
            )
            tx.runs.log(FLIGHTS, scored(1).id, [MetricPoint("loss", 1, math.nan, NOON)])
            up = tx.runs.find(FLIGHTS, PageRequest(), sort="loss").items
            down = tx.runs.find(FLIGHTS, PageRequest(), sort="-loss").items
            [point] = tx.runs.points(FLIGHTS, [scored(1).id], "loss")[scored(1).id]
        assert (numbers(up), numbers(down)) == ([3, 4, 2, 1], [2, 4, 3, 1])
        assert math.isnan(up[-1].metrics["loss"])
        assert math.isnan(point.value)

    @pytest.mark.parametrize(
        ("sort", "expected"),
        [("loss", [[2, 5], [3, 1], [6, 4]]), ("-loss", [[1, 5], [3, 2], [6, 4]]), ("nothing", [[6, 5], [4, 3], [2, 1]])],
    )
    def test_runs_are_ranked_by_a_metric_in_pages(self, metadata: Metadata, sort: str, expected: list[list[int]]) -> None:
        """Equal values go newest first, and runs without the metric come last."""
        losses = {1: 0.9, 2: 0.1, 3: 0.5, 5: 0.5}
        with metadata.transaction() as tx:
            tx.runs.add(FLIGHTS, [scored(n, loss=losses[n], auc=0.5) if n in losses else scored(n, auc=n) for n in range(1, 7)])
            pages = through(lambda page: tx.runs.find(FLIGHTS, page, sort=sort), 2)
            assert [numbers(items) for items in pages] == expected
            assert [n for items in through(lambda page: tx.runs.find(FLIGHTS, page, sort=sort), 1) for n in numbers(items)] == [
                n for page in expected for n in page
            ]

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            ([("loss", "<", 0.5)], [1]),
            ([("loss", "<=", 0.5)], [2, 1]),
            ([("loss", ">", 0.5)], [3]),
            ([("loss", ">=", 0.5)], [3, 2]),
            ([("loss", "=", 0.5)], [2]),
            ([("loss", "!=", 0.5)], [3, 1]),
            ([("loss", ">=", 0.5), ("auc", ">", 0.7)], [3]),
            ([("loss", ">=", 0.0), ("nothing", ">", 0.0)], []),
        ],
    )
    def test_runs_are_filtered_by_metrics(
        self, metadata: Metadata, where: list[tuple[str, str, float]], expected: list[int]
    ) -> None:
        with metadata.transaction() as tx:
            tx.runs.add(
                FLIGHTS, [scored(1, loss=0.1, auc=0.9), scored(2, loss=0.5, auc=0.6), scored(3, loss=0.9, auc=0.8), scored(4)]
            )
            assert numbers(tx.runs.find(FLIGHTS, PageRequest(), where=where).items) == expected
            assert (
                numbers(tx.runs.find(FLIGHTS, PageRequest(), where=where, sort="-auc", states=[RunState.PENDING]).items) == []
            )

    def test_a_wrong_comparison_or_page_key_is_told(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            with pytest.raises(Problem) as told:
                tx.runs.find(FLIGHTS, PageRequest(), where=[("loss", "~", 0.5)])
            assert told.value.code == "run.invalid"
            for key in ("nonsense", "[1]", '["a", 1]'):
                with pytest.raises(Problem) as told:
                    tx.runs.find(FLIGHTS, PageRequest(key), sort="loss")
                assert told.value.code == "page.invalid"
