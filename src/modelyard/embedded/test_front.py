import asyncio
from collections.abc import Coroutine
from typing import Any

from modelyard.embedded.front import Front


async def asked(front: Front, path: str) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await front({"type": "http", "method": "GET", "path": path}, None, send)
    return sent


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/wait":
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 299, "headers": []})


def begun(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(work)


def test_health_answers_when_the_database_is_open_and_the_rest_when_it_is_loaded() -> None:
    async def story() -> None:
        front = Front()
        health, other = begun(asked(front, "/v1/health")), begun(asked(front, "/v1/projects"))
        await asyncio.sleep(0)
        assert not health.done()
        front.open()
        assert (await health)[0]["status"] == 200
        assert not other.done()
        front.load(application)
        assert (await other)[0]["status"] == 299
        assert (await asked(front, "/v1/health"))[0]["status"] == 299

    asyncio.run(story())


def test_who_waits_for_news_is_cut_off_at_the_end() -> None:
    async def story() -> None:
        front = Front()
        front.load(application)
        waiting = begun(asked(front, "/wait"))
        await asyncio.sleep(0)
        await front.close()
        assert (await waiting)[0]["status"] == 503

    asyncio.run(story())
