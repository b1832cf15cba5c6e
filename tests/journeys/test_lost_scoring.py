"""A worker that is killed in the midst of scoring a file: the file is answered to its end, each row exactly once."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

import modelyard as yard
from modelyard.client import connect
from modelyard.client.projects import open_project
from modelyard.data import SplitKind
from modelyard.serving.batch.rules import MOST_ROWS
from tests.journeys.platform import running
from tests.runner.yard import until

ROWS = 5 * MOST_ROWS // 2
HELD_FROM = 2 * MOST_ROWS  # these rows wait to be let go
FOLDER = ""  # there the step says that it waits; captured with it


def customers(count: int) -> pl.DataFrame:
    return pl.select(id=pl.int_range(count), tenure=pl.int_range(count) * 37 % 100)


def careful(rows: pl.DataFrame) -> pl.DataFrame:
    """Wait at late rows until somebody lets them go."""
    import os  # noqa: PLC0415 - the worker imports these, not this test
    import time  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    folder = Path(FOLDER)
    if rows["id"].ge(HELD_FROM).any():
        (folder / f"waits-{os.getpid()}").touch()
        while not (folder / "go").exists():
            time.sleep(0.02)
    return rows


def train(run: Any, fit: Any, test: Any) -> Any:
    from sklearn.tree import DecisionTreeClassifier  # noqa: PLC0415

    return DecisionTreeClassifier(max_depth=4).fit(fit.X, fit.y)


def test_a_file_is_answered_once_when_the_worker_is_killed_in_its_midst(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "FOLDER", str(tmp_path))
    customers(ROWS).write_parquet(tmp_path / "in.parquet")
    receipts = tmp_path / "home" / "objects" / ".scoring"
    with running(tmp_path / "home", workers=1) as platform, ThreadPoolExecutor(1) as pool:
        connection = connect(platform.url, platform.token)
        project = open_project(connection, "churn")
        known = customers(800).with_columns(churned=(pl.col("tenure") < 40).cast(pl.Int64))
        data = project.dataset("customers", key="id").append(known)
        features = project.pipeline(project.step(careful), yard.prep.drop("id"))
        split = yard.Split(SplitKind.HASH, test_share=0.25)
        trainer = project.trainer(features, label="churned", metric="log_loss", split=split)(train)
        version = project.model("churn").register(trainer.run(data))

        report = pool.submit(version.score_source, tmp_path / "in.parquet", tmp_path / "out.parquet")
        until(lambda: len(list(receipts.rglob("part-*"))) == 2 and any(tmp_path.glob("waits-*")), "two parts of three")
        before = {path: path.stat().st_mtime_ns for path in receipts.rglob("part-*")}
        worker = platform.part("modelyard.runner.worker")
        below = worker.children(recursive=True)
        worker.kill()
        _, alive = psutil.wait_procs([worker, *below], timeout=60)
        assert alive == [], "the try outlived its worker"
        assert not (tmp_path / "out.parquet").exists()
        (tmp_path / "go").touch()

        assert (report.result(timeout=240).rows, report.result().parts) == (ROWS, 3)
        after = {path: path.stat().st_mtime_ns for path in receipts.rglob("part-*")}
        assert before.items() < after.items(), "a part that was there was answered again"
        connection.close()
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found.select("id", "tenure").equals(customers(ROWS))
    assert found["probability"].equals((found["tenure"] < 40).cast(pl.Float64), check_dtypes=False)
    assert len(list(tmp_path.glob("waits-*"))) == 2
    assert not list(tmp_path.glob(".out.parquet-*"))
