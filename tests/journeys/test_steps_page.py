"""The page of the declared steps runs as it stands, and names every kind."""

import re
from pathlib import Path

from modelyard.prepare.steps import STEPS
from tests.journeys.pages import DOCS, run_page

PAGE = "prepare/steps.md"


def test_the_page_of_the_steps_runs_and_shows_what_is_printed(tmp_path: Path) -> None:
    told = run_page(PAGE, tmp_path)
    [shown] = re.findall(r"^```text\n(.*?)^    …\n", (DOCS / PAGE).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert told[: len(shown.splitlines())] == shown.splitlines()
    assert told[-1].startswith("{'size': [21.1")


def test_the_page_of_the_steps_names_every_kind_once() -> None:
    named = re.findall(r"^\| `(\w+)\(", (DOCS / PAGE).read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(STEPS)
