"""The page on engines runs as it stands, on this machine."""

from pathlib import Path

from tests.journeys.pages import run_page


def test_the_page_on_engines_runs(tmp_path: Path) -> None:
    assert run_page("prepare/engines.md", tmp_path) == [
        "flights-prepared@1 100000",
        "['flight', 'at', 'late', 'distance', 'at_hour', 'at_weekday', 'origin_EWR', 'origin_JFK', 'origin_LGA']",
        "flights-prepared@1",
        "[0.6931471824645996, 0.6931471824645996]",
        "[{'origin': 'LGA', 'distance': 2199.0, 'runways': 2.0}, {'origin': 'JFK', 'distance': 2199.0, 'runways': 4.0}]",
    ]
