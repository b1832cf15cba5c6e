"""The stretch of time that a page shows: chosen by the address, else the shortest that holds everything."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from modelyard.console.frame import Frame

SPANS = (
    ("24h", "24 h", timedelta(days=1)),
    ("14d", "14 d", timedelta(days=14)),
    ("90d", "90 d", timedelta(days=90)),
    ("1y", "1 y", timedelta(days=366)),
)


@dataclass(frozen=True)
class Choice:
    """One of the lengths that can be chosen."""

    name: str
    href: str
    chosen: bool


@dataclass(frozen=True)
class TimeRange:
    """What is shown, and what else could be."""

    since: datetime
    until: datetime
    choices: tuple[Choice, ...]


def range_of(frame: Frame, first: datetime | None, last: datetime | None) -> TimeRange:
    """Return the range that the address names; without one the shortest that holds everything from `first` on.

    It ends now, or with the last thing that happened: event times may run ahead of the platform's clock.
    """
    until = max(frame.now, last + timedelta(hours=1)) if last else frame.now
    age = until - first if first else timedelta(0)
    fitting = next((key for key, _, length in SPANS if length >= age), SPANS[-1][0])
    asked = frame.query.get("range", "")
    chosen = asked if asked in [key for key, _, _ in SPANS] else fitting
    length = next(length for key, _, length in SPANS if key == chosen)
    since = until - length
    if first is not None and since < first:
        # Everything is shown anyway: leave out the empty stretch before, but never show less than a quarter of the range.
        since = max(since, min(first - (until - first) * 0.01, until - length / 4))
    choices = tuple(Choice(name, frame.with_query(range=key), key == chosen) for key, name, _ in SPANS)
    return TimeRange(since, until, choices)
