"""What our way costs: beside uvicorn with a constant answer of the same size, and beside itself without the ledger."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

import psutil

from bench.serving.contenders import Contender, Stage, end, free_ports, wait_for
from bench.serving.load import Measured, Target
from bench.serving.models import batches
from bench.serving.ours import gateway_command
from bench.serving.start import gateway_home

Measure: TypeAlias = Callable[[Sequence[Contender]], list[Measured]]
MODEL = "small"


def taxed(stage: Stage, measure: Measure) -> tuple[Measured, Measured]:
    """Return what `measure` gives for ours with the small model and for the constant answer."""
    ours = stage.ours(MODEL)
    answer = stage.folder / "answer.json"
    with stage.awake(ours):
        answer.write_bytes(ours.ask(batches(MODEL, 1, 1)[0]))
    port = free_ports()
    command = [sys.executable, "-m", "bench.serving.apps.bare", str(answer), str(port)]
    with beside(stage, command, Target("bare uvicorn", f"http://127.0.0.1:{port}/", "", psutil.Process()), ours) as bare:
        first, second = measure([ours, bare])
        return first, second


def with_and_without_ledger(stage: Stage, measure: Measure) -> tuple[Measured, Measured]:
    """Return what `measure` gives for the gateway alone, with its ledger and with one that takes nothing."""
    with ExitStack() as running:
        alone = []
        for module in ("modelyard.gateway", "bench.serving.apps.no_ledger"):
            port = free_ports()
            home = gateway_home(stage, MODEL, module)
            url = f"http://127.0.0.1:{port}/v2/models/bench/{MODEL}/infer"
            target = Target(module, url, f"Bearer {stage.yard.token}", psutil.Process())
            found = beside(stage, gateway_command(home, port, module), target, stage.ours(MODEL))
            alone.append(running.enter_context(found))
        first, second = measure(alone)
        return first, second


@contextmanager
def beside(stage: Stage, command: Sequence[str], told: Target, ours: Contender) -> Iterator[Contender]:
    """Give a server that is asked as ours is, held still until it is timed; `told` is where it will answer."""
    process = stage.launch(command, "beside", {"MODELYARD_TOKEN": stage.yard.token})
    try:
        target = Target(told.title, told.url, told.authorization, psutil.Process(process.pid))
        wait_for(process, target, ours.body(batches(MODEL, 1, 1)[0]), stage.log("beside"))
        target.pause()
        yield Contender(target, ours.body)
    finally:
        end(process)
