"""The tour runs as it stands: every Python block of docs/tour.md, in order, as one script with the platform inside."""

import re
from pathlib import Path

from tests.journeys.pages import blocks_of, run_page


def test_every_snippet_of_the_tour_runs_in_order(tmp_path: Path) -> None:
    assert len(blocks_of("tour.md")) >= 6
    told = run_page("tour.md", tmp_path)
    assert told[0] == "customers@1 4000"
    assert sum("log_loss" in line or "depth" in line for line in told) >= 4, "four trials, each with its parameters"
    assert re.match(r"1 \[0\.\d+, 0\.\d+\]", told[-1]), told[-1]
