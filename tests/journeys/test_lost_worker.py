"""A worker that is killed during a trial: the trial is tried again, and the study ends with as many as it was to have."""

import sys
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

import modelyard as yard
from modelyard import Search
from modelyard.client import connect
from modelyard.client.projects import open_project
from modelyard.data import SplitKind
from modelyard.training import RunState
from tests.journeys.platform import Running, running
from tests.runner.yard import until

TRIALS = 3
FOLDER = ""  # there a trial says that it runs, and waits to be let go; captured with the trainer


def customers() -> pl.DataFrame:
    tenure = [(number * 37) % 100 for number in range(800)]
    return pl.DataFrame({"id": list(range(800)), "tenure": tenure, "churned": [int(one < 40) for one in tenure]})


def train(run: Any, fit: Any, test: Any, depth: int = 3) -> Any:
    import os  # noqa: PLC0415 - the worker imports these, not this test
    import time  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from sklearn.tree import DecisionTreeClassifier  # noqa: PLC0415

    folder = Path(FOLDER)
    (folder / f"begun-{os.getpid()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.02)
    return DecisionTreeClassifier(max_depth=depth).fit(fit.X, fit.y)


def worker_of(platform: Running) -> psutil.Process:
    return platform.part("modelyard.runner.worker")


def test_a_study_keeps_its_number_of_trials_when_a_worker_is_killed_during_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "FOLDER", str(tmp_path))
    with running(tmp_path / "home", workers=1) as platform:
        connection = connect(platform.url, platform.token)
        project = open_project(connection, "churn")
        data = project.dataset("customers", key="id").append(customers())
        split = yard.Split(SplitKind.HASH, test_share=0.25)
        features = project.pipeline(yard.prep.drop("id"))
        trainer = project.trainer(features, label="churned", metric="log_loss", split=split)(train)
        study = trainer.search(data, Search(depth=range(2, 6)), trials=TRIALS, parallel=2)
        until(lambda: any(tmp_path.glob("begun-*")), "a trial to begin")
        worker = worker_of(platform)
        below = worker.children(recursive=True)
        worker.kill()
        _, alive = psutil.wait_procs([worker, *below], timeout=60)
        assert alive == [], "the trial outlived its worker"
        (tmp_path / "go").touch()
        study.wait(timeout_s=240)
        assert [trial.record.state for trial in study.trials] == [RunState.FINISHED] * TRIALS
        assert worker_of(platform).pid != worker.pid
        connection.close()
    assert len(list(tmp_path.glob("begun-*"))) == TRIALS + 1
