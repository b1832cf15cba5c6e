"""Contents between here and the object store: straight to it where it has addresses, else through the control plane."""

from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from modelyard.client.connection import TIMEOUT, Connection, part
from modelyard.core import Digest, Problem, digest_bytes


@dataclass(frozen=True)
class Absent:
    """A content that is not stored yet, and where to send it."""

    digest: Digest
    upload_url: str | None


def upload(connection: Connection, project: str, contents: Sequence[bytes]) -> list[Digest]:
    """Store contents and return their digests; those that are there already are not sent.

    Raises
    ------
    Problem
        `object.unavailable` when the store does not take one.
    """
    found = {digest_bytes(content): content for content in contents}
    wanted = {"digests": list(found), "sizes": [len(content) for content in found.values()]}
    absent = connection.post(f"{project}/objects/absent", list[Absent], wanted)
    direct = [one for one in absent if one.upload_url is not None]
    for one in absent:
        if one.upload_url is None:
            headers = {"Content-Type": "application/octet-stream"}
            connection.send("PUT", f"{project}/objects/{part(one.digest)}", content=found[one.digest], headers=headers)
        else:
            _send_to_store(one.upload_url, found[one.digest])
    if direct:
        connection.post(f"{project}/objects/accept", list[Digest], {"digests": [one.digest for one in direct]})
    return [digest_bytes(content) for content in contents]


def download(connection: Connection, project: str, digest: Digest) -> bytes:
    """Return a content, held against its digest. Problem `object.missing`, `object.invalid`."""
    content = connection.send("GET", f"{project}/objects/{part(digest)}").content
    if digest_bytes(content) != digest:
        raise Problem("object.invalid", f"The content {digest} came changed", "its bytes have another digest", "try again")
    return content


def _send_to_store(url: str, content: bytes) -> None:
    try:
        answer = httpx.put(url, content=content, timeout=TIMEOUT)
    except httpx.TransportError as error:
        raise Problem("object.unavailable", "The object store does not answer", str(error), "try again") from error
    if not answer.is_success:
        why = f"it answered with status {answer.status_code}"
        raise Problem("object.unavailable", "The object store did not take the content", why, "look at the store's log")
