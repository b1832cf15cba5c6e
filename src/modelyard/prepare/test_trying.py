"""What trying tells of each step, and where it stops."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.prepare import Pipeline, Step, Transform, fit, function_step, prep
from modelyard.prepare.trying import MOST_CHANGES, ColumnChange, try_steps
from modelyard.prepare.trying_apart import AT_ONCE, places, try_apart

ROWS = pl.DataFrame(
    {
        "id": [f"b{n}" for n in range(40)],
        "fare": [None if n % 4 == 0 else float(n) for n in range(40)],
        "deck": ["A", "B", None, "C"] * 10,
        "at": [datetime(2013, 1, 1 + n % 28, n % 24, tzinfo=UTC) for n in range(40)],
        "late": [n % 2 for n in range(40)],
    }
)
STEPS = (
    prep.drop("id"),
    prep.fill_null("fare", 0),
    prep.one_hot("deck"),
    prep.date_parts("at", "hour"),
    prep.rename({"fare": "paid"}),
)


def told(change: ColumnChange) -> tuple[str, str | None, str | None]:
    return change.name, change.before.kind if change.before else None, change.after.kind if change.after else None


def test_each_step_tells_what_it_did_to_which_columns() -> None:
    tried = try_steps(Pipeline(STEPS), ROWS, "late")
    assert (tried.rows, tried.problem) == (40, None)
    assert [(one.name, one.kind) for one in tried.raw] == [
        ("id", "text"),
        ("fare", "number"),
        ("deck", "text"),
        ("at", "datetime"),
    ]
    assert [[told(change) for change in step.changes] for step in tried.steps] == [
        [("id", "text", None)],
        [("fare", "number", "number")],
        [("deck", "text", None), ("deck_A", None, "number"), ("deck_B", None, "number"), ("deck_C", None, "number")],
        [("at", "datetime", None), ("at_hour", None, "number")],
        [("fare", "number", None), ("paid", None, "number")],
    ]
    [filled] = tried.steps[1].changes
    assert filled.before is not None
    assert filled.after is not None
    assert (filled.before.profile.null, filled.after.profile.null) == (10, 0)
    assert (filled.before.examples, filled.after.examples) == ((None, "1", "2"), ("0", "1", "2"))
    assert (tried.nulls, [step.nulls for step in tried.steps]) == (20, [20, 10, 0, 0, 0])
    assert tried.steps[2].learned == {"deck": ["A", "B", "C"]}
    assert [(len(step.before), step.after) for step in tried.steps] == [(4, 3), (3, 3), (3, 5), (5, 5), (5, 5)]
    assert dict(tried.columns).keys() == set(fit(Pipeline(STEPS), ROWS, "late").features)


def test_the_columns_at_the_end_are_the_features_that_fit_gives() -> None:
    fitted = fit(Pipeline(STEPS), ROWS, "late")
    features = Transform(fitted).frame(ROWS)
    tried = try_steps(Pipeline(STEPS), ROWS, "late")
    assert tuple(name for name, _ in tried.columns) == fitted.features
    [renamed] = [change for change in tried.steps[4].changes if change.after]
    assert renamed.after is not None
    assert renamed.after.numbers is not None
    assert renamed.after.numbers.mean == pytest.approx(features["paid"].mean())


@pytest.mark.parametrize(
    ("steps", "label", "step", "code", "words"),
    [
        ((prep.drop("id"), prep.clip("fair", 0)), "late", 2, "column.missing", "did you mean 'fare'"),
        ((prep.log1p("deck"),), "late", 1, "column.invalid", "it takes number"),
        ((prep.drop("id", "at"),), "late", None, "column.invalid", "it holds text"),
        ((prep.drop("late"), prep.keep("late")), "late", 2, "column.missing", ""),
        ((), "lat", None, "column.missing", "did you mean 'late'"),
    ],
)
def test_where_it_stops_is_told_with_what_worked_before(
    steps: tuple[Step, ...], label: str, step: int | None, code: str, words: str
) -> None:
    tried = try_steps(Pipeline(steps), ROWS, label)
    assert tried.problem is not None
    assert (tried.problem.step, tried.problem.code) == (step, code)
    assert words in tried.problem.why
    assert len(tried.steps) == (len(steps) if step is None else step - 1)


def test_a_function_is_where_trying_ends_and_its_code_is_not_run() -> None:
    def explode(rows: pl.DataFrame) -> pl.DataFrame:
        raise AssertionError("it ran")

    tried = try_steps(Pipeline((prep.drop("id"), function_step(explode), prep.log1p("fare"))), ROWS, "late")
    assert tried.problem is not None
    assert (tried.problem.step, tried.problem.code, len(tried.steps)) == (2, "step.refused", 1)
    assert "explode" in tried.problem.what


def test_no_row_is_told() -> None:
    tried = try_steps(Pipeline(STEPS), ROWS.clear(), "late")
    assert tried.problem is not None
    assert tried.problem.code == "frame.invalid"


def test_of_many_columns_some_are_told() -> None:
    wide = pl.DataFrame({"c": [f"k{n}" for n in range(60)], "x": range(60)})
    [step] = try_steps(Pipeline((prep.one_hot("c", limit=60),)), wide).steps
    assert (len(step.changes), step.more, step.after) == (MOST_CHANGES, 61 - MOST_CHANGES, 61)


@given(st.lists(st.sampled_from([*STEPS, prep.log1p("fare"), prep.drop("deck"), prep.total("fare", "paid")]), max_size=7))
def test_trying_stops_where_fitting_does_and_in_the_same_words(steps: list[Any]) -> None:
    pipeline = Pipeline(tuple(steps))
    tried = try_steps(pipeline, ROWS, "late")
    try:
        fitted = fit(pipeline, ROWS, "late")
    except Problem as problem:
        assert tried.problem is not None
        assert (tried.problem.code, tried.problem.why) == (problem.code, problem.why)
    else:
        assert tried.problem is None
        assert tuple(name for name, _ in tried.columns) == fitted.features


def test_another_process_tells_the_same() -> None:
    assert try_apart(Pipeline(STEPS), ROWS, "late") == try_steps(Pipeline(STEPS), ROWS, "late")


def test_steps_that_take_too_long_end_and_are_told() -> None:
    rows = pl.DataFrame({"text": ["a" * 60 + "!"] * 3, "x": [1, 2, 3]})
    endless = prep.contains("text", "^(a+)+$", "found")
    with pytest.raises(Problem, match="took more than") as caught:
        try_apart(Pipeline((endless, prep.drop("text"))), rows, limit_s=3.0)
    assert caught.value.code == "try.timeout"


def test_steps_that_take_too_much_memory_end_and_are_told() -> None:
    rows = pl.DataFrame({f"c{n}": [f"k{row}" for row in range(8_000)] for n in range(12)})
    with pytest.raises(Problem) as caught:
        try_apart(Pipeline((prep.one_hot(*rows.columns, limit=8_000),)), rows, limit_s=60.0)
    assert caught.value.code == "try.failed"


def test_who_comes_when_all_places_are_taken_is_told_and_later_served() -> None:
    for _ in range(AT_ONCE):
        places().acquire()
    try:
        with pytest.raises(Problem) as caught:
            try_apart(Pipeline(STEPS), ROWS, "late", wait_s=0.0)
    finally:
        for _ in range(AT_ONCE):
            places().release()
    assert caught.value.code == "try.limited"
    assert try_apart(Pipeline(STEPS), ROWS, "late", wait_s=0.0).problem is None
