"""The page on checks runs as it stands: its Python in one script, then its commands on what that left."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.journeys.pages import DOCS, run_page

SH = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_page_on_checks_runs(tmp_path: Path) -> None:
    first, second, why, *told = run_page("data/checks.md", tmp_path)
    assert (first, second) == ("customers@1", "customers@2 2")
    assert why == "row_count(low=100, high=None) fails: 40 rows"
    assert r"quality.matches('customer_id', r'C\d{5}') # 498 texts have one shape, such as 'C00000'" in told
    assert told[-2] == "[\"quality.not_null('plan')\", \"quality.warning(quality.share_null('tenure', 0.05))\"]"
    assert told[-1] == "[('expect_column_median_to_be_between(tenure)', 'there is no such check here')]"

    bare = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), bare["PATH"]])
    environment = {**bare, "PATH": path, "MODELYARD_HOME": str(tmp_path / "home")}

    def run(command: str) -> "subprocess.CompletedProcess[str]":
        shell = ["bash", "-e", "-o", "pipefail", "-c", command]
        return subprocess.run(shell, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    ran = [run(block) for block in SH.findall((DOCS / "data" / "checks.md").read_text(encoding="utf-8"))]
    assert [one.returncode for one in ran] == [0, 0], "".join(one.stderr for one in ran)
    suggested, foreign = ran
    assert "quality.one_of('plan', ['basic', 'plus', 'pro'])" in suggested.stdout
    assert "expect_column_median_to_be_between(tenure)" in foreign.stdout
    asked = json.loads(run("yard dataset checks customers --json").stdout)
    assert {"check": "quality.row_count(100, None)", "severity": "block"} in asked
    assert len({one["check"] for one in asked}) == len(asked), "what was taken over twice is asked once"
    absent = run("yard dataset checks customers --import suit.json --json")
    assert json.loads(absent.stderr)["problem"]["code"] == "file.missing"
