"""How the columns of a dataset moved from one state to another, as far as the two kept profiles tell."""

from dataclasses import dataclass, replace

import numpy as np

from modelyard.data.profile import CategoryProfile, ColumnProfile, NumericProfile, Profile

CATEGORIES = 5  # told of a column


@dataclass(frozen=True)
class CategoryShift:
    """A category's share of all rows, before and after."""

    name: str
    before: float
    after: float


@dataclass(frozen=True)
class ColumnShift:
    """How the values of a column moved, as far as the two profiles tell.

    `distance` is 0 for equal distributions and 1 for such that share no value, nulls left out: of numbers the largest distance
    between the cumulative shares (Kolmogorov and Smirnov's, to half a per cent), of categories half the sum of the differences,
    where all those that one of the profiles does not name count as one.
    """

    name: str
    nulls_before: float  # a share of the rows
    nulls_after: float
    mean_before: float | None = None  # of numbers; times in seconds since 1970
    mean_after: float | None = None
    distinct_before: int | None = None  # of at most 100 categories; None: more, or no categories
    distinct_after: int | None = None
    categories: tuple[CategoryShift, ...] = ()  # those that moved most, most first
    distance: float | None = None  # None: one of both has no values, or another kind of them


def compare_profiles(before: Profile, after: Profile) -> tuple[ColumnShift, ...]:
    """Return how the columns that both profiles have moved, in the order of `after`."""
    return tuple(
        _shift(name, before.columns[name], before.rows, of, after.rows)
        for name, of in after.columns.items()
        if name in before.columns
    )


def _shift(name: str, before: ColumnProfile, rows_before: int, after: ColumnProfile, rows_after: int) -> ColumnShift:
    shift = ColumnShift(name, before.null / max(rows_before, 1), after.null / max(rows_after, 1))
    if isinstance(before, NumericProfile) and isinstance(after, NumericProfile):
        return replace(
            shift,
            mean_before=before.mean if before.finite else None,
            mean_after=after.mean if after.finite else None,
            distance=_between_numbers(before, after),
        )
    if isinstance(before, CategoryProfile) and isinstance(after, CategoryProfile):
        moved = _moved(before, rows_before, after, rows_after)
        return replace(
            shift,
            distinct_before=_distinct(before),
            distinct_after=_distinct(after),
            categories=moved[:CATEGORIES],
            distance=_between_categories(before, after),
        )
    return shift


def _between_numbers(before: NumericProfile, after: NumericProfile) -> float | None:
    if not before.quantiles or not after.quantiles:
        return None
    places = np.unique(before.quantiles + after.quantiles)
    below = [np.searchsorted(one.quantiles, places, side="right") / len(one.quantiles) for one in (before, after)]
    return float(np.abs(below[0] - below[1]).max())


def _between_categories(before: CategoryProfile, after: CategoryProfile) -> float | None:
    totals = [sum(one.slots) for one in (before, after)]
    if not all(totals):
        return None
    old, new = (_shares(one, other, total) for one, other, total in zip((before, after), (after, before), totals, strict=True))
    others = abs(sum(old.values()) - sum(new.values()))  # what the categories known of both leave over counts as one
    return (others + sum(abs(old[name] - new[name]) for name in old)) / 2


def _moved(before: CategoryProfile, rows_before: int, after: CategoryProfile, rows_after: int) -> tuple[CategoryShift, ...]:
    """Return the categories whose share is another, most moved first."""
    old, new = _shares(before, after, max(rows_before, 1)), _shares(after, before, max(rows_after, 1))
    shifts = [CategoryShift(name, share, new[name]) for name, share in old.items() if share != new[name]]
    return tuple(sorted(shifts, key=lambda one: -abs(one.after - one.before)))


def _shares(profile: CategoryProfile, other: CategoryProfile, total: int) -> dict[str, float]:
    """Return the shares of the categories whose numbers both profiles know.

    One that a profile does not name is not there, unless the profile has rows of categories that it does not name.
    """
    names = dict.fromkeys([*profile.names, *other.names])
    known = [name for name in names if all(name in one.names or not one.unseen for one in (profile, other))]
    counts = dict(zip(profile.names, profile.counts, strict=True))
    return {name: counts.get(name, 0) / total for name in known}


def _distinct(profile: CategoryProfile) -> int | None:
    return None if profile.unseen else sum(count > 0 for count in profile.counts)
