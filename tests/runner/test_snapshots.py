"""A snapshot as a job: watched, cancelled, killed, and the one that is given secrets."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from modelyard.core import PageRequest
from modelyard.data import DatasetVersion
from modelyard.data.service import create_dataset, read, versions
from modelyard.data.snapshot_jobs import SnapshotRequest, admission_of, request_snapshot
from modelyard.jobs import Job, JobState
from modelyard.jobs.service import cancel
from tests.runner.waiting_source import HALF, WaitingSource
from tests.runner.yard import Yard, gone, until

pytestmark = pytest.mark.contract
SECRET = "postgresql://ann:hidden@db.example"


def ask(yard: Yard, folder: Path) -> Job:
    """Queue a snapshot of a dataset whose source waits in the folder for `go`."""
    folder.mkdir(exist_ok=True)
    ports = replace(yard.platform, source=WaitingSource)  # here, as in the workers
    name = folder.name
    if not kept(yard, name):
        create_dataset(ports, yard.actor, yard.project, name, key=["id"], source=f"waiting://{folder}")
    return request_snapshot(ports, yard.actor, yard.project, SnapshotRequest(name))


def kept(yard: Yard, name: str) -> list[DatasetVersion]:
    return list(versions(yard.platform, yard.actor, yard.project, PageRequest(), name).items)


def rows(yard: Yard, version: DatasetVersion) -> pl.DataFrame:
    return read(yard.platform, yard.actor, yard.project, version).collect()


def reading(yard: Yard, folder: Path, tries: int = 1) -> int:
    """Return the process of a try that has read the first half."""
    until(lambda: len(list(folder.glob("pid-*"))) == tries, f"try {tries} to read")
    newest = max(folder.glob("pid-*"), key=lambda path: path.stat().st_mtime_ns)
    return int(newest.name.removeprefix("pid-"))


def test_how_many_rows_are_read_is_seen_meanwhile_and_what_became_of_them_at_the_end(busy_yard: Yard, tmp_path: Path) -> None:
    folder = tmp_path / "seen"
    job = ask(busy_yard, folder)
    until(lambda: busy_yard.get(job).progress.message == "10 rows read", "its progress")
    assert 0 < busy_yard.get(job).progress.fraction < 0.5
    (folder / "go").touch()
    ended = busy_yard.ended(job)
    assert ended.result is not None
    number, admission = admission_of(ended.result)
    assert (number, admission.rows, admission.admitted, admission.quarantined) == (1, 20, 20, 0)
    again = busy_yard.ended(ask(busy_yard, folder))
    assert again.result is not None
    assert (again.result["version"], again.result["admitted"]) == ("seen@1", 0)


def test_a_cancelled_snapshot_leaves_no_version(busy_yard: Yard, tmp_path: Path) -> None:
    folder = tmp_path / "left"
    job = ask(busy_yard, folder)
    pid = reading(busy_yard, folder)
    cancel(busy_yard.platform, busy_yard.actor, busy_yard.project, job.id)
    assert busy_yard.ended(job).state is JobState.CANCELLED
    gone([pid])
    assert kept(busy_yard, "left") == []


def test_a_killed_workers_snapshot_is_taken_by_another_and_doubles_nothing(yard: Yard, tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    first = yard.start("first")
    job = ask(yard, folder)
    pid = reading(yard, folder)
    first.kill()
    first.wait()
    gone([pid])
    assert kept(yard, "taken") == []
    with yard.platform.transaction() as tx:
        tx.jobs.heartbeat(yard.project, job.id, 1, lease_s=0)
    yard.start("second")
    reading(yard, folder, tries=2)
    (folder / "go").touch()
    ended = yard.ended(job)
    assert (ended.state, ended.attempts, ended.worker) == (JobState.FINISHED, 2, "second")
    [version] = kept(yard, "taken")
    assert rows(yard, version)["id"].to_list() == list(range(2 * HALF))


@pytest.mark.parametrize("options", [(), ("--fresh",)])
def test_a_snapshot_is_given_the_workers_secrets_and_no_other_job_is(
    yard: Yard, tmp_path: Path, options: tuple[str, ...]
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "go").touch()
    yard.start("worker", *options, MODELYARD_SECRET_SHOP=SECRET)
    assert yard.run("echo").result["secrets"] == []  # type: ignore[index]
    assert yard.ended(ask(yard, folder)).state is JobState.FINISHED
    assert yard.run("echo").result["secrets"] == []  # type: ignore[index]
    [version] = kept(yard, "given")
    assert rows(yard, version)["secrets"].unique().to_list() == [f"MODELYARD_SECRET_SHOP={SECRET}"]
