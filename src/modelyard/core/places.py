"""The port of places: named files below one address, such as a folder or a prefix of a bucket.

Adapters live in `modelyard.adapters` (local files, S3) and pass `modelyard.testing.place`. What is kept by its content belongs
to the object store; a place is for files that people and other engines know by their names.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from modelyard.core.problems import Problem

_MAGIC = re.compile(r"[*\[]")  # in a URL; in a path of this machine also ?
_LOCAL_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class PlacedFile:
    """One file as it was found."""

    name: str  # below the place, its folders parted by slashes
    size_bytes: int
    tag: str  # another one where the file was written again


class Place(Protocol):
    """Files below one address. Every verb is safe to repeat; what is seen is whole, also after a kill. Shared between threads.

    Raises
    ------
    Problem
        From every verb: `file.unavailable` (a disk that is full, or cannot be read or written) and `object.unavailable` (a
        server that does not answer, or does not let these keys in), saying why; `file.invalid` for a name that leads outside.
    """

    def find(self, pattern: str = "") -> list[PlacedFile]:
        """Return the file of this name; else those below the folder of this name ("": all); else those that the pattern fits.

        In order of their names. `*` stands for anything within a folder's name, `**` for any depth. Those whose name, or whose
        folder's name, begins with a dot or an underscore are found by their whole name only.
        """
        ...

    def fingerprint(self, file: PlacedFile) -> str:
        """Return a text that is another one where the content is. Raises as `fetch`."""
        ...

    def fetch(self, file: PlacedFile, folder: Path) -> Path:
        """Return a local file with its content: itself where it is one, else written into `folder` under its last name.

        Raises
        ------
        Problem
            `file.conflict` when it is not the file any more that was found.
        """
        ...

    def confirm(self, file: PlacedFile) -> None:
        """Return when a file that was fetched had its content until now. Problem `file.conflict`."""
        ...

    def get(self, name: str) -> bytes | None:
        """Return a file's content; None: there is no such file."""
        ...

    def put(self, name: str, content: bytes, *, new: bool = False) -> bool:
        """Write a file, whole or not at all; with `new` only where there is none, and return whether it was written."""
        ...

    def remove(self, names: Sequence[str]) -> None:
        """Remove files; those that are not there are passed over."""
        ...


def split_pattern(url: str) -> tuple[str, str]:
    """Return the URL of the folder that a URL's files are below, and what names them there, for `Place.find`.

    >>> split_pattern("s3://lake/in/2013-*.parquet?region=eu-central-1")
    ('s3://lake/in?region=eu-central-1', '2013-*.parquet')
    >>> split_pattern("s3://lake/in/"), split_pattern("file:///data/in.csv")
    (('s3://lake/in', ''), ('file:///data', 'in.csv'))
    """
    parts = urlsplit(url)
    names = parts.path.split("/")
    magic = next((place for place, name in enumerate(names) if _MAGIC.search(name)), len(names) - 1)
    folder = "/".join(names[:magic]) or ("/" if parts.scheme == "file" else "")
    return urlunsplit(parts._replace(path=folder)), unquote("/".join(names[magic:]))


def below(url: str, *names: str) -> str:
    """Return the URL of a folder below that of another.

    >>> below("s3://lake/home?region=eu-central-1", ".scoring", "flights")
    's3://lake/home/.scoring/flights?region=eu-central-1'
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path="/".join([parts.path.rstrip("/"), *(quote(name) for name in names)])))


def is_pattern(text: str) -> bool:
    """Return whether a path of this machine has signs that stand for others."""
    return _LOCAL_MAGIC.search(text) is not None


def local_files(path: str) -> list[Path]:
    """Return the file at a path of this machine; else the files below it; else those that it fits as a pattern, by name."""
    if not path or "\0" in path:
        return []
    exact = Path(path)
    if exact.is_file():
        return [exact]
    if exact.is_dir():
        found, start = glob(f"{_literal(path)}/**", recursive=True), len(exact.parts)
    elif is_pattern(path):
        found, start = glob(path, recursive=True), len(Path(path[: _first_magic(path)]).parts)
    else:
        return []
    paths = [Path(one) for one in found]
    return sorted((one for one in paths if not is_hidden("/".join(one.parts[start:])) and one.is_file()), key=str)


def is_hidden(name: str) -> bool:
    """Return whether a name, or that of a folder in it, begins with a dot or an underscore: a mark, or something half-done."""
    return any(part.startswith((".", "_")) for part in name.split("/"))


def fits(pattern: str, name: str) -> bool:
    """Return whether a name fits a pattern: `*` for anything within a folder's name, `**` for any depth, `?`, `[a-z]`.

    >>> fits("in/*.csv", "in/a.csv"), fits("in/*.csv", "in/2013/a.csv"), fits("**/*.csv", "in/2013/a.csv")
    (True, False, True)
    """
    return re.fullmatch("".join(_regex(pattern)), name) is not None


def check_name(name: str) -> str:
    """Return a name that stays below its place. Problem `file.invalid`."""
    parts = name.split("/")
    if "\0" in name or any(part in {"", ".", ".."} for part in parts):
        raise Problem("file.invalid", f"{name[:200]!r} is no name of a file", "it is empty, or leads outside of its folder")
    return name


def changed(told: str) -> Problem:
    """Return the problem of a file that is not any more what it was when it was found."""
    step = "begin again with --anew"
    return Problem("file.conflict", f"{told} has changed while it was read", "somebody wrote it again", step)


def _first_magic(path: str) -> int:
    """Return where the last folder ends that has no sign in it."""
    found = _LOCAL_MAGIC.search(path)
    return path.rfind("/", 0, found.start() if found else len(path)) + 1


def _literal(path: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", path.rstrip("/"))


def _regex(pattern: str) -> list[str]:
    signs = re.findall(r"\*\*/|\*\*|\*|\?|\[!?[^\]]+\]|.", pattern, re.DOTALL)
    known = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return [known.get(sign) or (_set(sign) if len(sign) > 1 else re.escape(sign)) for sign in signs]


def _set(sign: str) -> str:
    inner = sign[1:-1].replace("\\", "\\\\")
    return f"[^/{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
