"""Values of time columns as moments."""

from datetime import UTC, date, datetime, time


def in_utc(value: object) -> datetime | None:
    """Return a date or datetime as a moment in UTC: a naive one is taken for UTC, a date for its first moment; None for others.

    >>> in_utc(date(2013, 1, 1))
    datetime.datetime(2013, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return datetime.combine(value, time(), UTC) if isinstance(value, date) else None
