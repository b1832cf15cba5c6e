"""The gateways of a family: as many as the load asks for, on one port, and none of their callers is lost.

Each has a socket of its own on the port, held here: who is sent to one that has just ended waits for its next life. New callers
are sent only to those that answer. When one more answers, the others let their callers come anew, so that it gets its share;
one that is to end is sent nobody any more, and ends when its callers have gone to the others.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from modelyard.core import Problem
from modelyard.embedded.listeners import address, listening, sharing
from modelyard.embedded.scaling import Scale, Seen, load_with_one_less, look
from modelyard.embedded.steering import steer
from modelyard.embedded.supervisor import Child, Program, Say
from modelyard.wiring.signals import LEAVE, LEAVE_S, SPREAD

TEND_S = 0.2
LOOK_S = 2.0  # between two looks at the load
ASK_S = 5.0
SHIP_S = 60.0  # for one that leaves to bring its ledger home

Make = Callable[[int, socket.socket], Program]


def name_of(number: int) -> str:
    """Return the name of a gateway, counted from 1."""
    return "gateway" if number == 1 else f"gateway-{number}"


@dataclass
class _Gateway:
    number: int
    listener: socket.socket
    child: Child
    leaves_by: float = 0.0  # of `time.monotonic`


class Gateways:
    """The gateways. Its sockets are open from the beginning, so that callers may come; the block closes them."""

    def __init__(self, scale: Scale, host: str, port: int, say: Say) -> None:
        self._scale = scale
        self._host = host
        self._say = say
        self._listeners = [listening(host, port)] if scale.most == 1 else sharing(host, port, scale.least)
        self._port = self._listeners[0].getsockname()[1]
        self.url = address(host, self._port)
        self._steers = scale.most > 1 and self._can_steer()
        self._make: Make | None = None
        self._running: list[_Gateway] = []
        self._leaving: list[_Gateway] = []
        self._met: list[int] = []  # the places of those that callers are sent to
        self._seen = Seen()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._tend, name="gateways", daemon=True)

    def __enter__(self) -> "Gateways":
        """Give itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the sockets."""
        for listener in self._listeners:
            listener.close()

    def start(self, make: Make) -> None:
        """Start the least of them; `make` gives the program of one, by its number and its socket."""
        self._make = make
        for listener in list(self._listeners):
            self._begin(listener)

    def first_line(self, timeout_s: float, lives: int) -> dict[str, Any]:
        """Wait until they answer, and return what the first one says; from then on the load is followed. Raises as `Child`."""
        told, *_ = [one.child.first_line(timeout_s, lives) for one in self._running]
        self._steer()
        if self._scale.most > 1:
            self._thread.start()
        return told

    def close(self) -> Sequence[Child]:
        """Follow the load no more, and return those that are to be ended."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        return [one.child for one in (*self._running, *self._leaving)]

    def _can_steer(self) -> bool:
        try:
            steer(self._listeners[0], range(len(self._listeners)))
        except OSError as error:
            if self._scale.least == self._scale.most:
                return False  # the system spreads callers over all sockets, and all are answered
            self.__exit__(None, None, None)
            why = f"it does not choose who answers on a shared port: {error.strerror}"
            step = "name one number: --gateways N"
            raise Problem("gateways.unavailable", "This system cannot follow the load", why, step) from error
        return True

    def _begin(self, listener: socket.socket) -> None:
        assert self._make is not None  # noqa: S101 - `start` was called
        number = len(self._running) + 1
        child = Child(self._make(number, listener), self._say)
        self._running.append(_Gateway(number, listener, child))
        child.start()

    def _tend(self) -> None:
        next_look = time.monotonic() + LOOK_S
        while not self._ending.wait(TEND_S):
            self._steer()
            self._see_off()
            if self._scale.least < self._scale.most and time.monotonic() >= next_look:
                self._look()
                next_look = time.monotonic() + LOOK_S

    def _steer(self) -> None:
        """Send callers to those that answer; when there are more of these, have the others' callers come anew."""
        answering = [place for place, one in enumerate(self._running) if one.child.answers]
        if answering == self._met or not answering:
            return
        before, self._met = self._met, answering
        if self._steers:
            steer(self._listeners[0], answering)
        if not set(answering) <= set(before):
            for place in set(answering) & set(before):
                self._running[place].child.tell(SPREAD)

    def _look(self) -> None:
        """Start one more, or have the last one leave, where the loads ask for it."""
        if self._leaving or len(self._met) < len(self._running):
            return
        told = self._ask()
        loads = [told[one.number]["load"] for one in self._running if one.number in told]
        if len(loads) < len(self._running):
            return
        self._seen, change = look(self._scale, self._seen, time.monotonic(), loads)
        if change > 0:
            parts = {part: max(one[part] for one in told.values()) for part in ("cpu", "queue", "latency")}
            self._grow(f"load {sum(loads) / len(loads):.2f}, most of it by {max(parts, key=lambda part: parts[part])}")
        elif change < 0:
            self._shrink(f"the others will have a load of about {load_with_one_less(loads):.2f}")

    def _ask(self) -> dict[int, dict[str, float]]:
        """Return the loads by number; none when nobody answers in time."""
        from http.client import HTTPConnection, HTTPException  # noqa: PLC0415 - 0.1 s that only who follows the load pays

        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=ASK_S)
        try:
            connection.request("GET", "/v1/load", headers={"connection": "close"})
            told = json.loads(connection.getresponse().read())
            return {int(one["replica"]): one for one in told["replicas"]}
        except (OSError, HTTPException, ValueError, KeyError):
            return {}
        finally:
            connection.close()

    def _grow(self, why: str) -> None:
        try:
            listener = listening(self._host, self._port, shared=True)
        except Problem as problem:
            self._say(f"no further gateway: {problem}")
            return
        self._listeners.append(listener)
        self._begin(listener)
        self._say(f"{self._running[-1].child.program.name} is started: {why}")

    def _shrink(self, why: str) -> None:
        one = self._running.pop()
        one.leaves_by = time.monotonic() + LEAVE_S + SHIP_S
        self._leaving.append(one)
        self._steer()
        one.child.ask_to_stop(LEAVE)
        self._say(f"{one.child.program.name} leaves: {why}")

    def _see_off(self) -> None:
        for one in list(self._leaving):
            if one.child.ended:
                self._leaving.remove(one)
                self._listeners.remove(one.listener)
                one.listener.close()
            elif time.monotonic() > one.leaves_by:
                one.child.end(one.leaves_by)
