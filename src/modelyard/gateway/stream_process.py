"""The process of one worker of a stream: settings to answered messages, and its end.

`python -m modelyard.gateway.stream_process --home DIR --control URL --model NAME --group NAME --worker NAME`, the URLs of the
topics in `MODELYARD_STREAM_FROM`, `MODELYARD_STREAM_TO` and `MODELYARD_STREAM_DEAD`, since they may hold secrets and a command
line is for all to see, and a token in `MODELYARD_TOKEN`. When it reads it prints one JSON line: `{"stream": MODEL, "group": …,
"worker": …, "metrics": URL or null, "ready": true}`. SIGTERM ends it: what it took is answered, it leaves the group, the ledger
is shipped. With `--metrics-port` its figures are told there, at `/metrics`.

Everything of its own lies in `HOME/streams/GROUP/WORKER`: `catalogue.json`, `packages/`, `ledger/`.
"""

import argparse
import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from urllib.parse import quote

import httpx

from modelyard.adapters import BROKER, FRAMEWORK, OBJECTS, connect, resolve
from modelyard.core import Clock, IdMaker, Problem, system_clock
from modelyard.core.stop import Stop
from modelyard.data.features.online import OnlineStore
from modelyard.gateway.carrying import ProcessCarrier
from modelyard.gateway.exposition import exposed
from modelyard.gateway.follow import FIRST_RETRY_S, RETRY_S, Follower
from modelyard.gateway.isolation import Isolation
from modelyard.gateway.keeper import Bounds
from modelyard.gateway.metrics import Metrics
from modelyard.gateway.plane import Plane
from modelyard.gateway.process import SHIP_EVERY_S, Stores
from modelyard.gateway.replicas import alone_in
from modelyard.gateway.residents import Residents, memory_budget_mb
from modelyard.gateway.routes import RouteTable, Target
from modelyard.gateway.server import FIRST_CATALOGUE_S
from modelyard.gateway.settled import Mark, SettledSegments, settle
from modelyard.gateway.shipping import Shipper, ledger_figures
from modelyard.gateway.stream import Stream
from modelyard.serving.broker import Broker, Link
from modelyard.wiring.platform import online_of, open_clock
from modelyard.wiring.settings import Settings, read_settings
from modelyard.wiring.tracing import open_tracer

log = logging.getLogger(__name__)

FROM, TO, DEAD = "MODELYARD_STREAM_FROM", "MODELYARD_STREAM_TO", "MODELYARD_STREAM_DEAD"
MOST_WORKERS = 1000  # of one group on one machine, by names of our own


@dataclass(frozen=True)
class Options:
    """The command line."""

    home: Path | None
    control: str
    project: str | None
    model: str
    group: str | None
    worker: str | None
    metrics_host: str
    metrics_port: int | None  # None: no figures


class Choice:
    """The deployment that a stream answers for, as the catalogue has it now."""

    def __init__(self, project: str | None, model: str) -> None:
        self._project = project
        self._model = model
        self.table = RouteTable()

    def target(self) -> Target:
        """Return it. Problem `model.missing`, `model.conflict`."""
        table = self.table
        return table.find(self._project, self._model, frozenset(one.served.project for one in table.targets.values()))

    def wait(self, follower: Follower, ending: Stop) -> bool:
        """Wait until it can be answered for; return whether it can, or the end came first.

        Raises
        ------
        Problem
            `model.missing` when the control plane does not know it.
        """
        follower.settled.wait(FIRST_CATALOGUE_S)
        pause, told = FIRST_RETRY_S, False
        while not ending.asked:
            try:
                self.target()
            except Problem:
                why = follower.control_problem or next(iter(follower.problems.values()), None)
                if why is None:
                    raise
                if not told:
                    log.warning("%s cannot be answered for yet, and is waited for: %s", self._model, why)
                    told = True
                ending.wait(pause)
                pause = min(2 * pause, RETRY_S)
            else:
                return True
        return False


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    options = read_options(arguments)
    ending = Stop()
    ending.heed()
    try:
        run(options, read_settings(home=options.home), os.environ, ending)
    except Problem as problem:
        sys.exit(str(problem))


def read_options(arguments: Sequence[str] | None = None) -> Options:
    """Return the command line, read."""
    parser = argparse.ArgumentParser(
        prog="python -m modelyard.gateway.stream_process", description="Answer a topic's messages."
    )
    parser.add_argument("--home", type=Path, default=None, help="where everything lies (default: the setting `home`)")
    parser.add_argument("--control", required=True, help="address of the control plane")
    parser.add_argument("--project", default=None, help="may be left out where one project alone has the model")
    parser.add_argument("--model", required=True, help="the deployment's name")
    parser.add_argument("--group", default=None, help="the consumer group (default: modelyard.MODEL)")
    parser.add_argument("--worker", default=None, help="this worker's name in the group (default: HOST-1, HOST-2 …)")
    parser.add_argument("--metrics-host", default="127.0.0.1", help="address at which figures are told")
    parser.add_argument("--metrics-port", type=int, default=None, help="tell figures for Prometheus; 0: at a free port")
    return Options(**vars(parser.parse_args(arguments)))


def run(options: Options, settings: Settings, environment: Mapping[str, str], ending: Stop) -> None:
    """Answer until the end comes, then ship the ledger.

    Raises
    ------
    Problem
        `worker.conflict`, `model.missing`, `stream.conflict`, and what the adapters raise.
    """
    source, target = environment.get(FROM, ""), environment.get(TO, "")
    token = environment.get("MODELYARD_TOKEN", "")
    group = options.group or f"modelyard.{options.model}"
    stores = Stores(connect(OBJECTS, settings.objects), lambda name: resolve(FRAMEWORK, name)())
    metrics = Metrics()
    with (
        _worker(settings.home / "streams" / quote(group, safe=""), options.worker) as (worker, folder),
        _told(options, metrics) as url,
        ExitStack() as ends,
    ):
        link = Link(source, target, environment.get(DEAD) or None, group, worker, ending)
        broker = resolve(BROKER, source.partition("://")[0])(link)
        choice = Choice(options.project, options.model)

        def swap(table: RouteTable) -> None:
            choice.table = table

        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(base_url=options.control, headers=headers, trust_env=False) as client:
            isolation = Isolation(stores, Bounds(), metrics.restarted)
            follower = Follower(folder, Residents(isolation.bring, isolation.load, memory_budget_mb()), client, swap)
            follower.start()
            try:
                if choice.wait(follower, ending):
                    online, clock = online_of(settings, ends), open_clock(settings.clock)
                    parts = _Parts(broker, choice, settings.lake, settings.metadata, online, clock, folder, link, metrics, url)
                    _answer(parts, token)
            finally:
                follower.stop()
                isolation.close()


def _told(options: Options, metrics: Metrics) -> AbstractContextManager[str | None]:
    """Tell the figures, if that is wanted, and give the address."""
    if options.metrics_port is None:
        return nullcontext()
    return exposed(metrics.text, options.metrics_host, options.metrics_port)


@dataclass(frozen=True)
class _Parts:
    """What one worker is made of."""

    broker: Broker
    choice: Choice
    lake: str  # its URL
    metadata: str  # of the database
    online: Callable[[], OnlineStore]
    clock: Clock
    folder: Path
    link: Link
    metrics: Metrics
    url: str | None  # of the figures


def _answer(parts: _Parts, token: str) -> None:
    ids = IdMaker(system_clock)
    instance = ids("str")
    ledger, ending = parts.folder / "ledger", parts.link.ending
    try:
        told = parts.broker.claim()
        found = Mark.parse(told) if told else None
        settle(ledger, found)
        writer = SettledSegments(ledger, ids, instance, found)
        shipper = Shipper(writer, ProcessCarrier(parts.lake, ledger, parts.metadata), SHIP_EVERY_S)
        plane = Plane(writer=writer, metrics=parts.metrics, clock=parts.clock, online=parts.online)
        tracer = open_tracer("modelyard-stream")
        stream = Stream(
            broker=parts.broker, found=found, plane=plane, writer=writer, target=parts.choice.target,
            caller=sha256(token.encode()).hexdigest(), instance=instance, ending=ending, tracer=tracer,
        )  # fmt: skip
        parts.metrics.watch(stream.figures)
        parts.metrics.watch(lambda: ledger_figures(writer, shipper))
        shipper.start()
        try:
            stream.run(lambda: _say_ready(parts))
        finally:
            parts.broker.close()
            plane.close()
            shipper.stop()
            if tracer is not None:
                tracer.close()
    except Problem as problem:
        if problem.code != "transaction.unavailable" or not ending.asked:
            raise
    finally:
        parts.broker.close()


def _say_ready(parts: _Parts) -> None:
    link = parts.link
    line = {
        "stream": parts.choice.target().served.name,
        "group": link.group,
        "worker": link.worker,
        "metrics": parts.url,
        "ready": True,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


@contextmanager
def _worker(folder: Path, name: str | None) -> Iterator[tuple[str, Path]]:
    """Hold a worker's folder: the named one, else the first of this machine that is free.

    Raises
    ------
    Problem
        `worker.conflict`.
    """
    host = socket.gethostname()
    for number in count(1):
        worker = name or f"{host}-{number}"
        place = folder / quote(worker, safe="")
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = alone_in(place)
        try:
            held.__enter__()
        except Problem as problem:
            if name is None and number < MOST_WORKERS:
                continue
            why = "two of one name would shut each other out"
            raise Problem("worker.conflict", f"The worker {worker} runs already", why, "give another --worker") from problem
        try:
            yield worker, place
        finally:
            held.__exit__(None, None, None)
        return


if __name__ == "__main__":
    main()
