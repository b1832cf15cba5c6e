"""The page on dataset versions runs as it stands."""

from pathlib import Path

from tests.journeys.pages import run_page


def test_the_page_on_versions_runs(tmp_path: Path) -> None:
    told = run_page("data/versions.md", tmp_path, "-W", "ignore")
    assert told[:4] == [
        "1000 0 0",
        "['gate']",
        "{'flight': 1000, 'carrier': 'EV', 'distance': 200, 'late': 1, 'gate': 'B7'}",
        "0.5 CategoryShift(name='EV', before=0.0, after=0.5)",
    ]
    assert told[5:] == ["True False", "stratified late", "group carrier", "random None"]
