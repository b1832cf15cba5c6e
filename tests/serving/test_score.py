"""Batch scoring gives the numbers of every other door."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelyard.adapters.file import FileObjects
from modelyard.adapters.onnx import OnnxFramework
from modelyard.adapters.sql import SqlMetadata, SqlTransaction
from modelyard.core import IdMaker, ManualClock, Problem, ProjectId, digest_bytes
from modelyard.data import DatasetVersionId
from modelyard.registry import Form, ModelVersion
from modelyard.registry.service import ensure_model, promote
from modelyard.serving.score import VERSION, open_scorer, score
from modelyard.serving.service import deploy
from modelyard.tenancy import Actor
from modelyard.tenancy.service import bootstrap, create_project
from modelyard.training import Framework, Recipe, RunId
from tests.gateway.packages import Package, build, flights


@dataclass(frozen=True)
class Ports:
    """The ports of scoring, filled."""

    clock: ManualClock
    ids: IdMaker
    objects: FileObjects
    metadata: SqlMetadata
    framework: Callable[[str], Framework]

    def transaction(self) -> AbstractContextManager[SqlTransaction]:
        """Open or join a transaction."""
        return self.metadata.transaction()


@dataclass(frozen=True)
class Place:
    """A deployment of one version."""

    ports: Ports
    actor: Actor
    project: ProjectId
    package: Package
    folder: Path

    def score(self, rows: pl.DataFrame | pl.LazyFrame, target: str = "delay") -> pl.DataFrame:
        return score(self.ports, self.actor, self.project, target, rows, folder=self.folder)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    metadata = SqlMetadata(f"sqlite:///{tmp_path / 'metadata.sqlite'}")
    metadata.upgrade()
    clock = ManualClock(datetime(2013, 4, 1, tzinfo=UTC))
    ports = Ports(clock, IdMaker(clock), FileObjects(tmp_path / "objects"), metadata, lambda name: OnnxFramework())
    actor, _ = bootstrap(ports)
    project = create_project(ports, actor, "flights").id
    package = build(ports.objects, project, tmp_path / "v1", 1)
    served, nothing = package.form, digest_bytes(b"")
    ensure_model(ports, actor, project, "delay")
    version = ModelVersion(
        project=project, model="delay", number=1, run=RunId("run_1"), recipe=Recipe(nothing, {}),
        data=DatasetVersionId("dsv_1"), pipeline=served.pipeline, signature=served.signature,
        forms=(Form("onnx", served.model, 1, "onnxruntime"),), metrics={}, slices=(), evaluations=(), checks_green=True,
        card=nothing, created_by=actor.member, created_at=clock(),
    )  # fmt: skip
    with ports.transaction() as tx:
        tx.models.add_versions(project, [version])
    promote(ports, actor, project, "delay", 1, "champion")
    deploy(ports, actor, project, "delay", model="delay")
    return Place(ports, actor, project, package, tmp_path / "scratch")


def test_rows_keep_their_columns_and_get_the_trainers_answers(place: Place) -> None:
    rows = flights(1000, seed=4)
    told: list[tuple[float, str]] = []
    found = score(
        place.ports, place.actor, place.project, "delay", rows, folder=place.folder,
        progress=lambda fraction, message: told.append((fraction, message)),
    )  # fmt: skip
    assert found.drop("probability", VERSION).equals(rows)
    assert np.allclose(found["probability"].to_numpy(), place.package.expected(rows), atol=1e-6, rtol=0)
    assert found[VERSION].unique().to_list() == [1]
    assert told == [(1.0, "1,000 of 1,000 rows")]


@pytest.mark.parametrize("target", ["delay@1", "delay@champion", "delay@latest"])
def test_a_version_is_named_in_any_way(place: Place, target: str) -> None:
    rows = flights(10)
    assert place.score(rows, target).equals(place.score(rows))


def test_chunks_of_a_file_are_the_rows_in_order(place: Place, tmp_path: Path) -> None:
    rows = flights(1000, seed=4)
    rows.write_parquet(tmp_path / "rows.parquet")
    scorer = open_scorer(place.ports, place.actor, place.project, "delay", place.folder)
    chunks = list(scorer.chunks(pl.scan_parquet(tmp_path / "rows.parquet"), chunk_rows=300))
    assert max(chunk.height for chunk in chunks) <= 300
    assert pl.concat(chunks).equals(place.score(rows))
    assert place.score(pl.scan_parquet(tmp_path / "rows.parquet")).equals(place.score(rows))


def test_no_rows_give_no_answers(place: Place) -> None:
    found = place.score(flights(3).clear())
    assert found.height == 0
    assert found.schema["probability"] == pl.Float64
    assert place.score(flights(3).clear().lazy()).schema == found.schema


def test_a_bad_row_is_named_by_its_place_among_all(place: Place) -> None:
    rows = flights(100).with_columns(
        carrier=pl.Series(["UA"] * 70 + ["7"] * 30), seats=pl.Series([1.0] * 70 + [1.5] + [1.0] * 29)
    )
    scorer = open_scorer(place.ports, place.actor, place.project, "delay", place.folder)
    with pytest.raises(Problem) as told:
        list(scorer.chunks(rows, chunk_rows=40))
    assert told.value.code == "column.invalid"
    assert told.value.detail["row"] == 70


def test_a_taken_name_is_refused(place: Place) -> None:
    with pytest.raises(Problem) as told:
        place.score(flights(3).with_columns(probability=1.0))
    assert told.value.code == "column.exists"


def test_strangers_do_not_score(place: Place) -> None:
    stranger = replace(place.actor, role=None)
    with pytest.raises(Problem) as told:
        score(place.ports, stranger, place.project, "delay", flights(3), folder=place.folder)
    assert told.value.code == "project.missing"
