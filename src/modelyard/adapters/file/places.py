"""Places on a local disk: the files below a folder."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from modelyard.core.digests import digest_file
from modelyard.core.files import sweep_scratch, whole_file
from modelyard.core.places import PlacedFile, changed, check_name, local_files
from modelyard.core.problems import Problem


class FilePlace:
    """The files below a folder, which is made at the first writing.

    A file is put in place by one rename after it was flushed. A killed writer leaves a hidden file, which the next
    writing of a new file into the same folder sweeps. A file found is known again by inode, size and time of change.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @classmethod
    def from_url(cls, url: str) -> "FilePlace":
        """Return the place at `file:///absolute/path`. Problem `adapter.invalid` for a URL of another form."""
        parts = urlsplit(url)
        if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/") or parts.query:
            why = "it needs three slashes and an absolute path, and takes no options"
            raise Problem("adapter.invalid", f"{url} names no local folder", why, "write it as file:///absolute/path")
        return cls(Path(unquote(parts.path)))

    def __str__(self) -> str:
        """Return the folder's path."""
        return str(self._root)

    def find(self, pattern: str = "") -> list[PlacedFile]:
        """Return a file, the files of a folder, or those that a pattern fits, by name."""
        try:
            return [self._found(path) for path in local_files(f"{self._root}/{pattern}" if pattern else str(self._root))]
        except OSError as error:
            raise self._unreadable(self._root, error) from error

    def fingerprint(self, file: PlacedFile) -> str:
        """Return the digest of the content."""
        path = self._path(file.name)
        try:
            found = digest_file(path)
        except OSError as error:
            raise self._unreadable(path, error) from error
        self.confirm(file)
        return found

    def fetch(self, file: PlacedFile, folder: Path) -> Path:
        """Return the file itself."""
        del folder
        self.confirm(file)
        return self._path(file.name)

    def confirm(self, file: PlacedFile) -> None:
        """Return when the file is still the one that was found."""
        path = self._path(file.name)
        try:
            now = self._found(path)
        except FileNotFoundError as error:
            raise changed(str(path)) from error
        except OSError as error:
            raise self._unreadable(path, error) from error
        if now != file:
            raise changed(str(path))

    def get(self, name: str) -> bytes | None:
        """Return a file's content; None: there is no such file."""
        path = self._path(name)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unreadable(path, error) from error

    def put(self, name: str, content: bytes, *, new: bool = False) -> bool:
        """Write a file by one rename, or with `new` by one link."""
        path = self._path(name)
        if new and path.parent.is_dir():  # work begins: what a killed writer had left is swept
            sweep_scratch(path.parent)
        try:
            with whole_file(path, new=new) as write:
                write(content)
        except FileExistsError:
            return False
        return True

    def remove(self, names: Sequence[str]) -> None:
        """Remove files."""
        for name in names:
            path = self._path(name)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise self._unreadable(path, error, "removed") from error

    def _path(self, name: str) -> Path:
        return self._root / check_name(name)

    def _found(self, path: Path) -> PlacedFile:
        stat = path.stat()
        name = path.relative_to(self._root).as_posix()
        return PlacedFile(name, stat.st_size, f"{stat.st_ino}-{stat.st_mtime_ns}")

    def _unreadable(self, path: Path, error: OSError, verb: str = "read") -> Problem:
        step = f"look at the disk, and at the rights to {path.parent}"
        return Problem("file.unavailable", f"{path} cannot be {verb}", str(error.strerror or error), step)
