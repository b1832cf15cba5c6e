"""How the gRPC door is, by gRPC's health protocol (`grpc.health.v1`), open to everybody: what load balancers and kubelets ask.

The names "" and that of the inference service are known; both serve once there is a catalogue, until the door begins to close.
A watcher is told the state at once, and again when it changes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final

import grpc
import grpc.aio

from modelyard.gateway.messages import SERVICE, message_classes

HEALTH: Final = "grpc.health.v1"
HEALTH_SERVICE: Final = f"{HEALTH}.Health"
MESSAGES: Final = message_classes(
    HEALTH,
    {
        "HealthCheckRequest": ((1, "service", "string"),),
        "HealthCheckResponse": ((1, "status", "int32"),),  # an enumeration in the protocol: the same bytes
    },
)
SERVING: Final = 1
NOT_SERVING: Final = 2
SERVICE_UNKNOWN: Final = 3  # told to watchers alone
KNOWN: Final = frozenset({"", SERVICE})
LOOK_S: Final = 0.5


class Health:
    """The service. It belongs to one event loop."""

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready
        self._ending = asyncio.Event()

    def handler(self) -> Any:
        """Return what a server answers by."""
        read, write = MESSAGES["HealthCheckRequest"].FromString, MESSAGES["HealthCheckResponse"].SerializeToString
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, read, write),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch, read, write),
        }
        return grpc.method_handlers_generic_handler(HEALTH_SERVICE, methods)

    def end(self) -> None:
        """Serve no more: watchers are told so, and let go."""
        self._ending.set()

    def _status(self) -> int:
        return SERVING if self._ready() and not self._ending.is_set() else NOT_SERVING

    async def _check(self, message: Any, context: Any) -> Any:
        if message.service not in KNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {message.service[:100]}")
        return MESSAGES["HealthCheckResponse"](status=self._status())

    async def _watch(self, message: Any, _context: Any) -> AsyncIterator[Any]:
        known = message.service in KNOWN
        told = None
        while True:
            status = self._status() if known else SERVICE_UNKNOWN
            if status != told:
                yield MESSAGES["HealthCheckResponse"](status=status)
                told = status
            if self._ending.is_set():
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), LOOK_S)
