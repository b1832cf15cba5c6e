"""The port of the object store: immutable bytes under their digest.

Adapters live in `modelyard.adapters` (local files, S3) and pass `modelyard.testing.object_store`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from modelyard.core.digests import Digest
from modelyard.core.ids import ProjectId


class ObjectStore(Protocol):
    """Content-addressed bytes of a project. Every verb is safe to repeat; nothing half-written is ever seen.

    A digest of one project is not readable through another, although equal bytes may be stored once.
    """

    def put(self, project: ProjectId, contents: Sequence[bytes]) -> list[Digest]:
        """Store each content and return its digest, in order. Storing what is there already costs no upload."""
        ...

    def put_files(self, project: ProjectId, paths: Sequence[Path]) -> list[Digest]:
        """Store each file (streamed; in parts where the store has multipart) and return its digest, in order."""
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
        """Write one content to the file `to`, in one rename, verified. Raises as `get` does."""
        ...

    def absent(self, project: ProjectId, digests: Sequence[Digest]) -> list[Digest]:
        """Return those digests that are not stored, in order: what a client still has to upload."""
        ...

    def upload_url(self, project: ProjectId, digest: Digest, size_bytes: int) -> str | None:
        """Return an address to PUT the content to without further credentials, or None where the store has none."""
        ...
