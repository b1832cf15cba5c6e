"""A folder as one file, and back: the same files make the same bytes, and what comes back stays within a folder of its own."""

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from modelyard.core.problems import Problem

MOST_FILES = 1000
PREFIX = "modelyard-unpacked-"
_MADE = (1980, 1, 1, 0, 0, 0)  # the first moment that such an archive can tell
_ENCRYPTED = 0x1
_PATH = re.compile(r"(?!\.{1,2}(/|$))[^/\0\\]{1,200}(/(?!\.{1,2}(/|$))[^/\0\\]{1,200}){0,8}")


def is_inside(path: str) -> bool:
    r"""Return whether a path has names with slashes between them, and stays within its folder.

    >>> [is_inside(one) for one in ("model.py", "a/b.npz", "../b", "/etc/x", "a//b", "a\\b", "")]
    [True, True, False, False, False, False, False]
    """
    return _PATH.fullmatch(path) is not None


def pack(folder: Path, paths: Iterable[str], to: Path) -> None:
    """Write files of a folder into one, stored as they are, in the order of their paths: the same files make the same bytes."""
    with ZipFile(to, "w", ZIP_STORED) as archive:
        for path in sorted(paths):
            entry = ZipInfo(path, _MADE)
            entry.external_attr = (stat.S_IFREG | 0o600) << 16
            entry.file_size = (folder / path).stat().st_size  # so that it knows when it needs its form for large ones
            with (folder / path).open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target)


def unpack(archive: Path, to: Path) -> None:
    """Write what `pack` has packed into an empty folder.

    Raises
    ------
    Problem
        `archive.invalid` for any other file: links, folders, paths that leave the folder, names that are there twice, what is
        compressed or encrypted, what does not match its checksum, more files or bytes than can be meant.
    """
    try:
        with ZipFile(archive) as opened:
            entries = opened.infolist()
            _check(entries, archive.stat().st_size)
            for entry in entries:
                file = to / entry.filename
                file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with opened.open(entry) as source, file.open("xb") as target:
                    shutil.copyfileobj(source, target)
    except (BadZipFile, EOFError, NotImplementedError, UnicodeError, FileExistsError, NotADirectoryError, ValueError) as error:
        raise _invalid(str(error) or type(error).__name__) from error


def _check(entries: list[ZipInfo], size_bytes: int) -> None:
    if len(entries) > MOST_FILES:
        raise _invalid(f"it has {len(entries):,} files; at most {MOST_FILES:,} are taken")
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names):
        raise _invalid("a name is in it twice")
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not is_inside(entry.filename) or entry.orig_filename != entry.filename:
            raise _invalid(f"{entry.orig_filename[:100]!r} is no path within a folder")
        if kind not in (0, stat.S_IFREG) or entry.is_dir():
            raise _invalid(f"{entry.filename[:100]!r} is no plain file")
        if entry.compress_type != ZIP_STORED or entry.flag_bits & _ENCRYPTED or entry.file_size != entry.compress_size:
            raise _invalid(f"{entry.filename[:100]!r} is not stored as it is")
    if sum(entry.file_size for entry in entries) > size_bytes:  # entries that share their bytes
        raise _invalid("it unpacks to more than it is")


@dataclass(frozen=True)
class Unpacked:
    """A private folder with what was in an archive, locked by this process: what killed ones have left is known by that."""

    folder: Path
    descriptor: int

    def drop(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            os.close(self.descriptor)


def unpacked(archive: Path) -> Unpacked:
    """Return what is in an archive, in a new private folder; those that ended processes have left are removed.

    Raises
    ------
    Problem
        `archive.invalid` as `unpack`; `file.unavailable` when it cannot be written.
    """
    place = Path(tempfile.gettempdir())
    for left in place.glob(f"{PREFIX}*"):
        _sweep(left)
    try:
        made = _claim()
    except OSError as error:
        raise _unwritten(place, error) from error
    try:
        unpack(archive, made.folder)
    except OSError as error:
        made.drop()
        raise _unwritten(place, error) from error
    except BaseException:
        made.drop()
        raise
    return made


def _claim() -> Unpacked:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        with suppress(FileNotFoundError):  # a sweep came between making and opening it
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(BlockingIOError):  # or before the lock
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if folder.exists():
                    return Unpacked(folder, descriptor)
            os.close(descriptor)


def _sweep(folder: Path) -> None:
    with suppress(OSError):  # it is gone, or somebody else's
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(descriptor).st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)


def _invalid(why: str) -> Problem:
    return Problem("archive.invalid", "The archive cannot be unpacked", why, "pack the folder again")


def _unwritten(place: Path, error: OSError) -> Problem:
    why, step = str(error.strerror or error), f"free space in {place}, or make it a folder that this process may write"
    return Problem("file.unavailable", f"The archive cannot be unpacked in {place}", why, step)
