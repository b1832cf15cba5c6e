"""The page on ensembles runs as it stands."""

from pathlib import Path

from tests.journeys.pages import run_page


def test_the_page_on_ensembles_runs(tmp_path: Path) -> None:
    parts, inputs, best = run_page("serving/ensembles.md", tmp_path, "-W", "ignore")
    assert parts == "delay@1 ['small@1', 'big@1']"
    assert inputs == "['wind', 'fog']"
    assert best == "best True"
