"""Checks that block a batch, and checks of batches as a whole, on a real metadata database, lake and object store."""

from datetime import timedelta

import polars as pl
import pytest

from modelyard.core import Problem
from modelyard.data import Check, quality
from tests.data.place import START, Place, flights, made


def test_one_row_that_fails_a_blocking_check_stops_the_whole_batch(place: Place) -> None:
    place.dataset(
        stop_share=1.0, checks=[quality.blocking(quality.between("delay", 0, 100)), quality.one_of("origin", ["JFK"])]
    )
    before = made(place.append(flights(0, 9)))
    batch = flights(9, 12).with_columns(delay=pl.Series([1.0, 101.0, 2.0]))
    admission = place.append(batch)
    assert (admission.version, admission.admitted, admission.quarantined) == (None, 0, 3)
    assert place.version("flights") == before
    other = "one_of(origin, values=['JFK'])"
    assert place.quarantine()["_reasons"].to_list()[-3:] == [
        ["batch stopped"],
        ["between(delay, low=0, high=100)", other, "batch stopped"],
        [other, "batch stopped"],
    ]
    [event] = place.events("batch.stopped")
    assert event.data["failed"][0] == {
        "check": "between(delay, low=0, high=100)", "severity": "block", "rows": 1, "found": ""
    }  # fmt: skip
    assert made(place.append(batch.with_columns(delay=pl.lit(1.0)))).number == 2, "once mended it may come again"


def test_a_batch_that_fails_as_a_whole_is_stopped_with_what_was_found(place: Place) -> None:
    place.dataset(checks=[quality.row_count(5, None), quality.warning(quality.mean_between("delay", 0, 2))])
    admission = place.append(flights(0, 4))
    assert (admission.version, admission.quarantined) == (None, 4)
    assert place.quarantine()["_reasons"].to_list() == [["row_count(low=5, high=None)", "batch stopped"]] * 4
    [event] = place.events("batch.stopped")
    assert event.data["failed"] == [{"check": "row_count(low=5, high=None)", "severity": "block", "rows": 4, "found": "4 rows"}]
    version = made(place.append(flights(0, 9)))
    [known, unique, count, mean] = version.outcomes
    assert (known.rows_failed, unique.rows_failed, count.rows_failed, count.found) == (0, 0, 0, "9 rows")
    assert (mean.rows_failed, mean.found) == (0, "the mean is 2")
    warned = made(place.append(flights(9, 20)))
    assert (warned.outcomes[-1].rows_failed, warned.outcomes[-1].found) == (11, "the mean is 7")


def test_a_check_of_a_batch_cannot_be_declared_to_quarantine_rows(place: Place) -> None:
    with pytest.raises(Problem, match="let it block the batch") as told:
        place.dataset(checks=[Check("row_count", (), {"low": 1, "high": None})])
    assert told.value.code == "check.invalid"


def test_a_new_or_retyped_column_is_stopped_where_the_schema_is_promised(place: Place) -> None:
    place.dataset(checks=[quality.same_schema()])
    place.append(flights(0, 4))
    assert place.append(flights(4, 6).with_columns(seats=pl.lit(100))).version is None
    assert place.append(flights(4, 6).with_columns(pl.col("delay").cast(pl.String))).version is None
    found = [event.data["failed"][0]["found"] for event in place.events("batch.stopped")]
    assert found == ["new: seats", "delay came as String, not Float64"]
    assert made(place.append(flights(4, 6))).number == 2


def test_a_batch_is_held_against_the_sizes_of_those_that_entered_before(place: Place) -> None:
    place.dataset(checks=[quality.row_count_like_history(2)])
    for start, stop in ((0, 10), (10, 12), (12, 22)):
        assert made(place.append(flights(start, stop))).rows == stop
    assert place.append(flights(22, 26)).version is None
    assert place.append(flights(22, 43)).version is None
    assert made(place.append(flights(22, 42))).number == 4
    [small, large] = [event.data["failed"][0]["found"] for event in place.events("batch.stopped")]
    assert small == "4 rows; the median of the last 3 batches is 10"
    assert large == "21 rows; the median of the last 3 batches is 10"


def test_history_counts_what_came_in_also_where_rows_were_replaced(place: Place) -> None:
    place.dataset(checks=[quality.row_count_like_history(2)])
    for _ in range(2):
        place.append(flights(0, 10).with_columns(delay=pl.lit(99.0)), replacing=True)
        place.append(flights(0, 10), replacing=True)
    version = place.append(flights(10, 13)).version
    assert version is None
    assert place.events("batch.stopped")[0].data["failed"][0]["found"] == "3 rows; the median of the last 4 batches is 10"


def test_a_batch_that_was_fresh_is_known_again_when_it_is_not_any_more(place: Place) -> None:
    place.dataset(checks=[quality.fresh("departs_at", "2d")])
    place.ports.clock.set(START + timedelta(hours=9))
    heard = place.append(flights(0, 9))
    place.ports.clock.advance(days=3)
    again = place.append(flights(0, 9))
    assert (again.version, again.admitted, again.quarantined) == (heard.version, 9, 0)
    assert place.append(flights(9, 12)).version is None
    assert place.quarantine().height == 3


def test_a_dataset_that_promises_types_refuses_a_first_batch_that_would_decide_otherwise(place: Place) -> None:
    place.dataset(checks=[quality.dtype("delay", "Float64")])
    assert place.append(flights(0, 4).with_columns(delay=pl.lit("?"))).version is None
    assert made(place.append(flights(0, 4))).number == 1
