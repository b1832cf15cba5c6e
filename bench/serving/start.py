"""From a command to the first answered prediction, and the memory that is taken then."""

import json
import os
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.serving import peers as asked
from bench.serving.contenders import Stage, end, free_ports, post, wait_for
from bench.serving.load import Target
from bench.serving.models import Model, batches
from bench.serving.ours import gateway_command
from bench.serving.peers import Peer

ASKED = 100  # requests before memory is read


@dataclass(frozen=True)
class Start:
    """One process from its command on."""

    seconds: float
    memory_mb: float  # PSS of all its processes


def first_answer(stage: Stage, peer: Peer, model: Model, rounds: int) -> tuple[Start, Start]:
    """Return the medians of ours and a peer's, started in turns, files warm. Raises Unavailable.

    Ours is the gateway on a copy of the home, without its control plane: as it starts on a machine that serves.
    """
    home = gateway_home(stage, model.name)
    rows = batches(model.name, 1, 1)[0]
    pairs = []
    for _ in range(rounds + 1):
        port = free_ports()
        url = f"http://127.0.0.1:{port}/v2/models/bench/{model.name}/infer"
        target = Target("ours alone", url, f"Bearer {stage.yard.token}", psutil.Process(os.getpid()))
        mine = _one(stage, gateway_command(home, port), target, asked.ours(model.name, rows))
        port = free_ports()
        target = Target(peer.title, f"http://127.0.0.1:{port}{peer.path}", "", psutil.Process(os.getpid()))
        pairs.append((mine, _one(stage, peer.command(model, port), target, peer.body(model, rows))))
    return _median([mine for mine, _ in pairs[1:]]), _median([theirs for _, theirs in pairs[1:]])


def gateway_home(stage: Stage, deployment: str, name: str = "gateway-alone") -> Path:
    """Return a copy of the home whose gateway knows one deployment alone."""
    home = stage.yard.copy(stage.folder / name)
    shutil.rmtree(home / "gateway" / "ledger", ignore_errors=True)
    kept = home / "gateway" / "catalogue.json"
    catalogue = json.loads(kept.read_bytes())
    catalogue["deployments"] = [one for one in catalogue["deployments"] if one["name"] == deployment]
    kept.write_text(json.dumps(catalogue))
    return home


def _one(stage: Stage, command: Sequence[str], target: Target, body: bytes) -> Start:
    began = time.perf_counter()
    process = stage.launch(command, "start", {"MODELYARD_TOKEN": stage.yard.token})
    try:
        wait_for(process, target, body, stage.log("start"))
        seconds = time.perf_counter() - began
        for _ in range(ASKED):
            post(target.url, body, target.authorization)
        return Start(seconds, Target("", "", "", psutil.Process(process.pid)).memory_mb())
    finally:
        end(process)


def _median(starts: Sequence[Start]) -> Start:
    return Start(statistics.median(one.seconds for one in starts), statistics.median(one.memory_mb for one in starts))
