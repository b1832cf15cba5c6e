import errno
import os
from functools import partial
from pathlib import Path

import pytest

from modelyard.adapters.file import FilePlace
from modelyard.core import Problem
from modelyard.core.files import SCRATCH_PREFIX
from modelyard.testing.place import Opener, PlaceContract


class TestFilePlace(PlaceContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return partial(FilePlace, tmp_path / "place")


def test_a_new_file_sweeps_what_a_killed_writer_left(tmp_path: Path) -> None:
    (tmp_path / f"{SCRATCH_PREFIX}0123").write_bytes(b"half")
    FilePlace(tmp_path).put("plan", b"whole", new=True)
    assert [path.name for path in tmp_path.iterdir()] == ["plan"]


@pytest.mark.parametrize("url", ["file://elsewhere/x", "file:x", "file:///x?region=eu"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(Problem) as told:
        FilePlace.from_url(url)
    assert told.value.code == "adapter.invalid"


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Problem, match="the disk is full") as told:
        FilePlace(tmp_path).put("part", b"x")
    assert told.value.code == "file.unavailable"
    assert list(tmp_path.iterdir()) == []
