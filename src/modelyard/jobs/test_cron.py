from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.jobs.cron import ALIASES, next_time

MONDAY = datetime(2013, 6, 24, 5, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "following"),
    [
        ("* * * * *", "2013-06-24T05:31"),
        ("*/20 * * * *", "2013-06-24T05:40"),
        ("30 5 * * *", "2013-06-25T05:30"),
        ("0 0 * * MON", "2013-07-01T00:00"),
        ("0 0 * * 0", "2013-06-30T00:00"),
        ("0 0 29 2 *", "2016-02-29T00:00"),
        ("0 0 31 * *", "2013-07-31T00:00"),
        ("@hourly", "2013-06-24T06:00"),
        ("@yearly", "2014-01-01T00:00"),
    ],
)
def test_the_next_time_is_the_first_after(cron: str, following: str) -> None:
    assert next_time(cron, MONDAY) == datetime.fromisoformat(following).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "daily",
        "@reboot",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "*/0 * * * *",
        "0 0 30 2 *",
        "R * * * *",
        "H(0-5) * * * *",
        "a b c d e",
        "*" * 300 + " * * * *",
        "0 0 * * \x00",
    ],
)
def test_what_names_no_certain_time_is_refused(cron: str) -> None:
    with pytest.raises(Problem) as raised:
        next_time(cron, MONDAY)
    assert raised.value.code == "schedule.invalid"


def test_a_time_of_another_zone_is_read_as_the_same_instant() -> None:
    new_york = MONDAY.astimezone(timezone(timedelta(hours=-4)))
    assert next_time("0 6 * * *", new_york) == datetime(2013, 6, 24, 6, tzinfo=UTC)


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)), st.sampled_from(["7 */3 * * 2", *ALIASES])
)
def test_the_next_time_is_always_later_and_stays_the_next_until_it_is_reached(after: datetime, cron: str) -> None:
    following = next_time(cron, after)
    assert following > after
    assert next_time(cron, following - timedelta(microseconds=1)) == following
