import pytest

from modelyard.core import Problem
from modelyard.core.spans import rate, span_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h", 3600),
        ("1d", 86_400),
        ("2w", 1_209_600),
        ("1.5h", 5400),
        ("day", 86_400),
        ("3 days", 259_200),
    ],
)
def test_a_span_is_read(text: str, seconds: int) -> None:
    assert span_s(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "seven days", "7x", "-7d", "0d", "0.1s"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        span_s(text)
    assert caught.value.code == "span.invalid"


@pytest.mark.parametrize("text", ["", "often", "1", "x/day", "-1/day", "1.5/day"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        rate(text)
    assert caught.value.code == "rate.invalid"
