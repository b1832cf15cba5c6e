"""Our gateway beside uvicorn with a constant answer of the same size."""

import sys
from collections.abc import Callable, Sequence

import psutil

from bench.serving.contenders import Contender, Stage, end, free_ports, wait_for
from bench.serving.load import Measured, Target
from bench.serving.models import batches


def taxed(stage: Stage, measure: Callable[[Sequence[Contender]], list[Measured]]) -> tuple[Measured, Measured]:
    """Return what `measure` gives for ours with the small model and for the constant answer."""
    ours = stage.ours("small")
    rows = batches("small", 1, 1)[0]
    answer = stage.folder / "answer.json"
    with stage.awake(ours):
        answer.write_bytes(ours.ask(rows))
    port = free_ports()
    process = stage.launch([sys.executable, "-m", "bench.serving.apps.bare", str(answer), str(port)], "bare")
    try:
        target = Target("bare uvicorn", f"http://127.0.0.1:{port}/", "", psutil.Process(process.pid))
        wait_for(process, target, ours.body(rows), stage.log("bare"))
        target.pause()
        mine, bare = measure([ours, Contender(target, ours.body)])
        return mine, bare
    finally:
        end(process)
