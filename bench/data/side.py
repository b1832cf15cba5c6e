"""A side of a comparison, in a process of its own: it works when it is told to. Standard library only, for any environment.

Each line of standard input asks for one thing: `keep FILE`, to write what the work makes so that sides can be compared, and
tell what the process has taken so far: CPU seconds and the most memory, `{"cpu": …, "mb": …}`; a number, to do the work so many
times and tell the seconds of one, `{"s": …}`. Nothing more to read ends the side.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Made = TypeVar("Made")


def take_turns(work: Callable[[], Made], keep: Callable[[Made, str], object]) -> None:
    """Work as it is asked for; whatever else is printed meanwhile goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        asked, _, file = line.strip().partition(" ")
        if asked == "keep":
            keep(work(), file)
            told = {"cpu": time.process_time(), "mb": peak_mb()}
        else:
            began = time.perf_counter()
            for _ in range(int(asked)):
                work()
            told = {"s": (time.perf_counter() - began) / int(asked)}
        print(json.dumps(told), file=answers, flush=True)


def peak_mb() -> float:
    """Return the most memory that this process held; what `getrusage` tells is never less than its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
