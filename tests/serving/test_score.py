"""Batch scoring gives the numbers of every other door."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelyard.adapters.delta import DeltaLake
from modelyard.adapters.file import FileObjects
from modelyard.adapters.onnx import OnnxFramework
from modelyard.adapters.sql import SqlMetadata, SqlTransaction
from modelyard.core import IdMaker, ManualClock, Problem, ProjectId, digest_bytes
from modelyard.data import DatasetVersionId
from modelyard.registry import Form, ModelVersion
from modelyard.registry.service import ensure_model, promote
from modelyard.serving.score import CHUNK_ROWS, VERSION, Scorer, open_scorer
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
    lake: DeltaLake
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

    def scorer(self, target: str = "delay") -> Scorer:
        return open_scorer(self.ports, self.actor, self.project, target, self.folder)

    def score(self, rows: pl.DataFrame, target: str = "delay") -> pl.DataFrame:
        return self.scorer(target).answered(rows)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    metadata = SqlMetadata(f"sqlite:///{tmp_path / 'metadata.sqlite'}")
    metadata.upgrade()
    clock = ManualClock(datetime(2013, 4, 1, tzinfo=UTC))
    objects, lake = FileObjects(tmp_path / "objects"), DeltaLake(tmp_path / "lake")
    ports = Ports(clock, IdMaker(clock), objects, lake, metadata, lambda name: OnnxFramework())
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
    found = place.score(rows)
    assert found.drop("probability", VERSION).equals(rows)
    assert np.allclose(found["probability"].to_numpy(), place.package.expected(rows), atol=1e-6, rtol=0)
    assert found[VERSION].unique().to_list() == [1]


@pytest.mark.parametrize("target", ["delay@1", "delay@champion", "delay@latest"])
def test_a_version_is_named_in_any_way(place: Place, target: str) -> None:
    rows = flights(10)
    assert place.score(rows, target).equals(place.score(rows))


def test_many_rows_are_answered_in_chunks_and_in_order(place: Place) -> None:
    rows = flights(1000, seed=4)
    times = 2 * CHUNK_ROWS // rows.height + 1
    found = place.score(pl.concat([rows] * times))
    assert found.equals(pl.concat([place.score(rows)] * times))


def test_no_rows_give_no_answers(place: Place) -> None:
    found = place.score(flights(3).clear())
    assert found.height == 0
    assert found.schema == place.score(flights(3)).schema


def test_a_bad_row_is_named_by_its_place_among_all(place: Place) -> None:
    rows = flights(100).with_columns(
        carrier=pl.Series(["UA"] * 70 + ["7"] * 30), seats=pl.Series([1.0] * 70 + [1.5] + [1.0] * 29)
    )
    many = pl.concat([flights(CHUNK_ROWS).cast({"seats": pl.Float64}), rows])
    for first_row, within, told in ((0, "", "in row 50070"), (7, "july.csv", r"row 50077: .*that is row 50077 of july\.csv")):
        with pytest.raises(Problem, match=told) as problem:
            place.scorer().answered(many, first_row=first_row, within=within)
        assert problem.value.code == "column.invalid"
        assert problem.value.detail["row"] == CHUNK_ROWS + 70 + first_row


def test_a_taken_name_is_refused(place: Place) -> None:
    with pytest.raises(Problem) as told:
        place.scorer().require_free(flights(3).with_columns(probability=1.0).schema)
    assert told.value.code == "column.exists"


def test_strangers_do_not_score(place: Place) -> None:
    stranger = replace(place.actor, role=None)
    with pytest.raises(Problem) as told:
        open_scorer(place.ports, stranger, place.project, "delay", place.folder)
    assert told.value.code == "project.missing"
