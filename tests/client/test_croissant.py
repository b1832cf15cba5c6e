"""Versions written as Croissant: what the metadata says is what lies beside it."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

import modelyard as yard
from modelyard.cli.app import app
from modelyard.client import ProjectClient
from modelyard.client.datasets import DatasetVersionClient
from modelyard.client.projects import open_project
from modelyard.core import Problem
from modelyard.data import Split, SplitKind
from modelyard.data.croissant import About
from modelyard.embedded.inprocess import Embedded
from modelyard.wiring import read_settings

ABOUT = About(
    "Orders of a shop.", "https://creativecommons.org/licenses/by/4.0/", "Lee 2026", ("Ann Lee",), "https://shop.example"
)
START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = pl.DataFrame(
    {
        "id": range(20),
        "at": [START + timedelta(hours=n) for n in range(20)],
        "day": [date(2026, 1, 1)] * 20,
        "paid": [1.5 * n for n in range(20)],
        "given": [n % 2 == 0 for n in range(20)],
        "name": [None if n == 3 else f"n{n}" for n in range(20)],
        "tags": [["a", "b"]] * 20,
        "nested": [{"a": 1}] * 20,
    }
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectClient]:
    platform = Embedded(read_settings(home=tmp_path_factory.mktemp("croissant") / "home", environment={}), workers=1)
    yield open_project(platform.connection, "shop")
    platform.close()


@pytest.fixture(scope="module")
def version(project: ProjectClient) -> DatasetVersionClient:
    return project.dataset("orders", key="id", time="at", checks=[yard.quality.between("paid", 0, 1000)]).append(ROWS)


def told(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def record_set(metadata: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {one["@id"]: one for one in metadata["recordSet"]}
    return found[name]


def check_whole(metadata: dict[str, Any], folder: Path) -> None:
    """Check that every reference leads somewhere, and that every file is what its digest says."""
    ids = {one["@id"] for one in metadata["distribution"]}
    fields = {field["@id"] for one in metadata["recordSet"] for field in one["field"]}
    for one in metadata["distribution"]:
        if one["@type"] == "cr:FileObject":
            content = (folder / one["contentUrl"]).read_bytes()
            assert one["sha256"] == hashlib.sha256(content).hexdigest()
            assert one["contentSize"] == f"{len(content)} B"
    for one in metadata["recordSet"]:
        keys = one.get("key", [])
        assert {key["@id"] for key in ([keys] if isinstance(keys, dict) else keys)} <= fields
        for field in (field for field in one["field"] if "source" in field):
            [of] = [field["source"][way]["@id"] for way in ("fileObject", "fileSet") if way in field["source"]]
            assert of in ids
            assert field.get("references", {"field": {"@id": field["@id"]}})["field"]["@id"] in fields


def test_a_version_is_its_rows_and_what_they_mean(version: DatasetVersionClient, tmp_path: Path) -> None:
    path = version.export_croissant(tmp_path / "out", ABOUT)
    metadata = told(path)
    check_whole(metadata, path.parent)
    assert (metadata["conformsTo"], metadata["name"], metadata["version"]) == (
        "http://mlcommons.org/croissant/1.0",
        "orders",
        "1.0.0",
    )
    assert (metadata["license"], metadata["citeAs"], metadata["creator"][0]["name"]) == (ABOUT.license, "Lee 2026", "Ann Lee")
    orders = record_set(metadata, "orders")
    assert {field["name"]: field["dataType"] for field in orders["field"]} == {
        "id": "sc:Integer",
        "at": "sc:DateTime",
        "day": "sc:Date",
        "paid": "sc:Float",
        "given": "sc:Boolean",
        "name": "sc:Text",
        "tags": "sc:Text",
    }
    assert [field["name"] for field in orders["field"] if field.get("repeated")] == ["tags"]
    assert orders["key"] == [{"@id": "orders/id"}]
    [paid] = [field["description"] for field in orders["field"] if field["name"] == "paid"]
    assert "between(paid" in paid
    assert pl.read_parquet(path.parent / "orders.parquet").equals(ROWS)


def test_parts_of_a_split_are_files_of_one_set(version: DatasetVersionClient, tmp_path: Path) -> None:
    path = version.export_croissant(tmp_path / "out", ABOUT, split=Split(SplitKind.TIME, 0.25))
    metadata = told(path)
    check_whole(metadata, path.parent)
    parts = {name: pl.read_parquet(path.parent / "data" / f"{name}.parquet") for name in ("train", "test")}
    assert pl.concat([parts["train"], parts["test"]]).equals(ROWS)
    assert parts["test"].height == 5
    assert record_set(metadata, "split")["data"] == [
        {"split/name": "train", "split/url": "cr:TrainingSplit"},
        {"split/name": "test", "split/url": "cr:TestSplit"},
    ]
    assert [one["name"] for one in record_set(metadata, "orders")["field"]][-1] == "split"


@pytest.mark.parametrize("split", [None, Split(SplitKind.TIME, 0.25)])
def test_what_is_written_is_read_again(
    project: ProjectClient, version: DatasetVersionClient, tmp_path: Path, split: Split | None
) -> None:
    path = version.export_croissant(tmp_path / "out", ABOUT, split=split)
    name = "again" if split is None else "parts"
    source = str(path) if split is None else f"{path.as_uri()}#records=orders"
    again = project.dataset(name, source=source, key="id").snapshot()
    found = again.frame()
    assert found.drop("split", strict=False).sort("id").equals(ROWS.drop("nested"))
    if split is not None:
        assert dict(found["split"].value_counts().iter_rows()) == {"train": 15, "test": 5}
    files = [one.told for one in again.record.parents if one.kind == "file"]
    assert files == (["orders.parquet"] if split is None else ["test.parquet", "train.parquet"])


def test_nothing_is_written_over(version: DatasetVersionClient, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(Problem) as refused:
        version.export_croissant(tmp_path)
    assert refused.value.code == "target.exists"
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]


def test_rows_with_a_split_of_their_own_are_not_parted(project: ProjectClient, tmp_path: Path) -> None:
    made = project.dataset("parted", key="id").append(ROWS.select("id", split=pl.lit("x")))
    with pytest.raises(Problem) as refused:
        made.export_croissant(tmp_path / "out", split=Split(SplitKind.HASH, 0.5))
    assert refused.value.code == "split.invalid"
    assert not (tmp_path / "out").exists()


def test_the_command_writes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MODELYARD_URL", raising=False)
    yard.project("shop").dataset("orders", key="id").append(ROWS)
    folder = tmp_path / "out"
    options = ["dataset", "export", "orders@1", "--croissant", str(folder), "--license", "MIT", "--creator", "Ann", "--json"]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == {"file": str(folder / "croissant.json"), "version": "orders@1", "rows": 20}
    metadata = told(folder / "croissant.json")
    check_whole(metadata, folder)
    assert (metadata["license"], metadata["creator"][0]["name"]) == ("MIT", "Ann")
