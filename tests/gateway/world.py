"""A gateway's whole surroundings on loopback: object store, lake, control plane, and the process itself."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import polars as pl

from modelyard.adapters.delta import DeltaLake
from modelyard.adapters.file import FileObjects
from modelyard.core import ProjectId
from modelyard.serving import Catalogue, DeploymentId, Revision, Route, ServedDeployment
from modelyard.serving.ledger import ledger_table
from modelyard.tenancy import Limit
from tests.gateway.control import Control
from tests.gateway.packages import Package, build, tensors

PROJECT = ProjectId("prj_flights")
TOKEN = "yard_caller"
CONTROL_TOKEN = "yard_gateway"
DEADLINE_S = 30.0


@dataclass
class World:
    """Everything around one gateway."""

    folder: Path
    control: Control
    objects: FileObjects = field(init=False)
    lake: DeltaLake = field(init=False)
    packages: dict[tuple[int, bool, str], Package] = field(default_factory=dict)
    position: int = 0
    revision: int = 0
    process: subprocess.Popen[bytes] | None = None
    url: str = ""
    grpc: str = ""  # of the gRPC door, when it was asked for

    def __post_init__(self) -> None:
        self.objects = FileObjects(self.home / "objects")
        self.lake = DeltaLake(self.home / "lake")

    @property
    def home(self) -> Path:
        """The gateway's home."""
        return self.folder / "home"

    def package(self, version: int, *, function: bool = False, form: str = "onnx") -> Package:
        """Return a version, built once."""
        key = (version, function, form)
        if key not in self.packages:
            self.packages[key] = build(
                self.objects, PROJECT, self.folder / f"v{version}", version, function=function, form=form
            )
        return self.packages[key]

    def served(self, *routes: Route, name: str = "delay", forms: tuple[Any, ...] | None = None) -> ServedDeployment:
        """Return a deployment in its next revision."""
        self.revision += 1
        return ServedDeployment(
            project=PROJECT,
            project_name="flights",
            deployment=DeploymentId(f"dep_{name}"),
            name=name,
            model=name,
            time="at",
            revision=Revision(DeploymentId(f"dep_{name}"), self.revision, routes, "test", datetime(2013, 4, 1, tzinfo=UTC)),
            versions=forms if forms is not None else tuple(self.package(route.version).form for route in routes),
        )

    def publish(self, *deployments: ServedDeployment, limits: Mapping[str, Limit | None] = MappingProxyType({})) -> int:
        """Publish a catalogue of these deployments and return its position; `limits`: of tokens, which may ask too."""
        self.position += 1
        known = {token: sha256(token.encode()).hexdigest() for token in (TOKEN, *limits)}
        hashes: dict[str, tuple[str, ...]] = {PROJECT: tuple(known.values())}
        limited = {known[token]: limit for token, limit in limits.items() if limit is not None}
        self.control.publish(Catalogue(self.position, deployments, hashes, limited))
        return self.position

    def start(self, *options: str) -> dict[str, Any]:
        """Start the gateway and return the line that it prints when it answers."""
        command = [sys.executable, "-m", "modelyard.gateway", "--home", str(self.home), "--control", self.control.url, *options]
        environment = {**os.environ, "MODELYARD_TOKEN": CONTROL_TOKEN}
        environment.pop("MODELYARD_HOME", None)
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment, cwd=self.folder)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.folder / "gateway.log").read_text()
        told: dict[str, Any] = json.loads(line)
        self.url = told["gateway"]
        self.grpc = told["grpc"] or ""
        return told

    def kill(self) -> None:
        """End the gateway as kill -9 does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._drop()

    def stop(self) -> int:
        """End the gateway as SIGTERM does, and return its exit status."""
        assert self.process is not None
        self.process.terminate()
        status = self.process.wait(DEADLINE_S)
        self._drop()
        return status

    def close(self) -> None:
        """Leave nothing running."""
        if self.process is not None:
            self.kill()
        self.control.kill()

    def client(self, token: str = TOKEN) -> httpx.Client:
        """Return a client with a token."""
        return httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=DEADLINE_S
        )

    def wait(self, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the gateway's status once `until` holds for it."""
        with self.client() as client:
            for _ in range(20_000):
                status: dict[str, Any] = client.get("/v1/status").json()
                if until(status):
                    return status
        raise AssertionError(f"it never came to that: {status}")

    def taken_up(self, position: int) -> dict[str, Any]:
        """Return the status once the gateway stands at a catalogue's position."""
        return self.wait(lambda status: int(status["position"]) >= position)

    def ledger(self, name: str = "delay") -> pl.DataFrame:
        """Return what was shipped."""
        return self.table(ledger_table(name))

    def table(self, name: str) -> pl.DataFrame:
        """Return a table of the lake; an empty frame where there is none."""
        if self.lake.version(PROJECT, name) is None:
            return pl.DataFrame()
        return self.lake.scan(PROJECT, name).collect()

    def body(self, frame: pl.DataFrame, version: int = 1, **rest: Any) -> dict[str, Any]:
        """Return an infer request for raw rows."""
        return {"inputs": tensors(frame, self.package(version).form.signature.inputs), **rest}

    def _drop(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
