"""What the columns of a version look like, as pages and the one-file report show them."""

from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from modelyard.console.charts import histogram, histogram_pair
from modelyard.console.telling import figure
from modelyard.data import Dataset
from modelyard.data.profile import CATEGORIES, CategoryProfile, ColumnProfile, NumberKind
from modelyard.data.shift import ColumnShift


@dataclass(frozen=True)
class ColumnRow:
    """A column of a version: its type, and what its values look like."""

    name: str
    dtype: str
    role: str  # key, time or nothing
    nulls: float
    low: str
    middle: str
    high: str
    picture: Markup


def column_row(dataset: Dataset, name: str, dtype: str, profile: ColumnProfile, rows: int) -> ColumnRow:
    """Return a column in a line; `rows`: of the version."""
    low = middle = high = ""
    if isinstance(profile, CategoryProfile):
        middle = told_kinds(profile)
        low = profile.names[0] if profile.names else ""
    elif profile.minimum is not None and profile.maximum is not None:
        low, middle, high = (told_number(profile, one) for one in (profile.minimum, profile.mean, profile.maximum))
    picture = histogram(profile, name) if not all_differ(profile) else Markup("")
    return ColumnRow(name, dtype, role_of(dataset, name), profile.null / rows if rows else 0.0, low, middle, high, picture)


def role_of(dataset: Dataset, name: str) -> str:
    """Return what a column is to its dataset: `key`, `time` or nothing."""
    return "key" if name in dataset.key else "time" if name == dataset.time else ""


def pair(before: ColumnProfile, after: ColumnProfile, name: str, names: tuple[str, str]) -> Markup:
    """Return both histograms; nothing where one holds names of rows."""
    return Markup("") if all_differ(before) or all_differ(after) else histogram_pair(before, after, name, names=names)


def means(shift: ColumnShift, profile: ColumnProfile) -> str:
    """Return how the mean moved; nothing where there is none."""
    if shift.mean_before is None or shift.mean_after is None:
        return ""
    return f"mean {told_number(profile, shift.mean_before)} → {told_number(profile, shift.mean_after)}"


def all_differ(profile: ColumnProfile) -> bool:
    """Return whether the values are names of rows, of which a picture shows nothing."""
    return isinstance(profile, CategoryProfile) and profile.unseen > sum(profile.counts)


def told_kinds(profile: CategoryProfile) -> str:
    """Return how many categories there are."""
    return f"{len(profile.names)} values" if len(profile.names) < CATEGORIES else f"{CATEGORIES} values or more"


def told_number(profile: ColumnProfile, number: float) -> str:
    """Return a number of a column as a person reads it: of times the day."""
    is_time = not isinstance(profile, CategoryProfile) and profile.kind is NumberKind.TIME
    return f"{datetime.fromtimestamp(number, UTC):%d %b %Y}" if is_time else figure(number)
