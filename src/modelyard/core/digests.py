"""Content digests: `sha256:` and 64 hex digits. Equal content has equal digests."""

import hashlib
from pathlib import Path
from typing import NewType

from modelyard.core.json import Json, canonical_json

Digest = NewType("Digest", str)

PREFIX = "sha256:"
_CHUNK_BYTES = 1 << 20


def digest_bytes(data: bytes) -> Digest:
    """Return the digest of `data`.

    >>> digest_bytes(b"")[:14]
    'sha256:e3b0c44'
    """
    return Digest(PREFIX + hashlib.sha256(data).hexdigest())


def digest_json(value: Json) -> Digest:
    """Return the digest of the canonical text of `value`."""
    return digest_bytes(canonical_json(value).encode())


def digest_file(path: Path) -> Digest:
    """Return the digest of a file's bytes, read in chunks of 1 MiB."""
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            state.update(chunk)
    return Digest(PREFIX + state.hexdigest())
