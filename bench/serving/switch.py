"""A steady load while an alias moves: what fails, how long nobody is answered, how much slower the slowest get."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np

RATE = 300  # requests a second
CONNECTIONS = 16
BEFORE = 1 / 3  # of the requests come before the first switch
FLIP_EVERY_S = 0.5
LATE_S = 20.0
READY_S = 5.0  # the process that asks has started by then


@dataclass(frozen=True)
class Switching:
    """What came of it."""

    requests: int
    failed: int
    flips: int
    versions: tuple[str, ...]  # that answered
    p99_before_ms: float
    p99_during_ms: float
    gap_ms: float  # longest time between two answers, while switches go on


@dataclass
class Load:
    """Requests that are sent when they are due, whether those before are answered or not: latency counts from then."""

    url: str
    authorization: str
    bodies: Sequence[bytes]
    began: float  # monotonic seconds, when the first one is due
    failed: int = 0
    answered: list[tuple[float, float]] = field(default_factory=list)  # when it was due, seconds it took from then
    versions: set[str] = field(default_factory=set)

    async def run(self, requests: int) -> None:
        """Send all."""
        due = iter(range(requests))
        await asyncio.gather(*(self._connection(due) for _ in range(CONNECTIONS)))

    async def _connection(self, due: Iterator[int]) -> None:
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for number in due:
            at = self.began + number / RATE
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            body = self.bodies[number % len(self.bodies)]
            head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
            head += f"Authorization: {self.authorization}\r\nContent-Length: {len(body)}\r\n\r\n"
            try:
                writer.write(head.encode() + body)
                async with asyncio.timeout(LATE_S):
                    status, answer = await _answer(reader)
            except (OSError, EOFError, TimeoutError):
                self.failed += 1
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
                continue
            self.answered.append((at, time.perf_counter() - at))
            if status == b"200":
                self.versions.add(json.loads(answer).get("model_version") or "untold")
            else:
                self.failed += 1
        writer.close()


def switching(
    url: str, authorization: str, bodies: Sequence[bytes], switch: Callable[[int], object], requests: int
) -> Switching:
    """Ask 300 times a second from a process of its own; after a third of the requests, call `switch` twice a second."""
    began = time.perf_counter() + READY_S
    told = {"url": url, "authorization": authorization, "bodies": [one.decode() for one in bodies], "began": began}
    first, last = began + requests * BEFORE / RATE, began + requests / RATE - 1.0
    flips = 0
    command = [sys.executable, "-m", "bench.serving.switch", str(requests)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asker:
        assert asker.stdin is not None  # noqa: S101 - it is a pipe
        asker.stdin.write(json.dumps(told) + "\n")
        asker.stdin.flush()
        while time.perf_counter() < last:
            time.sleep(max(0.0, first + flips * FLIP_EVERY_S - time.perf_counter()))
            switch(flips)
            flips += 1
        found, _ = asker.communicate()
    came_of_it = json.loads(found)
    answered = np.array(came_of_it["answered"])
    before = answered[:, 0] < first
    came = np.sort(answered[~before].sum(axis=1))
    return Switching(
        requests=requests,
        failed=came_of_it["failed"],
        flips=flips,
        versions=tuple(sorted(came_of_it["versions"])),
        p99_before_ms=float(np.percentile(answered[before, 1], 99)) * 1e3,
        p99_during_ms=float(np.percentile(answered[~before, 1], 99)) * 1e3,
        gap_ms=float(np.max(np.diff(came))) * 1e3,
    )


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.lower().startswith(b"content-length:"))
    return lines[0].split()[1], await reader.readexactly(length)


def main() -> None:
    """Send the requests that standard input tells of, and tell what came of them."""
    told = json.loads(sys.stdin.readline())
    load = Load(told["url"], told["authorization"], [one.encode() for one in told["bodies"]], told["began"])
    asyncio.run(load.run(int(sys.argv[1])))
    sys.stdout.write(json.dumps({"failed": load.failed, "answered": load.answered, "versions": list(load.versions)}))


if __name__ == "__main__":
    main()
