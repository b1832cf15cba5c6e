"""The gateway inside this process: what it does when too much comes at once, and when names meet."""

import asyncio
import json
from collections.abc import MutableMapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from modelyard.adapters.delta import DeltaLake
from modelyard.adapters.file import FileObjects
from modelyard.adapters.onnx import OnnxFramework
from modelyard.core import IdMaker, ManualClock, Problem, ProjectId
from modelyard.data.features.online import OnlineStore
from modelyard.gateway.app import MOST_WAITING, Gateway
from modelyard.gateway.express import LARGEST
from modelyard.gateway.metrics import Metrics
from modelyard.gateway.process import Stores
from modelyard.gateway.routes import RouteTable, Target
from modelyard.gateway.segments import SegmentWriter
from modelyard.gateway.shipping import LakeCarrier, Shipper
from modelyard.serving import DeploymentId, Revision, Route, ServedDeployment
from modelyard.serving.infer import load_version
from tests.gateway.packages import build, flights, tensors

PROJECT = ProjectId("prj_flights")
TOKEN = "yard_caller"
CALLER = sha256(TOKEN.encode()).hexdigest()


def no_store() -> OnlineStore:
    raise AssertionError("these versions look nothing up")


def served(project: str = "flights", name: str = "delay") -> ServedDeployment:
    revision = Revision(DeploymentId("dep_1"), 1, (Route(1, 100),), "test", datetime(2013, 4, 1, tzinfo=UTC))
    return ServedDeployment(ProjectId(f"prj_{project}"), project, DeploymentId("dep_1"), name, name, "at", revision, ())


async def post(gateway: Gateway, body: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/v2/models/delay/infer",
        "headers": [(b"authorization", f"Bearer {TOKEN}".encode())],
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await gateway(scope, receive, send)
    headers = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return sent[0]["status"], headers, json.loads(sent[1]["body"])


def test_more_large_requests_than_may_wait_are_sent_away_for_a_second(tmp_path: Path) -> None:
    lake = DeltaLake(tmp_path / "lake")
    stores = Stores(FileObjects(tmp_path / "objects"), lambda name: OnnxFramework())
    package = build(stores.objects, PROJECT, tmp_path, 1)  # type: ignore[arg-type]  # it is the local store
    loaded = load_version(stores, PROJECT, package.form, tmp_path / "packages")
    clock = ManualClock()
    writer = SegmentWriter(tmp_path / "ledger", IdMaker(clock))
    shipper = Shipper(writer, LakeCarrier(lake, tmp_path / "ledger"))
    gateway = Gateway(
        writer=writer, shipper=shipper, metrics=Metrics(), clock=clock, boot="req", body_limit=1 << 24, online=no_store
    )
    gateway.table = RouteTable(1, {("flights", "delay"): Target(served(), {1: loaded})}, {CALLER: frozenset([PROJECT])})
    body = json.dumps({"inputs": tensors(flights(500), package.form.signature.inputs)}).encode()
    assert len(body) > LARGEST

    async def flood() -> list[tuple[int, dict[str, str], dict[str, Any]]]:
        return await asyncio.gather(*(post(gateway, body) for _ in range(MOST_WAITING + 5)))

    answers = asyncio.run(flood())
    gateway.close()
    assert sorted(status for status, _, _ in answers) == [200] * MOST_WAITING + [503] * 5
    for status, headers, told in answers:
        if status == 503:
            assert headers["retry-after"] == "1"
            assert told["code"] == "gateway.unavailable"
    assert shipper.ship().rows == 500 * MOST_WAITING


TABLE = RouteTable(
    1,
    {
        ("flights", "delay"): Target(served(), {}),
        ("trains", "delay"): Target(served("trains"), {}),
        ("trains", "load"): Target(served("trains", "load"), {}),
    },
)
BOTH = frozenset([ProjectId("prj_flights"), ProjectId("prj_trains")])


def test_a_name_in_two_projects_needs_the_projects_name() -> None:
    with pytest.raises(Problem) as told:
        TABLE.find(None, "delay", BOTH)
    assert told.value.code == "model.conflict"
    assert TABLE.find("trains", "delay", BOTH).served.project_name == "trains"
    assert TABLE.find(None, "load", BOTH).served.name == "load"


def test_a_token_sees_its_own_projects_only() -> None:
    flights_only = frozenset([ProjectId("prj_flights")])
    assert TABLE.find(None, "delay", flights_only).served.project_name == "flights"
    for project, name in ((None, "load"), ("trains", "load"), ("trains", "delay")):
        with pytest.raises(Problem) as told:
            TABLE.find(project, name, flights_only)
        assert told.value.code == "model.missing"
        assert "trains" not in told.value.why
