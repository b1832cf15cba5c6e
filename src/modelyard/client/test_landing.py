"""Where answers land on this machine: whole, or as parts that know what they were begun with."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from modelyard.client.landing import Fetch, Landing
from modelyard.core import Digest, Problem
from modelyard.serving.batch import Report, ScoreRequest, SourceKind, SourceRef, TargetKind, TargetRef

REQUEST = ScoreRequest("churn@7", SourceRef(SourceKind.UPLOAD, "sha256:aa"), TargetRef(TargetKind.OBJECTS))
REPORT = Report("churn", 7, "onnx", 5, 2, 1.5, 3, "the object store", Digest("sha256:bb"))
PARTS = (pl.DataFrame({"x": [1, 2, 3]}), pl.DataFrame({"x": [4, 5]}))


def fetched(parts: Sequence[pl.DataFrame] = PARTS) -> Fetch:
    def fetch(folder: Path) -> list[Path]:
        paths = [folder / f"part-{number:06}.parquet" for number in range(len(parts))]
        for rows, path in zip(parts, paths, strict=True):
            rows.write_parquet(path)
        return paths

    return fetch


def broken(folder: Path) -> list[Path]:
    (folder / "part-000000.parquet").write_bytes(b"half")
    raise Problem("server.unavailable", "There is no answer from the server")


@pytest.mark.parametrize("ending", ["parquet", "csv", "ndjson", "jsonl", "arrow", "ipc"])
def test_a_file_has_all_rows_in_order_and_nothing_stays_beside_it(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "new" / f"out.{ending}"
    kept = Landing(path).take(REPORT, fetched())
    read = {"parquet": pl.read_parquet, "csv": pl.read_csv, "arrow": pl.read_ipc, "ipc": pl.read_ipc}.get(
        ending, pl.read_ndjson
    )
    assert read(path).equals(pl.concat(PARTS))  # type: ignore[operator]
    assert list(path.parent.iterdir()) == [path]
    assert (kept.target, kept.listing) == (str(path), None)


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("before")
    with pytest.raises(Problem):
        Landing(tmp_path / "out.csv").take(REPORT, broken)
    nested = [pl.DataFrame({"x": [[1, 2]]})]
    with pytest.raises(Problem, match="cannot be written") as told:
        Landing(tmp_path / "out.csv").take(REPORT, fetched(nested))
    assert told.value.code == "file.unavailable"
    assert (tmp_path / "out.csv").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_file_that_is_there_is_replaced_on_demand_alone(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("before")
    landing = Landing(tmp_path / "out.csv")
    with pytest.raises(Problem) as told:
        landing.require_free(anew=False)
    assert told.value.code == "file.exists"
    landing.require_free(anew=True)


def test_a_folder_is_gone_on_with_for_the_same_alone(tmp_path: Path) -> None:
    landing = Landing(tmp_path / "out")
    for _ in range(2):
        landing.require_free(anew=False)
        landing.begin(REQUEST, anew=False)
        landing.take(REPORT, fetched())
    assert {path.name for path in (tmp_path / "out").glob("[!_]*")} == {"part-000000.parquet", "part-000001.parquet"}
    assert (tmp_path / "out" / "_SUCCESS").is_file()
    with pytest.raises(Problem, match="holds answers by churn@7: churn@8 was asked for") as told:
        landing.begin(replace(REQUEST, model="churn@8"), anew=False)
    assert told.value.code == "target.conflict"
    other = replace(REQUEST, source=SourceRef(SourceKind.UPLOAD, "sha256:cc"))
    with pytest.raises(Problem) as told:
        landing.begin(other, anew=False)
    assert told.value.code == "source.conflict"


def test_anew_takes_away_parts_and_nothing_else(tmp_path: Path) -> None:
    landing = Landing(tmp_path / "out")
    landing.begin(REQUEST, anew=False)
    landing.take(REPORT, fetched())
    (tmp_path / "out" / "notes.txt").write_text("mine")
    landing.begin(replace(REQUEST, model="churn@8"), anew=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"notes.txt", "_SCORING.json"}


def test_a_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for path, code in ((tmp_path, "target.exists"), (tmp_path / "notes.txt", "file.exists")):
        for anew in (False, True):
            with pytest.raises(Problem) as told:
                Landing(path).require_free(anew=anew)
            assert told.value.code == code
