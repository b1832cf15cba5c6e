"""The SDK against the real API, inside this process; a worker is started by the first job."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import modelyard as yard
from modelyard.client import Connection, ProjectClient
from modelyard.client.objects import download, upload
from modelyard.client.projects import open_project
from modelyard.core import Digest, Problem
from modelyard.embedded.inprocess import Embedded
from modelyard.training import RunState, StudyState
from modelyard.wiring import read_settings

START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    platform = Embedded(read_settings(home=tmp_path_factory.mktemp("sdk") / "home", environment={}), workers=1)
    yield platform.connection
    platform.close()


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[ProjectClient]:
    """Give a project where no worker takes a job: what is asked for stays as it was asked."""
    platform = Embedded(read_settings(home=tmp_path / "idle", environment={}), workers=0)
    yield open_project(platform.connection, "sdk")
    platform.close()


@pytest.fixture(scope="module")
def project(connection: Connection) -> ProjectClient:
    return open_project(connection, "sdk")


def rows(count: int, first: int = 0) -> pl.DataFrame:
    numbers = range(first, first + count)
    return pl.DataFrame(
        {
            "id": [f"c{number}" for number in numbers],
            "at": [START + timedelta(hours=number) for number in numbers],
            "tenure": list(numbers),
            "churned": [number % 2 for number in numbers],
        }
    )


def train(run: Any, fit: Any, test: Any, depth: int = 3) -> Any:
    raise NotImplementedError


def test_a_project_is_made_once_and_found_again(connection: Connection, project: ProjectClient) -> None:
    assert open_project(connection, "sdk").record == project.record
    assert repr(project) == "<project sdk>"


def test_a_dataset_grows_by_snapshots_of_its_source(project: ProjectClient, tmp_path: Path) -> None:
    path = tmp_path / "customers.parquet"
    rows(10).write_parquet(path)
    customers = project.dataset("customers", source=path, key="id", time="at")
    first = customers.snapshot(until=START + timedelta(hours=5), note="the first ones")
    second = customers.snapshot()
    assert (first.ref, first.rows, first.record.note) == ("customers@1", 5, "the first ones")
    assert second.rows == 10
    assert second.frame().equals(rows(10))
    assert customers.version(1).frame().equals(rows(5))
    assert [one.number for one in customers.versions()] == [2, 1]
    assert customers.profile().rows == 10
    assert customers.snapshot().number == 2
    assert [one.name for one in project.datasets()] == ["customers"]


def test_a_source_that_gives_all_of_its_rows_is_followed_by_one_job_after_the_other(
    project: ProjectClient, tmp_path: Path
) -> None:
    path = tmp_path / "followed.parquet"
    followed = project.dataset("followed", source=path, key="id", time="at")
    rows(5).write_parquet(path)
    made = followed.follow(every_s=0)
    assert next(made).rows == 5
    rows(8).write_parquet(path)
    assert next(made).ref == "followed@2"


def test_a_dataset_without_a_source_takes_no_snapshot(project: ProjectClient) -> None:
    with pytest.raises(Problem) as caught:
        project.dataset("sourceless", key="id").snapshot()
    assert caught.value.code == "source.missing"


def test_a_snapshot_that_the_checks_stop_is_told_as_refused(project: ProjectClient, tmp_path: Path) -> None:
    path = tmp_path / "stopped.parquet"
    rows(3).with_columns(tenure=pl.lit(None, pl.Int64)).write_parquet(path)
    stopped = project.dataset("stopped", source=path, key="id", checks=[yard.quality.not_null("tenure")])
    with pytest.raises(Problem, match=r"3 of 3 rows kept out: not_null\(tenure\) fails: 3 rows") as caught:
        stopped.snapshot()
    assert caught.value.code == "batch.refused"
    assert caught.value.detail["admission"]["quarantined"] == 3


def test_two_versions_are_compared(project: ProjectClient) -> None:
    grown = project.dataset("grown", key="id", time="at")
    grown.append(rows(5))
    grown.append(rows(9).tail(4).with_columns(gate=pl.lit("B7")))
    found = grown.diff(1, examples=1)
    assert (found.before, found.after, found.rows.added, found.rows.changed) == (1, 2, 4, 0)
    assert [one.name for one in found.schema.added] == ["gate"]
    assert found.rows.added_examples[0].row["gate"] == "B7"
    assert grown.diff(2, 1).rows.removed == 4
    with pytest.raises(Problem) as caught:
        grown.diff(1, 3)
    assert caught.value.code == "dataset_version.missing"


def test_a_sample_is_drawn_the_same_each_time(project: ProjectClient) -> None:
    version = project.dataset("drawn", key="id", time="at").append(rows(50))
    drawn = version.sample(10)
    assert drawn.height == 10
    assert drawn.equals(version.sample(10))
    assert not drawn.equals(version.sample(10, seed=1))
    assert version.sample(99).equals(version.frame())
    with pytest.raises(Problem) as caught:
        version.sample(0)
    assert caught.value.code == "sample.invalid"


def test_a_dataset_declared_otherwise_is_told(project: ProjectClient) -> None:
    project.dataset("declared", key="id", checks=[yard.quality.between("tenure", 0, 600)])
    assert project.dataset("declared").record.key == ("id",)
    assert project.dataset("declared", key="id", checks=[yard.quality.between("tenure", 0, 600)]).name == "declared"
    with pytest.raises(Problem, match="another key") as caught:
        project.dataset("declared", key="customer")
    assert caught.value.code == "dataset.conflict"
    with pytest.raises(Problem, match="did you mean 'declared'"):
        project.dataset("declred")


def test_bad_rows_are_kept_out_and_a_bad_batch_is_stopped_as_a_whole(project: ProjectClient) -> None:
    checked = project.dataset("checked", key="id", checks=[yard.quality.not_null("tenure")], stop_share=0.5)
    gap = pl.DataFrame({"id": ["x"], "at": [START], "tenure": [None], "churned": [1]}, schema=rows(1).schema)
    version = checked.append(pl.concat([rows(3), gap]))
    assert version.admission is not None
    assert (version.rows, version.admission.quarantined) == (3, 1)
    with pytest.raises(Problem, match=r"1 of 1 rows kept out: not_null\(tenure\) fails: 1 rows") as caught:
        checked.append(gap.with_columns(id=pl.lit("y")))
    assert caught.value.code == "batch.refused"
    assert caught.value.detail["admission"]["quarantined"] == 1
    assert sorted(checked.quarantined()["id"]) == ["x", "y"]
    assert checked.version().number == 1


def test_checks_are_suggested_taken_over_and_changed(project: ProjectClient) -> None:
    grown = project.dataset("asked", key="id", time="at")
    grown.append(rows(150))
    found = grown.suggest_checks()
    assert [yard.quality.code_of(one.check) for one in found] == [
        r"quality.matches('id', r'c\d+')",
        "quality.not_after('at', 'now')",
        "quality.not_null('tenure')",
        "quality.unique('tenure')",
        "quality.not_null('churned')",
        "quality.one_of('churned', [0, 1])",
    ]
    here = yard.quality.suggest(grown.profile(), grown.frame())
    assert [one for one in here if one not in found] == [
        yard.quality.Suggestion(yard.quality.not_null("id"), "none of 150 rows is without it"),
        yard.quality.Suggestion(yard.quality.unique("id"), "150 rows have 150 different values"),
        yard.quality.Suggestion(yard.quality.not_null("at"), "none of 150 rows is without it"),
    ], "key and time are asked for anyway"
    grown.add_checks([one.check for one in found])
    assert len(project.dataset("asked").record.checks) == 6
    grown.change_checks([yard.quality.row_count(1, None)])
    kept = project.dataset("asked").record
    assert (kept.checks, kept.stop_share) == ((yard.quality.row_count(1, None),), 0.05)


def test_checks_that_were_written_for_others_are_taken_over_as_far_as_they_fit(project: ProjectClient) -> None:
    foreign = project.dataset("foreign", key="id")
    schema = {
        "columns": {"tenure": {"dtype": "int64", "in_range": {"min_value": 0, "max_value": 600}}, "late": {"dtype": "bool"}}
    }
    first = foreign.import_checks(json.dumps(schema))
    assert [one.check.kind for one in first.taken] == ["dtype", "not_null", "between", "dtype", "not_null"]
    foreign.change_checks([])
    foreign.append(rows(3))
    found = foreign.import_checks(json.dumps(schema))
    assert project.dataset("foreign").record.checks == found.checks
    assert [one.check.kind for one in found.taken] == ["dtype", "not_null", "between"]
    assert [one.name for one in found.left_out] == ["dtype(late)", "nullable=False(late)"]
    with pytest.raises(Problem, match="neither `expectations` nor `columns`"):
        foreign.import_checks("{}")


def test_rows_say_where_they_came_from(project: ProjectClient) -> None:
    raw = project.dataset("raw", key="id").append(rows(4))
    made = project.dataset("made", key="id").append(rows(4).drop("tenure"), parents=[raw], note="without tenure")
    [parent] = made.record.parents
    assert (parent.kind, parent.ref, parent.told) == ("dataset_version", raw.record.id, "raw v1")


def test_the_checks_of_a_pipeline_travel_with_the_trainer(project: ProjectClient) -> None:
    checks = [yard.quality.between("tenure", 0, 9), yard.quality.row_count(10, None)]
    features = project.pipeline(yard.prep.drop("id", "at"), checks=checks)
    assert project.trainer(features, label="churned", metric="roc_auc")(train).build().checks == tuple(checks)
    with pytest.raises(Problem, match="it compares a batch with what its dataset holds") as caught:
        project.pipeline(yard.prep.drop("id"), checks=[yard.quality.same_schema()])
    assert caught.value.code == "check.invalid"


def test_a_run_and_a_study_are_asked_for_with_their_source(idle: ProjectClient) -> None:
    data = idle.dataset("trained", key="id", time="at").append(rows(20))
    trainer = idle.trainer(idle.pipeline(yard.prep.drop("id", "at")), label="churned", metric="roc_auc")(train)
    run = trainer.run(data, depth=4, seed=3)
    assert (run.state, dict(run.params), run.record.recipe.seed) == (RunState.PENDING, {"depth": 4}, 3)
    assert run.record.source is not None
    assert b'"function":"train"' in download(idle.connection, idle.path, run.record.source)
    assert run.show.splitlines()[0] == f"run {run.number} of train: pending"
    run.cancel()
    with pytest.raises(Problem, match="was cancelled"):
        run.wait()
    study = trainer.search("trained@1", yard.Search(depth=range(2, 5)), trials=3, parallel=2, seed=1)
    assert (study.state, len(study.trials)) == (StudyState.RUNNING, 2)
    assert {trial.record.data for trial in study.trials} == {data.record.id}
    assert [one.number for one in idle.runs(experiment="train", most=2)] == [run.number + 2, run.number + 1]
    with pytest.raises(Problem, match="no artifact 'model'"):
        run.artifact("model")


def test_contents_are_sent_once_and_come_back_whole(connection: Connection, project: ProjectClient) -> None:
    digests = upload(connection, project.path, [b"one", b"two", b"one"])
    assert digests[0] == digests[2] != digests[1]
    assert [download(connection, project.path, digest) for digest in digests] == [b"one", b"two", b"one"]
    with pytest.raises(Problem) as caught:
        download(connection, project.path, Digest("sha256:" + 64 * "0"))
    assert caught.value.code == "object.missing"


def test_a_gate_is_put_before_an_alias_and_what_is_not_there_is_told(project: ProjectClient) -> None:
    model = project.model("churn")
    kept = model.gate("champion", yard.gate.better("roc_auc", by=0.01), yard.gate.checks(), yard.gate.approvals(2))
    assert [one.kind.value for one in kept.gate.conditions] == ["better", "checks", "approvals"]
    assert [alias.name for alias in model.aliases()] == ["champion"]
    assert [one.name for one in project.models()] == ["churn"]
    with pytest.raises(Problem):
        model.version("champion")
    with pytest.raises(Problem) as caught:
        project.deploy("churn@champion")
    assert caught.value.code == "alias.missing"
    with pytest.raises(Problem, match=r"deploy\('churn@champion'\)"):
        project.deploy("churn@1")
    with pytest.raises(Problem, match="no deployment 'churn'"):
        project.deployment("churn")
    with pytest.raises(Problem, match="no monitor 'churn'"):
        project.monitor("churn")
    assert list(project.decisions()) == []
    assert list(project.alerts()) == []
