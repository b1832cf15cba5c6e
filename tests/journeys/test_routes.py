"""The page on routes runs as it stands."""

from pathlib import Path

from tests.journeys.pages import run_page


def test_the_page_on_routes_runs(tmp_path: Path) -> None:
    met, routes, shadows = run_page("serving/routes.md", tmp_path, "-W", "ignore")
    assert met == "[1, 2]"
    assert "version=3, weight=50" in routes
    assert shadows.startswith("[")
