"""The one place that sends requests: token, problems, retries, and answers decoded into the slices' own types."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from modelyard.core import Page, Problem

T = TypeVar("T")

TRIES = 4
FIRST_PAUSE_S = 0.1
PAGE = 1000
TIMEOUT = httpx.Timeout(30.0, read=300.0)
_SAFE = frozenset({"GET", "HEAD"})
_AGAIN = frozenset({502, 503, 504})


@dataclass(frozen=True)
class Doors:
    """Where the doors of a platform are; None: there is no such door."""

    gateway: str | None = None
    grpc: str | None = None


class Connection:
    """Requests to one control plane.

    Parameters
    ----------
    http
        Sends them: over a socket, or straight to a server in this process.
    sleep
        Waits a number of seconds.
    lasting
        Whether jobs go on when this process ends.
    gateway
        Sends requests to the inference plane; None: ask the control plane where it is.
    told
        What people call the server.
    """

    def __init__(
        self,
        http: httpx.Client,
        *,
        sleep: Callable[[float], None] = time.sleep,
        lasting: bool = True,
        gateway: httpx.Client | None = None,
        told: str = "the server",
    ) -> None:
        self._http = http
        self.sleep = sleep
        self.lasting = lasting
        self._gateway = gateway
        self._told = told

    def get(self, path: str, form: type[T], **query: Any) -> T:
        """Return the answer of a GET in the form asked for."""
        return self._decoded(self.send("GET", path, params=_query(query)), form)

    def post(self, path: str, form: type[T], body: Any = None, **query: Any) -> T:
        """Return the answer of a POST in the form asked for; `body` may hold the slices' own values."""
        return self._decoded(self.send("POST", path, params=_query(query), **_content(body)), form)

    def put(self, path: str, form: type[T], body: Any = None, **query: Any) -> T:
        """Return the answer of a PUT in the form asked for."""
        return self._decoded(self.send("PUT", path, params=_query(query), **_content(body)), form)

    def delete(self, path: str, form: type[T]) -> T:
        """Return the answer of a DELETE in the form asked for."""
        return self._decoded(self.send("DELETE", path), form)

    def pages(self, path: str, form: type[T], *, most: int | None = None, **query: Any) -> Iterator[T]:
        """Yield the items of all pages, or of as many as hold `most`."""
        after: str | None = None
        left = most
        while left is None or left > 0:
            limit = PAGE if left is None else min(left, PAGE)
            page = self.get(path, Page[form], **query, after=after, limit=limit)  # type: ignore[valid-type]
            yield from page.items
            after = page.next_key
            left = None if left is None else left - len(page.items)
            if after is None:
                return

    def send(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Send a request and return its answer. Requests that only read are tried again when the server is away for a moment.

        Raises
        ------
        Problem
            As the server told it; `server.unavailable` when it does not answer.
        """
        return self._send(self._http, self._told, method, path, content)

    def ask_gateway(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Send a request to the inference plane. Raises as `send`, and `gateway.missing` where there is none."""
        if self._gateway is None:
            address = self.get("/v1/doors", Doors).gateway
            if address is None:
                why = "the control plane knows of none"
                raise Problem("gateway.missing", "There is no gateway to ask", why, "start one with the platform: yard up")
            self._gateway = httpx.Client(base_url=address, headers=self._http.headers, timeout=TIMEOUT)
        return self._send(self._gateway, "the gateway", method, path, content)

    def _send(self, http: httpx.Client, told: str, method: str, path: str, content: Mapping[str, Any]) -> httpx.Response:
        pause_s = FIRST_PAUSE_S
        for left in reversed(range(TRIES if method in _SAFE else 1)):
            try:
                answer = http.request(method, path, **content)
            except httpx.TimeoutException as error:
                raise _slow(told, error) from error
            except httpx.TransportError as error:
                if not left:
                    raise _away(told, error) from error
            else:
                if answer.is_success or not (left and answer.status_code in _AGAIN):
                    return _checked(answer)
            self.sleep(pause_s)
            pause_s *= 2
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Give the sockets back."""
        self._http.close()
        if self._gateway is not None:
            self._gateway.close()

    def _decoded(self, answer: httpx.Response, form: type[T]) -> T:
        try:
            return msgspec.json.decode(answer.content, type=form)
        except msgspec.DecodeError as error:
            what = f"The answer to {answer.request.method} {answer.request.url.path} cannot be read"
            raise Problem(
                "server.invalid", what, str(error), "use the same version of modelyard here and on the server"
            ) from error


def connect(url: str, token: str | None) -> Connection:
    """Return the connection to the control plane at `url`."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Connection(httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=TIMEOUT), told=url)


def part(text: str | int) -> str:
    """Return a name as one part of a path."""
    return quote(str(text), safe="@")


def _query(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in query.items() if value is not None}


def _content(body: Any) -> dict[str, Any]:
    """Return what of a request carries `body` as JSON. Problem `request.invalid` for what JSON does not have."""
    try:
        text = json.dumps(msgspec.to_builtins(body, enc_hook=_plain), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        step = "send numbers, texts, true, false, null, and lists and mappings of them"
        raise Problem("request.invalid", "The request cannot be told as JSON", str(error), step) from error
    return {"content": text.encode(), "headers": {"Content-Type": "application/json"}}


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()  # a NumPy scalar
    raise TypeError(f"it holds a {type(value).__name__}")


def _value(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_value(one) for one in value]
    return value.value if isinstance(value, Enum) else value


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    try:
        told = json.loads(answer.content)
        raise Problem(told["code"], told["what"], told["why"], told["next_step"], dict(told.get("context") or {}))
    except (ValueError, KeyError, TypeError):
        what = f"{answer.request.url} answered with status {answer.status_code}"
        raise Problem("server.failed", what, "and not as a Modelyard server does", "check MODELYARD_URL") from None


def _away(told: str, error: Exception) -> Problem:
    what = f"There is no answer from {told}"
    return Problem(
        "server.unavailable", what, str(error) or type(error).__name__, "start it with yard up, or mend MODELYARD_URL"
    )


def _slow(told: str, error: Exception) -> Problem:
    why = str(error) or type(error).__name__
    return Problem("server.timeout", f"No answer from {told} came in time", why, "look at the server's log, then try again")
