"""Drift of a window of rows against the reference profile: a notice, ranked by column. It informs, it never acts.

Let a, b be the counts of reference and window over the slots, P, Q their shares, M = (P + Q) / 2, n, m their totals, B the used
slots.

- p-value: χ² of the 2 x B table, slots that expect fewer than five rows of the window pooled.
- distance: debiased Jensen-Shannon distance in √bits, √max(0, J² - (B - 1)(1/n + 1/m) / (8 ln 2)) with
  J² = ½ Σ P log₂(P/M) + ½ Σ Q log₂(Q/M); the subtracted term is J²'s expectation without drift. 0 is equal, 1 disjoint.
- wasserstein: mean distance of 200 quantiles, in the reference's standard deviations (numbers only).

A notice needs p < 0.001 / columns (Bonferroni) and a distance of 0.1, in one window of 1,000 rows or in two of three of
500. Nulls and unseen categories have rules of their own. Columns of dates and datetimes move by nature: only their nulls
are watched.

Notices are ranked by how far they pass what is usual. Blocks of the reference differ among themselves as well, and where
they do, a window may: it is unusual from 1.5 times the largest distance among six blocks on. Without this the seasons hide
a fault: on the flights the temperature of June is 1.0 from that of the winter, hours sent in UTC only 0.5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import erfc, exp, inf, isfinite, lgamma, log, sqrt

import numpy as np
import numpy.typing as npt
import polars as pl

from modelyard.core.json import JsonObject
from modelyard.data.profile import ColumnProfile, NumberKind, NumericProfile, Profile, profile

Array = npt.NDArray[np.float64]

ERROR_RATE = 0.001
LEAST_DISTANCE = 0.1
LEAST_SHARE = 0.01
ROWS_ALONE = 1_000
ROWS_REPEATED = 500
BLOCKS = 6
UNUSUAL = 1.5


@dataclass(frozen=True)
class ColumnDrift:
    """What a window shows in one column. Shares and their changes are of all rows of the column, null included.

    `suspect` says that the window meets the rule of size and significance; `notice`, that it is to be shown.
    """

    column: str
    p_value: float
    distance: float
    wasserstein: float | None
    null_change: float
    unseen_share: float
    rows: int
    suspect: bool
    unusual: bool
    notice: bool
    why: str
    usual: float = 0.0  # the largest distance among the reference's own blocks; 0 where that is not known

    @property
    def strength(self) -> float:
        """What columns are ranked by: distance, change of nulls or share unseen, each in units of what is told at the least."""
        return max(
            self.distance / max(LEAST_DISTANCE, self.usual),
            abs(self.null_change) / LEAST_SHARE,
            self.unseen_share / LEAST_SHARE,
        )

    def to_json(self) -> JsonObject:
        """Return the JSON form."""
        return {**vars(self)}

    @staticmethod
    def from_json(value: JsonObject) -> "ColumnDrift":
        """Return the column's drift whose JSON form is `value`."""
        return ColumnDrift(**value)


def drift(
    reference: Profile,
    current: Profile,
    *,
    usual: Mapping[str, float] | None = None,
    earlier: Sequence[Sequence[ColumnDrift]] = (),
) -> tuple[ColumnDrift, ...]:
    """Compare a window with its reference, column by column: notices first, the strongest change first.

    Parameters
    ----------
    reference
        The profile kept with the training set.
    current
        The window's, counted over the slots of `reference`.
    usual
        `usual_spread` of the reference, for ranking and for what is unusual.
    earlier
        What `drift` said of the two windows before, latest last, for the rule of two in three.

    >>> rng = np.random.default_rng(1)
    >>> hours, origins = rng.integers(5, 23, 30_000), rng.choice(["EWR", "JFK", "LGA"], 30_000)
    >>> reference = profile(pl.DataFrame({"origin": origins, "hour": hours}))
    >>> window = profile(pl.DataFrame({"origin": origins[:2_000], "hour": hours[:2_000] + 4}), reference)
    >>> [(c.column, c.notice, round(c.distance, 1)) for c in drift(reference, window)]
    [('hour', True, 0.5), ('origin', False, 0.0)]
    """
    level = ERROR_RATE / max(len(reference.columns), 1)
    found = [
        _compared(name, column, current.columns[name], level, (usual or {}).get(name, 0.0))
        for name, column in reference.columns.items()
        if name in current.columns
    ]
    repeated = [_repeated(column, earlier[-2:]) for column in found]
    return tuple(sorted(repeated, key=lambda c: (not c.notice, -c.strength, c.p_value, c.column)))


def usual_spread(frame: pl.DataFrame, reference: Profile) -> dict[str, float]:
    """Return each column's largest distance between one of six blocks of `frame` and the rest, dates left out.

    `frame` holds the reference's rows in order of time; of fewer than twelve nothing is known.
    """
    if frame.height < 2 * BLOCKS:
        return {}
    names = [name for name, column in reference.columns.items() if not _moves_by_nature(column)]
    kept = Profile(reference.rows, {name: reference.columns[name] for name in names})
    block = np.arange(frame.height) * BLOCKS // frame.height
    spread = dict.fromkeys(names, 0.0)
    for index in range(BLOCKS):
        inside, rest = (profile(frame.select(names).filter(chosen), kept) for chosen in (block == index, block != index))
        for name in names:
            spread[name] = max(spread[name], debiased_distance(*_merged_slots(rest.columns[name], inside.columns[name])))
    return spread


# One column


def _compared(name: str, reference: ColumnProfile, current: ColumnProfile, level: float, usual: float) -> ColumnDrift:
    values, rows = sum(current.slots), sum(current.slots) + current.null
    still = _moves_by_nature(reference)
    a, b = (np.zeros(1), np.zeros(1)) if still else _merged_slots(reference, current)
    p, distance = chi_square_p(a, b), debiased_distance(a, b)
    wasserstein = None if still else _wasserstein(reference, current)
    moved = not still and p < level and distance >= LEAST_DISTANCE
    unusual = moved and distance > UNUSUAL * usual
    null_change, nulls_moved = _share_rule(reference.null, sum(reference.slots) + reference.null, current.null, rows, level)
    unseen_share, unseen_grew = _unseen(reference, current, level)
    unseen_grew = unseen_grew and not still
    reasons = [
        text
        for said, text in (
            (moved, f"its values moved by {distance:.2f} (p {p:.1g}): {_most_moved(reference, current)}"),
            (moved and usual >= LEAST_DISTANCE, f"usual is up to {usual:.2f}"),
            (nulls_moved, f"nulls changed by {100 * null_change:+.1f} pp"),
            (unseen_grew, f"{100 * unseen_share:.1f} % are categories that the reference does not list"),
        )
        if said
    ]
    return ColumnDrift(
        column=name,
        p_value=p,
        distance=distance,
        wasserstein=wasserstein if wasserstein is None or isfinite(wasserstein) else None,
        null_change=null_change,
        unseen_share=unseen_share,
        rows=rows,
        suspect=moved and values >= ROWS_REPEATED,
        unusual=unusual,
        notice=(moved and values >= ROWS_ALONE) or nulls_moved or unseen_grew,
        why="; ".join(reasons) or "as in the reference",
        usual=usual,
    )


def _moves_by_nature(reference: ColumnProfile) -> bool:
    return isinstance(reference, NumericProfile) and reference.kind is NumberKind.TIME


def _repeated(found: ColumnDrift, earlier: Sequence[Sequence[ColumnDrift]]) -> ColumnDrift:
    """Raise the notice when the column is suspect now and was so in one of the two windows before."""
    before = any(c.suspect for window in earlier for c in window if c.column == found.column)
    return replace(found, notice=found.notice or (found.suspect and before))


def _unseen(reference: ColumnProfile, current: ColumnProfile, level: float) -> tuple[float, bool]:
    """Return the share of unseen categories beyond the reference's own share of rare ones, and whether it is told."""
    if isinstance(reference, NumericProfile) or isinstance(current, NumericProfile):
        return 0.0, False
    change, told = _share_rule(reference.unseen, sum(reference.slots), current.unseen, sum(current.slots), level)
    # Of many equally rare categories those listed are the luckiest of the reference, so a long tail grows by itself.
    tail = reference.unseen / max(sum(reference.slots), 1)
    return max(change, 0.0), told and change > tail / 4


def _share_rule(a: int, n: int, b: int, m: int, level: float) -> tuple[float, bool]:
    """Return by how much a share changed from a of n to b of m rows, and whether that is told.

    It is when the change is a hundredth at least and its probability without drift under `level`, by Chvátal's bound for
    hypergeometric counts, P ≤ 2 exp(-m KL(b/m, (a+b)/(n+m))): unlike a z-test it holds for the rarest of shares.
    """
    if not n or not m:
        return 0.0, False
    change, pooled = b / m - a / n, (a + b) / (n + m)
    bound = 2 * exp(-max(m * _kl(b / m, pooled), n * _kl(a / n, pooled)))
    return change, abs(change) >= LEAST_SHARE and bound < level


def _kl(p: float, q: float) -> float:
    """Kullback-Leibler divergence of two shares, in nats."""
    return sum(x * log(x / y) for x, y in ((p, q), (1 - p, 1 - q)) if x > 0)


def _wasserstein(reference: ColumnProfile, current: ColumnProfile) -> float | None:
    """Wasserstein-1 distance in the reference's standard deviations; None without values, 0 or infinite from a constant."""
    if not isinstance(reference, NumericProfile) or not isinstance(current, NumericProfile):
        return None
    if not reference.quantiles or not current.quantiles:
        return None
    apart = float(np.abs(np.array(reference.quantiles) - np.array(current.quantiles)).mean())
    if reference.standard_deviation:
        return apart / reference.standard_deviation
    return inf if apart else 0.0


def _most_moved(reference: ColumnProfile, current: ColumnProfile) -> str:
    """Name the slot whose share changed most, before any merging."""
    n, m = max(sum(reference.slots), 1), max(sum(current.slots), 1)
    before, after = np.array(reference.slots) / n, np.array(current.slots) / m
    most = int(np.argmax(np.abs(after - before)))
    return f"{reference.slot_name(most)} went from {100 * before[most]:.1f} to {100 * after[most]:.1f} %"


# Slots


def _merged_slots(reference: ColumnProfile, current: ColumnProfile) -> tuple[Array, Array]:
    """Return the counts of both, over fewer slots where the window is small: clip(rows / 15, 5, all)."""
    a, b = np.array(reference.slots, dtype=np.float64), np.array(current.slots, dtype=np.float64)
    most = max(int(b.sum()) // 15, 5)
    if isinstance(reference, NumericProfile):
        return (a, b) if a.size - 2 <= most else _grouped(a, b, most)
    if len(reference.names) <= most:
        return a, b
    rare = np.arange(a.size) >= most  # the names are in order of frequency
    return np.append(a[~rare], a[rare].sum()), np.append(b[~rare], b[rare].sum())


def _grouped(a: Array, b: Array, most: int) -> tuple[Array, Array]:
    """Join neighbouring bins into `most` groups of about equal share of the reference; below and above stay apart."""
    inner = a[1:-1]
    group = np.minimum(((np.cumsum(inner) - inner / 2) / max(inner.sum(), 1) * most).astype(np.int64), most - 1)
    joined = [np.bincount(group, weights=x[1:-1], minlength=most) for x in (a, b)]
    return tuple(np.concatenate([x[:1], mid, x[-1:]]) for x, mid in zip((a, b), joined, strict=True))  # type: ignore[return-value]


# Statistics


def debiased_distance(a: Array, b: Array) -> float:
    """Debiased Jensen-Shannon distance of two vectors of counts, in √bits, 0 to 1; 0 when either is empty.

    >>> debiased_distance(np.array([5000.0, 0.0]), np.array([0.0, 5000.0]))
    0.9999...
    """
    n, m = a.sum(), b.sum()
    if not n or not m:
        return 0.0
    used = (a + b) > 0
    p, q = a[used] / n, b[used] / m
    middle = (p + q) / 2
    square = sum(0.5 * np.sum(x[x > 0] * np.log2(x[x > 0] / middle[x > 0])) for x in (p, q))
    expected = (int(used.sum()) - 1) * (1 / n + 1 / m) / (8 * log(2))
    return sqrt(max(0.0, float(square - expected)))


def chi_square_p(a: Array, b: Array) -> float:
    """P-value of the χ² test that two vectors of counts come from one distribution; 1 when there is nothing to compare.

    Slots in which either vector expects fewer than five rows are pooled, and the pool, where it still expects fewer, goes
    to the scarcest other slot.
    """
    n, m = a.sum(), b.sum()
    if not n or not m:
        return 1.0
    a, b = _pooled(a, b)
    if a.size < 2:  # noqa: PLR2004 - one slot holds all rows of both
        return 1.0
    total = a + b
    statistic = sum(float(np.sum((x - total * k / (n + m)) ** 2 / (total * k / (n + m)))) for x, k in ((a, n), (b, m)))
    return chi_square_survival(statistic, a.size - 1)


def _pooled(a: Array, b: Array) -> tuple[Array, Array]:
    least, share = 5.0, min(a.sum(), b.sum()) / (a.sum() + b.sum())
    scarce = (a + b) * share < least
    if not scarce.any():
        return a, b
    pool, a, b = (a[scarce].sum(), b[scarce].sum()), a[~scarce], b[~scarce]
    if sum(pool) * share >= least or not a.size:
        return np.append(a, pool[0]), np.append(b, pool[1])
    into = int(np.argmin(a + b))
    a[into] += pool[0]
    b[into] += pool[1]
    return a, b


def chi_square_survival(x: float, freedom: int) -> float:
    """Return P(χ² > x) for a whole number of degrees of freedom, exactly, by a finite sum.

    With h = x / 2: for even freedom exp(-h) Σ h^i / i! over 0 ≤ i < freedom / 2; for odd freedom erfc(√h) + exp(-h) Σ
    h^(i-½) / Γ(i+½) over 1 ≤ i ≤ (freedom - 1) / 2 (Abramowitz and Stegun 26.4.4-5). The general case would need the
    incomplete gamma function, hence SciPy, which the plain install does not carry.

    >>> round(chi_square_survival(3.841459, 1), 6), round(chi_square_survival(18.307038, 10), 6)
    (0.05, 0.05)
    """
    if x <= 0:
        return 1.0
    h, half = x / 2, 0.5 * (freedom % 2)
    powers = [i - half for i in range(1, freedom // 2 + 1)] if half else [float(i) for i in range(freedom // 2)]
    # each term in logarithms: h^i overflows where exp(-h) vanishes
    terms = [exp(power * log(h) - h - lgamma(power + 1)) for power in powers]
    return min(1.0, (erfc(sqrt(h)) if half else 0.0) + sum(terms))
