"""Steps on dates: several formats, and texts that are meant in a zone."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.prepare import FittedPipeline, Pipeline, Transform, fit, prep, preview


@given(
    st.datetimes(datetime(1900, 2, 1), datetime(2099, 11, 30)),
    st.sampled_from(["America/New_York", "Europe/London", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu"]),
)
@example(datetime(2013, 3, 10, 2, 30), "America/New_York")
@example(datetime(2013, 11, 3, 1, 30), "America/New_York")
@example(datetime(2013, 10, 6, 2, 15), "Australia/Lord_Howe")
def test_a_text_without_an_offset_is_meant_in_the_zone_as_python_means_it(wall: datetime, zone: str) -> None:
    meant = wall.replace(microsecond=0, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    steps = (prep.parse_date("at", zone=zone), prep.elapsed("at", "zero", "seconds", "s"), prep.keep("s"))
    frame = pl.DataFrame({"at": [wall.isoformat(timespec="seconds")], "zero": [meant - timedelta(days=1)]})
    assert Transform(fit(Pipeline(steps), frame)).frame(frame)["s"].to_list() == [86_400.0]


def test_a_reading_that_comes_twice_is_the_first_and_a_skipped_one_goes_by_the_offset_before() -> None:
    at = ["2013-11-03T01:30", "2013-03-10T02:30"]
    found = preview(prep.parse_date("at", zone="America/New_York"), prep.date_parts("at", "hour", "minute", zone="UTC"), at=at)
    assert found == {"at_hour": [5.0, 7.0], "at_minute": [30.0, 30.0]}


def test_an_offset_in_the_text_goes_before_the_zone() -> None:
    found = preview(prep.parse_date("at", zone="Asia/Tokyo"), prep.date_parts("at", "hour"), at=["2013-06-24T05:00:00+02:00"])
    assert found == {"at_hour": [12.0]}


def test_the_first_format_that_reads_counts() -> None:
    step = prep.parse_date("on", ["%d/%m/%Y", "%m/%d/%Y", None], to="date")
    on = ["1/2/2013", "1/13/2013", "2013-06-24", "24.6.2013", None]
    found = preview(step, prep.date_parts("on", "month", "day"), on=on)
    assert found["on_month"] == pytest.approx([2, 1, 6, math.nan, math.nan], nan_ok=True)
    assert found["on_day"] == pytest.approx([1, 13, 24, math.nan, math.nan], nan_ok=True)


def test_times_at_the_edge_of_the_calendar_are_missing_where_utc_leaves_it() -> None:
    steps = (prep.parse_date("at", zone="Asia/Tokyo"), prep.is_null("at"), prep.keep("at_is_null"))
    at = ["0001-01-02T08:00:00", "0001-01-02T10:00:00", "9999-12-31T00:00:00", "9999-12-30T10:00:00"]
    assert preview(*steps, at=at)["at_is_null"] == [1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: prep.parse_date("x", []), "needs a format"),
        (lambda: prep.parse_date("x", ["%d.%m.%Y", 3]), "not 3"),  # type: ignore[list-item]
        (lambda: prep.parse_date("x", ["%d.%m.%Y", "%b"]), "%b is not known"),
        (lambda: prep.parse_date("x", to="date", zone="Europe/Berlin"), "a date has no zone"),
    ],
)
def test_wrong_arguments_are_refused_when_the_step_is_written(make: Any, words: str) -> None:
    with pytest.raises(Problem) as caught:
        make()
    assert caught.value.code == "step.invalid"
    assert words in str(caught.value)


def test_formats_and_zones_that_do_not_fit_are_refused_at_fit() -> None:
    with pytest.raises(Problem, match="is not in the form ISO 8601 or %d"):
        preview(prep.parse_date("x", [None, "%d.%m.%Y"]), x=["24/6/2013"])
    with pytest.raises(Problem, match="time zone 'Mars/Olympus' is not known"):
        preview(prep.parse_date("x", zone="Mars/Olympus"), x=["2013-06-24"])


def zoned() -> pl.DataFrame:
    at = [datetime(2013, 6, 24, 5, tzinfo=UTC), None]
    return pl.DataFrame({"at": at}, schema={"at": pl.Datetime("us", "America/New_York")})


def test_filling_a_time_keeps_the_zone_it_is_told_in() -> None:
    steps = (prep.fill_null("at", "2013-06-24T06:00:00Z"), prep.date_parts("at", "hour"))
    assert Transform(fit(Pipeline(steps), zoned())).frame(zoned())["at_hour"].to_list() == [1.0, 2.0]


def test_a_pipeline_fitted_when_filling_lost_the_zone_answers_as_it_did() -> None:
    steps = (prep.fill_null("at", "2013-06-24T06:00:00Z"), prep.date_parts("at", "hour"))
    told = fit(Pipeline(steps), zoned()).to_json()
    told["steps"][1]["fitted"] = {"zones": {}}
    assert Transform(FittedPipeline.from_json(told)).frame(zoned())["at_hour"].to_list() == [5.0, 6.0]
