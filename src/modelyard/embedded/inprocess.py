"""The whole platform inside this process: the same API, the same gateway, no socket."""

import atexit
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx

from modelyard.client import Connection
from modelyard.core import IdMaker, PageRequest, Problem, system_clock
from modelyard.embedded.family import worker_program
from modelyard.embedded.loop import ApplicationTransport, LoopThread
from modelyard.embedded.server import build
from modelyard.embedded.service_token import service_token
from modelyard.embedded.supervisor import Child, stop_all
from modelyard.gateway.app import Gateway
from modelyard.gateway.follow import Follower as CatalogueFollower
from modelyard.gateway.isolation import Isolation
from modelyard.gateway.keeper import Bounds
from modelyard.gateway.metrics import Metrics
from modelyard.gateway.process import BODY_LIMIT, SHIP_EVERY_S
from modelyard.gateway.replicas import alone_in
from modelyard.gateway.residents import Residents, memory_budget_mb
from modelyard.gateway.routes import RouteTable
from modelyard.gateway.segments import SegmentWriter
from modelyard.gateway.shipping import LakeCarrier, Shipper
from modelyard.jobs import JobState
from modelyard.serving import ServedDeployment, ServedForm
from modelyard.serving.infer import LoadedVersion, is_makers_code, open_version
from modelyard.tenancy import Actor
from modelyard.tenancy.service import find_projects, local_owner
from modelyard.wiring import Follower, Platform, Settings, open_platform
from modelyard.wiring.openlineage import open_sender

ADDRESS = "http://embedded"
FIRST_CATALOGUE_S = 10.0
LOOK_S = 0.2
ONE = PageRequest(limit=1)


class Embedded:
    """The platform in this process. Everything that it started ends with the process, or with `close`.

    Parameters
    ----------
    settings
        Where everything is.
    workers
        How many worker processes to start when a job first waits for one.
    """

    def __init__(self, settings: Settings, workers: int) -> None:
        self.platform: Platform = open_platform(settings)
        self._owner: Actor = local_owner(self.platform)
        self._loop = LoopThread()
        sender = open_sender(self.platform)
        follower = Follower(self.platform)
        app = ApplicationTransport(build(self.platform, follower=follower, owner=self._owner), self._loop)
        self._gateway = GatewayTransport(self.platform, self._owner, app, self._loop)
        self.connection = Connection(
            httpx.Client(transport=app, base_url=ADDRESS),
            lasting=False,
            gateway=httpx.Client(transport=self._gateway, base_url=ADDRESS),
            told="the platform in this process",
        )
        self._wanted = workers
        self._workers: list[Child] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=follower.run, args=(self._stop,), name="follower", daemon=True),
            threading.Thread(target=self._hire, name="hire", daemon=True),
        ]
        if sender is not None:
            self._threads.append(threading.Thread(target=sender.run, args=(self._stop,), name="lineage", daemon=True))
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)

    def close(self) -> None:
        """End workers, gateway and follower, and give the database back. Safe to repeat."""
        if self._stop.is_set():
            return
        atexit.unregister(self.close)
        self._stop.set()
        for thread in self._threads:
            thread.join()
        stop_all(self._workers)
        self._gateway.end()
        self.connection.close()
        self._loop.close()
        self.platform.close()

    def _hire(self) -> None:
        """Start the workers when a job first waits for one, whoever asked for it."""
        while not self._stop.wait(LOOK_S):
            if self._job_waits():
                home = self.platform.settings.home
                for number in range(1, self._wanted + 1):
                    self._workers.append(Child(worker_program(home, f"embedded-{number}"), lambda text: None))
                    self._workers[-1].start()
                return

    def _job_waits(self) -> bool:
        try:
            with self.platform.transaction() as tx:
                projects = find_projects(self.platform, self._owner)
                return any(tx.jobs.find(one.id, ONE, states=[JobState.QUEUED]).items for one in projects)
        except Problem:
            return False  # the database is away: the next look tries again


class GatewayTransport(httpx.BaseTransport):
    """Sends requests to a gateway in this process, opened by the first one; its ledger is the one that `yard up` ships.

    Raises
    ------
    Problem
        `gateway.conflict` when the gateway of another process works in this home.
    """

    def __init__(self, platform: Platform, owner: Actor, control: httpx.BaseTransport, loop: LoopThread) -> None:
        self._platform = platform
        self._owner = owner
        self._control = control
        self._loop = loop
        self._lock = threading.Lock()
        self._opened: ApplicationTransport | None = None
        self._token = ""
        self._ends = ExitStack()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        with self._lock:
            opened = self._opened = self._opened or self._open()
        request.headers["authorization"] = f"Bearer {self._token}"
        return opened.handle_request(request)

    def end(self) -> None:
        """Ship the ledger and end."""
        self._ends.close()

    def _open(self) -> ApplicationTransport:
        settings = self._platform.settings
        folder = settings.home / "gateway"
        self._token = service_token(self._platform, self._owner)
        with ExitStack() as ends:
            ends.enter_context(alone_in(folder))
            ids = IdMaker(system_clock)
            writer = SegmentWriter(folder / "ledger", ids)
            shipper = Shipper(writer, LakeCarrier(self._platform.lake, folder / "ledger"), SHIP_EVERY_S)
            metrics = Metrics()
            isolation = Isolation(self._platform, Bounds(), metrics.restarted)
            ends.callback(isolation.close)
            gateway = Gateway(
                writer=writer, shipper=shipper, metrics=metrics, clock=self._platform.clock, boot=ids("req"),
                body_limit=BODY_LIMIT, online=self._platform.online,
            )  # fmt: skip
            ends.callback(gateway.close)

            def swap(table: RouteTable) -> None:
                gateway.table = table

            client = ends.enter_context(httpx.Client(transport=self._control, base_url=ADDRESS))
            follower = CatalogueFollower(
                folder, Residents(isolation.bring, partial(self._load, isolation), memory_budget_mb()), client, swap
            )
            gateway.reports.follower_status = follower.status
            follower.start()
            ends.callback(follower.stop)
            shipper.start()
            ends.callback(shipper.stop)
            follower.settled.wait(FIRST_CATALOGUE_S)
            self._ends = ends.pop_all()
        return ApplicationTransport(gateway, self._loop)

    def _load(self, isolation: Isolation, deployment: ServedDeployment, form: ServedForm, folder: Path) -> LoadedVersion:
        """Load a version: its user's code runs in this process as it is, a stranger's in one of its own."""
        if is_makers_code(form):
            return isolation.load(deployment, form, folder)
        return open_version(self._platform.framework, form, folder)
