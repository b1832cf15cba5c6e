import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.data import Check, quality
from modelyard.data.findings import find
from modelyard.data.profile import merge, profile
from modelyard.data.quality.suggestions import LEAST_ROWS, pattern_of
from modelyard.data.schema import conform

NOW = datetime(2013, 4, 1, tzinfo=UTC)
NAN, INF = float("nan"), float("inf")


def suggested(*, now: datetime = NOW, **columns: Any) -> dict[str, str]:
    """Return the code of each suggestion, with its reason."""
    frame = conform(pl.DataFrame(columns, strict=False))
    return {quality.code_of(one.check): one.reason for one in quality.suggest(profile(frame), frame.lazy(), clock=lambda: now)}


def test_what_a_column_shows_is_suggested_with_its_reason() -> None:
    n = 200
    assert suggested(
        tail=[f"N{k}" for k in range(10_000, 10_000 + n)],
        origin=["JFK", "LGA"] * (n // 2),
        delay=[float(k % 50) for k in range(n)],
        temp=[-3.5 + k % 10 for k in range(n)],
        seats=[100 + k % 87 for k in range(n)],
        at=[datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=k) for k in range(n)],
        note=[None, "?"] * (n // 2),
        late=[None, 0, 1, 1] * (n // 4),
    ) == {
        "quality.not_null('tail')": "none of 200 rows is without it",
        "quality.unique('tail')": "200 rows have 200 different values",
        r"quality.matches('tail', r'N\d{5}')": "200 texts have one shape, such as 'N10000'",
        "quality.not_null('origin')": "none of 200 rows is without it",
        "quality.one_of('origin', ['JFK', 'LGA'])": "200 values are 2 different ones, each met 100 times at least",
        "quality.not_null('delay')": "none of 200 rows is without it",
        "quality.between('delay', 0.0, 54.0)": "200 values lie from 0 to 49; at least a tenth of that width is left on both "
        "sides, but nothing below 0",
        "quality.not_null('temp')": "none of 200 rows is without it",
        "quality.between('temp', -4.4, 6.4)": "200 values lie from -3.5 to 5.5; at least a tenth of that width is left on both "
        "sides",
        "quality.not_null('seats')": "none of 200 rows is without it",
        "quality.between('seats', 91, 195)": "200 values lie from 100 to 186; at least a tenth of that width is left on both "
        "sides, but nothing below 0",
        "quality.not_null('at')": "none of 200 rows is without it",
        "quality.not_after('at', 'now')": "the newest is of 2013-01-09 07:00 UTC, and none lies in the future",
        "quality.one_of('note', ['?'])": "100 values are 1 different ones, each met 100 times at least",
        "quality.one_of('late', [0, 1])": "150 values are 0 or 1",
    }


@pytest.mark.parametrize(
    "values",
    [
        [1.0, INF] * 100,  # no range holds it
        [3.0] * 200,  # nor is one value a range
        [5e-324, 0.0] * 100,
        [1.7e308, -1.7e308] * 100,
        [True, False] * 100,
        [[1], [2]] * 100,
        [f"free text {'x' * (k % 7)} {'y z' * (k % 3)}" for k in range(200)],
        ["Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Tony", "Niklaus", "John", "Leslie", "Frances"] * 3
        + ["Jo"] * 167,
    ],
)
def test_of_what_says_nothing_only_its_presence_is_suggested(values: list[Any]) -> None:
    assert list(suggested(x=values)) == ["quality.not_null('x')"]


def test_a_time_in_the_future_is_not_ruled_out() -> None:
    times = [NOW + timedelta(hours=k) for k in range(LEAST_ROWS)]
    assert list(suggested(x=times)) == ["quality.not_null('x')"]
    assert "quality.not_after('x', 'now')" in suggested(x=times, now=NOW + timedelta(hours=LEAST_ROWS))


def test_of_few_rows_nothing_is_concluded() -> None:
    assert suggested(x=["JFK"] * (LEAST_ROWS - 1)) == {}


texts = st.one_of(
    st.sampled_from(["JFK", "LGA", "EWR"]),
    st.integers(0, 99_999).map(lambda n: f"N{n:05}"),
    st.from_regex(r"\A[A-Z]{2}[-./ \n][0-9]{1,3}\Z"),
    st.text(max_size=5),
)
columns: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "text": (pl.String, texts),
    "whole": (pl.Int64, st.one_of(st.integers(0, 1), st.integers(0, 9), st.integers(-(2**63), 2**63 - 1))),
    "real": (pl.Float64, st.one_of(st.floats(-1, 1), st.floats())),
    "short": (pl.Float32, st.floats(width=32)),
    "time": (pl.Datetime("us"), st.datetimes(datetime(1970, 1, 1), datetime(2040, 1, 1))),
    "day": (pl.Date, st.dates(date(1970, 1, 1), date(2040, 1, 1))),
    "on": (pl.Boolean, st.booleans()),
}


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    """Return rows, each value of which comes back again and again, with and without nulls."""
    found = {}
    for name, (dtype, values) in columns.items():
        some = draw(st.lists(values if draw(st.booleans()) else st.one_of(st.none(), values), min_size=1, max_size=40))
        found[name] = pl.Series([some[k % len(some)] for k in range(LEAST_ROWS + 20)], dtype=dtype)
    found["key"] = pl.Series([f"{draw(st.sampled_from(['A', 'b', '#']))}{k}" for k in range(LEAST_ROWS + 20)])
    return pl.DataFrame(found)


@settings(max_examples=50)
@given(frames(), st.integers(1, LEAST_ROWS))
def test_rows_keep_what_is_suggested_from_them(frame: pl.DataFrame, cut: int) -> None:
    first = profile(frame[:cut])
    for counted in (profile(frame), merge(first, profile(frame[cut:], first))):
        made = [one.check for one in quality.suggest(counted, frame, clock=lambda: NOW)]
        assert find(frame, made, now=NOW).failed.height == 0
        assert [quality.verify(check) for check in made] == made


@given(st.lists(st.from_regex(r"\A[A-Z]{1,3}[^0-9A-Za-z][0-9]{2}[a-z]\Z"), min_size=1, max_size=5))
def test_a_pattern_matches_the_texts_that_it_is_of(texts: list[str]) -> None:
    pattern = pattern_of(texts)
    if len({text[-4] for text in texts}) == 1:
        assert pattern is not None
        assert all(re.fullmatch(pattern, text) for text in texts)
        assert not find(pl.DataFrame({"x": texts}), [quality.matches("x", pattern)], now=NOW).failed.height
    else:
        assert pattern is None


@pytest.mark.parametrize(
    "check",
    [
        quality.not_null("a", "b'c"),
        quality.blocking(quality.between("x", 0.5, None)),
        quality.between("x", datetime(2013, 1, 1, tzinfo=UTC), date(2014, 1, 1)),
        quality.between("x", datetime(2013, 1, 1), None),
        quality.not_after("x", "now"),
        quality.warning(quality.not_before("x", "y")),
        quality.not_before("x", date(2013, 1, 1)),
        quality.one_of("x", ["a", 1, True]),
        quality.matches("x", r"N\d{5}'"),
        quality.matches("x", r"N\d{5}"),
        quality.matches("x", "a\n\\d"),
        quality.matches("x", "a\\\\"),
        quality.increasing("x"),
        quality.increasing("x", strictly=True),
        quality.length_between("x", 1, None),
        quality.row_count(None, 5),
        quality.warning(quality.row_count_like_history(3)),
        quality.fresh("x", "2d"),
        quality.same_schema(),
        quality.no_new_columns(),
        quality.dtype("x", "Datetime(time_unit='us', time_zone='UTC')"),
        quality.share_null("x", 0.05),
        quality.mean_between("x", 0, 1.5),
        quality.distinct_between("x", 2, 9),
        quality.unique("a", "b"),
        quality.finite("a"),
    ],
)
def test_the_code_of_a_check_makes_it(check: Check) -> None:
    assert eval(quality.code_of(check), {"quality": quality, "date": date, "datetime": datetime}) == check  # noqa: S307 - ours
