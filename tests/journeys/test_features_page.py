"""The page on features runs: trained by a join, served by a lookup, and both say the same; `yard feature` tells of it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.journeys.pages import run_page


def yard(folder: Path, *words: str) -> Any:
    """Return what a command prints as JSON, with the platform of the page's home inside."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    command = [sys.executable, "-m", "modelyard.cli", *words, "--json"]
    environment = {**bare, "MODELYARD_HOME": str(folder / "home")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_page_on_features_runs(tmp_path: Path) -> None:
    told = run_page("data/features.md", tmp_path, "-W", "ignore")
    assert told == ["it knows the wind", "True", "batch and REST agree"]
    assert yard(tmp_path, "feature", "publish", "weather")["number"] == 2
    [table] = yard(tmp_path, "feature", "list")
    assert (table["dataset"], table["newest"], table["published"]["number"]) == ("weather", 2, 2)
    [use] = yard(tmp_path, "feature", "show", "weather")["uses"]
    assert (use["deployment"], use["version"], use["lookup"]["columns"]) == ("late", "late@1", ["wind"])
    assert yard(tmp_path, "feature", "get", "weather", "JFK")["values"] == {"wind": 60.0}
    assert yard(tmp_path, "feature", "get", "weather", "JFK", "--before", "2013-01-01T00:00:00") is None
