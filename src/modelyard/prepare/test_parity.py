"""Both compilers give the same numbers, bit for bit: every kind, chains of kinds, edge values, one row or many."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from modelyard.core import Problem
from modelyard.prepare import FittedPipeline, Step, Transform, compile_python, function_step, prep
from modelyard.prepare.steps import STEPS
from tests.rare import CASES, FLOATS, INTEGERS, SEED, TEXTS, TIMES, Row, edge_rows, fitted, raw_frame

floats = st.sampled_from(FLOATS) | st.floats()
integers = st.sampled_from(INTEGERS) | st.integers(-(2**63), 2**63 - 1)
texts = st.sampled_from(TEXTS) | st.text(st.characters(codec="utf-8"), max_size=6)
walls = st.sampled_from(TIMES) | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
instants = walls.map(lambda at: at.replace(tzinfo=UTC))
row = st.fixed_dictionaries(
    {
        "x": st.none() | floats,
        "y": st.none() | floats,
        "s": st.none() | floats,
        "i": st.none() | integers,
        "j": st.none() | st.sampled_from([0, 1, 2, 5]),
        "b": st.none() | st.booleans(),
        "t": st.none() | texts,
        "u": st.none() | st.sampled_from(["", "a", "b", "B"]),
        "d": st.none() | walls.map(datetime.date),
        "at": st.none() | instants,
        "wall": st.none() | walls,
        "ny": st.none() | instants,
    }
)
rows = st.lists(row, min_size=1, max_size=12)


def bits(values: Any) -> NDArray[np.int32]:
    """Return float32 numbers as bits, every NaN alike."""
    with np.errstate(over="ignore", invalid="ignore"):
        single = np.asarray(values, dtype=np.float64).astype(np.float32)
    single[np.isnan(single)] = np.nan
    return single.view(np.int32)


def assert_parity(pipeline: FittedPipeline, drawn: list[Row]) -> None:
    """Frame, single-row frames, rows through Polars, rows through Python, and JSON's round trip: one answer."""
    again = FittedPipeline.from_json(json.loads(json.dumps(pipeline.to_json())))
    assert again == pipeline
    transform = Transform(again)
    frame = raw_frame(drawn)
    whole = transform.frame(frame)
    assert whole.schema == dict.fromkeys(pipeline.features, pl.Float32())
    expected = bits(whole.to_numpy())
    function = compile_python(pipeline)
    assert function is not None
    np.testing.assert_array_equal(bits([function(r) for r in drawn]), expected)
    np.testing.assert_array_equal(bits(transform.rows(drawn[:100])), expected[:100])
    np.testing.assert_array_equal(bits(transform.rows(drawn * (1 + 256 // len(drawn)))[: len(drawn)]), expected)
    np.testing.assert_array_equal(bits(transform.frame(frame[0]).to_numpy()), expected[:1])


@pytest.mark.parametrize("steps", CASES, ids=lambda steps: "+".join(dict.fromkeys(step.kind for step in steps)))
@settings(max_examples=6)
@given(train=rows, drawn=rows)
@example(train=[SEED], drawn=[dict.fromkeys(SEED)])
@example(train=[SEED, SEED | {"x": -0.0, "s": -0.0}], drawn=[SEED | {"x": -0.0, "s": -0.0}])
def test_every_kind_agrees(steps: tuple[Step, ...], train: list[Row], drawn: list[Row]) -> None:
    assert_parity(fitted(steps, train), [*drawn, SEED])


def test_edge_values_agree_thousandfold() -> None:
    drawn = edge_rows(1500)
    for steps in CASES:
        assert_parity(fitted(steps, drawn[:300]), drawn)
    assert_parity_of_functions(drawn)


def as_stored(rows: pl.DataFrame) -> pl.DataFrame:
    stored: dict[str, Any] = {
        "x": pl.Float64,
        "y": pl.Float64,
        "s": pl.Float64,
        "i": pl.Int64,
        "j": pl.Int64,
        "b": pl.Boolean,
        "t": pl.String,
    }
    stored |= {"u": pl.String, "d": pl.Date, "wall": pl.Datetime("us"), "at": pl.Datetime("us", "UTC")}
    stored["ny"] = pl.Datetime("us", "America/New_York")
    if dict(rows.schema) != {name: stored[name] for name in rows.columns} or len(rows.columns) != len(stored):
        raise TypeError(f"not as stored: {rows.schema}")
    if any(rows[name].is_nan().any() for name in ("x", "y", "s")):
        raise ValueError("missing is null")
    return rows.with_columns(
        pl.col("x") * 2,
        single=pl.col("y").cast(pl.Float32),
        narrow=pl.col("j").cast(pl.Int8),
        whole=pl.col("j").cast(pl.UInt64),
        word=pl.col("u").cast(pl.Categorical),
        coarse=pl.col("wall").cast(pl.Datetime("ms")),
        tokyo=pl.col("at").dt.convert_time_zone("Asia/Tokyo"),
        clock=pl.col("ny").dt.hour(),
    )


def again(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("x") + 1, odd=pl.col("narrow") % 2 == 1)


FUNCTION_STEPS: tuple[Step, ...] = (
    prep.fill_null("s", 0.1),
    function_step(as_stored),
    prep.is_null("x", "single", "word"),
    prep.log1p("y"),
    function_step(again),
    prep.date_parts(["at", "wall", "ny", "coarse", "tokyo"], "year", "day_of_year", "hour", "second"),
    prep.date_parts("d", "year", "weekday"),
    prep.one_hot("u", "word", "odd"),
    prep.ordinal("t"),
)


def assert_parity_of_functions(drawn: list[Row]) -> None:
    """Whatever the number of rows, the doors of a pipeline with function steps give the answer of one frame."""
    transform = Transform(FittedPipeline.from_json(json.loads(json.dumps(fitted(FUNCTION_STEPS, drawn).to_json()))))
    expected = bits(transform.matrix(raw_frame(drawn)))
    np.testing.assert_array_equal(bits(transform.rows(drawn)), expected)
    for size, upto in ((1, 60), (7, 200), (256, 1024)):
        parts = [transform.rows(drawn[start : start + size]) for start in range(0, min(upto, len(drawn)), size)]
        found = bits(np.concatenate(parts))
        np.testing.assert_array_equal(found, expected[: len(found)])


@settings(max_examples=6)
@given(drawn=rows)
@example(drawn=[dict.fromkeys(SEED)])
def test_function_steps_agree_between_declared_ones(drawn: list[Row]) -> None:
    assert_parity_of_functions(drawn)


def test_every_kind_is_a_case() -> None:
    assert {step.kind for steps in CASES for step in steps} == set(STEPS)  # type: ignore[union-attr]


NUMERIC_STEPS: list[Callable[[str], Step]] = [
    lambda name: prep.clip(name, -3, 1e6),
    prep.standardise,
    prep.min_max,
    prep.robust_scale,
    prep.log1p,
    prep.sqrt,
    lambda name: prep.fill_null(name, -0.0),
    lambda name: prep.fill_null(name, strategy="median"),
    lambda name: prep.bucket(name, [-2.0, -0.0, 2.0]),
    lambda name: prep.bucket(name, count=5),
    lambda name: prep.cast(name, "integer"),
    lambda name: prep.cast(name, "number"),
    lambda name: prep.ratio(name, "y", f"{name}_ratio"),
    lambda name: prep.product(name, "y", f"{name}_product"),
    lambda name: prep.difference(name, "y", f"{name}_difference"),
    prep.clamp_outliers,
    lambda name: prep.quantile_rank(name, count=4),
    prep.absolute,
    prep.sign_log,
    lambda name: prep.convert(name, "F", "K"),
    prep.is_null,
    lambda name: prep.equals(name, 1, f"{name}_one"),
    lambda name: prep.cyclical(name, 7.5, drop=False),
]


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from(range(len(NUMERIC_STEPS))), st.sampled_from(["x", "i", "s", "b"])), min_size=2, max_size=6
    ),
    rows,
    rows,
)
def test_chains_agree(chain: list[tuple[int, str]], train: list[Row], drawn: list[Row]) -> None:
    steps = tuple(NUMERIC_STEPS[place](name) for place, name in chain)
    try:
        pipeline = fitted((*steps, prep.drop("t", "u", "d", "at", "wall", "ny")), train)
    except Problem as problem:
        # Drawn chains may add one column twice, or leave nothing to learn from: told as a problem, never wrong.
        assert problem.code in {"column.exists", "column.invalid", "step.invalid"}
        return
    assert_parity(pipeline, drawn)


def test_json_forms_of_values_agree_with_the_stored_ones() -> None:
    steps = (prep.date_parts("at", "hour", "day"), prep.keep("at_hour", "at_day", "i", "x", "b", "s"))
    pipeline = fitted(steps, [SEED])
    transform = Transform(pipeline)
    stored = {"at": datetime(2013, 6, 24, 5, tzinfo=UTC), "i": 12, "x": 3.0, "b": True, "s": 0.1}
    spoken: list[Row] = [
        stored | {"at": "2013-06-24T05:00:00Z"},
        stored | {"at": "2013-06-24T05:00:00"},
        stored | {"at": "2013-06-24T07:00:00+02:00"},
        stored | {"at": datetime(2013, 6, 23, 23, tzinfo=timezone(timedelta(hours=-6)))},
        stored | {"i": 12.0, "x": 3, "b": 1},
        stored | {"i": np.int64(12), "x": np.float64(3.0), "b": np.bool_(True), "s": np.float32(0.1), "more": object()},
    ]
    expected = bits(transform.rows([stored]))
    for each in spoken:
        np.testing.assert_array_equal(bits(transform.rows([each])), expected)
    np.testing.assert_array_equal(bits(transform.rows(spoken * 50))[:1], expected)
    texts_frame = pl.DataFrame({"at": ["2013-06-24T05:00:00Z"], "i": [12.0], "x": [3], "b": [1], "s": [0.1]})
    np.testing.assert_array_equal(bits(transform.frame(texts_frame).to_numpy()), expected)


def test_missing_is_one_thing_in_every_column() -> None:
    transform = Transform(
        fitted((prep.is_null("x", "i", "t", "at"), prep.keep("x_is_null", "i_is_null", "t_is_null", "at_is_null")), [SEED])
    )
    nan_row = dict.fromkeys(["x", "i", "t", "at"], math.nan)
    assert transform.rows([nan_row]).tolist() == [[1.0] * 4]
    assert transform.rows([nan_row] * 300).tolist() == [[1.0] * 4] * 300


def test_narrow_and_foreign_dtypes_are_the_same_numbers() -> None:
    steps = (prep.date_parts("at", "second"), prep.one_hot("u"), prep.keep("at_second", "i", "x", "u_a"))
    transform = Transform(fitted(steps, [SEED]))
    wide = pl.DataFrame({"at": [datetime(2013, 1, 1, 0, 0, 7, tzinfo=UTC)], "i": [5], "x": [0.5], "u": ["a"]})
    expected = transform.matrix(wide)
    assert expected.flags.c_contiguous
    assert expected.dtype == np.float32
    for narrow in (
        wide.with_columns(pl.col("i").cast(pl.Int8), pl.col("u").cast(pl.Categorical), pl.col("x").cast(pl.Float32)),
        wide.with_columns(
            pl.col("at").cast(pl.Datetime("ms", "UTC")), pl.col("i").cast(pl.UInt64), pl.col("u").cast(pl.Enum(["a"]))
        ),
        wide.with_columns(
            pl.col("at").cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone("Asia/Tokyo"), pl.col("x").cast(pl.Decimal(9, 2))
        ),
        wide.with_columns(pl.col("at").dt.replace_time_zone(None), pl.col("i").cast(pl.Float32)),
    ):
        np.testing.assert_array_equal(transform.matrix(narrow), expected)
