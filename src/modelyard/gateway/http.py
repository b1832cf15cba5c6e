"""HTTP as the gateway sees it: a request's body within its limit, and answers as bytes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from math import ceil
from typing import Any, TypeAlias

import orjson

from modelyard.core import Problem
from modelyard.wiring.statuses import MEDIA_TYPE, problem_document, status_of

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = b"application/json"
BODY_TIMEOUT_S = 30.0
RETRY_AFTER_S = 1


class Gone(Exception):
    """The caller is no longer there."""


@dataclass(frozen=True)
class Reply:
    """One whole answer."""

    status: int
    body: bytes
    media_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def send(self, send: Send) -> None:
        """Send it."""
        headers = [(b"content-type", self.media_type), (b"content-length", str(len(self.body)).encode()), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def json_reply(document: object, status: int = 200) -> Reply:
    """Return `document` as an answer in JSON."""
    return Reply(status, orjson.dumps(document))


def problem_reply(problem: Problem) -> Reply:
    """Return a problem as an answer; its member `error` is where the protocol's own clients look."""
    document = problem_document(problem)
    return refusal(problem, {"error": document["detail"], **document}, MEDIA_TYPE.encode())


def refusal(problem: Problem, document: object, media_type: bytes) -> Reply:
    """Return a problem as an answer in a door's own form, with the status and the headers that go with it."""
    status = status_of(problem)
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if status == 413:  # noqa: PLR2004 - the status that says so; what was not read of the body must not follow
        headers = ((b"connection", b"close"),)
    elif status in (429, 503):
        headers = ((b"retry-after", str(ceil(retry_after_s(problem))).encode()),)
    elif status == 401:  # noqa: PLR2004 - RFC 9110 wants the scheme named
        headers = ((b"www-authenticate", b"Bearer"),)
    return Reply(status, orjson.dumps(document, default=str), media_type, headers)


def retry_after_s(problem: Problem) -> float:
    """Return in how many seconds it makes sense to try again."""
    told = problem.detail.get("retry_after_s")
    return told if isinstance(told, int | float) else RETRY_AFTER_S


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """Return the request's body.

    Raises
    ------
    Problem
        `body.too_large` as soon as more than `limit` bytes are announced or have come: the rest is not read.
        `body.timeout` when it does not come to its end in 30 s; `body.invalid` for a compressed one.
    Gone
        When the caller hung up.
    """
    announced = headers.get(b"content-length")
    if announced is not None and announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    encoding = headers.get(b"content-encoding")
    if encoding not in (None, b"", b"identity"):
        raise Problem(
            "body.invalid",
            f"The body is {encoding[:20].decode('latin-1')}-encoded",
            "only plain bodies are read",
            "send it plain",
        )
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _read_on(body, receive, limit)
    except TimeoutError:
        raise body_timeout() from None


async def _read_on(body: bytes, receive: Receive, limit: int) -> bytes:
    chunks, size = [body], len(body)
    while True:
        if size > limit:
            raise _too_large(limit)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if not message.get("more_body"):
            break
    if size > limit:
        raise _too_large(limit)
    return b"".join(chunks)


def body_timeout() -> Problem:
    """Return the problem of a body that did not come to its end."""
    why = f"it had not ended after {BODY_TIMEOUT_S:g} s"
    return Problem("body.timeout", "The body came too slowly", why, "send it again")


def _too_large(limit: int) -> Problem:
    return Problem(
        "body.too_large", "The body is too large", f"at most {limit:,} bytes are read",
        "send fewer rows a request, or score files: yard score", {"limit_bytes": limit},
    )  # fmt: skip
