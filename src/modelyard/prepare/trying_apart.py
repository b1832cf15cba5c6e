"""Trying in a process of its own: a pattern or a million categories hold up or fill that one, and never the server.

`python -m modelyard.prepare.trying_apart` reads a line of JSON (the pipeline, the label) and rows as Arrow IPC, and answers
with `Tried` as JSON.
"""

import io
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from threading import BoundedSemaphore
from typing import Final

import msgspec
import polars as pl

from modelyard.core import Json, Problem
from modelyard.prepare.trying import Tried, try_steps
from modelyard.prepare.types import Pipeline

AT_ONCE: Final = 4
LIMIT_S: Final = 15.0
WAIT_S: Final = 5.0  # for one of the places; whoever waits holds a thread of the server
MEMORY_BYTES: Final = 2 << 30
NICE: Final = 5  # the server goes first
_FEW_THREADS: Final = {"POLARS_MAX_THREADS": "2"}


@dataclass(frozen=True)
class _Asked:
    pipeline: Json
    label: str | None


@cache
def places() -> BoundedSemaphore:
    """Return how many may try at once in this process, made when first asked."""
    return BoundedSemaphore(AT_ONCE)


def try_apart(
    pipeline: Pipeline, frame: pl.DataFrame, label: str | None = None, *, limit_s: float = LIMIT_S, wait_s: float = WAIT_S
) -> Tried:
    """Return what `try_steps` says, from another process that has so long and 2 GiB of memory.

    Raises
    ------
    Problem
        `try.limited` when others have taken all places for `wait_s`; `try.timeout`; `try.failed` when the process ended without
        an answer.
    """
    rows = io.BytesIO()
    frame.write_ipc(rows)
    asked = msgspec.json.encode(_Asked(pipeline.to_json(), label)) + b"\n" + rows.getvalue()
    if not places().acquire(timeout=wait_s):
        raise Problem("try.limited", "The steps were not tried", f"{AT_ONCE} others are trying theirs", "try again in a moment")
    try:
        return msgspec.json.decode(_answer(asked, limit_s), type=Tried)
    finally:
        places().release()


def _answer(asked: bytes, limit_s: float) -> bytes:
    command = [sys.executable, "-P", "-m", __name__]
    environment = {**os.environ, **_FEW_THREADS}
    try:
        done = subprocess.run(command, input=asked, capture_output=True, timeout=limit_s, env=environment, check=False)
    except subprocess.TimeoutExpired as error:
        what, why = "The steps could not be tried in time", f"they took more than {limit_s:g} s"
        raise Problem("try.timeout", what, why, "try fewer rows, or a simpler pattern") from error
    if done.returncode:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise Problem("try.failed", "The steps could not be tried", last[:200], "try fewer rows, or fewer categories")
    return done.stdout


def main() -> None:
    """Answer once."""
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asked = msgspec.json.decode(sys.stdin.buffer.readline(), type=_Asked)
    frame = pl.read_ipc(io.BytesIO(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(msgspec.json.encode(try_steps(Pipeline.from_json(asked.pipeline), frame, asked.label)))


if __name__ == "__main__":
    main()
