"""What a try may take of the disk."""

import shutil
from pathlib import Path

import pytest

from modelyard.jobs import Limits
from modelyard.runner import disk
from modelyard.runner.disk import LEAST_FREE_MB, disk_problem


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that holds 3 MB, some of them further down."""
    (tmp_path / "below").mkdir()
    (tmp_path / "part").write_bytes(b"x" * (2 << 20))
    (tmp_path / "below" / "part").write_bytes(b"x" * (1 << 20))
    (tmp_path / "below" / "gone").symlink_to("nowhere")
    return tmp_path


def left(monkeypatch: pytest.MonkeyPatch, free_mb: float) -> None:
    """Let the disk have so much left."""
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=int(free_mb * (1 << 20))))


def test_a_try_within_its_limit_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left(monkeypatch, LEAST_FREE_MB)
    assert disk_problem(folder, Limits()) is None
    assert disk_problem(folder, Limits(disk_mb=4)) is None
    assert disk_problem(folder / "never was", Limits(disk_mb=1)) is None


def test_a_try_over_its_limit_ends(folder: Path) -> None:
    problem = disk_problem(folder, Limits(disk_mb=2))
    assert problem is not None
    assert (problem.code, problem.detail["limit_mb"], problem.detail["used_mb"]) == ("job.too_large", 2, 3)


def test_a_try_that_fills_the_disk_ends_and_others_go_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left(monkeypatch, LEAST_FREE_MB - 1)
    assert disk_problem(folder, Limits()) is None, "it is not this one that fills it"
    monkeypatch.setattr(disk, "MUCH_MB", 2)
    problem = disk_problem(folder, Limits())
    assert problem is not None
    assert problem.code == "job.limited"
    assert f"{LEAST_FREE_MB - 1} MB" in problem.why
