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
from typing import Final

import msgspec
import polars as pl

from modelyard.core import Json, Problem
from modelyard.prepare.trying import Tried, try_steps
from modelyard.prepare.types import Pipeline

LIMIT_S: Final = 15.0
MEMORY_BYTES: Final = 2 << 30
NICE: Final = 5  # the server goes first
_FEW_THREADS: Final = {"POLARS_MAX_THREADS": "2"}


@dataclass(frozen=True)
class _Asked:
    pipeline: Json
    label: str | None


def try_apart(pipeline: Pipeline, frame: pl.DataFrame, label: str | None = None, *, limit_s: float = LIMIT_S) -> Tried:
    """Return what `try_steps` says, from another process that has so long and 2 GiB of memory.

    Raises
    ------
    Problem
        `try.timeout`; `try.failed` when the process ended without an answer.
    """
    rows = io.BytesIO()
    frame.write_ipc(rows)
    asked = msgspec.json.encode(_Asked(pipeline.to_json(), label)) + b"\n" + rows.getvalue()
    command = [sys.executable, "-P", "-m", __name__]
    try:
        done = subprocess.run(
            command, input=asked, capture_output=True, timeout=limit_s, env={**os.environ, **_FEW_THREADS}, check=False
        )
    except subprocess.TimeoutExpired as error:
        what, why = "The steps could not be tried in time", f"they took more than {limit_s:g} s"
        raise Problem("try.timeout", what, why, "try fewer rows, or a simpler pattern") from error
    if done.returncode:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        what, way = "The steps could not be tried", "try fewer rows, or fewer categories"
        raise Problem("try.failed", what, last[:200], way)
    return msgspec.json.decode(done.stdout, type=Tried)


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
