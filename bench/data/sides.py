"""The sides of a comparison, each in a process and an environment of its own, that work in turns once their results agree."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from bench.data.arrays import array
from bench.results import Result
from tests.environments import python_with

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-6
OURS = "ours"


def same(*packages: str) -> tuple[str, ...]:
    """Return packages in the releases that we have."""
    return tuple(f"{package}=={version(package)}" for package in packages)


@dataclass(frozen=True)
class Peer:
    """What others' sides need, in an environment that is kept in the user's cache."""

    name: str
    requirements: tuple[str, ...]

    def python(self) -> Path:
        """Return its Python; it is made at the first call. Raises `Absent`."""
        return python_with(f"bench-{self.name}", *self.requirements)


POLARS = Peer("polars", same("polars", "numpy"))
PANDAS = Peer("sklearn", ("scikit-learn==1.9.1", "pandas==3.1.1", "pyarrow==26.0.1"))


@dataclass(frozen=True)
class Side:
    """A module of `bench.data` that does the work as `side.take_turns` says."""

    title: str
    module: str
    arguments: tuple[str, ...] = ()
    peer: Peer | None = None  # whose environment it runs in; None: the project's
    repeat: int = 1  # works a turn
    floor: float = 0.0  # of the peer's time over ours
    aim: float = 0.0

    def command(self) -> list[str]:
        """Return what starts it; its environment is made at the first call. Raises `Absent`."""
        python = self.peer.python() if self.peer else sys.executable
        return [str(python), "-m", f"bench.data.{self.module}", *self.arguments]


@dataclass(frozen=True)
class Process:
    """A side that runs."""

    side: Side
    pid: int
    asks: IO[str]
    answers: IO[str]

    def ask(self, line: str) -> dict[str, Any]:
        """Return its answer to a line. Raises SystemExit where it has ended."""
        self.begin(line)
        return self.end()

    def begin(self, line: str) -> None:
        """Give it a line, and do not wait."""
        self.asks.write(line + "\n")
        self.asks.flush()

    def end(self) -> dict[str, Any]:
        """Return its answer to the line that it was given. Raises SystemExit where it has ended."""
        answer = self.answers.readline()
        if not answer:
            raise SystemExit(f"{self.side.title} ended before it answered")
        found: dict[str, Any] = json.loads(answer)
        return found


@contextmanager
def running(side: Side, **variables: str) -> Iterator[Process]:
    """Start a side, and end it."""
    # A peer's environment sees this checkout's benchmarks, and no module of ours.
    paths = [str(ROOT), *([] if side.peer else [str(ROOT / "src")])]
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **variables}
    pipe = subprocess.PIPE
    with subprocess.Popen(side.command(), stdin=pipe, stdout=pipe, env=surroundings, text=True, cwd=ROOT) as process:
        asks = cast("IO[str]", process.stdin)
        try:
            yield Process(side, process.pid, asks, cast("IO[str]", process.stdout))
        finally:
            with suppress(BrokenPipeError):  # it has ended
                asks.close()


def compared(
    work: str, metric: str, sides: Sequence[Side], scratch: Path, *, rounds: int, agree: Callable[[Path, Path], str | None]
) -> list[Result]:
    """Return the first side's time beside that of each other, once they agree: medians of `rounds` turns, after one to warm up.

    `agree` is given what two sides keep and returns what differs.
    """
    taken: dict[str, list[float]] = {side.title: [] for side in sides}
    with ExitStack() as stack:
        processes = [stack.enter_context(running(side)) for side in sides]
        kept = [scratch / f"kept-{number}" for number in range(len(sides))]
        for process, file in zip(processes, kept, strict=True):
            process.ask(f"keep {file}")
        for process, file in zip(processes[1:], kept[1:], strict=True):
            if differs := agree(kept[0], file):
                raise SystemExit(f"{work}: {process.side.title} makes something else: {differs}; nothing was timed")
        for number in range(rounds + 1):
            for process in processes:
                seconds = process.ask(str(process.side.repeat))["s"]
                if number:
                    taken[process.side.title].append(seconds)
    scale = {"us": 1e6, "ms": 1e3, "s": 1.0}[metric]
    mine, *others = [scale * statistics.median(taken[side.title]) for side in sides]
    return [
        Result(work, metric, side.title, mine, theirs, theirs / mine, side.floor, side.aim)
        for side, theirs in zip(sides[1:], others, strict=True)
    ]


def same_numbers(ours: Path, theirs: Path) -> str | None:
    """Return what differs between two kept arrays, missing where the other is missing; None: nothing."""
    mine, peer = array(ours), array(theirs)
    if mine.shape != peer.shape:
        return f"its shape is {peer.shape}, not {mine.shape}"
    away = ~np.isclose(mine, peer, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    return f"{away.sum():,} numbers, the first at {np.argwhere(away)[0].tolist()}" if away.any() else None
