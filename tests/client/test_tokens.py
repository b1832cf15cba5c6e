"""Tokens from the command line, over the API of an embedded platform."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from modelyard.cli.app import app
from modelyard.cli.exits import EXITS
from modelyard.core import ProblemKind


def yard(*arguments: str) -> Any:
    done = CliRunner().invoke(app, ["token", *arguments, "--json"])
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_a_tokens_limit_is_given_changed_shown_and_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    made = yard("create", "partner", "--role", "viewer", "--rate", "100", "--burst", "200")
    assert made["token"]["limit"] == {"requests": 100, "burst": 200, "rows": None}
    assert yard("limit", "partner", "--rows", "5000")["limit"] == {"requests": None, "burst": None, "rows": 5000}
    shown = {one["name"]: one["limit"] for one in yard("list")}
    assert shown["partner"] == {"requests": None, "burst": None, "rows": 5000}
    assert yard("limit", "partner", "--off")["limit"] is None
    assert {one["name"]: one["limit"] for one in yard("list")}["partner"] is None
    for wrong in (["--burst", "5"], ["--rate", "0"], ["--off", "--rate", "5"], []):
        done = CliRunner().invoke(app, ["token", "limit", "partner", *wrong, "--json"])
        assert done.exit_code == EXITS[ProblemKind.INVALID]
        assert json.loads(done.stderr)["problem"]["code"] == "limit.invalid"
