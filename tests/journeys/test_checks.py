"""The page on checks runs as it stands: its Python in one script, then its commands on what that left."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from modelyard.cli.app import app
from modelyard.embedded.door import embedded
from modelyard.wiring import read_settings
from tests.journeys.pages import DOCS, run_page

SH = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Result]]:
    """Return what runs a line of the command line, with the platform of the folder's home in this process."""
    monkeypatch.delenv("MODELYARD_URL", raising=False)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    yield lambda line: CliRunner().invoke(app, shlex.split(line, comments=True)[1:])
    embedded(read_settings()).close()
    embedded.cache_clear()


def test_the_page_on_checks_runs(tmp_path: Path, yard: Callable[[str], Result]) -> None:
    first, second, why, *told = run_page("data/checks.md", tmp_path)
    assert (first, second) == ("customers@1", "customers@2 2")
    assert why == "row_count(low=100, high=None) fails: 40 rows"
    assert r"quality.matches('customer_id', r'C\d{5}') # 498 texts have one shape, such as 'C00000'" in told
    assert told[-2] == "[\"quality.not_null('plan')\", \"quality.warning(quality.share_null('tenure', 0.05))\"]"
    assert told[-1] == "[('expect_column_median_to_be_between(tenure)', 'there is no such check here')]"

    blocks = SH.findall((DOCS / "data" / "checks.md").read_text(encoding="utf-8"))
    lines = [line for block in blocks for line in block.splitlines() if line]
    ran = {line.partition("  #")[0].rstrip(): yard(line) for line in lines}
    assert {line: done.exit_code for line, done in ran.items()} == dict.fromkeys(ran, 0)
    assert "quality.one_of('plan', ['basic', 'plus', 'pro'])" in ran["yard dataset checks customers --suggest"].stdout
    foreign = ran["yard dataset checks customers --import suite.json"].stdout
    assert "expect_column_median_to_be_between(tenure)" in foreign
    assert "there is no such check here" in foreign
    asked = json.loads(yard("yard dataset checks customers --json").stdout)
    assert {"check": "quality.row_count(100, None)", "severity": "block"} in asked
    assert len({one["check"] for one in asked}) == len(asked), "what was taken over twice is asked once"
    absent = yard("yard dataset checks customers --import suit.json --json")
    assert json.loads(absent.stderr)["problem"]["code"] == "file.missing"
