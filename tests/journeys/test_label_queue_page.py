"""The page on the label queue runs as it stands: its Python in one script, then its commands on what that left."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
from typer.testing import Result

from tests.journeys.pages import DOCS, run_page
from tests.journeys.test_checks import SH, yard

__all__ = ["yard"]


def test_the_page_on_the_label_queue_runs(tmp_path: Path, yard: Callable[[str], Result]) -> None:
    reasons, columns, ended = run_page("data/label-queue.md", tmp_path)
    assert reasons == "[('uncertain', 40), ('random', 10)]"
    assert columns == "['id', 'time', 'version', 'answer', 'reason', 'score', 'input.monthly', 'input.tenure']"
    assert ended == "['labelled', 'skipped'] False"

    [block] = SH.findall((DOCS / "data" / "label-queue.md").read_text(encoding="utf-8"))
    out, back, listed = block.splitlines()
    given = yard(out)
    assert given.exit_code == 0, given.output
    rows = pl.read_csv(tmp_path / "to-label.csv", schema_overrides={"value": pl.Float64})
    assert rows.columns[:2] == ["id", "value"]
    assert (rows.height, rows["value"].null_count(), rows.filter(reason="random").height) == (40, 40, 10)
    rows.with_columns(value=pl.when(pl.int_range(pl.len()) < 30).then(1.0)).write_csv(tmp_path / "to-label.csv")
    assert '{"labels":30}' in yard(f"{back} --json").stdout
    told = yard(listed).stdout
    assert told.count(" open ") == 60, "the fifty that the page asked for last, and ten left blank"
    assert told.count(" labelled ") == 79
    skipped = yard(f"yard label skip churn {rows['id'][39]} --json")
    assert '{"skipped":1}' in skipped.stdout
