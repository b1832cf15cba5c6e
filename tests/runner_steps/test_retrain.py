"""The job `deployment.retrain`: labels taken in, the recipe judged on rows held back, refitted with them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from modelyard.core import PageRequest, Problem, ProjectId, to_text
from modelyard.data import Dataset, DatasetId, DatasetVersion, quality
from modelyard.data.service import change_checks, get_version, quarantined, read, versions
from modelyard.jobs import Job
from modelyard.jobs.service import submit
from modelyard.prepare import Pipeline, prep
from modelyard.reactions import Retraining
from modelyard.registry import ModelVersion
from modelyard.registry.service import find_versions, promote
from modelyard.registry.service import get_version as get_model
from modelyard.runner.steps.retrain import mended_rows
from modelyard.training import Run, RunKind, RunState
from modelyard.training.service import find_runs, get_run
from tests.runner_steps.place import ROWS, START, Place, trips

WEEK_S = 7 * 86_400
LIVED = 600  # hours
TALLY: list[int] = []


def ask(place: Place, cause: str = "alert_1", data: str = "trips", **rest: Any) -> None:
    """Queue a retraining."""
    payload = {
        "deployment": "late",
        "retraining": msgspec.to_builtins(Retraining(data, **{"held_back_s": 10 * 86_400, **rest})),
        "cause": cause,
        "until": to_text(place.clock()),
    }
    submit(*place.who, kind="deployment.retrain", title="retrain late", payload=payload, cause=cause)


def live(place: Place, *, rows: int = LIVED, labelled: int | None = None) -> pl.DataFrame:
    """Let the champion answer for some weeks; the first `labelled` rows get their labels."""
    lived = trips(rows, START, seed=2, name="live")
    champion = get_model(*place.who, "late@champion")
    place.clock.advance(hours=rows)
    place.live(lived, champion, labelled=range(rows if labelled is None else labelled))
    return lived


def retrain(place: Place, cause: str = "alert_1", **rest: Any) -> ModelVersion:
    """Retrain, and return the version."""
    ask(place, cause, **rest)
    return get_model(*place.who, f"late@{place.work()['version']}")


def newest(place: Place) -> DatasetVersion:
    return get_version(*place.who, "trips")


def held(place: Place) -> set[str]:
    return set(read(*place.who, newest(place)).collect()["trip"])


def made(place: Place, kind: RunKind) -> list[Run]:
    return [run for run in find_runs(*place.who, PageRequest()).items if run.kind is kind]


def refused(place: Place, words: str, **rest: Any) -> None:
    """Retrain, and be refused with these words."""
    ask(place, **rest)
    with pytest.raises(Problem, match=words) as told:
        place.work()
    assert told.value.code == "retraining.refused"
    assert [one.number for one in find_versions(*place.who, "late", PageRequest()).items] == [1]


def test_the_recipe_is_judged_on_rows_held_back_beside_the_champion_and_then_refitted_with_them(place: Place) -> None:
    live(place)
    version = retrain(place)
    [judged], [refit] = made(place, RunKind.RETRAIN), made(place, RunKind.REFIT)
    assert (judged.state, refit.state) == (RunState.FINISHED, RunState.FINISHED)
    assert (version.run, version.refit_of, version.cause, refit.refit_of) == (refit.id, judged.id, "alert_1", judged.id)
    assert judged.recipe == refit.recipe == get_model(*place.who, "late@1").recipe
    [evaluation] = version.evaluations
    assert (evaluation.run, evaluation.against, evaluation.rows) == (judged.id, 1, 241)
    assert evaluation.value == judged.metrics["log_loss"] == evaluation.metrics["log_loss"]
    assert evaluation.against_value == evaluation.against_metrics["log_loss"]
    assert refit.metrics["log_loss"] != judged.metrics["log_loss"]
    assert version.data == newest(place).id
    assert "Metrics on rows it was fitted on" in place.card(version)
    assert "alert_1" in version.note


def test_the_labelled_predictions_are_a_version_of_the_dataset_with_their_origin(place: Place) -> None:
    lived = live(place)
    retrain(place)
    data = newest(place)
    assert (data.number, data.rows) == (2, ROWS + LIVED)
    assert [(parent.kind, parent.ref) for parent in data.parents] == [("ledger", "ledger/late")]
    rows = read(*place.who, data).collect().filter(pl.col("trip").str.starts_with("live")).sort("at")
    assert rows.select(lived.columns).equals(lived), "values, types and all"


def test_rows_without_a_label_wait_and_late_labels_reach_the_next_retraining(place: Place) -> None:
    lived = live(place, labelled=500)
    retrain(place, "first")
    assert len(held(place)) == ROWS + 500
    place.label(lived.tail(100))
    place.label(lived.head(50))
    retrain(place, "second")
    assert len(held(place)) == ROWS + 600
    [first, second] = sorted(made(place, RunKind.REFIT), key=lambda run: run.number)
    assert first.data != second.data


def test_a_label_that_was_mended_after_its_row_was_taken_in_mends_the_row(place: Place) -> None:
    lived = live(place)
    retrain(place, "first")
    assert newest(place).note == "600 labelled predictions"
    place.clock.advance(hours=1)
    wrong = lived.head(40).with_columns(late=1 - pl.col("late"))
    place.label(wrong)
    place.label(lived.tail(9))
    retrain(place, "second")
    mended = newest(place)
    assert (mended.number, mended.rows, mended.replaced) == (3, ROWS + LIVED, 40)
    assert mended.note == "0 labelled predictions, 40 labels mended"
    rows = read(*place.who, mended).collect().filter(pl.col("trip").str.starts_with("live")).sort("at")
    assert rows.select(lived.columns).equals(pl.concat([wrong, lived.tail(LIVED - 40)])), "the label, and nothing else"
    before = read(*place.who, get_version(*place.who, "trips@2")).collect().sort("at").tail(LIVED)
    assert before.select(lived.columns).equals(lived)
    retrain(place, "third")
    assert newest(place) == mended


def test_a_row_that_several_predictions_are_about_keeps_its_label() -> None:
    dataset = Dataset(DatasetId("ds"), ProjectId("p"), "winds", ("wind",), "at", None, (), START)
    held = trips(6, START).with_columns(wind=pl.Series([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))
    told = pl.concat([held.head(3), held.slice(2, 2)]).with_columns(late=1 - pl.col("late"))
    mended = mended_rows(told, dataset, held.lazy(), "late")
    assert mended.equals(held[[0, 1, 3]].with_columns(late=1 - pl.col("late"))), "of the row 2 there are two"
    assert mended_rows(held, dataset, held.lazy(), "late").height == 0
    unknown = held.with_columns(late=pl.lit(None, pl.Int64))
    assert mended_rows(held, dataset, unknown.lazy(), "late").equals(held)


def test_nothing_new_makes_no_new_version_of_the_dataset(place: Place) -> None:
    live(place)
    retrain(place, "first")
    retrain(place, "second")
    assert len(versions(*place.who, PageRequest(), "trips").items) == 2


def test_rows_that_the_checks_stop_are_quarantined_once(place: Place) -> None:
    change_checks(*place.who, "trips", checks=[quality.between("wind", -9, 2.2)], stop_share=0.5)
    live(place)
    retrain(place, "first")
    bad = quarantined(*place.who, "trips").collect().height
    assert 0 < bad < 60
    assert len(held(place)) == ROWS + LIVED - bad
    retrain(place, "second")
    assert quarantined(*place.who, "trips").collect().height == bad


def test_a_column_that_the_model_does_not_take_is_null_in_served_rows(place: Place) -> None:
    rows = trips(ROWS, START - timedelta(hours=ROWS)).with_columns(crew=pl.lit("A7"))
    place.data(rows, "crewed")
    pipeline = Pipeline((prep.one_hot("place"), prep.drop("trip", "at", "crew")))
    promote(*place.who, "late", place.registered(place.trained(data="crewed", pipeline=pipeline)).number, "champion")
    live(place)
    ask(place, data="crewed")
    place.work()
    kept = read(*place.who, get_version(*place.who, "crewed")).collect()
    assert kept["crew"].null_count() == LIVED


def test_only_the_history_asked_for_is_fitted_on(place: Place) -> None:
    live(place)
    ask(place, history_s=20 * 86_400)
    result = place.work()
    assert result["rows"] == 30 * 24 + 1


def test_too_few_labels_to_judge_or_to_fit_on_are_refused(place: Place) -> None:
    live(place)
    refused(place, "hold 25 labelled rows", cause="a", held_back_s=86_400)
    refused(place, "cannot be parted before the newest 200 days", cause="b", held_back_s=200 * 86_400)
    refused(place, "there are 48 labelled rows", cause="c", history_s=2 * 86_400)


def test_a_recipe_that_only_its_trainer_can_measure_is_refused_before_anything_is_fitted(place: Place) -> None:
    run = place.trained(counting, metric="cost")
    promote(*place.who, "late", place.registered(run).number, "champion")
    TALLY.clear()
    live(place)
    ask(place)
    with pytest.raises(Problem, match="is judged by cost, which only its trainer can measure"):
        place.work()
    assert TALLY == []


def counting(run: Any, fit: Any, test: Any) -> Any:
    """Log a metric of one's own."""
    run.log(cost=1.0)
    return HistGradientBoostingClassifier(max_iter=3).fit(fit.X, fit.y)


def failing_later(run: Any, fit: Any, test: Any) -> Any:
    """Fail on more than the first rows."""
    if len(fit) > 1500:
        raise ValueError("too much for me")
    return HistGradientBoostingClassifier(max_iter=3).fit(fit.X, fit.y)


def test_user_code_that_fails_in_the_loop_leaves_a_failed_run_and_no_version(place: Place) -> None:
    promote(*place.who, "late", place.registered(place.trained(failing_later)).number, "champion")
    live(place)
    ask(place)
    with pytest.raises(Problem, match="too much for me"):
        place.work()
    [judged] = made(place, RunKind.RETRAIN)
    assert judged.state is RunState.FAILED
    assert (judged.problem or {})["code"] == "code.failed"
    assert len(find_versions(*place.who, "late", PageRequest()).items) == 2


def lost(place: Place, job: Job, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Do a try of a job whose process dies as it calls `at`."""

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"modelyard.runner.steps.retrain.{at}", die)
    with pytest.raises(KeyboardInterrupt):
        place.step(job)
    monkeypatch.undo()


@pytest.mark.parametrize("at", ["build_package", "_beside_champion", "fit_recipe", "register"])
def test_a_try_that_is_lost_leaves_no_run_running_and_the_next_makes_one_version(
    place: Place, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    live(place)
    ask(place)
    lease = place.take()
    lost(place, lease.job, monkeypatch, at)
    result = place.step(replace(lease.job, attempts=2))
    assert result["version"] == 2
    assert len(find_versions(*place.who, "late", PageRequest()).items) == 2
    assert {run.state for run in find_runs(*place.who, PageRequest()).items} <= {RunState.FINISHED, RunState.FAILED}
    assert newest(place).number == 2, "the labels were taken in once"


def test_a_try_after_the_version_was_recorded_gives_the_same_result(place: Place) -> None:
    live(place)
    ask(place)
    lease = place.take()
    first = place.step(lease.job)
    assert place.step(replace(lease.job, attempts=2)) == first
    assert len(find_versions(*place.who, "late", PageRequest()).items) == 2
    assert len(made(place, RunKind.REFIT)) == 1


def test_a_prediction_asked_for_twice_is_one_row(place: Place) -> None:
    lived = live(place)
    champion = get_model(*place.who, "late@champion")
    place.live(lived.head(200), champion)
    retrain(place)
    assert len(held(place)) == ROWS + LIVED
    assert newest(place).rows == ROWS + LIVED


def test_the_dataset_may_keep_its_labels_as_truth_values(place: Place) -> None:
    rows = trips(ROWS, START - timedelta(hours=ROWS)).with_columns(late=pl.col("late").cast(pl.Boolean))
    place.data(rows, "truths")
    live(place)
    ask(place, data="truths")
    place.work()
    kept = read(*place.who, get_version(*place.who, "truths")).collect()
    assert kept.schema["late"] == pl.Boolean
    assert get_run(*place.who, made(place, RunKind.REFIT)[0].id).state is RunState.FINISHED
