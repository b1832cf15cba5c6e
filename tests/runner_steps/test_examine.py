"""The job `run.examine`: slices of the rows are left out in turn, and what harms the model is told from what does not."""

import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from modelyard.core import Problem
from modelyard.data import Check, Severity
from modelyard.data.service import append
from modelyard.training import Run, RunKind
from modelyard.training.examination import Examination
from modelyard.training.examining import find_examinations, request_examination
from modelyard.training.slices import SliceKind
from tests.runner_steps.place import ROWS, START, Place, trips

HELD_OUT = 300  # of the 1,500 rows, the last fifth by time


def straight(run: Any, fit: Any, test: Any) -> Any:
    """Return a logistic regression, and log and keep as trainers do."""
    run.log(loss=0.5)
    run.keep("notes", b"kept")
    run.progress(0.5, "half")
    return LogisticRegression().fit(np.nan_to_num(fit.X), fit.y)


def forest(run: Any, fit: Any, test: Any) -> Any:
    """Return a model that goes by its seed."""
    return RandomForestClassifier(8, max_depth=3, random_state=run.seed).fit(fit.X, fit.y)


def picky(run: Any, fit: Any, test: Any) -> Any:
    """Refuse to do without rows from JFK."""
    if not fit.frame["place"].eq("JFK").any():
        raise ValueError("no JFK")
    return HistGradientBoostingClassifier(max_iter=3).fit(fit.X, fit.y)


def examined(place: Place, run: Run, **rest: Any) -> Examination:
    """Ask for an examination, do it, and return what it found."""
    request_examination(*place.who, run.id, **{"fits": 60, **rest})
    place.work()
    return find_examinations(*place.who, run.id)[0]


def listed(place: Place, found: Examination) -> pl.DataFrame:
    """Return the rows to fix or relabel."""
    return pl.read_parquet(io.BytesIO(place.platform.objects.get(place.project, [found.rows])[0]))


def spoiled(place: Place, **rest: Any) -> pl.DataFrame:
    """Make a dataset `spoiled` of two batches, the second with labels the wrong way round."""
    early = trips(1000, START - timedelta(hours=2000), name="e")
    wrong = trips(300, START - timedelta(hours=1000), seed=7, name="w").with_columns(late=1 - pl.col("late"))
    later = trips(500, START - timedelta(hours=700), seed=8, name="l")
    place.data(early, "spoiled", **rest)
    for batch in (wrong, later):
        append(*place.who, "spoiled", batch)
    return wrong


def test_a_batch_of_wrong_labels_is_found_harmful_and_its_rows_are_listed(place: Place) -> None:
    wrong = spoiled(place)
    run = place.trained(straight, data="spoiled")
    found = examined(place, run)
    worst = found.slices[0]
    print(found)
    assert (worst.slice.kind, worst.slice.batch, worst.slice.rows, worst.harmful) == (SliceKind.BATCH, 2, 300, True)
    assert worst.gain is not None
    assert worst.low is not None
    assert 0 < worst.low < worst.gain
    assert (found.fitted, found.held_out, found.seeds, found.loss) == (1440, 360, 1, "log_loss")
    assert found.fits == 2 + 5 + 10 + sum(one.gain is not None for one in found.slices) <= 60
    rows = listed(place, found)
    assert rows.columns == ["trip", "row", "reason", "slices", "score", "label", "suggested"]
    assert rows.height == found.listed
    assert set(wrong["trip"]) <= set(rows["trip"])
    relabel = rows.filter(reason="relabel")
    assert (relabel["suggested"] == 1 - relabel["label"]).all()
    truth = relabel.head(100).join(wrong, on="trip").height
    assert truth > 60, "of those doubted most, most are wrong"
    assert rows.filter(trip=wrong["trip"][0])["row"].item() == 1000, "its place in the version"


def test_sound_rows_are_not_called_harmful(place: Place) -> None:
    found = examined(place, place.trained(straight))
    assert not any(one.harmful for one in found.slices)
    assert {one.slice.kind for one in found.slices} == {SliceKind.STRETCH}
    assert found.held_out == HELD_OUT
    assert listed(place, found).filter(reason="fix").is_empty()


def test_an_examination_leaves_the_run_as_it_is(place: Place) -> None:
    run = place.trained(straight)
    with place.platform.reading() as tx:
        points = tx.runs.points(place.project, [run.id], "loss")
    examined(place, run, slices=1, fits=29)
    with place.platform.reading() as tx:
        assert tx.runs.get(place.project, [run.id]) == [run]
        assert tx.runs.points(place.project, [run.id], "loss") == points
        [event] = tx.events.read(place.project, kinds=["run.examined"], subject=run.id)
    assert event.data["harmful"] == 0


def test_each_fit_is_repeated_where_the_trainer_goes_by_its_seed(place: Place) -> None:
    found = examined(place, place.trained(forest), fits=35)
    assert found.seeds == 2
    assert sum(one.gain is not None for one in found.slices) == (35 - 2 - 5 - 20) // 2
    assert found.fits == 2 + 5 + 20 + 8
    assert {one.told for one in found.slices if one.gain is None} == {"not measured: more fits would reach it"}


def test_a_slice_that_cannot_be_done_without_is_told(place: Place) -> None:
    rows = trips(ROWS, START).with_columns(
        place=pl.when(pl.int_range(pl.len()) % 8 == 0).then(pl.lit("JFK")).otherwise("place")
    )
    rows = rows.with_columns(place=pl.when(pl.int_range(pl.len()) % 8 == 0).then("place").otherwise(pl.lit("LGA")))
    place.data(rows, "picky")
    found = examined(place, place.trained(picky, data="picky"))
    [told] = [one for one in found.slices if one.slice.name == "place is JFK"]
    assert "no JFK" in told.told
    assert not told.harmful


def test_rows_that_a_check_warned_of_are_a_slice(place: Place) -> None:
    warns = Check("between", ("wind",), {"low": -1.5, "high": 1.5}, Severity.WARNING)
    place.data(name="warned", checks=[warns])
    found = examined(place, place.trained(straight, data="warned"))
    [one] = [one.slice for one in found.slices if one.slice.kind is SliceKind.CHECK]
    assert one.check == warns
    assert one.name == "fails between(wind, low=-1.5, high=1.5)"


def linear(run: Any, fit: Any, test: Any) -> Any:
    """Return a regression."""
    return LinearRegression().fit(fit.X, fit.y)


def test_values_in_another_unit_are_found_in_a_regression(place: Place) -> None:
    rng = np.random.default_rng(4)
    rows = trips(ROWS, START).with_columns(late=pl.col("wind") * 3 + pl.Series(rng.normal(0, 0.3, ROWS)))
    fault = (pl.int_range(pl.len()) % 10 == 0) & (pl.int_range(pl.len()) < 1000)
    rows = rows.with_columns(late=pl.when(fault).then(pl.col("late") * 1000).otherwise("late"))
    place.data(rows, "delays")
    found = examined(place, place.trained(linear, data="delays", metric="rmse"))
    assert found.loss == "squared_error"
    assert {one.slice.kind for one in found.slices[:2]} <= {SliceKind.LOW, SliceKind.HIGH}
    relabel = listed(place, found).filter(reason="relabel")
    assert (relabel["row"] % 10 == 0).mean() > 0.9  # type: ignore[operator]
    assert relabel["suggested"].abs().max() < relabel["label"].abs().max()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("rest", "code"),
    [({"slices": 0}, "examination.invalid"), ({"fits": 28}, "examination.invalid"), ({"fits": 2001}, "examination.invalid")],
)
def test_numbers_out_of_range_are_refused(place: Place, rest: Mapping[str, Any], code: str) -> None:
    run = place.trained(straight)
    with pytest.raises(Problem) as told:
        request_examination(*place.who, run.id, **rest)
    assert told.value.code == code
    with pytest.raises(AssertionError, match="no job is queued"):
        place.take()


def test_a_run_without_held_out_rows_or_an_end_is_refused(place: Place) -> None:
    run = place.run(place.trainer(straight))
    with pytest.raises(Problem, match="it is pending"):
        request_examination(*place.who, run.id)
    place.work()
    with place.platform.transaction() as tx:
        [run] = tx.runs.get(place.project, [run.id])
        tx.runs.save(place.project, [replace(run, kind=RunKind.REFIT)])
    with pytest.raises(Problem, match="it is a refit"):
        request_examination(*place.who, run.id)
