"""Versions trained by hand before a gate that demands to be better: measured, then let through or refused with figures."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import modelyard as yard
from modelyard.cli.app import app
from modelyard.client import ProjectClient
from modelyard.client.projects import open_project
from modelyard.core import Problem
from modelyard.data import SplitKind
from modelyard.embedded.door import connection, embedded
from modelyard.wiring import read_settings

ROWS = 2_000


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProjectClient]:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    yield open_project(connection(home=tmp_path), "churn")
    embedded(read_settings(home=tmp_path)).close()
    embedded.cache_clear()


def customers() -> pl.DataFrame:
    rng = np.random.default_rng(7)
    tenure = rng.normal(0, 1, ROWS)
    return pl.DataFrame(
        {
            "id": [f"c{row}" for row in range(ROWS)],
            "tenure": tenure,
            "churned": (rng.random(ROWS) < 1 / (1 + np.exp(-3 * tenure))).astype(int),
        }
    )


def train(run: Any, fit: Any, test: Any, iterations: int = 20) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - the worker imports it, not this test

    return HistGradientBoostingClassifier(max_iter=iterations, max_depth=3).fit(fit.X, fit.y)


def command(*words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--project", "churn", "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_better_version_made_by_hand_passes_and_a_worse_one_is_refused_with_figures(project: ProjectClient) -> None:
    data = project.dataset("customers", key="id").append(customers())
    features = project.pipeline(yard.prep.drop("id"))
    trainer = project.trainer(features, label="churned", metric="log_loss", split=yard.Split(SplitKind.HASH, test_share=0.3))(
        train
    )
    model = project.model("churn")
    model.gate("champion", yard.gate.better("log_loss", by=0.05))
    model.register(trainer.run(data, iterations=5), alias="champion")
    better = model.register(trainer.run(data, iterations=60))
    with pytest.raises(Problem, match="yard model evaluate churn 2 --against 1") as told:
        better.promote("champion")
    assert told.value.code == "gate.refused"
    measured = better.evaluate()
    assert measured.against_value is not None
    assert measured.value < measured.against_value - 0.05
    assert better.record.evaluations[-1] == measured
    better.promote("champion")

    worse = model.register(trainer.run(data, iterations=5))
    shown = command("model", "evaluate", "churn", "3", "--against", "champion", "--data", "customers")
    assert (shown["against"], shown["window"]) == (2, "held-out rows of customers v1")
    with pytest.raises(Problem, match=f"log_loss {shown['value']:.4f} against {shown['against_value']:.4f} of v2") as told:
        worse.promote("champion")
    assert told.value.code == "gate.refused"
    assert model.version("champion").number == 2
