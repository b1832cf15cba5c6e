"""Models that look up features: trained, registered, measured, retrained and scored on what was known before each row."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from modelyard.core import PageRequest, Problem, to_text
from modelyard.data.features import Lookup, declare_lookup
from modelyard.data.service import append, get_dataset
from modelyard.jobs.service import submit
from modelyard.monitoring import MonitorTest
from modelyard.monitoring.service import create_monitor, evaluate, find_windows
from modelyard.prepare import Pipeline, prep
from modelyard.reactions import Retraining
from modelyard.registry import ModelVersion
from modelyard.registry.service import get_version, request_evaluation
from modelyard.serving.lineage import lineage
from modelyard.training import Run
from modelyard.training.documents import trainer_from_json, trainer_to_json
from modelyard.training.service import get_run, load_trainer
from tests.runner_steps.place import ROWS, START, Place, trips

SEEN = trips(ROWS, START - timedelta(hours=ROWS))
PIPELINE = Pipeline((prep.fill_null("wind", 0), prep.one_hot("place"), prep.drop("trip", "at", "gust")))

WITHOUT_GUST = Pipeline((prep.fill_null("wind", 0), prep.one_hot("place"), prep.drop("trip", "at")))


def weather(rows: pl.DataFrame) -> pl.DataFrame:
    """Return what the wind was at the place of each trip, ten minutes before; a gust that nobody uses beside it."""
    return rows.select("place", pl.col("at").dt.offset_by("-10m"), "wind", gust=pl.col("wind") * 2)


def lookup(place: Place, **rest: Any) -> Lookup:
    """Return the lookup of the wind."""
    return declare_lookup(get_dataset(*place.who, "weather"), ["wind", "gust"], **{"max_age": "1h", **rest})


@pytest.fixture
def windy(place: Place) -> Place:
    """Return a place where the wind is a feature, and no column of the rows."""
    place.data(weather(SEEN), name="weather", key=["place", "at"])
    place.data(SEEN.drop("wind"), name="flights")
    return place


def trained(place: Place, **rest: Any) -> Run:
    return place.trained(data="flights", pipeline=PIPELINE, lookups=(lookup(place, **rest),))


def registered(place: Place, **rest: Any) -> ModelVersion:
    return place.registered(trained(place), **rest)


def test_a_model_of_looked_up_columns_is_the_one_of_the_same_columns_sent(windy: Place) -> None:
    run, plain = trained(windy), windy.trained(pipeline=WITHOUT_GUST)
    assert dict(run.metrics) == dict(plain.metrics)
    assert run.artifacts["predictions"] == plain.artifacts["predictions"]


def test_a_version_asks_for_what_it_looks_up_by_and_for_nothing_that_it_looks_up(windy: Place) -> None:
    version = registered(windy)
    assert [(one.name, one.dtype) for one in version.signature.inputs] == [("place", "String")]
    assert version.features is not None
    assert [(one.name, one.dtype) for one in version.features.columns] == [("wind", "Float64")]
    assert [(one.columns, one.by) for one in version.features.lookups] == [(("wind",), ("place",))], "nobody uses the gust"
    assert version.features.time == "at"
    assert "| wind | weather | place | 1:00:00 |" in windy.card(version)


def test_a_run_reads_the_tables_as_they_were_when_it_was_asked_for(windy: Place) -> None:
    trainer = windy.trainer(pipeline=PIPELINE, lookups=(lookup(windy),))
    first, second = windy.run(trainer, "flights"), windy.run(trainer, "flights")
    windy.work()
    moved = weather(SEEN).with_columns(pl.col("at").dt.offset_by("5m"), pl.col("wind") * -1)
    append(*windy.who, "weather", moved)
    windy.work()
    assert get_run(*windy.who, first.id).metrics == get_run(*windy.who, second.id).metrics
    assert windy.trained(data="flights", pipeline=PIPELINE, lookups=(lookup(windy),)).metrics != first.metrics


def test_rows_that_come_later_change_nothing_of_a_training(windy: Place) -> None:
    before = trained(windy)
    late = weather(SEEN).with_columns(pl.col("at").dt.offset_by(f"{ROWS}h"), pl.col("wind") + 9)
    append(*windy.who, "weather", late)
    after = trained(windy)
    assert after.features != before.features
    assert after.artifacts["predictions"] == before.artifacts["predictions"]


def test_lineage_tells_the_tables_that_a_model_looked_up(windy: Place) -> None:
    version = registered(windy)
    told = [node.told for node in lineage(*windy.who, f"model:late@{version.number}", down=False).nodes]
    assert {"weather v1", "flights v1"} <= set(told)
    of_wind = lineage(*windy.who, "dataset:weather@1", up=False, column="wind").nodes
    assert f"late@{version.number}" in [node.told for node in of_wind]


def test_lookups_are_part_of_the_recipe_and_come_back_from_it(windy: Place) -> None:
    run = trained(windy, missing={"wind": 0.5, "gust": 1})
    trainer = load_trainer(*windy.who, run.recipe.trainer)
    assert trainer.lookups == (lookup(windy, missing={"wind": 0.5, "gust": 1}),)
    assert trainer_from_json(trainer_to_json(trainer)) == trainer
    assert "lookups" not in trainer_to_json(load_trainer(*windy.who, windy.trained().recipe.trainer))


def test_a_lookup_that_does_not_fit_the_rows_is_told_when_a_run_is_asked_for(windy: Place) -> None:
    trainer = windy.trainer(lookups=(lookup(windy),))
    with pytest.raises(Problem, match="'wind' of weather") as caught:
        windy.run(trainer, "trips")
    assert caught.value.code == "column.exists"
    windy.data(SEEN.drop("wind"), name="timeless", time=None)
    with pytest.raises(Problem, match="no time column"):
        windy.run(trainer, "timeless")


def test_a_version_is_measured_on_what_was_known_before_each_row(windy: Place) -> None:
    registered(windy, alias="champion")
    second = windy.registered(windy.trained(data="flights", pipeline=PIPELINE, lookups=(lookup(windy, max_age="2h"),)))
    request_evaluation(*windy.who, "late", second.number, against="champion")
    windy.work()
    found = get_version(*windy.who, f"late@{second.number}").evaluations[-1]
    assert found.value == pytest.approx(second.metrics["log_loss"])
    assert found.against_value == pytest.approx(found.value, abs=0.05)


def test_a_retraining_looks_up_anew_what_its_rows_met(windy: Place) -> None:
    champion = registered(windy, alias="champion")
    lived = trips(600, START, seed=2, name="live")
    append(*windy.who, "weather", weather(lived))
    windy.clock.advance(hours=600)
    windy.live(lived, champion)
    retraining = msgspec.to_builtins(Retraining("flights", 10 * 86_400))
    payload = {"deployment": "late", "retraining": retraining, "cause": "alert_1", "until": to_text(windy.clock())}
    submit(*windy.who, kind="deployment.retrain", title="retrain late", payload=payload, cause="alert_1")
    version = get_version(*windy.who, f"late@{windy.work()['version']}")
    assert version.features == champion.features
    [judged] = version.evaluations
    assert judged.value < 0.65, "without the wind the log loss is that of guessing"
    assert judged.run is not None
    runs = [get_run(*windy.who, one) for one in (judged.run, version.run or "")]
    assert runs[0].features == runs[1].features


def test_a_monitor_holds_what_was_looked_up_against_what_was_joined(windy: Place) -> None:
    champion = registered(windy, alias="champion")
    create_monitor(*windy.who, "watch", deployment="late", window_s=10 * 86_400, tests=(MonitorTest("drift"),))
    lived = trips(600, START, seed=2, name="live")
    windy.live(lived.with_columns(pl.col("wind") + 5), champion, labelled=[])
    windy.clock.advance(hours=600)
    evaluate(*windy.who, "watch")
    newest = find_windows(*windy.who, "watch", PageRequest()).items[0]
    distances = {one.column: one.distance for one in newest.drift}
    assert distances["wind"] > 0.9
    assert distances["place"] < 0.2


def score(place: Place, target: Path, source: dict[str, str], version: ModelVersion) -> pl.DataFrame:
    """Score into a folder and return the answers."""
    payload = {"model": f"late@{version.number}", "source": source, "target": {"kind": "url", "ref": target.as_uri()}}
    submit(*place.who, kind="model.score", title="score", payload=payload)
    place.work()
    return pl.concat([pl.read_parquet(path) for path in sorted(target.glob("part-*.parquet"))])


def test_a_batch_is_answered_by_what_was_known_before_each_row(windy: Place, tmp_path: Path) -> None:
    version = registered(windy)
    SEEN.drop("wind").write_parquet(tmp_path / "rows.parquet")
    by_file = score(windy, tmp_path / "a", {"kind": "url", "ref": str(tmp_path / "rows.parquet")}, version)
    by_dataset = score(windy, tmp_path / "b", {"kind": "dataset", "ref": "flights"}, version)
    assert by_file.columns == [*SEEN.drop("wind").columns, "probability", "model_version"]
    assert_frame_equal(by_file, by_dataset)
    expected = windy.infer(version, SEEN)
    np.testing.assert_array_equal(by_file["probability"].to_numpy(), expected)


def test_a_batch_that_has_the_column_already_is_refused_before_a_row_is_answered(windy: Place, tmp_path: Path) -> None:
    version = registered(windy)
    with pytest.raises(Problem, match="looked up in weather") as caught:
        score(windy, tmp_path / "a", {"kind": "dataset", "ref": "trips"}, version)
    assert caught.value.code == "column.exists"


def test_answers_by_newer_features_are_not_mixed_with_those_there(windy: Place, tmp_path: Path) -> None:
    version = registered(windy)
    score(windy, tmp_path / "a", {"kind": "dataset", "ref": "flights"}, version)
    append(*windy.who, "weather", weather(trips(3, START)))
    with pytest.raises(Problem, match="newer versions") as caught:
        score(windy, tmp_path / "a", {"kind": "dataset", "ref": "flights"}, version)
    assert caught.value.code == "target.conflict"


def test_what_a_version_looks_up_is_online_before_anybody_can_serve_it(windy: Place) -> None:
    version = registered(windy)
    assert version.features is not None
    assert {name: one.number for name, one in windy.platform.online().published(windy.project).items()} == {"weather": 1}
