"""Batch: the same files, the same model, from the command to its end, in turns; and the memory that is taken meanwhile."""

import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import psutil

from bench.serving.contenders import ROOT, START_S, TOLERANCE, Stage, say
from bench.serving.models import customer_rows
from bench.serving.ours import PROJECT, Yard, bare, up
from bench.serving.peers import Unavailable, installed, same

FILES = 8
LOOK_S = 0.5
SPARK = "4.3.0"


@dataclass(frozen=True)
class BatchPeer:
    """Another way to answer for a folder of files."""

    name: str
    title: str
    requirements: tuple[str, ...]


def batch_peers() -> tuple[BatchPeer, ...]:
    """Return all, in environments of their own."""
    model = (*same("scikit-learn", "joblib"), "pandas", "pyarrow")
    return (
        BatchPeer("batch_sklearn", "scikit-learn, 2 processes", model),
        BatchPeer("batch_spark", f"Spark {SPARK}, mapInPandas", (f"pyspark=={SPARK}", *model)),
    )


@dataclass(frozen=True)
class Scored:
    """One run over a folder."""

    rows_s: float
    peak_mb: float  # PSS of all processes that work


@dataclass(frozen=True)
class Folder:
    """Files of rows, each row with a number of its own."""

    path: Path
    rows: int

    @classmethod
    def made(cls, path: Path, rows: int) -> "Folder":
        """Write the files."""
        path.mkdir()
        height = rows // FILES
        one = customer_rows(height)
        for number in range(FILES):
            numbers = pl.int_range(number * height, (number + 1) * height).alias("row")
            one.with_columns(numbers).write_parquet(path / f"{number}.parquet", row_group_size=125_000)
        return cls(path, height * FILES)


def timed(
    command: Sequence[str], rows: int, log: Path, more: Sequence[int] = (), environment: dict[str, str] | None = None
) -> Scored:
    """Run a command to its end; `more` are processes that work for it. Raises Unavailable when it fails."""
    surroundings = {**bare(), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(environment or {})}
    with log.open("ab") as out:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=surroundings, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        watch = Watch([process.pid, *more])
        with watch:
            status = process.wait()
        seconds = time.perf_counter() - began
    if status:
        lines = log.read_text(errors="replace").strip().splitlines() or ["no word why"]
        raise Unavailable(f"it ended with status {status}: {lines[-1][:300]}")
    return Scored(rows / seconds, watch.peak_mb)


class Watch:
    """Weighs processes with all below them, twice a second, and keeps the most."""

    def __init__(self, roots: Sequence[int]) -> None:
        self.peak_mb = 0.0
        self._roots = roots
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Watch":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *told: object) -> None:
        """End."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            self.peak_mb = max(self.peak_mb, sum(memory_mb(root) for root in self._roots))


def memory_mb(root: int) -> float:
    """Return the PSS of a process and all below it; those that end meanwhile count nothing."""
    found = 0.0
    with suppress(psutil.Error):
        process = psutil.Process(root)
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                found += one.memory_full_info().pss / 2**20
    return found


class Ours:
    """`yard score` over a folder that the worker reads and writes."""

    title = "ours"

    def __init__(self, yard: Yard, log: Path) -> None:
        self._yard = yard
        self._log = log

    def score(self, source: Folder, target: Path) -> Scored:
        """Answer for a folder."""
        urls = [f"{source.path.as_uri()}/*.parquet", target.as_uri()]
        command = [sys.executable, "-m", "modelyard.cli", "score", "churn@champion", *urls, "--project", PROJECT, "--json"]
        access = {"MODELYARD_URL": self._yard.url, "MODELYARD_TOKEN": self._yard.token}
        return timed(command, source.rows, self._log, [self._worker()], access)

    def _worker(self) -> int:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            for one in psutil.Process(self._yard.process.pid).children():
                if '"modelyard.runner.worker"' in " ".join(one.cmdline()):
                    return one.pid
            time.sleep(0.05)  # it starts when the doors are open
        raise Unavailable(f"yard up started no worker within {START_S:g} s")


class Theirs:
    """A script of a peer's."""

    def __init__(self, peer: BatchPeer, model: Path, log: Path) -> None:
        self.title = peer.title
        self._python = installed(peer.name, peer.requirements)
        self._module = f"bench.serving.apps.{peer.name}"
        self._model = model
        self._log = log

    def score(self, source: Folder, target: Path) -> Scored:
        """Answer for a folder."""
        command = [str(self._python), "-m", self._module, str(self._model), str(source.path), str(target)]
        python = {"PYSPARK_PYTHON": str(self._python), "SPARK_LOCAL_IP": "127.0.0.1"}
        return timed(command, source.rows, self._log, environment=python)


@dataclass(frozen=True)
class Outcome:
    """What came of the work."""

    ours: Scored
    theirs: dict[str, Scored]  # by title
    quarter: Scored  # ours, over a quarter of the rows


def batch(stage: Stage, model: Path, *, rows: int, rounds: int) -> Outcome:
    """Return the medians of ours and of each peer that is to be had and answers alike."""
    home = stage.folder / "batch"
    home.mkdir()
    source, quarter = Folder.made(home / "in", rows), Folder.made(home / "quarter", rows // 4)
    with up(stage.yard.copy(home / "home"), workers=1, token=stage.yard.token) as yard:
        ours = Ours(yard, home / "ours.log")
        ours.score(quarter, home / "warm")
        beside = list(_peers(stage, model, home, ours, quarter))
        found: dict[str, list[Scored]] = {title: [] for title in (ours.title, *(one.title for one in beside))}
        contenders: list[Ours | Theirs] = [ours, *beside]
        for number in range(rounds):
            for one in contenders:
                target = home / f"out-{number}"
                found[one.title].append(one.score(source, target))
                shutil.rmtree(target)
        little = ours.score(quarter, home / "little")
    medians = {title: _median(runs) for title, runs in found.items()}
    return Outcome(medians.pop(ours.title), medians, little)


def _peers(stage: Stage, model: Path, home: Path, ours: Ours, rows: Folder) -> "list[Theirs]":
    """Return the peers whose answers for some rows are ours; the others are left out aloud."""
    mine = home / "mine"
    ours.score(rows, mine)
    found = []
    for peer in batch_peers():
        target = home / peer.name
        try:
            theirs = Theirs(peer, model, home / f"{peer.name}.log")
            theirs.score(rows, target)
            worst = difference(mine, target)
        except Unavailable as reason:
            stage.left_out[f"{peer.title} in 'batch'"] = str(reason)
            say(f"left out: {peer.title} in 'batch': {reason}")
            continue
        say(f"batch: {peer.title} answers as ours does (within {worst:.0e})")
        found.append(theirs)
    return found


def difference(mine: Path, theirs: Path) -> float:
    """Return the largest difference between answers for the same rows. Raises Unavailable where rows or answers differ."""
    both = [pl.read_parquet(f"{folder}/*.parquet").sort("row") for folder in (mine, theirs)]
    if not both[0]["row"].equals(both[1]["row"]):
        raise Unavailable("it did not answer for each row once")
    worst = float(np.max(np.abs(both[0]["probability"].to_numpy() - both[1]["probability"].to_numpy())))
    if not worst <= TOLERANCE:
        raise Unavailable(f"it answers otherwise than ours, by up to {worst:.1e}")
    return worst


def _median(runs: Sequence[Scored]) -> Scored:
    return Scored(statistics.median(one.rows_s for one in runs), statistics.median(one.peak_mb for one in runs))
