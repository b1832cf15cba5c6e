"""The tour runs as it stands: every Python block of docs/tour.md, in order, as one script with the platform inside."""

import os
import re
import subprocess
import sys
from pathlib import Path

TOUR = Path(__file__).parents[2] / "docs" / "tour.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_every_snippet_of_the_tour_runs_in_order(tmp_path: Path) -> None:
    blocks = BLOCK.findall(TOUR.read_text(encoding="utf-8"))
    assert len(blocks) >= 6
    script = tmp_path / "tour.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    bare = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    environment = {**bare, "MODELYARD_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert told[0] == "customers@1 4000"
    assert sum("log_loss" in line or "depth" in line for line in told) >= 4, "four trials, each with its parameters"
    assert re.match(r"1 \[0\.\d+, 0\.\d+\]", told[-1]), told[-1]
