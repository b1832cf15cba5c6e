"""The page on features runs: trained by a join, served by a lookup, and both say the same."""

from pathlib import Path

from tests.journeys.pages import run_page


def test_the_page_on_features_runs(tmp_path: Path) -> None:
    told = run_page("data/features.md", tmp_path, "-W", "ignore")
    assert told == ["it knows the wind", "True", "batch and REST agree"]
