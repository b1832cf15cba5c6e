"""Files of this machine into the object store and back, a few pieces of each in memory."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from os.path import commonpath
from pathlib import Path
from tempfile import mkdtemp

import msgspec

from modelyard.client.connection import Connection
from modelyard.client.objects import download, upload
from modelyard.client.waiting import Look, progress
from modelyard.core import Digest, Problem, digest_file
from modelyard.core.files import whole_file
from modelyard.serving.batch import UploadedFile, WrittenPart

PIECE_BYTES = 16 << 20
PIECES_AT_ONCE = 4


def send_files(connection: Connection, project: str, paths: Sequence[Path]) -> Digest:
    """Store files and return the digest of their listing; pieces that are stored already are not sent again.

    Raises
    ------
    Problem
        `file.missing` for one that cannot be read; what `upload` raises.
    """
    total = max(sum(_size(path) for path in paths), 1)
    sent = 0
    files = []
    with progress(f"send {_told(paths)}") as show:
        for name, path in zip(_names(paths), paths, strict=True):
            digests: list[Digest] = []
            for pieces in _pieces(path):
                digests += upload(connection, project, pieces)
                sent += sum(len(piece) for piece in pieces)
                show(Look(False, sent / total, f"{sent >> 20:,} of {total >> 20:,} MiB"))
            files.append(UploadedFile(name, tuple(digests)))
    [listing] = upload(connection, project, [msgspec.json.encode(files)])
    return listing


def parts_of(connection: Connection, project: str, listing: Digest) -> list[WrittenPart]:
    """Return the parts that a listing names."""
    return msgspec.json.decode(download(connection, project, listing), type=list[WrittenPart])


def fetch_parts(connection: Connection, project: str, parts: Sequence[WrittenPart], folder: Path) -> list[Path]:
    """Bring parts into a folder, each whole or not at all, and return where they are; those that are there already stay."""
    paths = [folder / part.name for part in parts]
    with progress(f"fetch {len(parts):,} parts") as show:
        for number, (part, path) in enumerate(zip(parts, paths, strict=True)):
            if not path.is_file() or digest_file(path) != part.digest:
                with whole_file(path) as write:
                    write(download(connection, project, part.digest))
            show(Look(False, (number + 1) / len(parts), ""))
    return paths


@contextmanager
def scratch_beside(path: Path) -> Iterator[Path]:
    """Give a hidden folder on the disk of `path`, gone at the end. Problem `file.unavailable` where none can be made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield folder
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)


def unwritable(path: Path, error: OSError) -> Problem:
    """Return the problem of a path that cannot be written."""
    step = f"make {path.parent} a folder that you may write"
    return Problem("file.unavailable", f"{path} cannot be written", str(error.strerror or error), step)


def _pieces(path: Path) -> Iterator[list[bytes]]:
    try:
        with path.open("rb") as stream:
            read: Callable[[], bytes] = lambda: stream.read(PIECE_BYTES)  # noqa: E731 - what `iter` asks
            held: list[bytes] = []
            for piece in iter(read, b""):
                held.append(piece)
                if len(held) == PIECES_AT_ONCE:
                    yield held
                    held = []
            if held:
                yield held
    except OSError as error:
        raise _unreadable(path, error) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> Problem:
    return Problem("file.missing", f"{path} cannot be read", str(error.strerror or error), "look at the path")


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the names of files below the folder that holds them all."""
    absolute = [path.absolute() for path in paths]
    root = commonpath([one.parent for one in absolute])
    return [one.relative_to(root).as_posix() for one in absolute]


def _told(paths: Sequence[Path]) -> str:
    return paths[0].name if len(paths) == 1 else f"{len(paths):,} files"
