"""The first thing that a process of the family runs: it ends with its parent, imports early, and starts when it is told to.

`python -m modelyard.embedded.child '{"parent": PID, "start": FD, "module": …, "preload": […]}'`. The descriptor `start` gives
one line of JSON, `{"arguments": […], "environment": {…}}`, when the module is to run: secrets travel so, and not on a command
line. It closes when the parent is gone. Standard library only, for the start's sake.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import threading
from contextlib import suppress

PR_SET_PDEATHSIG = 1
GRACE_S = 5.0


def main(arguments: list[str]) -> None:
    """Run the module that `arguments` name."""
    told = json.loads(arguments[0])
    _die_with(told["parent"])
    gc.disable()  # importing makes only what stays: looking for garbage meanwhile is a sixth of the time
    with suppress(ImportError):  # the module's own run tells of it
        for name in told["preload"]:
            importlib.import_module(name)
    gc.freeze()
    gc.enable()
    start = os.fdopen(told["start"], "r")
    line = start.readline()
    if not line:
        return
    order = json.loads(line)
    os.nice(told["nice"])
    threading.Thread(target=_watch, args=(start,), name="parent", daemon=True).start()
    os.environ.update(order["environment"])
    sys.argv = [told["module"], *order["arguments"]]
    runpy.run_module(told["module"], run_name="__main__", alter_sys=True)


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)


def _watch(start: object) -> None:
    """End this process when the parent is gone: by the ordinary signal, then by force."""
    with suppress(OSError):
        start.read()  # type: ignore[attr-defined]
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_S)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
