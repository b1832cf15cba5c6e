"""Objects as files: a tree `<root>/<project>/<2 hex digits>/<64 hex digits>`, each file read-only and named by its content."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from modelyard.core.digests import Digest, digest_bytes
from modelyard.core.files import sweep_scratch, whole_file
from modelyard.core.ids import ProjectId
from modelyard.core.objects import object_key, object_missing, source_chunks, source_digest, verified
from modelyard.core.problems import Problem

_CHUNK_BYTES = 1 << 20
_SCRATCH = ".scratch"  # a dot is in no project id, so no project meets it
_READ_ONLY = 0o444


class FileObjects:
    """The object store on a local disk, for any number of threads and processes.

    A file is put in place by one rename after it was flushed, so whatever is seen is whole, also after kill -9 and power loss.
    Presence is judged by name and size, so that storing again mends a file that was cut short; reading judges by the digest.

    Parameters
    ----------
    root
        The folder; it is made at the first writing.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @classmethod
    def from_url(cls, url: str) -> "FileObjects":
        """Return the store at `file:///absolute/path`.

        Raises
        ------
        Problem
            `adapter.invalid` for a URL that names another host, or no absolute path.
        """
        parts = urlsplit(url)
        if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/") or parts.query:
            raise Problem(
                "adapter.invalid",
                f"{url} names no local folder",
                "it needs three slashes and an absolute path",
                "write it as file:///absolute/path",
            )
        return cls(Path(unquote(parts.path)))

    def put(self, project: ProjectId, contents: Sequence[bytes]) -> list[Digest]:
        """Store each content and return its digest, in order."""
        digests = [digest_bytes(content) for content in contents]
        for digest, content in dict(zip(digests, contents, strict=True)).items():
            path = self._path(project, digest)
            if _size(path) != len(content):
                self._write(path, iter([content]))
        return digests

    def put_files(self, project: ProjectId, paths: Sequence[Path]) -> list[Digest]:
        """Store each file and return its digest, in order."""
        return [self._put_file(project, path) for path in paths]

    def get(self, project: ProjectId, digests: Sequence[Digest]) -> list[bytes]:
        """Return each content, verified against its digest."""
        places = [self._path(project, digest) for digest in digests]
        return [b"".join(self._read(project, digest, place)) for digest, place in zip(digests, places, strict=True)]

    def fetch(self, project: ProjectId, digest: Digest, to: Path) -> None:
        """Write one content to the file `to`, in one rename, verified."""
        chunks = self._read(project, digest, self._path(project, digest))
        with whole_file(to) as write:
            for chunk in chunks:
                write(chunk)

    def absent(self, project: ProjectId, digests: Sequence[Digest]) -> list[Digest]:
        """Return those digests that are not stored, in order, each once."""
        return [digest for digest in dict.fromkeys(digests) if _size(self._path(project, digest)) is None]

    def upload_url(self, project: ProjectId, digest: Digest, size_bytes: int) -> str | None:
        """Return None: a folder has no address to PUT to."""
        self._path(project, digest)
        return None

    def accept(self, project: ProjectId, digests: Sequence[Digest]) -> None:
        """Pass where all are stored; nothing can be waiting to be taken in."""
        for digest in self.absent(project, digests):
            raise object_missing(project, digest)

    def sweep(self, older_than: timedelta) -> int:
        """Drop what killed writers left behind, of whatever age."""
        return sweep_scratch(self._root / _SCRATCH)

    def _path(self, project: ProjectId, digest: Digest) -> Path:
        return self._root / object_key(project, digest)

    def _put_file(self, project: ProjectId, path: Path) -> Digest:
        digest, size_bytes = source_digest(path)
        place = self._path(project, digest)
        if _size(place) != size_bytes:
            self._write(place, source_chunks(path, digest, _CHUNK_BYTES))
        return digest

    def _write(self, place: Path, chunks: Iterator[bytes]) -> None:
        with whole_file(place, scratch=self._root / _SCRATCH, mode=_READ_ONLY) as write:
            for chunk in chunks:
                write(chunk)

    def _read(self, project: ProjectId, digest: Digest, place: Path) -> Iterator[bytes]:
        try:
            yield from verified(_chunks(place), digest, str(place))
        except (FileNotFoundError, NotADirectoryError):
            raise object_missing(project, digest) from None
        except OSError as error:
            raise _unreadable(place, error) from error


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


def _size(place: Path) -> int | None:
    try:
        return place.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(place, error) from error


def _unreadable(place: Path, error: OSError) -> Problem:
    step = f"look at the disk, and at the rights to {place.parent}"
    return Problem("file.unavailable", f"{place} cannot be read", str(error.strerror or error), step)
