"""A steady load while an alias moves: what fails, how long nobody is answered, how much slower the slowest get."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np

from bench.serving.load import Target
from modelyard.client.models import VersionClient

RATE = 300  # requests a second
CONNECTIONS = 16
BEFORE = 1 / 3  # of the requests come before the first switch
FLIP_EVERY_S = 0.5
LATE_S = 20.0


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
class _Load:
    target: Target
    bodies: Sequence[bytes]
    began: float = 0.0
    failed: int = 0
    answered: list[tuple[float, float]] = field(default_factory=list)  # when it was due, seconds it took from then
    versions: set[str] = field(default_factory=set)

    async def run(self, requests: int) -> None:
        """Send each request when it is due, whether those before are answered or not: latency counts from then."""
        self.began = time.perf_counter() + 0.1
        due = iter(range(requests))
        await asyncio.gather(*(self._connection(due) for _ in range(CONNECTIONS)))

    async def _connection(self, due: Iterator[int]) -> None:
        parts = urlsplit(self.target.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for number in due:
            at = self.began + number / RATE
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            body = self.bodies[number % len(self.bodies)]
            head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
            head += f"Authorization: {self.target.authorization}\r\nContent-Length: {len(body)}\r\n\r\n"
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
                self.versions.add(json.loads(answer)["model_version"])
            else:
                self.failed += 1
        writer.close()


def switching(
    target: Target, bodies: Sequence[bytes], versions: tuple[VersionClient, VersionClient], requests: int
) -> Switching:
    """Ask 300 times a second; after a third of the requests, move the alias to and fro, twice a second."""
    load = _Load(target, bodies)
    with ThreadPoolExecutor(1) as threads:
        told = threads.submit(asyncio.run, load.run(requests))
        first_s, last_s = requests * BEFORE / RATE, requests / RATE - 1.0
        began, flips = time.perf_counter(), 0
        time.sleep(first_s)
        while time.perf_counter() - began < last_s:
            versions[(flips + 1) % 2].promote("champion")
            flips += 1
            time.sleep(max(0.0, began + first_s + flips * FLIP_EVERY_S - time.perf_counter()))
        told.result()
    answered = np.array(sorted(load.answered))
    before = answered[:, 0] < load.began + first_s
    # A gap is between two answers, as they came.
    came = np.sort(answered[~before].sum(axis=1))
    return Switching(
        requests=requests,
        failed=load.failed,
        flips=flips,
        versions=tuple(sorted(load.versions)),
        p99_before_ms=float(np.percentile(answered[before, 1], 99)) * 1e3,
        p99_during_ms=float(np.percentile(answered[~before, 1], 99)) * 1e3,
        gap_ms=float(np.max(np.diff(came))) * 1e3,
    )


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.lower().startswith(b"content-length:"))
    return lines[0].split()[1], await reader.readexactly(length)
