import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.traces import TraceContext

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "text",
    [
        f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00", f"cc-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-comes-later",
    ],
)  # fmt: skip
def test_a_context_is_read(text: str) -> None:
    found = TraceContext.parse(text, "vendor=1")
    assert found is not None
    assert (found.trace_id, found.span_id, found.state) == (TRACE, SPAN, "vendor=1")
    assert TraceContext.parse(found.traceparent) == TraceContext(TRACE, SPAN, text[53:55])


@pytest.mark.parametrize(
    "text",
    [
        None, "", "00", f"00-{TRACE}-{SPAN}", f"00-{TRACE}-{SPAN}-01-more", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01\n", f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0g", f"00-{TRACE}x-{SPAN}-01",
    ],
)  # fmt: skip
def test_what_is_no_context_is_as_if_there_were_none(text: str | None) -> None:
    assert TraceContext.parse(text) is None


def test_a_state_that_is_too_long_is_dropped() -> None:
    found = TraceContext.parse(f"00-{TRACE}-{SPAN}-01", "x" * 513)
    assert found is not None
    assert found.state == ""


@given(st.text())
def test_any_text_is_read_or_is_not(text: str) -> None:
    found = TraceContext.parse(text)
    assert found is None or TraceContext.parse(found.traceparent) is not None
