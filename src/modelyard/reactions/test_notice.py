"""Where notices may go, and what they tell."""

from datetime import UTC, datetime

import pytest

from modelyard.core import Problem, ProjectId
from modelyard.reactions import ActionKind, Decision, DecisionId
from modelyard.reactions.notice import host_of, notice_of


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example",
        "//hooks.example/x",
        "ftp://hooks.example/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "https://ann@hooks.example/",
        "https://ann:secret@hooks.example/",
        "https://hooks.example:port/",
        "https://[::1/",
        "https://hooks.example/a b",
        "https://hooks.example/\r\nx: y",
    ],
)
def test_an_address_that_is_none_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(Problem) as told:
        host_of(url)
    assert told.value.code == "policy.invalid"
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/x", "HTTPS://Hooks.Example", "https://hooks.example/T0?token=1#x"])
def test_an_address_of_the_web_is_taken(url: str) -> None:
    assert host_of(url) in ("127.0.0.1", "hooks.example")


def test_a_notice_tells_all_of_a_decision_but_its_evidence() -> None:
    decision = Decision(
        DecisionId("dec_1"), ProjectId("p"), "keep", "delay", ActionKind.ROLL_BACK, "alert_1", 2, "rolled back",
        {"problem": {"traceback": "secret"}}, "policy:keep", datetime(2013, 4, 1, tzinfo=UTC),
    )  # fmt: skip
    assert notice_of(decision) == {
        "id": "dec_1",
        "project": "p",
        "policy": "keep",
        "deployment": "delay",
        "action": "roll_back",
        "cause": "alert_1",
        "version": 2,
        "told": "rolled back",
        "by": "policy:keep",
        "at": "2013-04-01T00:00:00.000000Z",
    }
