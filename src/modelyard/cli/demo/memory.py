"""The memory that a family of processes takes, pages that they share counted once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

SAMPLE_S = 1.0
MIB = 1 << 20


@dataclass
class Peak:
    """The largest sum seen."""

    mb: float = 0.0


@contextmanager
def watched_memory() -> Iterator[Peak]:
    """Watch this process and all below it for as long as the block lasts."""
    peak = Peak()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(SAMPLE_S):
            peak.mb = max(peak.mb, family_mb())

    watcher = threading.Thread(target=watch, name="memory", daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()


def family_mb() -> float:
    """Return what this process and all below it take now, in MiB: proportional set size on Linux, resident size elsewhere."""
    me = psutil.Process()
    total = 0
    for process in [me, *me.children(recursive=True)]:
        try:
            full = process.memory_full_info()
        except psutil.Error:
            continue  # it ended meanwhile
        total += int(getattr(full, "pss", full.rss))
    return total / MIB
