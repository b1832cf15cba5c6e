"""Steps as another package would bring them: each does one thing that a worker must bear."""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.core import Problem
from modelyard.core.secrets import PREFIX
from modelyard.runner.context import StepContext

Result = Mapping[str, Any]


def echo(context: StepContext) -> Result:
    print('{"result": {"forged": true}}')
    here = context.scratch / "file"
    here.write_text("x")
    return {
        "payload": dict(context.job.payload),
        "actor": context.actor.name,
        "scratch": str(context.scratch),
        "threads": len(os.listdir("/proc/self/task")),
        "numbers": _draw(),
        "secrets": [name for name in os.environ if name.startswith(PREFIX)],
        "traces": [os.environ.get("TRACEPARENT"), context.actor.trace.traceparent if context.actor.trace else None],
    }


def talk(context: StepContext) -> Result:
    for number in range(context.job.payload["lines"]):
        print(f"line {number}")
        if number == 1:
            print("ä → \x00 end", file=sys.stderr)
    print("a bar 10 %\ra bar 100 %")
    print(f"my token is {context.job.payload['token']}, and {os.environ['STRANGE_PASSWORD']}")
    os.write(1, b"\xff without an end")
    context.progress(0.25, "a quarter")
    context.progress(7, "all")
    return {}


def fail(context: StepContext) -> Result:
    if context.job.attempts < context.job.payload.get("succeeds_at", 99):
        raise ValueError(f"bad rows in try {context.job.attempts}")
    return {"attempts": context.job.attempts}


def refuse(context: StepContext) -> Result:
    labels: dict[str, str] = {}
    try:
        labels[context.job.kind]
    except KeyError as error:
        raise Problem(context.job.payload["code"], "The trainer raised", "it is wrong") from error
    return {}


def leave(context: StepContext) -> Result:
    how = context.job.payload["how"]
    if how == "exit":
        os._exit(7)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "sys.exit":
        sys.exit(3)
    return {"no": {"json"}}


def hold(context: StepContext) -> Result:
    """Say which processes there are, and wait until the file `go` is there."""
    folder = Path(context.job.payload["folder"])
    pids = [os.getpid(), *descend(folder)]
    context.progress(0.5, "holding")
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as scratch:
        scratch.write("\n".join(str(pid) for pid in pids))
    Path(scratch.name).rename(folder / f"pids-{context.job.attempts}")
    while not (folder / "go").exists():
        time.sleep(0.01)
    return {"attempts": context.job.attempts}


def abandon(context: StepContext) -> Result:
    return {"pids": descend(Path(context.job.payload["folder"]))}


def eat(context: StepContext) -> Result:
    code = "import time; held = [bytes(range(256)) * 40_000 for _ in range(20)]; time.sleep(1000)"
    for _ in range(2):  # neither alone is over the limit
        subprocess.Popen([sys.executable, "-c", code])
    time.sleep(1000)
    return {}


def fill(context: StepContext) -> Result:
    (context.scratch / "much").write_bytes(bytes(range(256)) * 40_000)
    time.sleep(1000)
    return {}


def descend(folder: Path) -> list[int]:
    """Start a child, and a grandchild that leaves its parent, session and group as a daemon does; return their ids."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    told = folder / f"daemon-{os.getpid()}"
    daemon = f"""
import os, time, pathlib
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
path = pathlib.Path({str(told)!r})
path.with_suffix(".new").write_text(str(os.getpid())); path.with_suffix(".new").rename(path)
time.sleep(1000)
"""
    subprocess.run([sys.executable, "-c", daemon], check=True)
    while not told.exists():
        time.sleep(0.01)
    return [child.pid, int(told.read_text())]


def _draw() -> list[float]:
    import random  # noqa: PLC0415 - as user code would

    import numpy as np  # noqa: PLC0415

    return [random.random(), float(np.random.random())]
