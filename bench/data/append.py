"""Rows appended to a dataset, each batch with its record of a version, beside tables that have none.

One batch: a million rows of 25 columns, by `append` in this machine's home with SQLite, and by delta-rs' `write_deltalake`
alone. Two writers: two processes make ten commits each to one dataset at the same time, each of rows of its own, and to one
Iceberg table in an SQLite catalogue, where a writer that was overtaken tries again. No row may be lost.
"""

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bench.data.arrays import array
from bench.data.preparation import wide
from bench.data.sides import OURS, Peer, Process, Side, compared, running, same, same_numbers
from bench.results import Result

DELTA = Peer("delta", same("deltalake", "polars", "numpy"))
ICEBERG = Peer("iceberg", ("pyiceberg[pyarrow,sql-sqlite]==0.12.0", *same("polars", "numpy")))
ROWS = 1_000_000
COMMITS, COMMITTED = 10, 10_000  # of a writer; rows of a commit


def measure(*, quick: bool) -> list[Result]:
    """Return the results of both."""
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        scratch = Path(folder)
        file = scratch / "batch.parquet"
        wide(ROWS).write_parquet(file)
        sides = [
            Side(OURS, "append_ours", (str(scratch / "home"), str(file), "1")),
            Side("delta-rs alone", "peers.append_delta", (str(scratch / "table"), str(file)), DELTA, floor=1 / 1.2, aim=1.0),
        ]
        work = f"append {ROWS:,} x 25, version"
        alone = compared(work, "ms", sides, scratch, rounds=2 if quick else 9, agree=same_numbers)
        return [*alone, _writers(scratch, rounds=1 if quick else 5)]


def _writers(scratch: Path, *, rounds: int) -> Result:
    files = [str(scratch / f"commit-{number}.parquet") for number in range(2)]
    for number, file in enumerate(files):
        wide(COMMITTED, number * COMMITTED).write_parquet(file)
    with ExitStack() as stack:
        pairs: list[list[Process]] = [[], []]
        for file in files:
            sides = [
                Side(OURS, "append_ours", (str(scratch / "shared"), file, str(COMMITS))),
                Side("pyiceberg", "peers.append_iceberg", (str(scratch / "warehouse"), file, str(COMMITS)), ICEBERG),
            ]
            for side, pair in zip(sides, pairs, strict=True):
                pair.append(stack.enter_context(running(side)))
                pair[-1].ask("1")  # the first one makes the table
        taken = [[_together(pair) for pair in pairs] for _ in range(rounds)]
        for pair in pairs:
            kept = scratch / "counted"
            pair[0].ask(f"keep {kept}")
            found, expected = int(array(kept)[0, 0]), COMMITTED * COMMITS * (2 * (rounds + 1) + 1)
            if found != expected:
                raise SystemExit(f"{pair[0].side.title} holds {found:,} rows of {expected:,}")
    mine, theirs = (float(np.median(side)) for side in zip(*taken, strict=True))
    return Result(f"two writers x {COMMITS} commits", "s", "pyiceberg", mine, theirs, theirs / mine, 1 / 0.6, 2.5)


def _together(pair: Sequence[Process]) -> float:
    """Return the seconds until all have done their work."""
    began = time.perf_counter()
    for process in pair:
        process.begin("1")
    for process in pair:
        process.end()
    return time.perf_counter() - began
