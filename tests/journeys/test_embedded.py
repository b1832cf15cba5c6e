"""The whole platform inside a script's own process."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
from typer.testing import CliRunner

from modelyard.cli.app import app
from modelyard.embedded.door import connection, embedded
from modelyard.tenancy import Project
from modelyard.wiring import read_settings


def test_what_init_wrote_runs_and_leaves_no_process(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["init", str(tmp_path / "churn")]).exit_code == 0
    bare = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    environment = {**bare, "MODELYARD_HOME": str(tmp_path / "home")}
    told = []
    for script in ("make_data.py", "train.py"):
        command = [sys.executable, str(tmp_path / "churn" / script)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        told += done.stdout.splitlines()
    assert told[1] == "customers@1: 4,000 rows"
    assert told[2].startswith("best: {'depth': ")
    assert told[3].startswith("churn@1 says 0.")
    lines = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    assert [line for line in lines if str(tmp_path / "home") in line] == []


def test_a_home_is_opened_once_and_needs_no_token(tmp_path: Path) -> None:
    first, second = connection(home=tmp_path), connection(home=tmp_path)
    assert first is second
    assert [one.name for one in first.get("/v1/projects", list[Project])] == []
    assert first.post("/v1/projects", Project, {"name": "churn"}).name == "churn"
    embedded(read_settings(home=tmp_path)).close()
    embedded.cache_clear()
