"""The page on harm runs as it stands: its Python in one script, then its commands on what that left."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
from typer.testing import Result

from tests.journeys.pages import DOCS, run_page
from tests.journeys.test_checks import SH, yard

__all__ = ["yard"]


def test_the_page_on_harm_runs(tmp_path: Path, yard: Callable[[str], Result]) -> None:
    *harmful, listed = run_page("data/harm.md", tmp_path)
    assert "came with v2 150" in harmful
    assert listed == "True ['id', 'label', 'reason', 'row', 'score', 'slices', 'suggested']"
    [block] = SH.findall((DOCS / "data" / "harm.md").read_text(encoding="utf-8"))
    shown, asked = [yard(line) for line in block.splitlines()]
    assert (shown.exit_code, asked.exit_code) == (0, 0)
    assert "came with v2" in shown.stdout
    doubtful = pl.read_csv(tmp_path / "doubtful.csv")
    assert doubtful.filter(pl.col("slices").str.contains("came with v2"))["id"].is_between(1200, 1349).all()
    found = json.loads(asked.stdout)
    assert len(found["slices"]) == 5
    assert found["fits"] <= 40
