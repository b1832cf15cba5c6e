"""What the gateway tells of itself, for all replicas that share its port: health, figures, status, and its ledger on demand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from modelyard.core import Problem
from modelyard.gateway import openapi
from modelyard.gateway.fullness import Fullness
from modelyard.gateway.http import Reply, json_reply
from modelyard.gateway.metrics import MEDIA_TYPE, Metrics
from modelyard.gateway.replicas import ALONE, Siblings, added_up, together
from modelyard.gateway.routes import RouteTable
from modelyard.gateway.segments import SegmentWriter
from modelyard.gateway.shipping import Shipper, ledger_figures
from modelyard.version import __version__

STATUS = "/v1/status"
LOAD = "/v1/load"
FLUSH = "/v1/ledger/flush"
METRICS = "/metrics"


@dataclass
class Reports:
    """The reports of one gateway. Those that ask siblings wait for them: they belong into a thread."""

    table: Callable[[], RouteTable]  # of this moment
    writer: SegmentWriter
    shipper: Shipper
    metrics: Metrics
    fullness: Fullness
    siblings: Siblings | None
    follower_status: Callable[[], Mapping[str, Any]] = field(default=dict)
    processes: Callable[[], Sequence[Mapping[str, Any]]] = field(default=tuple)  # of versions that run code
    versions: Callable[[], Mapping[str, Any]] = field(default=dict)  # how many are in memory, how many rest

    def __post_init__(self) -> None:
        """Show the ledger's figures among the metrics."""
        self.metrics.watch(self._ledger_figures)
        self.metrics.watch(self.fullness.figures)

    def live(self) -> Reply:
        """Tell that the process runs."""
        return json_reply({"live": True})

    def ready(self) -> Reply:
        """Tell whether there is a catalogue."""
        ready = self.table().position >= 0
        return json_reply({"ready": ready}, 200 if ready else 503)

    def server(self) -> Reply:
        """Tell what server this is."""
        return json_reply({"name": "modelyard", "version": __version__, "extensions": ["binary_tensor_data"]})

    def openapi(self) -> Reply:
        """Tell what can be asked, as an OpenAPI document."""
        return Reply(200, openapi.written())

    def figures(self, authorization: bytes | None, query: bytes) -> Reply:
        """Tell the metrics of all replicas."""
        texts = [self.metrics.text()]
        if self.siblings is not None and query != ALONE.encode():
            texts += [answer.content for answer in self._others("GET", METRICS, authorization, query) if answer.is_success]
            texts += self.siblings.counted()
        return Reply(200, texts[0] if len(texts) == 1 else together(texts), MEDIA_TYPE.encode())

    def status(self, authorization: bytes | None, query: bytes) -> Reply:
        """Tell what is answered for, by which versions, and how the ledger stands: of all replicas the one furthest behind."""
        told = [self._status()]
        told += [answer.json() for answer in self._others("GET", STATUS, authorization, query) if answer.is_success]
        behind = min(told, key=lambda one: int(one["position"]))
        ledger = added_up(told[0]["ledger"], [one["ledger"] for one in told[1:]])
        problems = {name: why for one in told for name, why in one["problems"].items()}
        processes = [process for one in told for process in one["processes"]]
        versions = added_up(told[0]["versions"], [one["versions"] for one in told[1:]])
        merged = {"problems": problems, "processes": processes, "versions": versions, "ledger": ledger, "replicas": len(told)}
        loads = sorted((load for one in told for load in one["loads"]), key=lambda load: int(load["replica"]))
        return json_reply({**behind, **merged, "loads": loads})

    def load(self, authorization: bytes | None, query: bytes) -> Reply:
        """Tell how full the replicas are: each by its number, and on average."""
        told = [self._load()]
        told += [one for answer in self._others("GET", LOAD, authorization, query) for one in answer.json()["replicas"]]
        told.sort(key=lambda one: one["replica"])
        return json_reply({"load": fmean(one["load"] for one in told), "replicas": told})

    def flush(self, authorization: bytes | None, query: bytes) -> Reply:
        """Ship the ledger of all replicas now.

        Raises
        ------
        Problem
            `ledger.unavailable`.
        """
        mine = self._flush()
        others = self._others("POST", FLUSH, authorization, query)
        for answer in others:
            if answer.is_error:
                told = answer.json()
                raise Problem("ledger.unavailable", told["what"], told["why"], told["next_step"], told["context"])
        return json_reply(added_up(mine, [answer.json() for answer in others]))

    def _others(self, method: str, path: str, authorization: bytes | None, query: bytes) -> Sequence[Any]:
        if self.siblings is None or query == ALONE.encode():
            return []
        return self.siblings.ask(method, path, authorization)

    def _load(self) -> dict[str, float]:
        return {"replica": 1 if self.siblings is None else self.siblings.number, **self.fullness.parts()}

    def _status(self) -> dict[str, Any]:
        targets = [
            {
                "project": target.served.project_name,
                "deployment": target.served.name,
                "revision": target.served.revision.number,
                "routes": [
                    {"version": route.version, "weight": route.weight, "kind": route.kind.value}
                    for route in target.served.revision.routes
                ],
                "versions": [
                    {"version": number, "form": loaded.served.form} for number, loaded in sorted(target.versions.items())
                ],
            }
            for target in self.table().targets.values()
        ]
        ledger = {
            "rows_written": self.writer.rows_written,
            "rows_open": self.writer.rows_open,
            "rows_lost": self.writer.rows_lost,
            "last_loss": self.writer.last_loss,
            "rows_shipped": self.shipper.rows_shipped,
            "last_problem": self.shipper.last_problem,
            "backlog": self.shipper.backlog(),
        }
        told = {"deployments": targets, "processes": list(self.processes()), "versions": self.versions(), "ledger": ledger}
        return {"version": __version__, **self.follower_status(), **told, "loads": [self._load()]}

    def _flush(self) -> dict[str, int]:
        shipment = self.shipper.ship()
        if shipment.problems:
            raise Problem(
                "ledger.unavailable",
                "The lake does not take the ledger",
                shipment.problems[0],
                "the rows wait on the gateway's disk and are shipped when the lake answers",
                {"rows": shipment.rows, "segments": shipment.segments, "waiting": len(shipment.problems)},
            )
        return {
            "rows": shipment.rows,
            "segments": shipment.segments,
            "rows_shipped": self.shipper.rows_shipped,
            "rows_lost": self.writer.rows_lost,
        }

    def _ledger_figures(self) -> dict[str, float]:
        return {**ledger_figures(self.writer, self.shipper), "modelyard_catalogue_position": self.table().position}


OPEN: Mapping[tuple[str, str], Callable[[Reports], Reply]] = {  # to everybody
    ("GET", "/v2"): Reports.server,
    ("GET", "/v2/"): Reports.server,
    ("GET", openapi.PATH): Reports.openapi,
    ("GET", "/v2/health/live"): Reports.live,
    ("GET", "/v2/health/ready"): Reports.ready,
}
ASKED: Mapping[tuple[str, str], tuple[Callable[[Reports, bytes | None, bytes], Reply], bool]] = {  # and whether with a token
    ("GET", METRICS): (Reports.figures, False),
    ("GET", LOAD): (Reports.load, False),
    ("GET", STATUS): (Reports.status, True),
    ("POST", FLUSH): (Reports.flush, True),
}
PATHS = tuple(path for _, path in (*OPEN, *ASKED))
