"""The port of the object store: immutable bytes under their digest.

Adapters live in `modelyard.adapters` (local files, S3) and pass `modelyard.testing.object_store`.

A client uploads without passing bytes through the control plane: it asks `absent`, PUTs each missing content to its
`upload_url`, then has the control plane `accept` them. Such an upload lands beside the store, and no verb but `accept` sees it;
`accept` reads it, compares it with its digest and only then shows it. Where `upload_url` is None the client sends the bytes to
the control plane, which calls `put`. The client may call `accept` either way.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from modelyard.core.digests import PREFIX, Digest, digest_file
from modelyard.core.ids import ProjectId
from modelyard.core.problems import Problem

_HEX_DIGITS = re.compile(r"[0-9a-f]{64}")
_PROJECT = re.compile(r"[A-Za-z0-9_-]{1,128}")


class ObjectStore(Protocol):
    """Content-addressed bytes of a project. Every verb is safe to repeat; nothing half-written is ever seen.

    A digest of one project is not readable through another, although equal bytes may be stored once. Stores are safe to share
    between threads, and several processes may hold one on the same place.

    Raises
    ------
    Problem
        From every verb: `digest.invalid` and `project.invalid` for names that cannot be a key, `object.unavailable` when the
        store does not answer or refuses us, `file.unavailable` when a local disk is full or cannot be read or written.
    """

    def put(self, project: ProjectId, contents: Sequence[bytes]) -> list[Digest]:
        """Store each content and return its digest, in order. Storing what is there already costs no upload."""
        ...

    def put_files(self, project: ProjectId, paths: Sequence[Path]) -> list[Digest]:
        """Store each file and return its digest, in order; memory is bounded whatever the file's size.

        Raises
        ------
        Problem
            `file.missing` when a path is no readable file; `file.conflict` when the file changed while it was read.
        """
        ...

    def get(self, project: ProjectId, digests: Sequence[Digest]) -> list[bytes]:
        """Return each content, verified against its digest.

        Raises
        ------
        Problem
            `object.missing` when a digest is not stored; `object.invalid` when the stored bytes do not match it.
        """
        ...

    def fetch(self, project: ProjectId, digest: Digest, to: Path) -> None:
        """Write one content to the file `to`, in one rename, verified, in bounded memory. Raises as `get` does."""
        ...

    def absent(self, project: ProjectId, digests: Sequence[Digest]) -> list[Digest]:
        """Return those digests that are not stored, in order, each once: what a client still has to upload."""
        ...

    def upload_url(self, project: ProjectId, digest: Digest, size_bytes: int) -> str | None:
        """Return an address to PUT exactly `size_bytes` to without further credentials; it holds for an hour.

        None where the store has no such address, or not for this size: then send the bytes through `put` or `put_files`.
        The upload counts as stored only once it is accepted.
        """
        ...

    def accept(self, project: ProjectId, digests: Sequence[Digest]) -> None:
        """Take in what clients uploaded: compare each upload with its digest, then show it. Already stored ones are passed by.

        One bad upload does not keep the others out: all are looked at before the first problem is raised.

        Raises
        ------
        Problem
            `object.missing` when neither stored nor uploaded; `object.invalid` when the upload does not match its digest: it
            is dropped, to be sent again.
        """
        ...

    def sweep(self, older_than: timedelta) -> int:
        """Drop what killed writers and unaccepted uploads left behind, in all projects, and return how many there were.

        A store that can tell a dead writer from a slow one (local files) drops what dead ones left at once, and never what
        is in use; others go by the age on their own clock.
        """
        ...


def object_key(project: ProjectId, digest: Digest) -> str:
    """Return the key of a content, `<project>/<2 hex digits>/<64 hex digits>`: safe as a path, whatever the arguments hold.

    Raises
    ------
    Problem
        `project.invalid`, `digest.invalid`.

    >>> object_key(ProjectId("flights"), Digest("sha256:" + 32 * "e3"))[:16]
    'flights/e3/e3e3e'
    """
    if not _PROJECT.fullmatch(project):
        raise Problem("project.invalid", f"{project!r} is no project id", "it has other characters than A-Z a-z 0-9 _ -")
    digits = digest.removeprefix(PREFIX)
    if not digest.startswith(PREFIX) or not _HEX_DIGITS.fullmatch(digits):
        raise Problem("digest.invalid", f"{digest!r} is no digest", f"one is {PREFIX} and 64 hex digits, in lower case")
    return f"{project}/{digits[:2]}/{digits}"


def verified(chunks: Iterable[bytes], digest: Digest, place: str) -> Iterator[bytes]:
    """Pass `chunks` on and raise at their end unless together they have `digest`; `place` names where they are stored.

    Raises
    ------
    Problem
        `object.invalid`. Who passes the chunks on must be able to take them back.
    """
    state = hashlib.sha256()
    for chunk in chunks:
        state.update(chunk)
        yield chunk
    found = Digest(PREFIX + state.hexdigest())
    if found != digest:
        why = f"the bytes have the digest {found}"
        raise Problem("object.invalid", f"{place} does not hold {digest}", why, "store or upload the content again")


def source_digest(path: Path) -> tuple[Digest, int]:
    """Return the digest and the size in bytes of a file that is to be stored.

    Raises
    ------
    Problem
        `file.missing` when it cannot be read.
    """
    try:
        return digest_file(path), path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def source_chunks(path: Path, digest: Digest, chunk_bytes: int) -> Iterator[bytes]:
    """Read a file that is to be stored under `digest`, in chunks.

    Raises
    ------
    Problem
        `file.missing` when it cannot be read; at the end `file.conflict` when it is no longer what `source_digest` saw.
    """
    try:
        with path.open("rb") as stream:
            yield from verified(iter(lambda: stream.read(chunk_bytes), b""), digest, str(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    except Problem as problem:
        raise Problem("file.conflict", f"{path} changed while it was stored", problem.why, "store it again") from problem


def _unreadable(path: Path, error: OSError) -> Problem:
    return Problem("file.missing", f"{path} cannot be read", str(error.strerror or error))


def object_missing(project: ProjectId, digest: Digest) -> Problem:
    """Return the problem of a content that is not stored."""
    return Problem("object.missing", f"There is no object {digest}", f"project {project} has not stored or accepted it")
