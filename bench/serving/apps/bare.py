"""uvicorn with a constant answer, set up as our gateway is: what no Python server can be faster than."""

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import uvicorn


def main() -> None:
    """Answer every request with the content of a file."""
    file, port = sys.argv[1:3]
    body = Path(file).read_bytes()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def answer(
        _scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    uvicorn.run(
        answer, host="127.0.0.1", port=int(port), loop="uvloop", http="httptools", ws="none", interface="asgi3", lifespan="off",
        log_config=None, access_log=False, server_header=False, date_header=False, timeout_keep_alive=120,
    )  # fmt: skip


if __name__ == "__main__":
    main()
