"""Workers of a stream as processes, in a gateway's surroundings."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import orjson
import polars as pl

from modelyard.core import ObjectStore
from modelyard.gateway.settled import Mark
from modelyard.serving.broker import Record
from modelyard.training import Framework
from tests.gateway.world import CONTROL_TOKEN, DEADLINE_S, World
from tests.topics import Topics

PATIENCE_S = 60.0

T = TypeVar("T")


@dataclass(frozen=True)
class Ports:
    """What loading a version needs."""

    objects: ObjectStore
    framework: Callable[[str], Framework]


def row_json(row: Mapping[str, Any]) -> bytes:
    """Return a message's value for a raw row."""
    return orjson.dumps(row)


def requests(frame: pl.DataFrame, start: int = 0) -> list[Record]:
    """Return a message for each row: its number is its key, with an id of its own in the headers for every other one."""
    return [
        Record(
            str(number).encode(),
            row_json(row),
            (("modelyard-prediction-id", f"mine-{number}".encode()),) if number % 2 else (),
        )
        for number, row in enumerate(frame.iter_rows(named=True), start)
    ]


def header(record: Record, name: str) -> str | None:
    """Return a header as text."""
    found = [value for one, value in record.headers if one == name]
    return found[-1].decode() if found and found[-1] is not None else None


@dataclass
class Worker:
    """One process of a stream."""

    world: World
    topics: Topics
    name: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def group(self) -> str:
        """The consumer group."""
        return f"group-{self.topics.name}"

    @property
    def log(self) -> Path:
        """What it said."""
        return self.world.folder / f"{self.name}.log"

    def start(self, *options: str, ready: bool = True) -> dict[str, Any]:
        """Start it, and wait until it reads when `ready`; return what it says then."""
        command = [
            sys.executable, "-m", "modelyard.gateway.stream_process", "--home", str(self.world.home), "--control",
            self.world.control.url, "--model", "delay", "--group", self.group, "--worker", self.name,
            *options,
        ]  # fmt: skip
        url = self.topics.url
        urls = {"MODELYARD_STREAM_FROM": url(self.topics.source), "MODELYARD_STREAM_TO": url(self.topics.target)}
        environment = {**os.environ, **urls, "MODELYARD_TOKEN": CONTROL_TOKEN}
        environment.pop("MODELYARD_HOME", None)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment, cwd=self.world.folder)
        if not ready:
            return {}
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        told: dict[str, Any] = json.loads(line)
        assert told["ready"]
        return told

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._process.kill()
        self._process.wait()
        self._drop()

    def kill_in_batch(self, number: int) -> None:
        """End it as kill -9 does, as soon as it has written the ledger of so many batches: the last is not committed yet."""
        deadline, size, grown = monotonic() + PATIENCE_S, self._ledger_size(), 0
        while grown < number:
            assert monotonic() < deadline, self.log.read_text()[-3000:]
            now = self._ledger_size()
            grown += now > size
            size = now
        self.kill()

    def stop(self) -> int:
        """End it as SIGTERM does, and return its exit status."""
        self._process.terminate()
        return self.ended()

    def ended(self) -> int:
        """Wait for its end, and return its exit status."""
        status = self._process.wait(DEADLINE_S)
        self._drop()
        return status

    def uncommitted(self) -> int:
        """Return how many bytes of the ledger's newest segment lie behind the last mark that the broker has."""
        segments = sorted(self._ledger.glob("*.jsonl"))
        mark = Mark.parse(self.topics.mark(f"{self.group}.{self.name}"))
        if not segments or segments[-1].name < mark.segment:
            return 0
        return segments[-1].stat().st_size - (mark.size if segments[-1].name == mark.segment else 0)

    @property
    def _ledger(self) -> Path:
        return self.world.home / "streams" / self.group / self.name / "ledger"

    def _ledger_size(self) -> int:
        found = 0
        for path in self._ledger.glob("*.jsonl"):
            with suppress(FileNotFoundError):  # shipped meanwhile
                found += path.stat().st_size
        return found

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process

    def _drop(self) -> None:
        if self._process.stdout is not None:
            self._process.stdout.close()
        self.process = None


def until(read: Callable[[], Sequence[T]], count: int, workers: Sequence[Worker]) -> Sequence[T]:
    """Return what `read` gives once it is at least so many."""
    found: Sequence[T] = []
    deadline = monotonic() + PATIENCE_S
    while monotonic() < deadline:
        found = read()
        if len(found) >= count:
            return found
    told = "\n".join(worker.log.read_text()[-3000:] for worker in workers)
    raise AssertionError(f"only {len(found)} of {count}: {told}")
