"""Fitting: what is learned, what is needed, what comes out, and what is refused with which words."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem, digest_json
from modelyard.prepare import (
    DeclaredStep,
    FittedPipeline,
    FunctionStep,
    InputColumn,
    Pipeline,
    Step,
    Transform,
    fit,
    function_step,
    prep,
    preview,
)
from modelyard.prepare.steps.dates import _transitions

START = datetime(2013, 1, 1, 5, tzinfo=UTC)


def flights(rows: int = 200) -> pl.DataFrame:
    generator = np.random.default_rng(1)
    return pl.DataFrame(
        {
            "carrier": generator.choice(["UA", "B6", "EV"], rows, p=[0.5, 0.3, 0.2]),
            "tailnum": [f"N{i % 40}" if i % 9 else None for i in range(rows)],
            "scheduled_at": [START + timedelta(hours=7 * i) for i in range(rows)],
            "distance": generator.integers(100, 3000, rows),
            "temp": [None if i % 11 == 0 else float(i % 30) for i in range(rows)],
            "total": generator.uniform(1, 100, rows),
            "tenure": generator.integers(0, 5, rows),
            "late": generator.random(rows) < 0.3,
        }
    )


def per_month(rows: pl.DataFrame) -> pl.DataFrame:
    """Charge per month of tenure; tenure counts months, at least 1."""
    return rows.with_columns(per_month=pl.col("total") / pl.col("tenure").clip(1))


STEPS: tuple[Step, ...] = (
    prep.fill_null("temp", strategy="median"),
    function_step(per_month),
    prep.one_hot("carrier"),
    prep.target_mean("tailnum"),
    prep.date_parts("scheduled_at", "hour", zone="America/New_York"),
    prep.drop("tenure"),
)


def test_one_artefact_gives_the_same_numbers_in_every_door() -> None:
    frame = flights()
    fitted = fit(Pipeline(STEPS), frame.head(120), label="late")
    assert fitted.features == (
        "tailnum",
        "distance",
        "temp",
        "total",
        "per_month",
        "carrier_B6",
        "carrier_EV",
        "carrier_UA",
        "scheduled_at_hour",
    )
    transform = Transform(FittedPipeline.from_json(json.loads(json.dumps(fitted.to_json()))))
    whole = transform.matrix(frame)
    np.testing.assert_array_equal(transform.rows(frame.to_dicts()), whole)
    singly = np.concatenate([transform.rows([row]) for row in frame.head(20).to_dicts()])
    np.testing.assert_array_equal(singly, whole[:20])
    spoken = [row | {"scheduled_at": row["scheduled_at"].isoformat()} for row in frame.head(20).to_dicts()]
    np.testing.assert_array_equal(transform.rows(spoken), whole[:20])


def test_only_the_training_rows_teach() -> None:
    frame = pl.DataFrame({"x": [1.0, 3.0, 1000.0], "y": [0, 1, 1]})
    fitted = fit(Pipeline((prep.standardise("x"),)), frame.head(2), "y")
    assert Transform(fitted).frame(frame)["x"].to_list() == [-1.0, 1.0, 998.0]


def test_raw_columns_that_no_feature_needs_may_be_absent() -> None:
    fitted = fit(Pipeline(STEPS), flights(), "late")
    assert fitted.unused == ()
    narrow = fit(Pipeline((*STEPS, prep.keep("per_month", "temp"))), flights(), "late")
    assert narrow.inputs == (InputColumn("temp", "Float64"), InputColumn("total", "Float64"), InputColumn("tenure", "Int64"))
    assert [column.name for column in narrow.unused] == ["carrier", "tailnum", "scheduled_at", "distance"]
    row = {"tenure": 4, "total": 8.0, "temp": None, "whatever": object()}
    assert Transform(narrow).rows([row]).tolist() == [[2.0, 14.0]]


def test_pipelines_are_values_with_digests() -> None:
    once, again = Pipeline(STEPS), Pipeline(STEPS)
    assert once == again
    assert digest_json(once.to_json()) == digest_json(again.to_json())
    assert Pipeline.from_json(json.loads(json.dumps(once.to_json()))) == once
    assert digest_json(Pipeline(STEPS[1:]).to_json()) != digest_json(once.to_json())
    one, two = fit(once, flights(), "late"), fit(again, flights(), "late")
    assert digest_json(one.to_json()) == digest_json(two.to_json())
    assert FittedPipeline.from_json(json.loads(json.dumps(one.to_json()))) == one


@pytest.mark.parametrize(
    "told", [{}, {"format": 1}, {"format": 1, "steps": [{"kind": "clip"}]}, [], None, {"format": 2, "steps": []}]
)
def test_json_of_something_else_is_refused(told: Any) -> None:
    with pytest.raises(Problem) as caught:
        Pipeline.from_json(told)
    assert caught.value.code == "pipeline.invalid"


def test_a_fitted_pipeline_that_was_tampered_with_is_refused() -> None:
    fitted = fit(Pipeline((prep.standardise("x"),)), pl.DataFrame({"x": [1.0, 2.0]}))
    told = json.loads(json.dumps(fitted.to_json()))
    with pytest.raises(Problem, match="does not fit together"):
        Transform(FittedPipeline.from_json(told | {"features": ["other"]}))
    with pytest.raises(Problem, match="is not in its form"):
        Transform(FittedPipeline.from_json(told | {"steps": [told["steps"][0] | {"fitted": {"x": {}}}]}))
    del told["steps"][0]["fitted"]
    with pytest.raises(Problem, match="has learned nothing yet"):
        Transform(FittedPipeline.from_json(told))
    told["steps"][0] |= {"kind": "standardize", "fitted": {}}
    with pytest.raises(Problem, match="did you mean 'standardise'"):
        Transform(FittedPipeline.from_json(told))


FRAME = pl.DataFrame({"tenure": [1, 2], "plan": ["a", "b"], "on": [START, START], "tags": [["x"], ["y"]], "y": [0, 1]})
TIDY = prep.drop("plan", "on", "tags")


@pytest.mark.parametrize(
    ("steps", "code", "words"),
    [
        ((prep.clip("tenuer", 0), TIDY), "column.missing", "did you mean 'tenure'"),
        ((prep.standardise("plan"), TIDY), "column.invalid", "holds text. Next: turn it into numbers first: prep.one_hot"),
        ((prep.one_hot("on"), TIDY), "column.invalid", "prep.date_parts('on'"),
        ((prep.drop("on", "tags"),), "column.invalid", "prep.one_hot('plan')"),
        ((prep.drop("plan", "tags"),), "column.invalid", "prep.date_parts('on', 'hour', 'weekday')"),
        (
            (prep.drop("plan", "on"),),
            "column.invalid",
            "dtype List(String), which no step can use. Next: end with prep.drop('tags')",
        ),
        ((prep.one_hot("tags"), TIDY), "column.invalid", "dtype List(String)"),
        ((prep.standardise("y"), TIDY), "column.invalid", "it is the label"),
        ((prep.drop("tenure"), TIDY), "pipeline.invalid", "no column is left"),
        ((TIDY, prep.difference("tenure", "tenure2")), "column.missing", "did you mean 'tenure'"),
        ((TIDY, prep.is_null("tenure"), prep.is_null("tenure")), "column.exists", "tenure_is_null"),
        ((prep.rename({"tenure": "plan"}), TIDY), "step.invalid", "two columns would have one name"),
        ((prep.date_parts("on", "hour", zone="Mars/Olympus"), TIDY), "step.invalid", "time zone 'Mars/Olympus' is not known"),
        ((prep.parse_date("plan"), TIDY), "column.invalid", "'a' is not in the form ISO 8601"),
        ((prep.fill_null("tenure", "none"), TIDY), "step.invalid", "'none' is no integer"),
        ((prep.fill_null("plan", 0), TIDY), "step.invalid", "0 is no text"),
    ],
)
def test_what_does_not_fit_is_told_with_the_way_out(steps: tuple[Step, ...], code: str, words: str) -> None:
    with pytest.raises(Problem) as caught:
        fit(Pipeline(steps), FRAME, "y")
    assert caught.value.code == code
    assert words in str(caught.value)
    assert caught.value.next_step or caught.value.why


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: prep.clip("x"), "needs a lower or an upper bound"),
        (lambda: prep.clip("x", 2, 1), "lower 2 is above upper 1"),
        (lambda: prep.clip("x", float("nan")), "give it a finite number"),
        (lambda: prep.clip("x", "1"), "give it one of: float, None"),  # type: ignore[arg-type]
        (lambda: prep.fill_null("x"), "either a value or a strategy"),
        (lambda: prep.fill_null("x", 1, strategy="mean"), "either a value or a strategy"),
        (lambda: prep.fill_null("x", strategy="mode"), "'mean', 'median', 'most_frequent'"),  # type: ignore[arg-type]
        (lambda: prep.cast("x", "float"), "'number', 'integer'"),  # type: ignore[arg-type]
        (prep.one_hot, "takes 1 or more column names"),
        (lambda: prep.one_hot("a", "a"), "comes twice"),
        (lambda: prep.one_hot("a", limit=0), "between 1 and 10000"),
        (lambda: prep.bucket("x"), "either edges or a count"),
        (lambda: prep.bucket("x", [2, 1]), "edges are to rise"),
        (lambda: prep.bucket("x", []), "finite numbers"),
        (lambda: prep.date_parts("x"), "some of year, month"),
        (lambda: prep.date_parts("x", "hours"), "some of year, month"),  # type: ignore[arg-type]
        (lambda: prep.parse_date("x", "%b %d %Y"), "%b is not known"),
        (lambda: prep.parse_date("x", "%H:%M"), "names no full date"),
        (lambda: prep.cyclical("x", 0), "is to lie between"),
        (lambda: prep.rename({"a": "c", "b": "c"}), "comes twice"),
        (lambda: prep.ratio("a", 3), "column names"),  # type: ignore[arg-type]
        (lambda: prep.elapsed("a", "b", "weeks"), "'seconds', 'minutes'"),  # type: ignore[arg-type]
        (lambda: prep.hash_bucket("a", True), "give it one of: int"),
        (lambda: prep.target_mean("a", smoothing=-1), "is to lie between"),
    ],
)
def test_wrong_arguments_are_refused_when_the_step_is_written(make: Any, words: str) -> None:
    with pytest.raises(Problem) as caught:
        make()
    assert caught.value.code == "step.invalid"
    assert words in str(caught.value)
    assert caught.value.next_step


def test_an_argument_that_a_step_does_not_have_is_told() -> None:
    with pytest.raises(Problem, match="its arguments are lower, upper"):
        fit(Pipeline((DeclaredStep("clip", ("x",), {"low": 1}),)), pl.DataFrame({"x": [1.0]}))


def test_rows_and_labels_are_needed() -> None:
    with pytest.raises(Problem, match="no training row"):
        fit(Pipeline(()), pl.DataFrame({"x": []}))
    with pytest.raises(Problem, match="did you mean 'late'"):
        fit(Pipeline(()), flights(), "lat")
    with pytest.raises(Problem, match="needs the label"):
        fit(Pipeline((prep.target_mean("x"),)), pl.DataFrame({"x": ["a"]}))
    for step in (prep.standardise("x"), prep.fill_null("x", strategy="median"), prep.bucket("x", count=3)):
        with pytest.raises(Problem, match="no training row has a usable value"):
            fit(Pipeline((step,)), pl.DataFrame({"x": [None, float("nan"), float("inf")]}))


def test_the_label_of_two_words_counts_as_0_and_1() -> None:
    found = preview(prep.target_mean("c", smoothing=0), label="churn", c=["a", "a", "b"], churn=["yes", "no", "no"])
    assert found == {"c": [0.5, 0.5, 0.0]}


def test_quantile_buckets_hold_equal_shares() -> None:
    found = preview(prep.bucket("x", count=4), x=list(range(100)))["x"]
    assert [found.count(bucket) for bucket in range(4)] == [25.0] * 4
    assert set(preview(prep.bucket("x", count=4), x=[1, 1, 1, 1, 9])["x"]) == {0.0}


def test_a_median_at_the_edge_of_64_bits_fills() -> None:
    assert preview(prep.fill_null("i", strategy="median"), i=[2**63 - 1, None]) == {"i": [2.0**63, 2.0**63]}


def test_one_hot_takes_the_most_frequent() -> None:
    found = preview(prep.one_hot("c", limit=2), c=["z", "z", "b", "a", "a", "q"])
    assert list(found) == ["c_a", "c_z"]
    assert list(preview(prep.one_hot("c", min_count=2), c=["z", "z", "b"])) == ["c_z"]
    with pytest.raises(Problem, match="over the limit of 100000"):
        preview(prep.ordinal("c"), c=list(range(100_001)))


@pytest.mark.parametrize(
    "zone", ["America/New_York", "Europe/London", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Casablanca"]
)
def test_the_kept_offsets_are_those_of_the_zone(zone: str) -> None:
    generator = random.Random(3)
    moments = [datetime(1900, 1, 1, tzinfo=UTC) + timedelta(seconds=generator.randrange(190 * 31_557_600)) for _ in range(2000)]
    step = prep.date_parts("at", "hour", "minute", "day_of_year", zone=zone)
    found = Transform(fit(Pipeline((step,)), pl.DataFrame({"at": moments}))).frame(pl.DataFrame({"at": moments}))
    local = pl.Series([at.astimezone(__import__("zoneinfo").ZoneInfo(zone)).replace(tzinfo=None) for at in moments]).dt
    assert found["at_hour"].to_list() == local.hour().to_list()
    assert found["at_minute"].to_list() == local.minute().to_list()
    assert found["at_day_of_year"].to_list() == local.ordinal_day().to_list()
    assert len(_transitions(step, zone)["at"]) < 1000


def centred(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(total=pl.col("total") - pl.col("total").mean())


def running(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(total=pl.col("total").cum_sum())


def guessed(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(total=pl.Series(np.random.default_rng().random(rows.height)))


def filtered(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("tenure") > 1)


def summed(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(pl.col("total").sum())


def sorted_rows(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("total")


def late(rows: pl.DataFrame) -> pl.LazyFrame:
    return rows.lazy()


def nothing(rows: pl.DataFrame) -> None:
    rows.with_columns(a=1)


def listed(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(many=pl.concat_list("total", "tenure"))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (centred, "row-wise"),
        (running, "row-wise"),
        (guessed, "chance"),
        (filtered, "filter rows before"),
        (summed, "returned 1 rows for 200"),
        (sorted_rows, "row-wise"),
        (late, ".collect()"),
        (nothing, "returned a NoneType"),
        (listed, "dtype List(Float64)"),
    ],
)
def test_a_function_that_is_not_row_wise_is_refused(function: Any, words: str) -> None:
    with pytest.raises(Problem) as caught:
        fit(Pipeline((function_step(function), prep.keep("total"))), flights(), "late")
    assert caught.value.code == "step.invalid"
    assert words in str(caught.value)


def broken(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("totl") * 2)


def test_a_function_that_raises_shows_the_users_line() -> None:
    with pytest.raises(Problem) as caught:
        fit(Pipeline((function_step(broken),)), flights(), "late")
    assert caught.value.code == "code.failed"
    assert 'rows.with_columns(pl.col("totl") * 2)' in caught.value.detail["traceback"]


def tidied(rows: pl.DataFrame) -> pl.DataFrame:
    assert rows.schema["temp"] == pl.Float64
    assert rows["temp"].null_count() > 0 or rows.height < 20
    assert not rows["temp"].is_nan().any()
    assert rows.schema["distance"] == pl.Int64
    assert rows.schema["scheduled_at"] == pl.Datetime("us", "UTC")
    return rows.with_columns(cold=pl.col("temp").is_null(), small=pl.col("distance").cast(pl.Int16))


def moody(rows: pl.DataFrame) -> pl.DataFrame:
    if rows["temp"].max() == -1:
        raise ArithmeticError("too cold")
    words = pl.col("temp").cast(pl.String)
    return rows.with_columns(words if rows["temp"].max() == -2 else pl.col("temp"))


@pytest.mark.parametrize("count", [1, 300])
def test_a_function_that_fails_when_serving_is_told_by_name(count: int) -> None:
    transform = Transform(fit(Pipeline((function_step(moody), prep.keep("temp"))), flights(), "late"))
    with pytest.raises(Problem, match="The step 'moody' failed: ArithmeticError: too cold"):
        transform.rows([{"temp": -1.0}] * count)
    with pytest.raises(Problem, match="The step 'moody' cannot be used: its answer is not of the form that it had at fit"):
        transform.rows([{"temp": -2.0}] * count)
    with pytest.raises(Problem) as caught:
        transform.rows([*[{"temp": 1.0}] * count, {"temp": "warm"}])
    assert (caught.value.code, caught.value.detail["row"]) == ("column.invalid", count)


def test_a_function_sees_nulls_and_wide_types_in_every_door() -> None:
    frame = flights().with_columns(pl.col("distance").cast(pl.Int32), pl.col("temp").cast(pl.Float32).fill_null(float("nan")))
    steps = (function_step(tidied), prep.keep("cold", "small", "temp"))
    transform = Transform(fit(Pipeline(steps), frame, "late"))
    expected = transform.matrix(frame)
    assert expected[0].tolist()[:1] == [1.0]
    np.testing.assert_array_equal(transform.rows(frame.to_dicts()), expected)


def test_a_function_step_takes_no_rows_as_well() -> None:
    transform = Transform(fit(Pipeline(STEPS), flights(), "late"))
    assert transform.rows([]).shape == (0, 9)
    assert transform.matrix(flights().head(0)).shape == (0, 9)
    plain = Transform(fit(Pipeline((prep.keep("total"),)), flights(), "late"))
    assert plain.rows([]).shape == (0, 1)
    assert plain.matrix(flights().head(0)).shape == (0, 1)


def floats_doubled(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col(pl.Float64) * 2)


def test_a_function_that_selects_by_type_needs_only_what_is_used() -> None:
    fitted = fit(Pipeline((function_step(floats_doubled), prep.keep("total"))), flights(), "late")
    assert [column.name for column in fitted.inputs] == ["total"]


def row_sum(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(everything=pl.sum_horizontal(pl.col(pl.Int64)))


def test_a_function_over_many_columns_needs_them_all() -> None:
    fitted = fit(Pipeline((function_step(row_sum), prep.keep("everything"))), flights(), "late")
    assert [column.name for column in fitted.inputs] == ["distance", "tenure"]


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        ({"distance": "far"}, "distance", "a whole number within 64 bits"),
        ({"distance": 1.5}, "distance", "a whole number within 64 bits"),
        ({"distance": 2**63}, "distance", "a whole number within 64 bits"),
        ({"distance": True}, "distance", "a whole number within 64 bits"),
        ({"temp": "12"}, "temp", "a number"),
        ({"temp": 10**400}, "temp", "a number"),
        ({"carrier": 3}, "carrier", "text"),
        ({"carrier": "\ud800"}, "carrier", "text"),
        ({"scheduled_at": "yesterday"}, "scheduled_at", "a time such as 2013-06-24T05:00:00Z"),
        ({"scheduled_at": 1372050000}, "scheduled_at", "a time such as 2013-06-24T05:00:00Z"),
        ({"scheduled_at": "0001-01-01T00:00:00"}, "scheduled_at", "a time such as 2013-06-24T05:00:00Z"),
    ],
)
@pytest.mark.parametrize("before", [0, 3, 300])
def test_a_wrong_value_is_told_with_column_row_and_expectation(
    row: dict[str, Any], column: str, expected: str, before: int
) -> None:
    steps = (prep.one_hot("carrier"), prep.date_parts("scheduled_at", "hour"), prep.drop("tailnum"))
    transform = Transform(fit(Pipeline(steps), flights(), "late"))
    good = flights(1).to_dicts()[0]
    with pytest.raises(Problem) as caught:
        transform.rows([*[good] * before, good | row])
    problem = caught.value
    assert problem.code == "column.invalid"
    assert (problem.detail["column"], problem.detail["row"], problem.detail["expected"]) == (column, before, expected)
    assert f"Column '{column}'" in problem.what
    assert expected in str(problem)


@pytest.mark.parametrize("before", [0, 3, 300])
def test_a_missing_column_is_told_with_the_nearest(before: int) -> None:
    transform = Transform(fit(Pipeline((prep.keep("distance", "temp"),)), flights(), "late"))
    good = {"distance": 3, "temp": 1.0}
    with pytest.raises(Problem) as caught:
        transform.rows([*[good] * before, {"distnce": 3, "temp": 1.0}])
    assert caught.value.code == "column.missing"
    assert "did you mean 'distnce'" in str(caught.value)
    assert caught.value.detail["row"] == before
    with pytest.raises(Problem) as invalid:
        transform.rows([*[good] * before, "distance"])  # type: ignore[list-item]
    assert invalid.value.code == "row.invalid"
    assert invalid.value.detail["row"] == before


def test_frames_with_wrong_columns_are_refused_with_the_row() -> None:
    transform = Transform(fit(Pipeline((prep.keep("distance", "temp"),)), flights(), "late"))
    with pytest.raises(Problem, match="did you mean 'dist'"):
        transform.frame(pl.DataFrame({"dist": [1], "temp": [1.0]}))
    for wrong in (
        pl.Series(["1", "2"]),
        pl.Series([1.0, 1.5]),
        pl.Series([1.0, 1e300]),
        pl.Series([True, False]),
        pl.Series([1, 2**63], dtype=pl.UInt64),
    ):
        with pytest.raises(Problem) as caught:
            transform.frame(pl.DataFrame({"distance": wrong, "temp": [1.0, 2.0]}))
        assert caught.value.detail["column"] == "distance"
        assert caught.value.detail["row"] == (1 if wrong.dtype.is_numeric() else 0)


def test_times_that_python_does_not_know_are_refused() -> None:
    transform = Transform(fit(Pipeline((prep.date_parts("at", "year"),)), pl.DataFrame({"at": [START]})))
    edge = pl.DataFrame({"at": [datetime(9999, 12, 30, 23, 59, 59, 999_999), datetime(1, 1, 2)]})
    assert transform.frame(edge)["at_year"].to_list() == [9999.0, 1.0]
    far = pl.DataFrame({"at": [0, 2**60]}).with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))
    with pytest.raises(Problem) as caught:
        transform.frame(far)
    assert caught.value.code == "column.invalid"
    assert caught.value.detail["row"] == 1


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=30))
def test_ordinal_ranks_by_frequency(values: list[str]) -> None:
    ranks = dict(zip(values, preview(prep.ordinal("c"), c=values)["c"], strict=True))
    by_count = sorted(set(values), key=lambda value: (-values.count(value), value))
    assert ranks == {value: float(rank) for rank, value in enumerate(by_count)}


def test_a_function_step_is_a_value() -> None:
    step = function_step(per_month)
    assert isinstance(step, FunctionStep)
    assert step == function_step(per_month)
    assert step.name == "per_month"
