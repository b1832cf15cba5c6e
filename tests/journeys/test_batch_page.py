"""The page on batch runs as it stands."""

from pathlib import Path

from tests.journeys.pages import run_page


def test_the_page_on_batch_runs(tmp_path: Path) -> None:
    told = run_page("serving/batch.md", tmp_path, "-W", "ignore")
    assert told == [
        "['customer', 'X', 'label', 'probabilities', 'model_version']",
        "1000 2",
        "400",
        "600",
        "True",
        "source.conflict",
        "900",
    ]
