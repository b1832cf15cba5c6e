"""Both compilers give the same numbers, bit for bit: every kind, chains of kinds, edge values, one row or many."""

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from modelyard.core import Problem
from modelyard.prepare import FittedPipeline, Pipeline, Step, Transform, compile_python, fit, function_step, prep
from modelyard.prepare.steps import STEPS

Row = dict[str, Any]

FLOATS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-320,
    -1e-320,
    1e308,
    -1e308,
    3.5e38,
    1 / 3,
    math.nan,
    math.inf,
    -math.inf,
    2.0**53 + 2,
    24.0,
]
INTEGERS = [0, 1, -1, 7, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 1_000_000_007]
TEXTS = [
    "",
    " ",
    "a",
    "A ",
    "\u00a0x\u2003",
    "Straße",
    "İstanbul",
    "ΑΣ",
    "ﬁ",
    "a\x00b",
    "😀",
    "\x1cz\x1f",
    "12",
    "-3.5e2",
    "1_0",
    "true",
    "2013-06-24",
    "2013-06-24T05:00:00.25+05:30",
    "24.6.2013 7:05",
    "31.2.2013 1:00",
    "9999-12-31",
    "$1,234.50",
    "1.234,50 €",
    "(12.5) k",
    "-3 %",
    "\u22125\u00a0GB",
    "1e999",
    "2013-03-10 02:30",
    "2013-11-03 01:30",
    "0001-01-02",
    "\u0130I\u0307 A\u0308 \ufb01\t\n x",
    "a|b",
    "a\\",
]
TIMES = [
    datetime(1, 1, 2),
    datetime(9999, 12, 30, 23, 59, 59, 999_999),
    datetime(1970, 1, 1),
    datetime(2013, 3, 10, 6, 59, 59, 999_999),
    datetime(2013, 3, 10, 7),
    datetime(2013, 11, 3, 5, 59),
    datetime(2012, 2, 29, 23),
    datetime(1969, 12, 31, 23, 59, 59, 999_999),
]
DTYPES = {
    "x": pl.Float64(),
    "y": pl.Float64(),
    "s": pl.Float32(),
    "i": pl.Int64(),
    "j": pl.Int64(),
    "b": pl.Boolean(),
    "t": pl.String(),
    "u": pl.String(),
    "d": pl.Date(),
    "at": pl.Datetime("us", "UTC"),
    "wall": pl.Datetime("us"),
    "ny": pl.Datetime("us", "America/New_York"),
}

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

# Values that every column can learn from, so that most drawn training rows fit.
SEED: Row = {
    "x": 1.5,
    "y": -2.0,
    "s": 0.1,
    "i": 5,
    "j": 1,
    "b": True,
    "t": "2013-06-24",
    "u": "a",
    "d": date(2013, 6, 24),
    "at": datetime(2013, 6, 24, 5, tzinfo=UTC),
    "wall": datetime(2013, 6, 24, 5),
    "ny": datetime(2013, 6, 24, 5, tzinfo=UTC),
}

CASES: list[tuple[Step, ...]] = [
    (prep.rename({"x": "y", "y": "x"}), prep.keep("x")),
    (prep.drop("t", "u", "d", "at", "wall", "ny"),),
    (prep.keep("s", "x", "i", "j", "b"),),
    (prep.cast(["x", "i", "b", "t"], "number"), prep.keep("x", "i", "b", "t")),
    (prep.cast(["x", "i", "b", "t"], "integer"), prep.keep("x", "i", "b", "t")),
    (
        prep.cast(["x", "i", "b", "t"], "boolean"),
        prep.is_null("x", "b"),
        prep.keep("x", "i", "b", "t", "x_is_null", "b_is_null"),
    ),
    (prep.cast(["i", "b"], "text"), prep.length("i", "b"), prep.keep("i", "b")),
    (prep.cast("at", "date"), prep.cast("d", "datetime"), prep.elapsed("d", "at", "days"), prep.keep("d_since_at_days")),
    (prep.fill_null(["x", "s"], 0.1), prep.fill_null("i", 7), prep.fill_null("b", value=True), prep.keep("x", "s", "i", "b")),
    (prep.fill_null(["x", "i", "j"], strategy="mean"), prep.keep("x", "i", "j")),
    (
        prep.fill_null(["x", "j"], strategy="median"),
        prep.fill_null("u", strategy="most_frequent"),
        prep.ordinal("u"),
        prep.keep("x", "j", "u"),
    ),
    (
        prep.fill_null("at", "2013-06-24T05:00:00Z"),
        prep.fill_null("t", "q"),
        prep.date_parts("at", "hour"),
        prep.length("t"),
        prep.keep("at_hour", "t"),
    ),
    (prep.is_null("x", "i", "b", "t", "at"), prep.keep("x_is_null", "i_is_null", "b_is_null", "t_is_null", "at_is_null")),
    (
        prep.equals("x", 0, "p"),
        prep.equals("i", 5, "q"),
        prep.equals("b", value=True, name="r"),
        prep.equals("t", "", "v"),
        prep.keep("p", "q", "r", "v"),
    ),
    (prep.clip(["x", "i"], -1, 1.5), prep.clip("y", lower=0), prep.clip("s", upper=0.1), prep.keep("x", "y", "i", "s")),
    (prep.standardise("x", "i", "b", "s"), prep.keep("x", "i", "b", "s")),
    (prep.min_max("x", "i", "b", "s"), prep.keep("x", "i", "b", "s")),
    (prep.robust_scale("x", "i", "b", "s"), prep.keep("x", "i", "b", "s")),
    (prep.log1p("x", "y", "i"), prep.keep("x", "y", "i")),
    (prep.sqrt("x", "y", "i"), prep.keep("x", "y", "i")),
    (prep.ratio("x", "y"), prep.ratio("i", "j"), prep.keep("x_per_y", "i_per_j")),
    (prep.difference("x", "y"), prep.difference("i", "x"), prep.keep("x_minus_y", "i_minus_x")),
    (prep.product("x", "y"), prep.product("i", "s"), prep.keep("x_times_y", "i_times_s")),
    (prep.total("x", "y", "i", name="sum"), prep.keep("sum")),
    (prep.bucket("x", [-1.0, 0.0, 24.0]), prep.bucket("y", [0]), prep.bucket("i", count=4), prep.keep("x", "y", "i")),
    (prep.cyclical(["x", "i"], 24, drop=False), prep.keep("x_sin", "x_cos", "i_sin", "i_cos")),
    (prep.one_hot("u", "j", "b", limit=3), prep.drop("t", "d", "at", "wall", "ny")),
    (prep.ordinal("t", "u", "i", "b"), prep.keep("t", "u", "i", "b")),
    (prep.frequency("t", "u", "i", "b"), prep.keep("t", "u", "i", "b")),
    (prep.target_mean("t", "u", "j", "b", smoothing=3), prep.keep("t", "u", "j", "b")),
    (prep.hash_bucket(["t", "i", "b"], 97), prep.keep("t", "i", "b")),
    (prep.lower("t"), prep.hash_bucket("t", 1 << 24), prep.keep("t")),
    (prep.strip("t"), prep.hash_bucket("t", 1 << 24), prep.keep("t")),
    (prep.length("t", "u"), prep.keep("t", "u")),
    (prep.parse_date("t"), prep.date_parts("t", "year", "day_of_year", "hour"), prep.keep("t_year", "t_day_of_year", "t_hour")),
    (
        prep.fill_null("t", "1.2.2013 3:04"),
        prep.parse_date("t", "%d.%m.%Y %H:%M"),
        prep.date_parts("t", "month", "minute"),
        prep.keep("t_month", "t_minute"),
    ),
    (prep.parse_date("t", to="date"), prep.elapsed("at", "t", "years"), prep.keep("at_since_t_years")),
    (prep.parse_number("t", units={"%": 0.01, "k": 1e3, "GB": 1e9}), prep.keep("t")),
    (prep.clamp_outliers("x", "i", "b", "s"), prep.clamp_outliers("y", factor=0), prep.keep("x", "y", "i", "b", "s")),
    (prep.clamp_outliers("x", "i", "s", method="quantile", share=0.2), prep.keep("x", "i", "s")),
    (prep.quantile_rank("x", "i", "b", "s"), prep.quantile_rank("y", count=3), prep.keep("x", "y", "i", "b", "s")),
    (prep.absolute("x", "i", "s"), prep.keep("x", "i", "s")),
    (prep.sign_log("x", "i", "s"), prep.keep("x", "i", "s")),
    (
        prep.convert("x", "C", "F"),
        prep.convert("y", "F", "C"),
        prep.convert("s", "K", "F"),
        prep.convert("i", "psi", "bar"),
        prep.convert("b", "m/s", "m/s"),
        prep.keep("x", "y", "s", "i", "b"),
    ),
    (
        prep.cross("t", "u"),
        prep.cross("i", "b", "p"),
        prep.hash_bucket(["t_x_u", "p"], 1 << 24),
        prep.length("t"),
        prep.keep("t_x_u", "p", "t"),
    ),
    (prep.normalise_text("t"), prep.hash_bucket("t", 1 << 24), prep.keep("t")),
    (prep.normalise_text("t", case=False, accents=False, spaces=False), prep.hash_bucket("t", 1 << 24), prep.keep("t")),
    (
        prep.extract("t", r"(?P<number>\d+)|^(\w)", group="number"),
        prep.extract("t", r"\S+$", "last", group=0),
        prep.contains("t", r"\s\w", "gap"),
        prep.hash_bucket(["t_number", "last"], 1 << 24),
        prep.keep("t_number", "last", "gap"),
    ),
    (prep.cast("i", "text"), prep.parse_number("i", decimal=",", thousands=""), prep.keep("i")),
    (
        prep.parse_date("t", [None, "%d.%m.%Y %H:%M"], zone="America/New_York"),
        prep.fill_null("t", "2013-06-24T05:00:00Z"),
        prep.date_parts("t", "hour", "day", drop=False),
        prep.elapsed("t", "ny", "seconds"),
        prep.keep("t_hour", "t_day", "t_since_ny_seconds"),
    ),
    (
        prep.date_parts(["at", "wall", "ny"], "year", "month", "day", "day_of_year", "weekday", "hour", "minute", "second"),
        prep.date_parts("d", "year", "weekday", "day_of_year"),
        prep.drop("t", "u"),
    ),
    (
        prep.date_parts(["at", "wall"], "hour", "day_of_year", zone="Asia/Kathmandu"),
        prep.keep("at_hour", "wall_hour", "at_day_of_year"),
    ),
    (prep.date_parts("at", "hour", zone="Etc/UTC"), prep.keep("at_hour")),
    (prep.elapsed("at", "ny", "seconds"), prep.elapsed("wall", "d", "minutes", "m"), prep.keep("at_since_ny_seconds", "m")),
]


def raw_frame(drawn: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(
        {name: pl.Series([r[name] for r in drawn], dtype=dtype, strict=False) for name, dtype in DTYPES.items()}
    )


def bits(values: Any) -> NDArray[np.int32]:
    """Return float32 numbers as bits, every NaN alike."""
    with np.errstate(over="ignore", invalid="ignore"):
        single = np.asarray(values, dtype=np.float64).astype(np.float32)
    single[np.isnan(single)] = np.nan
    return single.view(np.int32)


def fitted(steps: tuple[Step, ...], drawn: list[Row]) -> FittedPipeline:
    frame = raw_frame([*drawn, SEED, SEED | {"t": "24.6.2013 7:05"}, SEED | {"t": "$1,234.50"}]).with_columns(
        label=pl.int_range(pl.len()) % 2
    )
    return fit(Pipeline(steps), frame, "label")


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
    generator = np.random.default_rng(7)
    pools: dict[str, list[Any]] = {
        "x": [None, *FLOATS],
        "y": [None, *FLOATS],
        "s": [None, *FLOATS],
        "i": [None, *INTEGERS],
        "j": [None, 0, 1, 2],
        "b": [None, True, False],
        "t": [None, *TEXTS],
        "u": [None, "", "a", "b"],
        "d": [None, *(at.date() for at in TIMES)],
        "at": [None, *(at.replace(tzinfo=UTC) for at in TIMES)],
        "wall": [None, *TIMES],
        "ny": [None, *(at.replace(tzinfo=UTC) for at in TIMES)],
    }
    drawn = [{name: pool[generator.integers(len(pool))] for name, pool in pools.items()} for _ in range(1500)]
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
