"""Scales of charts: from values and times to places, and the ticks that people read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil, floor, isfinite, log10


@dataclass(frozen=True)
class Scale:
    """From [low, high] to [start, stop], both straight."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        width = self.high - self.low
        return self.start + (self.stop - self.start) * ((value - self.low) / width if width else 0.5)

    def ticks(self, about: int = 3) -> tuple[float, ...]:
        """Return round values inside, some `about` of them.

        >>> Scale(0.41, 0.58, 0, 100).ticks()
        (0.45, 0.5, 0.55)
        """
        width = self.high - self.low
        if width <= 0 or not isfinite(width):
            return (self.low,)
        raw = width / about
        power = 10.0 ** floor(log10(raw))
        step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= raw * 0.75)
        first = ceil(self.low / step - 1e-9)
        last = floor(self.high / step + 1e-9)
        return tuple(round(number * step, 10) for number in range(first, last + 1))


@dataclass(frozen=True)
class TimeScale:
    """From [since, until] to [start, stop]."""

    since: datetime
    until: datetime
    start: float
    stop: float

    def __call__(self, at: datetime) -> float:
        """Return the place of a time."""
        width = (self.until - self.since).total_seconds() or 1.0
        return self.start + (self.stop - self.start) * (at - self.since).total_seconds() / width

    def holds(self, at: datetime) -> bool:
        """Return whether a time lies inside."""
        return self.since <= at <= self.until

    def ticks(self) -> tuple[tuple[datetime, str], ...]:
        """Return round times inside with their names: hours, days or months, whatever fits."""
        days = (self.until - self.since) / timedelta(days=1)
        if days > 70:  # noqa: PLR2004 - more than two months
            return self._months(every=max(1, round(days / 360)))
        step, form = _steps(days)
        first = datetime.fromtimestamp(ceil(self.since.timestamp() / step.total_seconds()) * step.total_seconds(), UTC)
        found = []
        while first <= self.until:
            found.append((first, first.strftime(form).lstrip("0") if form.startswith("%d") else first.strftime(form)))
            first += step
        return tuple(found)

    def _months(self, every: int) -> tuple[tuple[datetime, str], ...]:
        found = []
        month = datetime(self.since.year, self.since.month, 1, tzinfo=UTC)
        while month <= self.until:
            if self.holds(month) and (month.month - 1) % every == 0:
                found.append((month, f"{month:%b %Y}" if month.month == 1 else f"{month:%b}"))
            month = datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)
        return tuple(found)


def _steps(days: float) -> tuple[timedelta, str]:
    for most, step, form in (
        (0.3, timedelta(hours=1), "%H:%M"),
        (1.5, timedelta(hours=4), "%H:%M"),
        (4, timedelta(hours=12), "%d %b %H:%M"),
        (9, timedelta(days=1), "%d %b"),
        (20, timedelta(days=2), "%d %b"),
    ):
        if days <= most:
            return step, form
    return timedelta(days=7), "%d %b"


def around(values: Iterable[float | None], start: float, stop: float, *, zero: bool = False) -> Scale:
    """Return a scale that holds all values with a little room, from 0 on where `zero`."""
    known = [value for value in values if value is not None and isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if zero:
        return Scale(0.0, high * 1.08 or 1.0, start, stop)
    room = (high - low) * 0.12 or abs(high) * 0.1 or 1.0
    return Scale(low - room, high + room, start, stop)
