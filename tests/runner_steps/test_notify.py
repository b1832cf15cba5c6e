"""The job `decision.notify`, against a server that answers as it is told."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from modelyard.core import Problem
from modelyard.jobs import JobState
from modelyard.jobs.lease import fail, take
from modelyard.jobs.rules import retryable
from modelyard.reactions import ActionKind, Decision
from modelyard.reactions.notice import TRIES, notice_of, send_notice
from modelyard.reactions.record import Deed, record
from modelyard.runner.steps import notify
from modelyard.serving.service import get_deployment
from tests.listening import Quiet, listening
from tests.runner_steps.place import Place


@dataclass
class Hook:
    """A server that keeps what it is sent."""

    url: str = ""
    status: int = 200
    heard: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)


@pytest.fixture
def hook() -> Iterator[Hook]:
    """Give a server that runs."""
    kept = Hook()

    class Handler(Quiet):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.heard.append((self.path, {name.lower(): value for name, value in self.headers.items()}, json.loads(body)))
            self.send_response(kept.status)
            self.send_header("location", f"{kept.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

    with listening(Handler) as kept.url:
        yield kept


def decided(place: Place, url: str) -> Decision:
    """Have something decided, and its notice queued."""
    deed = Deed(ActionKind.ROLL_BACK, "alert_1", "rolled back to v1", {"problem": "secret"}, "policy:keep", 1)
    with place.platform.transaction() as tx:
        decision = record(place.platform, tx, get_deployment(*place.who, "late"), deed, "keep")
        send_notice(place.platform, place.actor, decision, url)
    return decision


def test_a_decision_arrives_as_json_without_its_evidence(place: Place, hook: Hook) -> None:
    decision = decided(place, f"{hook.url}/T0?x=1")
    assert place.work() == {"decision": decision.id, "host": "127.0.0.1", "status": 200}
    [(path, headers, body)] = hook.heard
    assert (path, headers["idempotency-key"], headers["content-type"]) == ("/T0?x=1", decision.id, "application/json")
    assert body == notice_of(decision)
    assert "secret" not in json.dumps(body)
    assert "authorization" not in headers


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "notice.unavailable"),
        (503, "notice.unavailable"),
        (429, "notice.unavailable"),
        (404, "notice.refused"),
        (302, "notice.refused"),
        (307, "notice.refused"),
    ],
)
def test_an_answer_that_is_no_yes_is_met_with_another_try_or_the_end(place: Place, hook: Hook, status: int, code: str) -> None:
    hook.status = status
    decided(place, hook.url)
    with pytest.raises(Problem) as told:
        place.work()
    assert (told.value.code, told.value.why) == (code, f"it answered {status}")
    assert retryable(told.value) is (code == "notice.unavailable")
    assert len(hook.heard) == 1, "what an answer points to is not followed"


def test_a_host_that_is_away_is_tried_again_and_not_for_ever(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    decided(place, url)
    lease = place.take()
    with pytest.raises(Problem) as told:
        place.step(lease.job)
    assert told.value.code == "notice.unavailable"
    assert lease.job.max_attempts == TRIES
    assert fail(place.platform, lease, told.value).state is JobState.QUEUED
    assert take(place.platform, "worker", lease_s=60) is None, "a pause comes first"


@contextmanager
def deaf() -> Iterator[str]:
    """Give the address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_host_that_never_answers_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "TIMEOUT_S", 0.05)
    with deaf() as url:
        decided(place, url)
        with pytest.raises(Problem) as told:
            place.work()
    assert told.value.code == "notice.timeout"
    assert retryable(told.value)
