"""A set prepared on others' engines, on this machine: seconds on Spark beside its own expressions, and CPU seconds on Ray.

Rows of 25 columns in Parquet become 43 in Parquet. On Spark ours is `each` through `mapInArrow` with the very
function of the trainer, and Spark's is a `select` of its expressions written by hand, both in a session that is warm, on all
cores. On Ray it is `each` in tasks of a cluster of one node; beside it stand that select, and the same in Polars, in one
process. CPU seconds are those of all processes that work for a side.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.data.large import agree, write
from bench.data.sides import OURS, POLARS, Peer, Process, Side, running
from bench.results import Result
from tests.engines.clusters import RAY_KEY, engines_python, ray_cluster
from tests.servers import LOOPBACK

ROWS, FEW = 3_000_000, 500_000


class Engines(Peer):
    """The environment that has Spark, Ray and this checkout."""

    def python(self) -> Path:
        """Return its Python. Raises `Absent`."""
        return engines_python()


@dataclass(frozen=True)
class Taken:
    """What one work took."""

    s: float
    cpu_s: float


def measure(*, quick: bool) -> list[Result]:
    """Return the results."""
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder, ExitStack() as stack:
        scratch = Path(folder)
        write(scratch, FEW if quick else ROWS)
        here = Engines("engines", ())
        python = here.python()
        ray = stack.enter_context(ray_cluster(python, scratch))
        [cluster] = [one.pid for one in psutil.Process().children() if "--ray-client-server-port" in one.cmdline()]
        sides = [
            _side(scratch, f"{OURS} on Ray", "engines_ours", here, ray),
            _side(scratch, "Polars", "peers.engines_polars", POLARS),
            _side(scratch, "Spark's own", "peers.engines_spark", here),
            _side(scratch, f"{OURS} on Spark", "engines_ours", here, "spark://local"),
        ]
        variables = {"SPARK_LOCAL_IP": LOOPBACK, "PYSPARK_PYTHON": str(python), **RAY_KEY}
        processes = []
        for side in sides:  # one after the other: two sessions of Spark that start keep a small machine from starting Ray's
            processes.append(stack.enter_context(running(side, **variables)))
            processes[-1].ask("1")
        first, *others = [_written(scratch, side) for side in sides]
        for target in others:
            agree(target, first)
        found: list[list[Taken]] = [[] for _ in sides]
        for _ in range(1 if quick else 5):
            for process, taken in zip(processes, found, strict=True):
                taken.append(_turn(process, [process.pid, *([cluster] if process is processes[0] else [])]))
    on_ray, polars, spark, on_spark = (
        Taken(statistics.median(one.s for one in taken), statistics.median(one.cpu_s for one in taken)) for taken in found
    )
    rows = f"{FEW if quick else ROWS:,} rows"
    return [
        Result(f"{rows} on Spark", "s", "Spark's own", on_spark.s, spark.s, spark.s / on_spark.s, 1.0, 1.5),
        _cpu(f"{rows} on Ray", "Polars", on_ray, polars, 1 / 2.2, 1.0),
        _cpu(f"{rows} on Ray", "Spark's own", on_ray, spark, 2.0, 4.0),
    ]


def _cpu(work: str, peer: str, ours: Taken, theirs: Taken, floor: float, aim: float) -> Result:
    return Result(work, "CPU s", peer, ours.cpu_s, theirs.cpu_s, theirs.cpu_s / ours.cpu_s, floor, aim)


def _side(scratch: Path, title: str, module: str, peer: Peer, *more: str) -> Side:
    target = _written(scratch, title)
    target.mkdir()
    return Side(title, module, (str(scratch / "rows"), str(scratch / "learned.json"), str(target), *more), peer)


def _written(scratch: Path, side: Side | str) -> Path:
    title = side if isinstance(side, str) else side.title
    return scratch / title.replace(" ", "-").replace("'", "")


def _turn(process: Process, roots: Sequence[int]) -> Taken:
    before, began = _cpu_s(roots), time.perf_counter()
    process.ask("1")
    return Taken(time.perf_counter() - began, _cpu_s(roots) - before)


def _cpu_s(roots: Sequence[int]) -> float:
    """Return the CPU seconds of processes and all below them, with those that have ended there."""
    spent = 0.0
    for root in roots:
        process = psutil.Process(root)
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                spent += sum(one.cpu_times()[:4])  # user, system, and both of children that have ended
    return spent
