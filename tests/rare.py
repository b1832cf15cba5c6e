"""Rows of what is rare, and a pipeline for every kind of step: what all that prepare must agree on."""

import math
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl

from modelyard.prepare import FittedPipeline, Pipeline, Step, fit, prep

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
    """Return rows as a frame of raw columns."""
    return pl.DataFrame(
        {name: pl.Series([r[name] for r in drawn], dtype=dtype, strict=False) for name, dtype in DTYPES.items()}
    )


def fitted(steps: tuple[Step, ...], drawn: list[Row]) -> FittedPipeline:
    """Return the pipeline of these steps, fitted on rows and on some that every step can learn from."""
    frame = raw_frame([*drawn, SEED, SEED | {"t": "24.6.2013 7:05"}, SEED | {"t": "$1,234.50"}]).with_columns(
        label=pl.int_range(pl.len()) % 2
    )
    return fit(Pipeline(steps), frame, "label")


def edge_rows(count: int, seed: int = 7) -> list[Row]:
    """Return rows whose values are drawn from those that are rare."""
    generator = np.random.default_rng(seed)
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
    return [{name: pool[generator.integers(len(pool))] for name, pool in pools.items()} for _ in range(count)]
