"""A body that is too large is refused, whether it says how long it is or not."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from modelyard.api import app as api
from modelyard.tenancy.service import local_owner
from modelyard.wiring import open_platform, read_settings


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FastAPI]:
    monkeypatch.setattr(api, "MAX_BODY_BYTES", 1_000)
    platform = open_platform(read_settings(home=tmp_path / "home", environment={}, folder=tmp_path))
    yield api.create_app(platform, owner=local_owner(platform))
    platform.close()


def post(app: FastAPI, content: bytes, *, in_pieces: bool) -> httpx.Response:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 100):
            yield content[start : start + 100]

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post("/v1/projects", content=pieces() if in_pieces else content)

    return asyncio.run(send())


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_body_over_the_limit_is_refused_and_one_at_it_is_read(app: FastAPI, in_pieces: bool) -> None:
    told = post(app, b" " * 990 + b'{"name": "x"}', in_pieces=in_pieces)
    assert (told.status_code, told.json()["code"]) == (413, "body.too_large")
    read = post(app, b" " * 987 + b'{"name": "x"}', in_pieces=in_pieces)
    assert read.json().get("code") != "body.too_large"
