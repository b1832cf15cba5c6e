"""Drift: the statistics against SciPy's, the rules, and how seldom quiet windows are told of."""

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from scipy.stats import chi2, chi2_contingency, hypergeom  # type: ignore[import-untyped]

from modelyard.core import canonical_json
from modelyard.data.profile import Profile, profile
from modelyard.monitoring.drift import (
    ColumnDrift,
    _share_rule,
    chi_square_p,
    chi_square_survival,
    debiased_distance,
    drift,
    usual_spread,
)


def world(rng: np.random.Generator, rows: int, shift: float = 0.0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "x": rng.normal(shift, 1, rows),
            "y": rng.exponential(1, rows),
            "hour": rng.integers(5, 24, rows),
            "carrier": rng.choice(["UA", "B6", "EV", "DL"], rows, p=[0.4, 0.3, 0.2, 0.1]),
            "plane": rng.choice([f"N{i}" for i in range(300)], rows),
        }
    )


@pytest.fixture(scope="module")
def reference() -> Profile:
    return profile(world(np.random.default_rng(1), 30_000))


def named(found: tuple[ColumnDrift, ...], column: str) -> ColumnDrift:
    return next(c for c in found if c.column == column)


@pytest.mark.parametrize("freedom", [1, 2, 3, 7, 10, 33, 102])
def test_the_survival_function_is_scipys(freedom: int) -> None:
    for x in [0.0, 1e-9, 0.5, 3.0, 40.0, 150.0, 900.0]:
        assert chi_square_survival(x, freedom) == pytest.approx(chi2.sf(x, freedom), rel=1e-9, abs=1e-300)
    assert chi_square_survival(1e6, freedom) == 0.0


def test_the_p_value_is_scipys_where_nothing_is_pooled() -> None:
    a, b = np.array([500.0, 300.0, 200.0]), np.array([40.0, 35.0, 30.0])
    assert chi_square_p(a, b) == pytest.approx(chi2_contingency([a, b], correction=False).pvalue)


def test_scarce_slots_are_pooled_so_that_one_stray_row_is_no_evidence() -> None:
    a, b = np.array([20_000.0, 20_000.0, 0.0]), np.array([500.0, 500.0, 1.0])
    assert chi_square_p(a, b) > 0.9
    assert chi_square_p(a, np.array([350.0, 350.0, 301.0])) < 1e-6


def test_the_distance_is_debiased() -> None:
    rng = np.random.default_rng(2)
    share = np.full(30, 1 / 30)
    counts = [[rng.multinomial(rows, share).astype(np.float64) for rows in (50_000, 500)] for _ in range(200)]
    raw = [debiased_distance(*pair) ** 2 for pair in counts]
    assert np.mean(raw) < 0.003  # without the correction: 29 / 500 / 8 ln 2 = 0.0105


def test_quiet_windows_are_not_told_of(reference: Profile) -> None:
    rng = np.random.default_rng(3)
    told = [c for _ in range(60) for c in drift(reference, profile(world(rng, 1_000), reference)) if c.notice]
    assert told == []


def test_a_quarter_of_a_standard_deviation_is_told_of_and_ranked_first(reference: Profile) -> None:
    found = drift(reference, profile(world(np.random.default_rng(4), 2_000, shift=0.4), reference))
    assert [c.column for c in found if c.notice] == ["x"]
    assert found[0].column == "x"
    assert found[0].wasserstein == pytest.approx(0.4, abs=0.06)
    assert "its values moved" in found[0].why
    assert canonical_json(found[0].to_json())
    assert ColumnDrift.from_json(found[0].to_json()) == found[0]


def test_a_window_of_five_hundred_needs_two_in_three(reference: Profile) -> None:
    rng = np.random.default_rng(5)
    windows = [profile(world(rng, 600, shift=0.6), reference) for _ in range(2)]
    quiet = drift(reference, profile(world(rng, 600), reference))
    first = drift(reference, windows[0])
    assert (named(first, "x").suspect, named(first, "x").notice) == (True, False)
    assert named(drift(reference, windows[1], earlier=[first, quiet]), "x").notice
    assert not named(drift(reference, windows[1], earlier=[first, quiet, quiet]), "x").notice


def test_nulls_are_told_of_by_their_own_rule(reference: Profile) -> None:
    frame = world(np.random.default_rng(6), 1_000)
    holed = frame.with_columns(x=pl.when(pl.int_range(pl.len()) % 20 == 0).then(None).otherwise(pl.col("x")))
    found = named(drift(reference, profile(holed, reference)), "x")
    assert found.notice
    assert found.null_change == pytest.approx(0.05)
    assert found.why == "nulls changed by +5.0 pp"
    assert not found.suspect


def test_a_missing_column_is_told_of_as_nulls(reference: Profile) -> None:
    found = drift(reference, profile(world(np.random.default_rng(6), 1_000).drop("hour"), reference))
    assert (found[0].column, found[0].null_change) == ("hour", 1.0)


def test_unseen_categories_are_told_of_beyond_the_rare_ones_of_the_reference(reference: Profile) -> None:
    frame = world(np.random.default_rng(7), 1_000)
    renamed = frame.with_columns(carrier=pl.when(pl.col("carrier") == "DL").then(pl.lit("9E")).otherwise(pl.col("carrier")))
    found = named(drift(reference, profile(renamed, reference)), "carrier")
    assert found.notice
    assert found.unseen_share == pytest.approx(0.1, abs=0.03)
    assert "does not list" in found.why
    plane = named(drift(reference, profile(frame, reference)), "plane")
    assert not plane.notice
    assert plane.unseen_share < 0.05


def test_the_bound_on_shares_is_never_under_the_exact_probability() -> None:
    n, m = 400, 100
    for a, b in [(0, 3), (2, 4), (10, 9), (100, 60), (200, 20)]:
        exact = hypergeom.sf(b - 1, n + m, a + b, m) if b / m > a / n else hypergeom.cdf(b, n + m, a + b, m)
        assert not _share_rule(a, n, b, m, level=exact)[1]
    assert _share_rule(0, n, 10, m, level=1e-3) == (0.1, True)


def test_dates_move_by_nature_and_are_watched_for_nulls_only() -> None:
    days = pl.DataFrame({"day": pl.date_range(pl.date(2013, 1, 1), pl.date(2018, 1, 1), eager=True)})
    reference = profile(days.head(900))
    [moved] = drift(reference, profile(days.tail(900), reference))
    assert (moved.notice, moved.distance) == (False, 0.0)
    [holed] = drift(reference, profile(days.tail(900).clear(900), reference))
    assert holed.notice


def test_notices_are_ranked_by_what_the_references_own_blocks_show() -> None:
    rng = np.random.default_rng(8)
    season = np.sin(np.repeat(np.arange(60), 100) / 60 * 6)
    seasonal = pl.DataFrame({"t": season + rng.normal(0, 0.3, 6_000), "x": rng.normal(0, 1, 6_000)})
    reference = profile(seasonal)
    usual = usual_spread(seasonal, reference)
    assert usual["t"] > 0.4
    assert usual["x"] < 0.1
    window = profile(pl.DataFrame({"t": rng.normal(1, 0.3, 1_000), "x": rng.normal(0.6, 1, 1_000)}), reference)
    assert [c.column for c in drift(reference, window)] == ["t", "x"]
    ranked = drift(reference, window, usual=usual)
    assert [(c.column, c.notice, c.unusual) for c in ranked] == [("x", True, True), ("t", True, False)]
    assert usual_spread(seasonal.head(5), reference) == {}


@pytest.mark.parametrize("column", [[None, None], [1.0, 1.0], []])
def test_degenerate_windows_and_references_are_no_error(column: list[float | None]) -> None:
    frame = pl.DataFrame({"x": column}, schema={"x": pl.Float64})
    other = pl.DataFrame({"x": [1.0, 2.0] * 600})
    for of, window in [(frame, other), (other, frame), (frame, frame)]:
        [found] = drift(profile(of), profile(window, profile(of)))
        assert canonical_json(found.to_json())


def test_small_windows_get_fewer_slots(reference: Profile) -> None:
    rng = np.random.default_rng(9)
    small = [named(drift(reference, profile(world(rng, 100), reference)), "plane").distance for _ in range(50)]
    assert np.mean(small) < 0.1  # over 101 slots of one row each it would be a matter of luck
    counts: npt.NDArray[np.float64] = np.array([3.0, 4.0])
    assert debiased_distance(counts, np.zeros(2)) == 0.0
