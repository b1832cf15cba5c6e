"""The job `run.train`, called as the runner calls it."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from modelyard.core import Problem, canonical_json
from modelyard.data import Split, SplitKind, quality, split_frame
from modelyard.jobs import JobState
from modelyard.jobs.lease import fail, finish
from modelyard.prepare import Pipeline, prep
from modelyard.training import RunState
from modelyard.training.service import begin, get_run, metric_points
from tests.runner_steps.place import ROWS, START, Place, boosting, trips


def failing(run: Any, fit: Any, test: Any) -> Any:
    """Raise, two calls deep."""

    def deeper(rows: Any) -> Any:
        raise ValueError(f"these {len(rows)} rows are not enough")

    return deeper(fit.X)


def logging(run: Any, fit: Any, test: Any) -> Any:
    """Log a curve and a metric of one's own, keep a file, and print random numbers."""
    for step in range(3):
        run.log(curve=1.0 - step / 10)
    run.log(cost=float(np.random.random()))
    run.keep("notes", b"shallow trees are enough")
    run.progress(0.5, "half")
    return LogisticRegression().fit(fit.X, fit.y)


def diverging(run: Any, fit: Any, test: Any) -> Any:
    """Log what is no number."""
    run.log(loss=float("nan"))


def overwriting(run: Any, fit: Any, test: Any) -> Any:
    """Keep something under a name of the platform's."""
    run.keep("model", b"mine")


def unfitted(run: Any, fit: Any, test: Any) -> Any:
    """Return a model that was not fitted."""
    return HistGradientBoostingClassifier()


def a_dict(run: Any, fit: Any, test: Any) -> Any:
    """Return no model."""
    return {"weights": [1, 2]}


@pytest.mark.parametrize(
    ("rest", "kind"),
    [({}, SplitKind.TIME), ({"time": None}, SplitKind.HASH), ({"key": [], "time": None}, SplitKind.RANDOM)],
)
def test_rows_of_any_dataset_are_split_and_the_run_keeps_how(place: Place, rest: dict[str, Any], kind: SplitKind) -> None:
    place.data(name="plain", **rest)
    run = place.trained(data="plain")
    assert (run.state, run.split) == (RunState.FINISHED, Split(kind))
    [content] = place.platform.objects.get(place.project, [run.artifacts["predictions"]])
    assert pl.read_parquet(io.BytesIO(content)).height == pytest.approx(ROWS / 5, abs=60)


def test_groups_are_held_out_whole_where_the_trainer_says_so(place: Place) -> None:
    rows = trips(ROWS, START).with_columns(tail=pl.int_range(ROWS) * 7919 % 300)
    place.data(rows, name="grouped", key=[], time=None)
    split = Split(SplitKind.GROUP, column="tail", seed=7)
    pipeline = Pipeline((prep.one_hot("place"), prep.drop("trip", "at", "tail")))
    run = place.trained(data="grouped", split=split, pipeline=pipeline)
    assert run.split == split
    [content] = place.platform.objects.get(place.project, [run.artifacts["predictions"]])
    held_out = split_frame(rows, split, key=(), time=None)[1]
    assert pl.read_parquet(io.BytesIO(content))["label"].to_list() == held_out["late"].to_list()


def test_a_training_records_metrics_artifacts_environment_and_framework(place: Place) -> None:
    run = place.trained(logging)
    assert (run.state, run.framework, run.experiment) == (RunState.FINISHED, "sklearn", "late")
    assert {"log_loss", "roc_auc", "brier", "base_rate", "curve", "cost"} <= set(run.metrics)
    assert set(run.artifacts) == {"model", "pipeline", "predictions", "notes"}
    assert run.environment is not None
    environment, notes = place.platform.objects.get(place.project, [run.environment, run.artifacts["notes"]])
    assert b'"scikit-learn":' in environment
    assert notes == b"shallow trees are enough"
    [curve] = metric_points(*place.who, [run.id], "curve").values()
    assert [(one.step, round(one.value, 3)) for one in curve] == [(0, 1.0), (1, 0.9), (2, 0.8)]


def test_the_metrics_are_those_of_the_newest_rows_held_out(place: Place) -> None:
    run = place.trained()
    [content] = place.platform.objects.get(place.project, [run.artifacts["predictions"]])
    kept = pl.read_parquet(io.BytesIO(content))
    assert kept.columns == ["trip", "label", "answer"]
    assert kept["trip"].to_list() == [f"t{row}" for row in range(1200, 1500)]
    assert run.metrics["brier"] == pytest.approx(np.square(kept["label"].to_numpy() - kept["answer"].to_numpy()).mean())


def test_the_same_recipe_on_the_same_rows_gives_the_same_answers(place: Place) -> None:
    first, again = place.trained(logging), place.trained(logging)
    assert first.metrics == again.metrics, "random numbers too"
    assert first.artifacts["predictions"] == again.artifacts["predictions"]
    assert first.artifacts["pipeline"] == again.artifacts["pipeline"]


def test_what_the_checks_of_a_trainer_found_is_kept_with_the_run(place: Place) -> None:
    checks = (quality.row_count(100, None), quality.not_null("wind"), quality.warning(quality.mean_between("wind", 90, None)))
    run = place.trained(checks=checks)
    [content] = place.platform.objects.get(place.project, [run.artifacts["checks"]])
    found = [(one["check"]["kind"], one["rows_failed"]) for one in json.loads(content)]
    assert found == [("not_null", 0), ("row_count", 0), ("mean_between", 1500)], "a warning fails nothing"


def test_rows_that_break_a_check_of_the_trainer_fail_the_run_before_anything_is_fitted(place: Place) -> None:
    run = place.run(place.trainer(failing, checks=(quality.between("wind", -1, 1), quality.row_count(9_999, None))))
    lease = place.take()
    with pytest.raises(Problem, match=r"between\(wind.*fails: \d+ rows; row_count\(.*fails: 1,500 rows") as told:
        place.step(lease.job)
    assert told.value.code == "checks.refused"
    assert fail(place.platform, lease, told.value).state is JobState.FAILED, "the rows will be the same"
    failed = get_run(*place.who, run.id)
    assert (failed.state, dict(failed.artifacts)) == (RunState.FAILED, {})
    assert failed.problem is not None
    between, count = failed.problem["detail"]["outcomes"]
    assert len(between["examples"]) == 3
    assert abs(between["examples"][0]["wind"]) > 1
    assert count["found"] == "1,500 rows"


def test_an_error_of_the_users_keeps_their_traceback_and_none_of_ours(place: Place) -> None:
    run = place.run(place.trainer(failing))
    lease = place.take()
    with pytest.raises(Problem) as told:
        place.step(lease.job)
    assert told.value.code == "code.failed"
    traceback = told.value.detail["traceback"]
    assert "raise ValueError" in traceback
    assert "ValueError: these 1200 rows are not enough" in traceback
    assert "in deeper" in traceback
    assert "in failing" in traceback
    assert "modelyard/runner" not in traceback
    assert "modelyard/prepare" not in traceback
    failed = get_run(*place.who, run.id)
    assert failed.state is RunState.FAILED
    assert failed.problem is not None
    assert (failed.problem["code"], failed.problem["detail"]["traceback"]) == ("code.failed", traceback)
    assert fail(place.platform, lease, told.value).state is JobState.FAILED, "another try would end the same way"


@pytest.mark.parametrize(
    ("function", "code", "words"),
    [
        (diverging, "metric.invalid", "The metric loss is nan at step 0"),
        (overwriting, "artifact.invalid", "The trainer cannot keep an artifact 'model'"),
        (unfitted, "code.failed", "the model of the trainer late failed"),
        (a_dict, "model.invalid", "The trainer returned dict"),
    ],
)
def test_a_training_that_leaves_no_model_has_failed_and_says_why(place: Place, function: Any, code: str, words: str) -> None:
    run = place.run(place.trainer(function))
    with pytest.raises(Problem) as told:
        place.work()
    assert (told.value.code, told.value.what.lower()) == (code, words.lower())
    failed = get_run(*place.who, run.id)
    assert (failed.state, (failed.problem or {})["code"]) == (RunState.FAILED, code)


def test_a_metric_that_is_promised_and_never_logged_fails_the_run(place: Place) -> None:
    run = place.run(place.trainer(boosting, metric="profit"))
    with pytest.raises(Problem, match=r"run\.log") as told:
        place.work()
    assert told.value.code == "metric.missing"
    assert get_run(*place.who, run.id).state is RunState.FAILED
    assert place.trained(logging, metric="cost").state is RunState.FINISHED


def test_labels_that_are_missing_or_no_numbers_are_told_before_anything_is_trained(place: Place) -> None:
    frame = trips(400, place.clock())
    place.data(frame.with_columns(late=pl.when(pl.col("trip") == "t399").then(None).otherwise("late")), "holes")
    place.data(frame.with_columns(late=pl.lit("yes")), "words")
    for name, code in (("holes", "label.invalid"), ("words", "label.invalid")):
        place.run(place.trainer(failing), name)
        with pytest.raises(Problem) as told:
            place.work()
        assert told.value.code == code
    place.run(place.trainer(failing, label="lat"))
    with pytest.raises(Problem, match="did you mean 'late'"):
        place.work()


def test_a_parameter_that_the_trainer_does_not_take_is_the_users_error(place: Place) -> None:
    place.run(place.trainer(), deepth=4)
    with pytest.raises(Problem, match="deepth") as told:
        place.work()
    assert told.value.code == "code.failed"


def test_a_try_after_the_run_was_recorded_changes_nothing(place: Place) -> None:
    run = place.run(place.trainer())
    lease = place.take()
    first = place.step(lease.job)
    recorded = get_run(*place.who, run.id)
    assert place.step(lease.job) == first
    assert get_run(*place.who, run.id) == recorded
    assert finish(place.platform, lease, first).state is JobState.FINISHED


def test_a_try_that_was_lost_midway_is_done_again(place: Place) -> None:
    run = place.run(place.trainer())
    lease = place.take()
    begin(*place.who, run.id)
    result = place.step(lease.job)
    assert canonical_json(dict(result))
    assert get_run(*place.who, run.id).state is RunState.FINISHED


def test_nothing_is_left_outside_the_scratch_folder(place: Place, tmp_path: Path) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    place.trained()
    assert {path.name for path in tmp_path.iterdir()} == before
