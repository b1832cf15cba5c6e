"""The page of the editor runs as it stands."""

import re
from pathlib import Path

from tests.journeys.pages import DOCS, run_page

PAGE = "prepare/editor.md"


def test_the_page_of_the_editor_runs_and_prints_what_it_shows(tmp_path: Path) -> None:
    told = run_page(PAGE, tmp_path)
    [shown] = re.findall(r"^```text\n(.*?)^```", (DOCS / PAGE).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert told == [*shown.splitlines(), "finished"]
