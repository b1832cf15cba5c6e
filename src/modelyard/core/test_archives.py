"""Archives of folders: what comes out is what went in, and nothing of a hostile one comes out."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import pytest

from modelyard.core import Problem
from modelyard.core.archives import MOST_FILES, PREFIX, pack, unpack, unpacked

FILES = {"model.py": b"x = 1\n", "deep/er/w.npz": bytes(range(256)) * 300, "empty": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    return tmp_path / "folder"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def written(path: Path, *entries: tuple[ZipInfo | str, bytes], kind: int = ZIP_STORED) -> Path:
    with ZipFile(path, "w", kind) as archive:
        for entry, content in entries:
            archive.writestr(entry, content)
    return path


def link() -> ZipInfo:
    made = ZipInfo("model.py")
    made.external_attr = (stat.S_IFLNK | 0o777) << 16
    return made


def patched(path: Path, change: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


def overlapping(path: Path) -> Path:
    """Write an archive whose many entries are the same bytes."""
    with ZipFile(path, "w") as archive:
        archive.writestr("a", b"x" * 1000)
        first = archive.infolist()[0]
        for number in range(50):
            twin = ZipInfo(f"{number:01}", first.date_time)
            for slot in ("compress_size", "file_size", "CRC", "header_offset", "external_attr"):
                setattr(twin, slot, getattr(first, slot))
            archive.filelist.append(twin)
    return path


HOSTILE: dict[str, Callable[[Path], Path]] = {
    "a climbing path": lambda path: written(path, ("../out", b"x")),
    "a path that climbs in its midst": lambda path: written(path, ("a/../../out", b"x")),
    "an absolute path": lambda path: written(path, ("/out", b"x")),
    "a backslash": lambda path: patched(written(path, ("a!b", b"x")), lambda content: content.replace(b"a!b", b"a\\b")),
    "a null": lambda path: patched(written(path, ("a!b", b"x")), lambda content: content.replace(b"a!b", b"a\0b")),
    "a link": lambda path: written(path, (link(), b"/etc/passwd")),
    "a folder": lambda path: written(path, ("a/", b"")),
    "compressed": lambda path: written(path, ("a", b"0" * 1_000_000), kind=ZIP_DEFLATED),
    "the same bytes many times": overlapping,
    "a file that is a folder, too": lambda path: written(path, ("a", b"x"), ("a/b", b"y")),
    "another checksum": lambda path: patched(
        written(path, ("a", b"hello")), lambda content: content.replace(b"hello", b"hullo")
    ),
    "half of it": lambda path: patched(written(path, ("a", b"x" * 1000)), lambda content: content[:600]),
    "nothing": lambda path: patched(written(path), lambda _content: b""),
    "no archive": lambda path: patched(written(path), lambda _content: b"\x80\x04\x95 a pickle"),
    "too many files": lambda path: written(path, *((f"{number}", b"") for number in range(MOST_FILES + 1))),
}


def test_what_was_packed_comes_back_and_packs_alike(folder: Path, tmp_path: Path) -> None:
    pack(folder, FILES, tmp_path / "one.zip")
    for file in folder.rglob("*"):
        os.utime(file, (10**9, 10**9))
        file.chmod(0o700)
    pack(folder, reversed(FILES), tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "one.zip", tmp_path / "out")
    assert {
        one.relative_to(tmp_path / "out").as_posix(): one.read_bytes() for one in (tmp_path / "out").rglob("*") if one.is_file()
    } == FILES


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(make: Callable[[Path], Path], tmp_path: Path, temporary: Path) -> None:
    path = make(tmp_path / "hostile.zip")
    with pytest.raises(Problem) as told:
        unpacked(path)
    assert told.value.code == "archive.invalid"
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "out").exists()


def test_a_folder_is_private_and_what_an_ended_process_left_is_removed(folder: Path, tmp_path: Path, temporary: Path) -> None:
    pack(folder, FILES, tmp_path / "one.zip")
    left = temporary / f"{PREFIX}left"
    left.mkdir()
    (left / "weights").write_bytes(b"x")
    (temporary / f"{PREFIX}link").symlink_to(folder)
    first = unpacked(tmp_path / "one.zip")
    assert not left.exists()
    assert stat.S_IMODE(first.folder.stat().st_mode) == 0o700
    second = unpacked(tmp_path / "one.zip")
    assert (first.folder / "model.py").exists(), "its process lives"
    first.drop()
    second.drop()
    assert (folder / "model.py").exists()
    assert [one.name for one in temporary.iterdir()] == [f"{PREFIX}link"]
