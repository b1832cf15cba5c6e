"""Clocks: a function that returns the time now, as an aware UTC datetime. Always passed in, never looked up."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Return the machine's time now, in UTC."""
    return datetime.now(UTC)


def to_text(at: datetime) -> str:
    """Return `at` in ISO 8601 with microseconds and `Z`: texts sort as the times do.

    >>> to_text(datetime(2013, 6, 24, 5, 0, tzinfo=UTC))
    '2013-06-24T05:00:00.000000Z'
    """
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_text(text: str) -> datetime:
    """Return the aware time that an ISO 8601 text names; a text without an offset is UTC.

    Raises
    ------
    ValueError
        When `text` is not ISO 8601.

    >>> from_text("2013-06-24T05:00:00Z")
    datetime.datetime(2013, 6, 24, 5, 0, tzinfo=datetime.timezone.utc)
    """
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


class ManualClock:
    """A clock that stands still until it is moved: for tests.

    >>> clock = ManualClock(datetime(2013, 1, 1, tzinfo=UTC))
    >>> clock.advance(hours=1)
    >>> clock()
    datetime.datetime(2013, 1, 1, 1, 0, tzinfo=datetime.timezone.utc)
    """

    def __init__(self, now: datetime = datetime(2024, 1, 7, tzinfo=UTC)) -> None:
        self._now = now

    def __call__(self) -> datetime:
        """Return the time it was last moved to."""
        return self._now

    def set(self, now: datetime) -> None:
        """Move to `now`."""
        self._now = now

    def advance(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Move on by a span."""
        self._now += timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)


class FileClock:
    """A clock kept in a file, so that several processes replay one past together.

    Windows, schedules and cool-downs then follow event time; leases never do: they go by the database's own clock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> datetime:
        """Return the time that the file holds."""
        return from_text(self._path.read_text().strip())

    def set(self, now: datetime) -> None:
        """Write `now`, in one rename, so that no reader sees half a time."""
        scratch = self._path.with_suffix(".next")
        scratch.write_text(to_text(now))
        scratch.replace(self._path)
