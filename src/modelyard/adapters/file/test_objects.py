import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from modelyard.adapters.file.objects import FileObjects
from modelyard.core import Digest, Problem, ProjectId, digest_bytes
from modelyard.core.objects import object_key
from modelyard.testing.object_store import FLIGHTS, ObjectStoreContract, Opener, Spoil, content_of


@pytest.mark.contract
class TestFileObjects(ObjectStoreContract):
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "objects"

    @pytest.fixture
    def opener(self, root: Path) -> Opener:
        return partial(FileObjects, root)

    @pytest.fixture
    def spoil(self, root: Path) -> Spoil:
        def spoil(project: ProjectId, digest: Digest, content: bytes) -> None:
            path = root / object_key(project, digest)
            path.chmod(0o644)
            path.write_bytes(content)

        return spoil


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_a_stored_file_lies_read_only_under_its_digest(tmp_path: Path) -> None:
    [digest] = FileObjects(tmp_path).put(FLIGHTS, [b"x"])
    [path] = files(tmp_path)
    assert path == tmp_path / "project_flights" / digest[7:9] / digest[7:]
    assert path.stat().st_mode & 0o222 == 0


@pytest.mark.parametrize("url", ["file:///srv/yard%20objects", "file://localhost/srv/yard%20objects"])
def test_a_url_names_the_folder(url: str) -> None:
    assert FileObjects.from_url(url)._path(FLIGHTS, digest_bytes(b"")).parts[:3] == ("/", "srv", "yard objects")


@pytest.mark.parametrize("url", ["file://srv/objects", "file:objects", "file://", "file:///srv?mode=rw"])
def test_a_url_that_names_no_local_folder_is_refused(url: str) -> None:
    with pytest.raises(Problem, match="file:///absolute/path") as told:
        FileObjects.from_url(url)
    assert told.value.code == "adapter.invalid"


KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from modelyard.core.files import whole_file
with whole_file(Path(sys.argv[1]), scratch=Path(sys.argv[2])) as write:
    write(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_nothing_to_see_and_its_scratch_is_swept(tmp_path: Path) -> None:
    store, digest = FileObjects(tmp_path), digest_bytes(b"half of it and the rest")
    place, scratch = tmp_path / object_key(FLIGHTS, digest), tmp_path / ".scratch"
    killed = subprocess.run([sys.executable, "-c", KILLED_WRITER, place, scratch], check=False, env=python_env())
    assert killed.returncode == -signal.SIGKILL
    assert [path.parent for path in files(tmp_path)] == [scratch]
    assert store.absent(FLIGHTS, [digest]) == [digest]
    assert store.sweep(timedelta(days=1)) == 1
    assert files(tmp_path) == []
    assert store.put(FLIGHTS, [b"half of it and the rest"]) == [digest]


ENDLESS_WRITER = """
import sys
from pathlib import Path
from modelyard.adapters.file import FileObjects
from modelyard.testing.object_store import FLIGHTS, content_of
store, number = FileObjects(Path(sys.argv[1])), 0
while True:
    number += 1
    [digest] = store.put(FLIGHTS, [content_of(str(number).encode(), 300_000)])
    print(digest, flush=True)
"""


def test_whatever_was_acknowledged_before_kill_9_is_whole(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENDLESS_WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=python_env()) as writer:
        assert writer.stdout
        acknowledged = [Digest(writer.stdout.readline().strip()) for _ in range(9)]
        writer.kill()
        acknowledged += [Digest(line.strip()) for line in writer.stdout if line.endswith("\n")]
    store = FileObjects(tmp_path)
    store.sweep(timedelta(0))
    assert store.absent(FLIGHTS, acknowledged) == []
    present = [Digest("sha256:" + path.name) for path in files(tmp_path)]
    assert set(present) >= set(acknowledged)
    assert [digest_bytes(content) for content in store.get(FLIGHTS, present)] == present


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a tiny disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["/usr/bin/mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a tiny disk is not allowed here")
    yield disk
    subprocess.run(["/usr/bin/umount", disk], check=True)


def test_a_full_disk_is_told_and_leaves_nothing_behind(tiny_disk: Path, tmp_path: Path) -> None:
    store = FileObjects(tiny_disk)
    [kept] = store.put(FLIGHTS, [b"kept"])
    (tmp_path / "in").write_bytes(content_of(b"too large", 500_000))
    attempts: list[Callable[[], object]] = [
        lambda: store.put(FLIGHTS, [(tmp_path / "in").read_bytes()]),
        lambda: store.put_files(FLIGHTS, [tmp_path / "in"]),
    ]
    for attempt in attempts:
        with pytest.raises(Problem, match="the disk is full") as told:
            attempt()
        assert told.value.code == "file.unavailable"
        assert [path.name for path in files(tiny_disk)] == [kept.removeprefix("sha256:")]
    assert store.get(FLIGHTS, [kept]) == [b"kept"]


@pytest.fixture
def small_files_only() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files_only")
def test_a_limit_on_file_sizes_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(Problem) as told:
        FileObjects(tmp_path).put(FLIGHTS, [bytes(200_000)])
    assert told.value.code == "file.unavailable"
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    store = FileObjects(tmp_path / "taken")
    assert store.absent(FLIGHTS, [digest_bytes(b"x")]) == [digest_bytes(b"x")]
    with pytest.raises(Problem) as told:
        store.put(FLIGHTS, [b"x"])
    assert told.value.code == "file.unavailable"


def test_a_disk_that_cannot_be_read_is_told_and_is_not_taken_for_absent(tmp_path: Path) -> None:
    store = FileObjects(tmp_path)
    [digest] = store.put(FLIGHTS, [b"x"])
    folder = (tmp_path / object_key(FLIGHTS, digest)).parent
    folder.rename(tmp_path / "aside")
    folder.symlink_to(folder)
    for attempt in (lambda: store.absent(FLIGHTS, [digest]), lambda: store.get(FLIGHTS, [digest])):
        with pytest.raises(Problem) as told:
            attempt()
        assert told.value.code == "file.unavailable"


def python_env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
