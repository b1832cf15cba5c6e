"""When a schedule is due: the five fields of cron, in UTC."""

import re
from datetime import UTC, datetime

from croniter import CroniterError, croniter

from modelyard.core import Problem

FIELDS = 5
ALIASES = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
MAX_LENGTH = 200
_CHANCE = re.compile(r"(?<![a-z])[rh](?![a-z])", re.IGNORECASE)  # croniter's R and H draw a time by chance


def next_time(cron: str, after: datetime) -> datetime:
    """Return the first time after `after`, never `after` itself, that `cron` names.

    Parameters
    ----------
    cron
        Minute, hour, day of month, month, day of week, or `@hourly` to `@yearly`; read in UTC, so that no hour of it is
        skipped or doubled. When both days are given, either suffices, as in cron.
    after
        An aware time.

    Raises
    ------
    Problem
        `schedule.invalid` for another form, and for a day that never comes, such as 30 February.

    >>> next_time("30 5 * * 1", datetime(2013, 6, 24, 5, 30, tzinfo=UTC)).isoformat()
    '2013-07-01T05:30:00+00:00'
    """
    if len(cron) > MAX_LENGTH or (cron not in ALIASES and len(cron.split()) != FIELDS):
        raise _invalid(cron, "it has five fields (minute, hour, day, month, weekday), or is " + ", ".join(ALIASES))
    if _CHANCE.search(cron):
        raise _invalid(cron, "R and H would name another time with each reading")
    try:
        found: datetime = croniter(cron, after.astimezone(UTC)).get_next(datetime)
    except (CroniterError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise _invalid(cron, str(error) or "it names no time") from error
    return found


def _invalid(cron: str, why: str) -> Problem:
    example = "write it as in '0 5 * * 1' (Mondays at five, UTC)"
    return Problem("schedule.invalid", f"{cron[:MAX_LENGTH]!r} is no time for a schedule", why, example)
