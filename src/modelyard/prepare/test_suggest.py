"""What is suggested: it fits on the very rows, its code is the same pipeline, and each rule has its reason."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.prepare import Pipeline, Suggestion, Transform, fit, prep, suggest
from modelyard.prepare.leaks import share_told
from modelyard.prepare.step_text import step_text
from tests.rare import CASES, FLOATS, INTEGERS, TEXTS, TIMES

ROWS = 200
START = datetime(2013, 1, 1, 5, tzinfo=UTC)


def steps_of(code: str) -> tuple[Any, ...]:
    """Return the steps that a suggestion's code makes."""
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - what a user would paste
    steps: tuple[Any, ...] = names["steps"]
    return steps


def kinds(suggestion: Suggestion, name: str) -> list[str]:
    """Return the kinds of the steps on a column and on what is made of it."""
    return [step.kind for step in suggestion.steps if any(column.startswith(name) for column in step.columns)]


def reason(suggestion: Suggestion, name: str, kind: str) -> str:
    [found] = [each.reason for each in suggestion.suggested if each.step.kind == kind and name in each.step.columns]
    return found


NAMES = [
    "a",
    "a_is_null",
    "a_x",
    "a_hour",
    "a_month",
    "hour",
    "customer_id",
    "quoted'\"\\",
    "line\nbreak # )",
    "größe",
    "wind_dir",
]
NUMBERED = ["$1,234.50", "(7)", "-3", "5.2 k", "900", "3 %", "12 €", "1.234,50"]
DATED = ["2013-06-24", "2013-06-25T05:00:00", "24.6.2013", "3/4/2013", "3/14/2013", "20130624"]


integers = st.sampled_from(INTEGERS) | st.integers(-(2**63), 2**63 - 1)
COLUMNS: list[tuple[st.SearchStrategy[Any], Any]] = [
    (st.sampled_from(FLOATS) | st.floats(), pl.Float64),
    (integers, pl.Int64),
    (st.integers(0, 24), pl.Int8),
    (st.integers(0, 24), pl.UInt64),
    (st.integers(0, 360), pl.Float32),
    (st.booleans(), pl.Boolean),
    (st.sampled_from(TEXTS) | st.text(st.characters(codec="utf-8"), max_size=6), pl.String),
    (st.sampled_from(["Ulm", "ULM", " ulm ", "Köln", "koln", "Bonn"]), pl.String),
    (st.sampled_from(["Ulm", "Köln"]), pl.Categorical),
    (st.integers(0, 60).map(str), pl.String),
    *[(st.sampled_from(NUMBERED[:count]), pl.String) for count in range(1, len(NUMBERED))],
    *[(st.sampled_from(DATED[:count]), pl.String) for count in range(1, len(DATED))],
    (st.sampled_from([at.date() for at in TIMES]), pl.Date),
    (st.sampled_from(TIMES), pl.Datetime("us")),
    (st.sampled_from(TIMES).map(lambda at: at.replace(tzinfo=UTC)), pl.Datetime("us", "Asia/Kathmandu")),
    (st.lists(st.integers(0, 3), max_size=2), pl.List(pl.Int64)),
    *[(st.none(), dtype) for dtype in (pl.Null, pl.String, pl.Float64)],
]


@st.composite
def columns(draw: st.DrawFn, rows: int) -> pl.Series:
    if draw(st.integers(0, 6)) == 0:
        return pl.Series(range(rows)) * draw(st.sampled_from([0, 1, 7]))
    values, dtype = draw(st.sampled_from(COLUMNS))
    drawn = draw(st.lists(draw(st.sampled_from([values, st.none() | values])), min_size=rows, max_size=rows))
    return pl.Series(drawn, dtype=dtype, strict=False)


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    rows = draw(st.integers(1, 30)) * draw(st.sampled_from([1, 4]))
    base = draw(st.integers(1, max(1, min(rows, 30))))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    frame = pl.DataFrame({name: draw(columns(base)) for name in names} | {"y": draw(columns(base))})
    return pl.concat([frame] * (rows // base + 1)) if draw(st.booleans()) else frame


@settings(max_examples=200)
@given(frames(), st.booleans(), st.data())
def test_what_is_suggested_fits_on_the_rows_and_its_code_is_the_same_pipeline(
    frame: pl.DataFrame, is_labelled: bool, data: st.DataObject
) -> None:
    label = "y" if is_labelled else None
    time = data.draw(st.none() | st.sampled_from(frame.columns[:-1]))
    try:
        suggestion = prep.suggest(frame, label, time=time)
    except Problem as problem:
        assert (problem.code, problem.why) == ("frame.invalid", "no column has anything to tell")
        return
    fitted = fit(Pipeline(suggestion.steps), frame, label)
    assert Transform(fitted).matrix(frame).shape == (frame.height, len(fitted.features))
    assert steps_of(str(suggestion)) == suggestion.steps
    assert all(each.reason.isprintable() and each.reason for each in suggestion.suggested)


def test_every_kind_of_step_is_told_as_the_code_that_makes_it() -> None:
    for steps in CASES:
        for step in steps:
            assert eval(step_text(step), {"prep": prep}) == step  # type: ignore[arg-type]  # noqa: S307 - our own text


def passengers() -> pl.DataFrame:
    generator = np.random.default_rng(11)
    draw = random.Random(11)
    late = generator.random(ROWS) < 0.4
    boarded = [START + timedelta(hours=31 * i) for i in range(ROWS)]
    return pl.DataFrame(
        {
            "passenger_id": [f"P{i:05}" for i in range(ROWS)],
            "row": range(7, ROWS + 7),
            "ship": ["Olympic"] * ROWS,
            "cabin": [None] * (ROWS - 4) + ["C1", "C2", "C3", "C4"],
            "boat": [None] * ROWS,
            "port": [draw.choice(["Southampton", "southampton ", "Cherbourg", "CHERBOURG"]) for _ in range(ROWS)],
            "tailnum": [f"N{i % 41}" for i in range(ROWS)],
            "note": [f"passenger {i % 90} asked for a window seat, and was given one on the aisle" for i in range(ROWS)],
            "fare": [f"${value:,.2f}" for value in generator.lognormal(4, 1.5, ROWS)],
            "share": [f"{value:.1f}".replace(".", ",") + " %" for value in generator.uniform(0, 100, ROWS)],
            "size": [draw.choice(["900", "1.5 k", "20 k", "33"]) for _ in range(ROWS)],
            "zip": [f"0{draw.randrange(1000, 1030)}" for _ in range(ROWS)],
            "booked": [f"{at.day}.{at.month}.{at.year} {at:%H:%M}" for at in boarded],
            "us_date": [f"{1 + i % 12}/{1 + i % 11}/2013" for i in range(ROWS)],
            "boarded_at": boarded,
            "born": [date(1990, 1, 1) + timedelta(days=37 * i) if i % 9 else None for i in range(ROWS)],
            "dep_hour": [i * 5 % 24 for i in range(ROWS)],
            "distance": generator.lognormal(6, 1.2, ROWS),
            "temp": np.where(generator.random(ROWS) < 0.02, 900.0, generator.normal(15, 5, ROWS)),
            "balance": generator.standard_cauchy(ROWS) * 100,
            "speed": [float("inf") if i == 3 else float(i % 17) for i in range(ROWS)],
            "age": [None if i % 8 == 0 else float(i % 60) for i in range(ROWS)],
            "is_child": [None if i % 7 == 0 else i % 3 == 0 for i in range(ROWS)],
            "tags": [["a"]] * ROWS,
            "arrival_delay": np.where(late, generator.uniform(15, 90, ROWS), generator.uniform(-20, 14, ROWS)),
            "late": late,
        }
    )


@pytest.fixture(scope="module")
def suggestion() -> Suggestion:
    return suggest(passengers(), "late", time="boarded_at")


@pytest.mark.parametrize(
    ("name", "expected", "words"),
    [
        ("passenger_id", ["drop"], "every row has another text"),
        ("row", ["drop"], "every row has another number"),
        ("ship", ["drop"], "every value is 'Olympic'"),
        ("cabin", ["is_null", "drop"], "196 of 200 rows have no value"),
        ("boat", ["drop"], "no row has a value"),
        ("port", ["normalise_text", "one_hot"], "4 spellings of 2 categories"),
        ("tailnum", ["target_mean"], "41 categories, too many"),
        ("note", ["drop"], "free text"),
        ("fare", ["parse_number", "log1p"], "numbers written as text, such as '$"),
        ("share", ["parse_number"], "numbers written as text"),
        ("size", ["parse_number"], "numbers written as text"),
        ("zip", ["target_mean"], "categories, too many"),
        ("booked", ["parse_date", "date_parts", "cyclical"], "in the form %d.%m.%Y %H:%M"),
        ("us_date", ["parse_date", "date_parts"], "in the form"),
        ("boarded_at", ["date_parts", "cyclical"], "parts that vary"),
        ("born", ["is_null", "date_parts", "fill_null"], "23 of 200 rows"),
        ("dep_hour", ["cyclical"], "comes round again after 24"),
        ("distance", ["log1p"], "skewed to large values"),
        ("temp", ["clamp_outliers"], "over 3 distances of quartiles"),
        ("balance", ["sign_log"], "that is its shape"),
        ("speed", ["clamp_outliers"], "infinite values end"),
        ("age", ["is_null", "fill_null"], "25 of 200 rows"),
        ("is_child", ["is_null", "fill_null"], "29 of 200 rows"),
        ("tags", ["drop"], "of dtype List(String), which no step can use"),
        ("arrival_delay", ["drop"], "of the label alone"),
    ],
)
def test_each_rule_is_followed_with_its_reason(suggestion: Suggestion, name: str, expected: list[str], words: str) -> None:
    assert kinds(suggestion, name) == expected
    assert words in reason(suggestion, name, expected[0])


def test_the_arguments_are_what_the_column_asks_for(suggestion: Suggestion) -> None:
    step = {(each.kind, each.columns[0]): each.params for each in suggestion.steps}
    assert step["parse_number", "share"]["decimal"] == ","
    assert step["parse_number", "size"]["units"] == {"k": 1000.0}
    assert step["date_parts", "boarded_at"]["parts"] == ["weekday", "hour"], "less than two years: each month comes once"
    assert step["date_parts", "born"]["parts"] == ["month", "weekday"]
    assert step["fill_null", "is_child"]["strategy"] == "most_frequent"


def test_what_a_person_is_to_look_at_is_flagged_and_stands_in_the_code(suggestion: Suggestion) -> None:
    assert {flag.column for flag in suggestion.flags} == {"arrival_delay", "us_date"}
    assert "# Look at 'arrival_delay': it tells" in str(suggestion)
    assert "# Look at 'us_date': day and month could as well be the other way round." in str(suggestion)


def test_the_whole_suggestion_fits_and_leaves_no_value_missing(suggestion: Suggestion) -> None:
    frame = passengers()
    features = Transform(fit(Pipeline(suggestion.steps), frame, "late")).matrix(frame)
    assert np.isfinite(features).all()


def test_some_rows_far_away_are_bounded_and_are_no_shape() -> None:
    wind = [*(float(5 + i % 40) for i in range(400)), 1048.0]
    assert [step.kind for step in suggest(pl.DataFrame({"wind": wind})).steps] == ["clamp_outliers"]


def test_a_value_missing_by_accident_is_filled_and_not_flagged() -> None:
    temp = [None, *(float(i % 40) for i in range(400))]
    assert [step.kind for step in suggest(pl.DataFrame({"temp": temp})).steps] == ["fill_null"]


def test_no_step_adds_a_column_of_a_name_that_is_taken() -> None:
    taken = ("city_Ulm", "at_weekday", "hour_sin", "age_is_null", "gone_is_null")
    frame = pl.DataFrame(
        {
            "city": ["Ulm", "Bonn"] * 30,
            "at": [START + timedelta(hours=31 * i) for i in range(60)],
            "hour": [i % 24 for i in range(60)],
            "age": [None, 1.0, 2.0] * 20,
            "gone": [None] * 59 + [1.0],
        }
        | {name: [50.5, 51.5, 52.5] * 20 for name in taken}
    )
    found = suggest(frame)
    assert {step.columns[0]: step.kind for step in found.steps} == {
        "city": "ordinal",
        "at": "drop",
        "age": "fill_null",
        "gone": "drop",
    }
    assert set(fit(Pipeline(found.steps), frame).features) == {"city", "hour", "age", *taken}


def test_a_number_with_a_word_that_others_lack_does_not_hold_the_column_up() -> None:
    frame = pl.DataFrame({"size": [*(str(i) for i in range(60)), "about 5 foo"]})
    found = suggest(frame)
    assert found.steps[0].params["units"] == {}
    assert fit(Pipeline(found.steps), frame).features == ("size", "size_is_null")


def test_keys_are_left_out_and_ids_that_come_back_are_categories() -> None:
    frame = pl.DataFrame({"a": [1, 2] * 30, "customer_id": [7, 8, 9] * 20, "b": [0.5, 1.5, 2.5] * 20})
    found = suggest(frame, key="a")
    assert [(step.kind, step.columns) for step in found.steps] == [("drop", ("a",)), ("one_hot", ("customer_id",))]


def test_a_suspicious_column_stays_where_there_is_no_other_and_is_flagged() -> None:
    frame = pl.DataFrame({"x": range(0, 200, 2), "one": [1] * 100, "y": [n >= 50 for n in range(100)]})
    found = suggest(frame.with_columns(pl.col("x") * 1.5), "y")
    assert [flag.column for flag in found.flags] == ["x"]
    assert fit(Pipeline(found.steps), frame, "y").features == ("x",)


@pytest.mark.parametrize(
    ("frame", "arguments", "code", "words"),
    [
        (pl.DataFrame({"x": []}), {}, "frame.invalid", "there is no row"),
        (pl.DataFrame({"x": [1, 1]}), {}, "frame.invalid", "no column has anything to tell"),
        (pl.DataFrame({"tenure": [1, 2]}), {"label": "tenur"}, "column.missing", "did you mean 'tenure'"),
        (pl.DataFrame({"tenure": [1, 2]}), {"key": ["tenur"]}, "column.missing", "did you mean 'tenure'"),
        (pl.DataFrame({"tenure": [1, 2]}), {"time": "tenur"}, "column.missing", "did you mean 'tenure'"),
        (pl.DataFrame({"": ["a", "b"]}), {}, "column.invalid", "a column has no name"),
    ],
)
def test_rows_that_allow_no_suggestion_are_refused(
    frame: pl.DataFrame, arguments: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(Problem) as caught:
        suggest(frame, **arguments)
    assert caught.value.code == code
    assert words in str(caught.value)


@given(st.integers(0, 2**32 - 1))
def test_chance_tells_nothing_and_a_copy_tells_all(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = pl.Series(generator.normal(size=400))
    for label in (pl.Series(generator.normal(size=400)), pl.Series(generator.random(400) < 0.3)):
        assert share_told(values, label) < 0.3
        assert share_told(pl.Series(generator.integers(0, 300, 400)).cast(pl.String), label) < 0.3
    assert share_told(values, values.exp()) > 0.99
    assert share_told((values > 0.2).cast(pl.String), values > 0.2) == 1.0


def test_few_rows_or_one_label_tell_nothing() -> None:
    assert share_told(pl.Series(range(49)), pl.Series(range(49))) == 0.0
    assert share_told(pl.Series(range(60)), pl.Series([1] * 60)) == 0.0
    assert share_told(pl.Series(range(60)), pl.Series([None] * 60, dtype=pl.Float64)) == 0.0
    assert share_told(pl.Series(range(60)), pl.Series([[n] for n in range(60)])) == 0.0


def test_a_label_of_many_words_is_told_by_its_copy() -> None:
    words = pl.Series([f"w{n % 30}" for n in range(300)])
    assert share_told(words, words) == 1.0
