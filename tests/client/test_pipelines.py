"""Saved pipelines: from the SDK and the command line, over the API of an embedded platform."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from modelyard import prep, quality
from modelyard.cli.app import app
from modelyard.cli.exits import EXITS
from modelyard.client import ProjectClient
from modelyard.client.projects import open_project
from modelyard.core import PageRequest, Problem, ProblemKind
from modelyard.embedded.door import connection, embedded
from modelyard.prepare import DeclaredStep, FunctionStep
from modelyard.prepare.service import pipeline_versions, save_pipeline
from modelyard.tenancy import Role
from modelyard.tenancy.service import actor_of, create_member, local_owner
from modelyard.wiring import open_platform, read_settings

STEPS = (prep.fill_null("tenure", 0), prep.one_hot("plan"), prep.drop("id"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProjectClient]:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    yield open_project(connection(home=tmp_path / "home"), "churn")
    embedded(read_settings(home=tmp_path / "home")).close()
    embedded.cache_clear()


def yard(*words: str, fails: ProblemKind | None = None) -> Any:
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == (0 if fails is None else EXITS[fails]), done.output
    return json.loads(done.stdout) if fails is None else json.loads(done.stderr)["problem"]


def doubled(rows: pl.DataFrame) -> pl.DataFrame:
    """Twice the tenure."""
    return rows.with_columns(doubled=pl.col("tenure") * 2)


def train(run: Any, fit: Any, test: Any) -> Any:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - the worker imports it, not this test

    return LogisticRegression().fit(fit.X, fit.y)


def test_a_pipeline_is_saved_in_versions_and_equal_content_is_the_same_version(project: ProjectClient) -> None:
    written = project.pipeline(*STEPS, checks=[quality.not_null("id")])
    first = project.save_pipeline("features", written, note="a beginning")
    assert (first.number, first.digest, first.kinds) == (1, written.build().digest, ("fill_null", "one_hot", "drop"))
    assert project.save_pipeline("features", written, note="again") == first
    unpromised = project.save_pipeline("features", project.pipeline(*STEPS))
    assert (unpromised.number, unpromised.digest, unpromised.checks) == (2, first.digest, ())
    second = project.save_pipeline("features", project.pipeline(*STEPS, doubled))
    assert (second.number, second.speed.value, first.speed.value) == (3, "function", "declared")
    assert project.pipelines() == [second]
    back = project.saved_pipeline("features@1")
    assert (back.build(), back.checks, back.version) == (written.build(), written.checks, first)
    assert isinstance(project.saved_pipeline("features").steps[-1], FunctionStep)


def test_a_saved_pipeline_goes_into_a_trainer_like_a_written_one(project: ProjectClient) -> None:
    rows = pl.DataFrame(
        {"id": [f"c{n}" for n in range(80)], "tenure": [n % 9 for n in range(80)], "plan": ["a", "b"] * 40, "left": [0, 1] * 40}
    )
    data = project.dataset("customers", key="id").append(rows)
    project.save_pipeline("features", project.pipeline(*STEPS, doubled))
    trainer = project.trainer(project.saved_pipeline("features"), label="left", metric="roc_auc")(train)
    assert trainer.build().pipeline == project.pipeline(*STEPS, doubled).build()
    run = trainer.run(data).wait()
    assert run.record.state.value == "finished", run.record
    assert project.model("churn").register(run).number == 1


def test_a_pipeline_goes_from_a_file_to_the_command_line_and_back(project: ProjectClient, tmp_path: Path) -> None:
    (tmp_path / "features_file.py").write_text(
        "import modelyard as yard\nfrom modelyard import prep, quality\n\nproject = yard.project('churn')\n"
        "features = project.pipeline(prep.log1p('tenure'), checks=[quality.not_null('tenure')])\n"
    )
    saved = yard("pipeline", "save", "log", f"{tmp_path}/features_file.py:features", "--note", "a logarithm")
    assert (saved["number"], saved["note"]) == (1, "a logarithm")
    document = yard("pipeline", "show", "log")
    (tmp_path / "log.json").write_text(json.dumps(document))
    assert yard("pipeline", "save", "log", f"{tmp_path}/log.json") == saved
    code = yard("pipeline", "python", "log@1")["code"]
    assert code.startswith("from modelyard import prep, quality\n\nfeatures = project.pipeline(\n    prep.log1p('tenure'),\n")
    names: dict[str, Any] = {"project": project}
    exec(code, names)  # noqa: S102 - what the command prints is to be pasted
    assert (names["features"].build().digest, names["features"].checks) == (
        saved["digest"],
        project.saved_pipeline("log").checks,
    )
    assert [one["number"] for one in yard("pipeline", "list", "log")] == [1]
    told = CliRunner().invoke(app, ["pipeline", "show", "log"])
    assert "prep.log1p('tenure')" in told.stdout
    listed = CliRunner().invoke(app, ["pipeline", "list"])
    assert "declared" in listed.stdout
    assert CliRunner().invoke(app, ["pipeline", "python", "log"]).stdout == code + "\n"


def test_what_cannot_be_saved_is_told(project: ProjectClient, tmp_path: Path) -> None:
    for name, steps, code in (
        ("Features", STEPS, "pipeline.invalid"),
        ("features", (), "pipeline.invalid"),
        ("features", (DeclaredStep("one_hot", ("plan",), {"limit": 0}),), "step.invalid"),
        ("features", (DeclaredStep("one_hott", ("plan",), {}),), "step.missing"),
    ):
        with pytest.raises(Problem) as caught:
            project.save_pipeline(name, project.pipeline(*steps))
        assert caught.value.code == code
    assert project.pipelines() == []
    project.save_pipeline("features", project.pipeline(*STEPS))
    for ref, code in (
        ("feature", "pipeline.missing"),
        ("features@9", "pipeline_version.missing"),
        ("features@x", "pipeline_version.invalid"),
    ):
        with pytest.raises(Problem) as caught:
            project.saved_pipeline(ref)
        assert caught.value.code == code
    (tmp_path / "half.json").write_text("{")
    assert yard("pipeline", "save", "features", f"{tmp_path}/half.json", fails=ProblemKind.INVALID)["code"] == "file.invalid"
    (tmp_path / "odd.json").write_text('{"format": 1, "steps": [], "checks": [3]}')
    assert yard("pipeline", "save", "features", f"{tmp_path}/odd.json", fails=ProblemKind.INVALID)["code"] == "check.invalid"
    assert yard("pipeline", "save", "features", "features", fails=ProblemKind.INVALID)["code"] == "pipeline.invalid"
    assert yard("pipeline", "list", "none", fails=ProblemKind.MISSING)["code"] == "pipeline.missing"


def test_who_only_looks_may_read_a_pipeline_and_not_save_one(project: ProjectClient, tmp_path: Path) -> None:
    project.save_pipeline("features", project.pipeline(*STEPS), note="kept")
    platform = open_platform(read_settings(home=tmp_path / "home"))
    viewer = actor_of(platform, create_member(platform, local_owner(platform), name="vera", role=Role.VIEWER).id)
    of = project.record.id
    assert [one.note for one in pipeline_versions(platform, viewer, of, "features", PageRequest()).items] == ["kept"]
    with pytest.raises(Problem) as caught:
        save_pipeline(platform, viewer, of, "features", project.pipeline(*STEPS[:1]).build().to_json())
    assert caught.value.code == "action.forbidden"
    with platform.reading() as tx:
        facts = [event for event in tx.events.read(of) if event.kind == "pipeline.saved"]
    assert [(event.subject, event.data["number"]) for event in facts] == [("features", 1)]
    platform.close()


def test_a_pipeline_is_tried_on_a_sample_of_a_version(project: ProjectClient) -> None:
    rows = pl.DataFrame(
        {"id": range(500), "tenure": [None, 1.0, 2.0, 3.0, 4.0] * 100, "plan": ["a", "b"] * 250, "left": [0, 1] * 250}
    )
    project.dataset("customers", key="id").append(rows)
    features = project.pipeline(*STEPS)
    told = project.try_pipeline(features, "customers@1", label="left", rows=200)
    assert (told.rows, told.problem, [len(step.changes) for step in told.steps]) == (200, None, [1, 3, 1])
    assert told == project.try_pipeline(features, project.dataset("customers"), label="left", rows=200)
    other = project.try_pipeline(features, "customers", label="left", rows=200, seed=1)
    assert (other.rows, other.raw == told.raw) == (200, False)
    clip = project.pipeline(DeclaredStep("clip", ("tenure",), {}))
    for pipeline, data, rows_wanted, code in (
        (features, "customers@1", 0, "sample.invalid"),
        (features, "customers@1", 10_001, "sample.invalid"),
        (features, "customers@2", 100, "dataset_version.missing"),
        (clip, "customers@1", 100, "step.invalid"),
    ):
        with pytest.raises(Problem) as caught:
            project.try_pipeline(pipeline, data, rows=rows_wanted)
        assert caught.value.code == code
    project.save_pipeline("features", project.pipeline(*STEPS, prep.log1p("tenur")))
    printed = CliRunner().invoke(app, ["pipeline", "try", "features", "--data", "customers@1", "--label", "left"])
    assert "2. one_hot" in printed.stdout
    assert "plan, plan_a, plan_b" in printed.stdout
    assert "It stops at step 4: There is no column 'tenur': did you mean 'tenure'?" in printed.stderr
    assert len(yard("pipeline", "try", "features", "--data", "customers@1", "--rows", "50")["steps"]) == 3
