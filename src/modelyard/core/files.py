"""Files that are there whole or not at all, also after kill -9 or a full disk."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from threading import Thread

from modelyard.core.problems import Problem

SCRATCH_PREFIX = ".yard-scratch-"
TURN_S = 30.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def whole_file(
    to: Path, scratch: Path | None = None, mode: int = 0o666, *, new: bool = False
) -> Iterator[Callable[[bytes], None]]:
    """Give a function that writes chunks; they become the file `to` in one rename when the block ends well.

    Until then they lie in a scratch file in the folder `scratch` (that of `to` when None; it must be on the same disk), which
    the writer keeps locked. When the block raises it is removed; when the process is killed, `sweep_scratch` knows it by its
    free lock. Folders are made as needed; file and folder are flushed to the disk. `mode` is lessened by the umask.
    With `new` a file that is there stays, and of several writers at once one alone has its way.

    Raises
    ------
    Problem
        `file.unavailable`: the disk is full or cannot be written; nothing is left behind.
    FileExistsError
        With `new`, where there is a file already.
    """
    folder = scratch or to.parent
    with _told(to):
        _make_folder(folder)
        _make_folder(to.parent)
        descriptor, path = _claim(folder, mode)

    def write(chunk: bytes) -> None:
        rest = memoryview(chunk)
        with _told(to):
            while rest:
                rest = rest[os.write(descriptor, rest) :]

    try:
        yield write
        with _told(to):
            os.fsync(descriptor)
        _move(path, to, new=new)
        with _told(to):
            _flush_folder(to.parent)
    finally:
        with suppress(FileNotFoundError):
            path.unlink()
        os.close(descriptor)


@contextmanager
def turn(lock: Path, patience_s: float = TURN_S) -> Iterator[None]:
    """Wait while another thread or process of this machine is in a turn of the same lock; the death of one ends its turn.

    It is a courtesy, for work that would else be done in vain: who has waited for `patience_s` goes on, and so do all where the
    lock cannot be had.
    """
    descriptor = None
    with suppress(OSError):
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        _wait_for(descriptor, patience_s)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _wait_for(descriptor: int, patience_s: float) -> None:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    # A call that waits has no end of its own. One that is left behind gives the lock back at once: its file is closed by then.
    waiting = Thread(target=fcntl.flock, args=(descriptor, fcntl.LOCK_EX), name="turn", daemon=True)
    waiting.start()
    waiting.join(patience_s)


def sweep_scratch(folder: Path) -> int:
    """Remove the scratch files in `folder` whose writers are gone, and return how many there were."""
    return sum(_remove_unlocked(path) for path in folder.glob(SCRATCH_PREFIX + "*"))


def _claim(folder: Path, mode: int) -> tuple[int, Path]:
    while True:
        path = folder / (SCRATCH_PREFIX + token_hex(8))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, path
        os.close(descriptor)  # a sweep came between making and locking it


def _move(path: Path, to: Path, *, new: bool) -> None:
    try:
        os.link(path, to) if new else path.rename(to)
    except FileExistsError:
        raise
    except OSError as error:
        raise _unwritten(to, error) from error


def _remove_unlocked(path: Path) -> bool:
    with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        return True
    return False


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told(to: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritten(to, error) from error


def _unwritten(to: Path, error: OSError) -> Problem:
    full = error.errno in _FULL
    why = f"the disk is full ({error.strerror})" if full else str(error.strerror or error)
    step = f"free space on the disk of {to.parent}" if full else f"make {to.parent} a folder that this process may write"
    return Problem("file.unavailable", f"{to} could not be written", why, step)
