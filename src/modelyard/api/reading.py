"""Routes that only read share one snapshot of the database: they wait for no writer, and make none wait."""

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from fastapi.routing import APIRoute

from modelyard.api.callers import Caller, ProjectCaller


class SnapshotRoute(APIRoute):
    """A route whose plain GET function runs inside `platform.reading()`; its caller is the argument `call`."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        reads = set(options.get("methods") or ()) <= {"GET", "HEAD"} and not iscoroutinefunction(endpoint)
        super().__init__(path, _reading(endpoint) if reads else endpoint, **options)


def _reading(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(endpoint)
    def read(*arguments: Any, call: Caller | ProjectCaller, **named: Any) -> Any:
        with call.platform.reading():
            return endpoint(*arguments, call=call, **named)

    return read
