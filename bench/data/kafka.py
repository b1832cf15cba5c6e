"""A topic of a real broker into versions of a dataset: messages of 400 bytes a second, from the first portion to the last.

The broker and its four partitions are on the same machine; the messages lie there before the clock starts. Each round keeps
them in a fresh home, in a process of its own that follows the topic until none waits, and has to hold every one of them.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.results import Result
from modelyard.serving.broker import Record
from tests.services import Kafka
from tests.topics import Topics

HERE = Path(__file__).parent
MESSAGES, FEW = 1_200_000, 100_000  # the many take two portions
SENT_AT_ONCE = 50_000
SIZE_BYTES = 400
ASKED = 20_000  # messages a second


def message(number: int) -> bytes:
    """Return an event of a flight, as a JSON object of 16 fields and 400 bytes."""
    told = {
        "id": number,
        "at": f"2013-01-{1 + number % 28:02}T{number % 24:02}:{number % 60:02}:00.000123Z",
        "origin": ("JFK", "LGA", "EWR")[number % 3],
        "dest": "SFO",
        "carrier": f"carrier {number % 16}",
        "tail": f"N{number % 4000:05}",
        "delay": None if number % 7 == 0 else number / 3 - 100,
        "late": number % 2 == 0,
        "distance": 1400 + number % 900,
        "air_time": 227.5,
        "hour": number % 24,
        "wind": {"speed": 10.3, "gust": None},
        "temperature": 39.02,
        "pressure": 1012.7,
        "visibility": 10.0,
        "note": "",
    }
    told["note"] = "x" * (SIZE_BYTES - len(json.dumps(told)))
    return json.dumps(told).encode()


def filled(address: str, count: int) -> Topics:
    """Return a topic with so many messages."""
    topics = Topics.make(address, partitions=4)
    for start in range(0, count, SENT_AT_ONCE):
        topics.send([Record(b"%d" % n, message(n), ()) for n in range(start, min(count, start + SENT_AT_ONCE))])
    return topics


def rounds(address: str, count: int, times: int) -> Iterator[dict[str, Any]]:
    """Keep the messages so many times and yield what each tells."""
    topics = filled(address, count)
    for _ in range(times):
        with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as home:
            environment = {
                **os.environ,
                "MODELYARD_HOME": home,
                "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]),
            }
            command = [sys.executable, "-m", "bench.data.keep_topic", f"kafka://{address}/{topics.source}"]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        told: dict[str, Any] = json.loads(done.stdout)
        if (told["rows"], told["sum"]) != (count, count * (count - 1) // 2):
            raise SystemExit(f"not every message was kept: {told}")
        yield told


def measure(*, quick: bool) -> list[Result]:
    """Return the result."""
    count, times = (FEW, 1) if quick else (MESSAGES, 3)
    broker = Kafka()
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as scratch:
        try:
            found = list(rounds(broker.start(Path(scratch)), count, times))
        finally:
            broker.stop()
    speed = round(count / statistics.median(one["s"] for one in found))
    return [Result(f"Kafka, {count:,} messages into versions", "msg/s", "asked for", speed, ASKED, speed / ASKED, 1.0, 2.0)]
