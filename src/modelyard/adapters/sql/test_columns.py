from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from modelyard.adapters.sql.columns import Instant, JsonText

DIALECTS = [sqlite.dialect(), postgresql.dialect()]  # type: ignore[no-untyped-call]  # SQLAlchemy leaves their constructors open
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(9000, 1, 1), timezones=OFFSETS)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(TIMES, TIMES)
def test_times_come_back_as_the_same_moments_and_sort_as_such(first: datetime, second: datetime) -> None:
    for dialect in DIALECTS:
        kept = [Instant().process_bind_param(at, dialect) for at in (first, second)]
        assert [Instant().process_result_value(value, dialect) for value in kept] == [first, second]
        assert (kept[0] < kept[1]) == (first < second)


def test_a_time_without_an_offset_is_refused() -> None:
    for dialect in DIALECTS:
        with pytest.raises(ValueError, match="no offset"):
            Instant().process_bind_param(datetime(2013, 1, 1), dialect)


@given(JSON)
def test_json_comes_back_the_same(value: object) -> None:
    text = JsonText().process_bind_param(value, DIALECTS[0])
    assert value is None or (text is not None and text.isascii())
    assert JsonText().process_result_value(text, DIALECTS[0]) == value


def test_json_keeps_numbers_that_are_none_and_times() -> None:
    value = {"loss": float("inf"), "at": datetime(2013, 6, 24, 12, tzinfo=UTC)}
    kept = JsonText().process_result_value(JsonText().process_bind_param(value, DIALECTS[0]), DIALECTS[0])
    assert kept == {"loss": float("inf"), "at": "2013-06-24T12:00:00.000000Z"}


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError, match="set has no JSON form"):
        JsonText().process_bind_param({"a": {1}}, DIALECTS[0])
