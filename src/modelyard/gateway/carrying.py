"""The process that carries a gateway's ledger to the lake, so that the gateway's own interpreter is free for answers.

`python -m modelyard.gateway.carrying --lake URL --folder DIR` reads a line of JSON, a list of segments' paths, and answers with
one: for each its rows, or why it stays. It ends when its standard input does, so also when the gateway is killed. It starts
with the first segment that there is to carry.
"""

import argparse
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from modelyard.adapters import METADATA, connect
from modelyard.gateway.shipping import LakeCarrier
from modelyard.wiring.lake import open_lake

log = logging.getLogger(__name__)

LOCK = "carrying.lock"
METADATA_VARIABLE = "MODELYARD_METADATA"
NICE = 5  # answers go first
STOP_S = 5.0
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "TOKIO_WORKER_THREADS": "1"}  # the cores are for answers


class ProcessCarrier:
    """Carries segments by a process of its own. One thread at a time.

    `metadata` is the URL of the database in which a lake is locked whose store does not keep writers apart; it may hold a
    password, and so goes by the environment.
    """

    def __init__(self, lake: str, folder: Path, metadata: str) -> None:
        self._arguments = ["--lake", lake, "--folder", str(folder)]
        self._metadata = metadata
        self._process: subprocess.Popen[str] | None = None

    def carry(self, paths: Sequence[Path]) -> Sequence[int | str]:
        """Return for each segment its rows in the ledger, or why it stays. A process that has ended is started again once."""
        for _ in range(2):
            try:
                return self._ask(paths)
            except (OSError, ValueError) as error:
                told = str(error) or type(error).__name__
                log.warning("the ledger's carrier has ended: %s", told)
                self.close()
        return [f"the ledger's carrier does not stay up: {told}"[:500]] * len(paths)

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]  # a pipe
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()  # type: ignore[union-attr]

    def _ask(self, paths: Sequence[Path]) -> list[int | str]:
        process = self._running()
        assert process.stdin is not None  # noqa: S101 - started with pipes
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(json.dumps([str(path) for path in paths]) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise ValueError(f"exit status {process.wait()}")
        told: list[int | str] = json.loads(line)
        return told

    def _running(self) -> "subprocess.Popen[str]":
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-P", "-m", "modelyard.gateway.carrying", *self._arguments]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **ONE_THREAD, METADATA_VARIABLE: self._metadata},
            )
        return self._process


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry until nothing more comes."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the gateway ends it when all is carried
    os.nice(NICE)
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # it waits for its turn, and interrupts nobody who answers
    parser = argparse.ArgumentParser(prog="python -m modelyard.gateway.carrying", description="Carry a ledger to the lake.")
    parser.add_argument("--lake", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args(arguments)
    lake = open_lake(options.lake, lambda: connect(METADATA, os.environ[METADATA_VARIABLE]).hold)
    carrier = LakeCarrier(lake, options.folder)
    with (options.folder.parent / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the carrier of a gateway that was killed may be at its last segment
        for line in sys.stdin:
            told = carrier.carry([Path(path) for path in json.loads(line)])
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
