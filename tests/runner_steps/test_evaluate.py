"""The job `model.evaluate`: two versions on the same labelled rows, none of which the first was fitted on."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from modelyard.core import Problem
from modelyard.data import DatasetVersion, Split, SplitKind, split_frame
from modelyard.data.service import append, get_version
from modelyard.registry import Condition, ConditionKind, Evaluation, Gate, ModelVersion
from modelyard.registry.rules import trained
from modelyard.registry.service import evaluate_gate, promote, request_evaluation, set_gate
from modelyard.registry.service import get_version as get_model
from modelyard.training import RunKind
from modelyard.training.metrics import measure
from modelyard.training.service import get_run
from tests.runner_steps.place import ROWS, START, Place, boosting, trips

HELD_OUT = 300  # of the 1,500 rows, the last fifth by time
LATER = 480  # hours


def weak(run: Any, fit: Any, test: Any) -> Any:
    """Learn next to nothing."""
    return HistGradientBoostingClassifier(max_iter=1, learning_rate=0.01).fit(fit.X, fit.y)


def ask(place: Place, version: int = 2, **rest: Any) -> Mapping[str, Any]:
    """Ask for an evaluation, and do it."""
    request_evaluation(*place.who, "late", version, **rest)
    return place.work()


def evaluated(place: Place, version: int = 2, **rest: Any) -> Evaluation:
    """Return what an evaluation left with the version."""
    ask(place, version, **rest)
    return get_model(*place.who, f"late@{version}").evaluations[-1]


def refused(place: Place, words: str, version: int = 2, code: str = "evaluation.refused", **rest: Any) -> None:
    """Ask, and be refused with these words."""
    before = get_model(*place.who, f"late@{version}").evaluations
    with pytest.raises(Problem, match=words) as told:
        ask(place, version, **rest)
    assert told.value.code == code
    assert get_model(*place.who, f"late@{version}").evaluations == before


def grown(place: Place, frame: pl.DataFrame | None = None, name: str = "trips") -> DatasetVersion:
    """Let a dataset grow."""
    made = append(*place.who, name, trips(LATER, START, seed=5, name="later") if frame is None else frame).version
    assert made is not None
    return made


@pytest.fixture
def second(place: Place) -> ModelVersion:
    """Return a weak second version, trained on the same rows."""
    return place.registered(place.trained(weak))


def test_a_version_is_measured_on_the_rows_that_its_run_held_out(place: Place, second: ModelVersion) -> None:
    found = evaluated(place)
    assert (found.against, found.rows, found.window, found.metric) == (1, HELD_OUT, "held-out rows of trips v1", "log_loss")
    for number, value in ((2, found.value), (1, found.against_value)):
        run = get_run(*place.who, trained(get_model(*place.who, f"late@{number}"), "be read").run)
        assert value == pytest.approx(run.metrics["log_loss"], abs=1e-6)
    assert found.run == second.run
    assert found.metrics["roc_auc"] < found.against_metrics["roc_auc"]
    with place.platform.reading() as tx:
        [event] = tx.events.read(place.project, kinds=["version.evaluated"], subject="late@2")
    assert (event.data["against"], event.data["value"]) == (1, found.value)


def test_figures_are_those_of_the_door_that_serves(place: Place, second: ModelVersion) -> None:
    later = trips(LATER, START, seed=5, name="later")
    grown(place, later)
    found = evaluated(place, data=get_version(*place.who, "trips@2").id, newest_s=10 * 86_400)
    newest = later.filter(pl.col("at") >= START + timedelta(hours=LATER - 1 - 240))
    assert found.rows == newest.height == 241
    assert found.window == "trips v2, 2013-04-10 … 2013-04-20"
    assert dict(found.metrics) == measure(newest["late"].cast(pl.Float64).to_numpy(), place.infer(second, newest))


def test_rows_that_it_was_fitted_on_are_left_out_of_every_version_of_the_dataset(place: Place, second: ModelVersion) -> None:
    data = grown(place)
    found = evaluated(place, data=data.id)
    assert found.rows == HELD_OUT + LATER
    assert found.window == "trips v2, 1,200 rows left out that it was fitted on"
    third = place.registered(place.trained(weak))
    assert third.data == data.id
    assert evaluated(place, third.number, data=data.id).rows == round(0.2 * (ROWS + LATER))
    words = f"trips v1 has 1,500 labelled rows, and late@{third.number} was fitted on 1,500 of them"
    refused(place, words, third.number, data=get_version(*place.who, "trips@1").id)


def test_rows_of_a_dataset_without_a_key_are_known_by_their_place(place: Place) -> None:
    place.data(name="keyless", key=[])
    version = place.registered(place.trained(weak, data="keyless"))
    data = grown(place, name="keyless")
    assert evaluated(place, version.number, data=data.id).rows == HELD_OUT + LATER


@pytest.mark.parametrize("split", [Split(SplitKind.RANDOM, seed=3), Split(SplitKind.STRATIFIED, column="late")])
def test_a_version_split_by_place_is_judged_on_the_places_it_did_not_see(place: Place, split: Split) -> None:
    rows = trips(ROWS, START)
    place.data(rows, name="keyless", key=[], time=None)
    for number in (2, 3):
        place.registered(place.trained(weak if number == 3 else boosting, data="keyless", split=split))
    found = evaluated(place, 3)
    assert found.rows == split_frame(rows, split, key=(), time=None)[1].height
    grown(place, trips(60, START, seed=9), name="keyless")
    assert evaluated(place, 3, data=get_version(*place.who, "keyless@2").id).rows == found.rows + 60


def test_another_dataset_is_judged_on_but_for_the_rows_of_the_same_key(place: Place, second: ModelVersion) -> None:
    old = trips(ROWS, START - timedelta(hours=ROWS))
    data = place.data(pl.concat([old.head(100), trips(400, START, seed=6, name="new")]), "others")
    found = evaluated(place, data=data.id)
    assert (found.rows, found.window) == (400, "others v1, 100 rows left out that it was fitted on")


def test_what_the_other_version_was_fitted_on_is_told(place: Place, second: ModelVersion) -> None:
    data = grown(place)
    third = place.registered(place.trained())
    fitted = ROWS + LATER - round(0.2 * (ROWS + LATER))
    found = evaluated(place, against=str(third.number), data=data.id)
    seen = fitted - (ROWS - HELD_OUT)
    assert found.window == f"trips v2, 1,200 rows left out that it was fitted on; v3 was fitted on {seen} of them"


def test_a_refit_knows_all_rows_of_its_dataset_version(place: Place, second: ModelVersion) -> None:
    with place.platform.transaction() as tx:
        [run] = tx.runs.get(place.project, [trained(second, "be read").run])
        tx.runs.save(place.project, [replace(run, kind=RunKind.REFIT)])
    refused(place, "trips v1 has 1,500 labelled rows, and late@2 was fitted on 1,500 of them")
    assert evaluated(place, data=grown(place).id).rows == LATER


def test_rows_that_say_nothing_are_refused(place: Place, second: ModelVersion) -> None:
    few = place.data(trips(199, START, name="few"), "few")
    refused(place, "199 rows are left to judge late@2 on", data=few.id)
    same = place.data(trips(300, START, name="same").with_columns(late=pl.lit(1, pl.Int64)), "same")
    refused(place, "all have the same late", data=same.id)
    bare = place.data(trips(300, START, name="bare").drop("late"), "bare")
    refused(place, "late", code="column.missing", data=bare.id)
    timeless = place.data(trips(300, START, name="timeless"), "timeless", time=None)
    refused(place, "no newest stretch", data=timeless.id, newest_s=86_400)


def test_rows_without_a_label_are_not_judged_on(place: Place, second: ModelVersion) -> None:
    rows = trips(500, START, name="late")
    known = rows.with_columns(late=pl.when(pl.int_range(pl.len()) < 250).then("late"))
    data = place.data(known, "partly")
    assert evaluated(place, data=data.id).rows == 250


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        ({"against": "2"}, "evaluation.invalid"),
        ({"newest_s": 0}, "evaluation.invalid"),
        ({"against": "challenger"}, "alias.missing"),
        ({"against": "9"}, "version.missing"),
        ({"data": "dsv_none"}, "dataset.missing"),
    ],
)
def test_what_cannot_be_is_refused_before_a_job_is_queued(
    place: Place, second: ModelVersion, rest: dict[str, Any], code: str
) -> None:
    with pytest.raises(Problem) as told:
        request_evaluation(*place.who, "late", 2, **rest)
    assert told.value.code == code
    with pytest.raises(AssertionError, match="no job is queued"):
        place.take()


def test_a_try_after_the_figures_were_kept_keeps_them_once(place: Place, second: ModelVersion) -> None:
    request_evaluation(*place.who, "late", 2)
    job = place.take().job
    first = place.step(job)
    place.clock.advance(minutes=1)
    assert place.step(replace(job, attempts=2)) == first
    assert len(get_model(*place.who, "late@2").evaluations) == 2, "that of its registration, and this one"


def test_a_metric_that_only_the_trainer_can_measure_gives_way_to_the_usual_one(place: Place) -> None:
    version = place.registered(place.trained(costly, metric="cost"))
    found = evaluated(place, version.number)
    assert found.metric == "log_loss"
    assert found.value == found.metrics["log_loss"]


def costly(run: Any, fit: Any, test: Any) -> Any:
    """Log a metric of one's own."""
    run.log(cost=1.0)
    return HistGradientBoostingClassifier(max_iter=3).fit(fit.X, fit.y)


def test_a_gate_that_demands_to_be_better_goes_by_the_figures(place: Place, second: ModelVersion) -> None:
    set_gate(*place.who, "late", "champion", Gate((Condition(ConditionKind.BETTER, -0.01, "log_loss"),)))

    def told() -> tuple[bool, str]:
        result = evaluate_gate(*place.who, "late", 2, "champion")
        return result.passed, result.results[0].told

    assert told() == (
        False,
        "it was not measured by log_loss beside version 1 on the same rows: yard model evaluate late 2 --against 1",
    )
    found = evaluated(place)
    assert told() == (
        False,
        f"log_loss {found.value:.4f} against {found.against_value:.4f} of v1 on 300 rows (held-out rows of trips v1); "
        "demanded: not worse by more than 0.01",
    )
    better = place.registered(place.trained())
    evaluated(place, better.number)
    promote(*place.who, "late", better.number, "champion")
