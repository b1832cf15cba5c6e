"""Connecting to Ray, where its client server stumbles; the engine itself is tested on a cluster."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from modelyard.core import Problem

STUMBLED = "failure from server: RuntimeError: Starting Ray client server failed. See its log"


def ray_that_fails(monkeypatch: pytest.MonkeyPatch, *errors: str) -> list[str]:
    """Put a Ray in place whose first connections fail so, and return what was asked of it."""
    asked: list[str] = []
    left = list(errors)

    def init(**_: Any) -> None:
        asked.append("init")
        if left:
            raise ConnectionError(left.pop(0))

    raised = SimpleNamespace(RayError=type("RayError", (Exception,), {}))
    fake = SimpleNamespace(init=init, shutdown=lambda: asked.append("shutdown"), exceptions=raised)
    monkeypatch.setitem(sys.modules, "ray", fake)
    return asked


def test_a_server_that_did_not_start_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from modelyard.adapters.engines.ray import _cluster

    asked = ray_that_fails(monkeypatch, STUMBLED, STUMBLED)
    with _cluster("ray://127.0.0.1:10001"):
        assert asked == ["init", "shutdown", "init", "shutdown", "init"]


@pytest.mark.parametrize("errors", [(STUMBLED,) * 3, ("nobody answers",)])
def test_one_that_never_starts_or_never_answers_is_told(monkeypatch: pytest.MonkeyPatch, errors: tuple[str, ...]) -> None:
    from modelyard.adapters.engines.ray import _cluster

    asked = ray_that_fails(monkeypatch, *errors)
    with pytest.raises(Problem) as told, _cluster("ray://127.0.0.1:10001"):
        pass
    assert told.value.code == "engine.unavailable"
    assert asked.count("init") == len(errors)
