"""Servers under test: started once a run, held still while another is timed, and made to agree before any is."""

import http.client
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil

from bench.serving import peers as asked
from bench.serving.load import Target
from bench.serving.models import Model, Row, batches
from bench.serving.ours import Yard, bare, up
from bench.serving.peers import Peer, Unavailable

ROOT = Path(__file__).parents[2]
START_S = 120.0
TOLERANCE = 1e-6
OK = 200


@dataclass(frozen=True)
class Contender:
    """A running server with one model."""

    target: Target
    body: Callable[[Sequence[Row]], bytes]
    family: psutil.Process | None = None  # what is held still with it; None: the server alone

    def ask(self, rows: Sequence[Row]) -> bytes:
        """Return its answer to one request. Raises Unavailable."""
        status, body = post(self.target.url, self.body(rows), self.target.authorization)
        if status != OK:
            raise Unavailable(f"{self.target.title} answers with status {status}: {body[:200].decode(errors='replace')}")
        return body


@dataclass
class Stage:
    """All servers of this run. One is awake at a time."""

    yard: Yard
    folder: Path
    left_out: dict[str, str] = field(default_factory=dict)
    _kept: dict[tuple[str, str, str], Contender] = field(default_factory=dict)
    _processes: "dict[int, subprocess.Popen[bytes]]" = field(default_factory=dict)  # by process id

    def __post_init__(self) -> None:
        Target("ours", "", "", psutil.Process(self.yard.process.pid)).pause()

    def ours(self, name: str) -> Contender:
        """Return our gateway with a deployment."""
        url = f"{self.yard.gateway}/v2/models/bench/{name}/infer"
        gateway = Target("ours", url, f"Bearer {self.yard.token}", self.yard.gateway_process())
        return Contender(gateway, lambda rows: asked.ours(name, rows), psutil.Process(self.yard.process.pid))

    @contextmanager
    def replicas(self, name: str, count: int) -> Iterator[Contender]:
        """Give `yard up` on a copy of the home with several gateways, held still."""
        with up(self.yard.copy(self.folder / f"replicas-{count}"), workers=0, gateways=count, token=self.yard.token) as yard:
            family = psutil.Process(yard.process.pid)
            url = f"{yard.gateway}/v2/models/bench/{name}/infer"
            target = Target(f"{count} gateways", url, f"Bearer {yard.token}", family)
            target.pause()
            yield Contender(target, lambda rows: asked.ours(name, rows), family)

    def peer(self, peer: Peer, model: Model) -> Contender | None:
        """Return a peer with a model, held still; None where it cannot be had: `left_out` says why."""
        key = (peer.name, model.name, model.form)
        told = f"{peer.title} with {model.name} as {model.form}"
        if key not in self._kept and told not in self.left_out:
            try:
                self._kept[key] = self._start(peer, model)
                self._kept[key].target.pause()
            except Unavailable as reason:
                self.left_out[told] = str(reason)
                say(f"left out: {told}: {reason}")
        return self._kept.get(key)

    def _start(self, peer: Peer, model: Model) -> Contender:
        port = free_ports()
        command = peer.command(model, port)
        url = f"http://127.0.0.1:{port}{peer.path}"
        process = self.launch(command, peer.name)
        found = Contender(
            Target(peer.title, url, "", psutil.Process(process.pid), peer.pausable),
            lambda rows: peer.body(model, rows),
        )
        wait_for(process, found.target, found.body(batches(model.name, 1, 1)[0]), self.log(peer.name))
        return found

    def launch(self, command: Sequence[str], name: str, environment: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Start a server of this run in an empty folder."""
        home = tempfile.mkdtemp(dir=self.folder, prefix=f"{name}-")
        surroundings = {**bare(), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(environment or {})}
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                command, cwd=home, env=surroundings, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._processes[process.pid] = process
        return process

    def log(self, name: str) -> Path:
        """Return where a server's output goes."""
        return self.folder / f"{name}.log"

    def dismiss(self, peer: str | None = None) -> None:
        """End every server of a peer; of all of them, where none is named: what is held still keeps its memory."""
        for key in [key for key in self._kept if peer is None or key[0] == peer]:
            end(self._processes[self._kept.pop(key).target.process.pid])

    @contextmanager
    def awake(self, contender: Contender) -> Iterator[None]:
        """Let one server run, and hold it still again."""
        target = contender.target
        held = target if contender.family is None else Target(target.title, "", "", contender.family)
        held.go_on()
        try:
            yield
        finally:
            held.pause()

    def close(self) -> None:
        """End all."""
        for process in self._processes.values():
            end(process)


def free_ports(count: int = 3) -> int:
    """Return the first of `count` neighbouring ports that are free now, below those that the system gives to clients."""
    taken = {one.laddr[1] for one in psutil.net_connections("tcp") if one.laddr}
    while True:
        first = random.randrange(20_000, 30_000)
        if taken.isdisjoint(range(first, first + count)):
            return first


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a server with all its processes."""
    with suppress(psutil.NoSuchProcess):
        below = psutil.Process(process.pid).children(recursive=True)
        for one in (psutil.Process(process.pid), *below):
            with suppress(psutil.NoSuchProcess):
                one.resume()
        process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs([psutil.Process(process.pid), *below], timeout=10)
        for one in alive:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()


def post(url: str, body: bytes, authorization: str = "", timeout_s: float = 20.0) -> tuple[int, bytes]:
    """Return status and body of an answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=timeout_s)
    try:
        headers = {"Content-Type": "application/json", **({"Authorization": authorization} if authorization else {})}
        connection.request("POST", parts.path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def wait_for(process: "subprocess.Popen[bytes]", target: Target, body: bytes, log: Path) -> None:
    """Return when the first request is answered well. Raises Unavailable when it ends or does not come to that."""
    began, last = time.perf_counter(), "no connection"
    while time.perf_counter() - began < START_S:
        if process.poll() is not None:
            raise Unavailable(f"{target.title} ended with status {process.returncode}: {tail(log)}")
        try:
            status, told = post(target.url, body, target.authorization)
        except (OSError, http.client.HTTPException):
            time.sleep(0.005)
            continue
        if status == OK:
            return
        last = f"status {status}, {told[:200].decode(errors='replace')}"
        time.sleep(0.01)
    raise Unavailable(f"{target.title} had not answered after {START_S:.0f} s: {last}")


def tail(log: Path) -> str:
    """Return the last line of a log."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def same_answers(ours: Contender, other: Contender, requests: Sequence[Sequence[Row]]) -> float:
    """Return the largest difference between the answers of both. Raises Unavailable when it is beyond the tolerance."""
    worst = 0.0
    for rows in requests:
        mine, theirs = (asked.answers(one.ask(rows), len(rows)) for one in (ours, other))
        worst = max(worst, float(np.max(np.abs(mine - theirs))))
    if not worst <= TOLERANCE:
        raise Unavailable(f"{other.target.title} answers otherwise than ours, by up to {worst:.1e}")
    return worst


def say(text: str) -> None:
    """Tell the person at the terminal what goes on."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
