"""Two versions beside each other and samples, from the command line over the API of an embedded platform."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from modelyard.cli.app import app
from modelyard.cli.exits import EXITS
from modelyard.core import ProblemKind


def yard(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def lines(done: Result) -> list[list[str]]:
    """Return the cells of what was printed, line by line, rules left out."""
    assert done.exit_code == 0, done.output
    return [line.split() for line in done.stdout.splitlines() if line.strip(" ─")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of a platform with two datasets of two versions each, one of them without a key."""
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODELYARD_PROJECT", "air")
    rows = pl.DataFrame({"id": range(40), "carrier": ["UA", "B6"] * 20, "x.y": [n / 4 for n in range(40)]})
    rows.head(30).write_parquet(tmp_path / "first.parquet")
    rows.tail(10).with_columns(carrier=pl.lit("EV"), gate=pl.lit("B7")).write_parquet(tmp_path / "second.parquet")
    assert yard("project", "create", "air").exit_code == 0
    for name, *rest in (("flights", "--key", "id"), ("log", str(tmp_path / "first.parquet"))):
        assert yard("dataset", "add", name, *rest).exit_code == 0
        for file in ("first", "second"):
            assert yard("dataset", "append", name, str(tmp_path / f"{file}.parquet")).exit_code == 0
    return tmp_path


def test_what_differs_is_printed_for_people_and_for_scripts(folder: Path) -> None:
    told = lines(yard("dataset", "diff", "flights", "1", "--examples", "1"))
    assert told[:4] == [["version", "v1", "→", "v2"], ["rows", "30", "→", "40"], ["added", "10"], ["removed", "0"]]
    assert ["compared", "by", "id"] in told
    assert ["30", "EV", "7.5", "B7"] in told
    assert ["gate", "added,", "String"] in told
    assert any(row[:2] == ["carrier", "0.25"] and "EV" in row for row in told)
    found = json.loads(yard("dataset", "diff", "flights", "2", "1", "--json").stdout)
    assert (found["rows"]["removed"], [one["name"] for one in found["schema"]["removed"]]) == (10, ["gate"])
    keyless = lines(yard("dataset", "diff", "log", "1", "2"))
    assert ["compared", "as", "they", "are"] in keyless
    assert yard("dataset", "diff", "flights", "1", "3").exit_code == EXITS[ProblemKind.MISSING]


def test_a_sample_is_printed_or_written(folder: Path) -> None:
    out = folder / "sample.parquet"
    written = json.loads(yard("dataset", "sample", "flights", "--rows", "7", "--out", str(out), "--json").stdout)
    assert written == {"file": str(out), "rows": 7}
    drawn = pl.read_parquet(out)
    again = json.loads(yard("dataset", "sample", "flights", "--rows", "7", "--json").stdout)
    assert drawn.to_dicts() == again
    assert len(lines(yard("dataset", "sample", "flights", "--rows", "7"))) == 8
    assert json.loads(yard("dataset", "sample", "flights", "--rows", "99", "--version", "1", "--json").stdout)[-1]["id"] == 29


def test_versions_are_dropped_as_was_shown_before_and_only_after_a_yes(folder: Path) -> None:
    asked = ("dataset", "vacuum", "dumps", "--keep", "1", "--older-than", "0d")
    assert yard("dataset", "add", "dumps", "--key", "id").exit_code == 0
    for file in ("first", "second"):
        assert yard("dataset", "append", "dumps", str(folder / f"{file}.parquet"), "--whole").exit_code == 0
    would = json.loads(yard(*asked, "--dry-run", "--json").stdout)
    assert [(one["number"], one["fate"]) for one in would["versions"]] == [(2, "kept"), (1, "dropped")]
    assert would["size_bytes"] > 0
    refused = CliRunner().invoke(app, list(asked), input="n\n")
    assert refused.exit_code == 1
    assert lines(yard("dataset", "sample", "dumps", "--version", "1", "--rows", "1"))
    told = yard(*asked, "--yes")
    assert [row[-1] for row in lines(told)[1:]] == ["kept", "dropped"]
    assert f"1 versions and the rows of 0 stopped batches went: {would['size_bytes']:,} bytes in 1 files" in told.output
    gone = yard("dataset", "sample", "dumps", "--version", "1")
    assert gone.exit_code == EXITS[ProblemKind.DROPPED]
    assert "The rows of dumps@1 are gone" in gone.output
    assert yard("dataset", "show", "dumps", "--version", "1").exit_code == 0
    assert yard("dataset", "vacuum", "dumps", "--keep", "0", "--dry-run").exit_code == EXITS[ProblemKind.INVALID]
    assert yard("dataset", "vacuum", "dumps", "--older-than", "soon", "--dry-run").exit_code == EXITS[ProblemKind.INVALID]


def test_nothing_to_drop_asks_nothing(folder: Path) -> None:
    del folder
    told = yard("dataset", "vacuum", "flights", "--keep", "1", "--older-than", "0d")
    assert told.exit_code == 0
    assert "0 versions" in told.output
    assert [row[-1] for row in lines(told)[1:]] == ["kept", "shared"]
