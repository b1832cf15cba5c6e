"""Other projects' clients, unmodified and in environments of their own, get the numbers that our own REST form gets."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import polars as pl
import pytest

from modelyard.version import __version__
from tests.environments import kept_python, python_with
from tests.fetch import Absent
from tests.gateway.doors import columns, records, rest
from tests.gateway.packages import flights
from tests.gateway.world import TOKEN, World

TRITON = "tritonclient[http,grpc]==2.73.0"
SCRIPTS = Path(__file__).parent / "foreign"
TIMEOUT_S = 120


@pytest.fixture
def client(shared: World) -> Iterator[httpx.Client]:
    with shared.client() as made:
        yield made


def run(python: Path, script: str, told: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [str(python), str(SCRIPTS / script)], input=json.dumps(told), capture_output=True, text=True, timeout=TIMEOUT_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.contract
def test_tritonclient_asks_over_http_and_grpc(shared: World, client: httpx.Client) -> None:
    try:
        python = python_with("tritonclient-2.73.0", TRITON)
    except Absent as reason:
        pytest.skip(str(reason))
    frame = flights(20, seed=11).with_columns(wind=pl.Series([None, *range(19)], dtype=pl.Float64))
    told = {"http": urlsplit(shared.url).netloc, "grpc": shared.grpc, "token": TOKEN, "model": "delay", "id": "triton",
            "inputs": columns(shared, frame)}  # fmt: skip
    found = run(python, "triton.py", told)
    expected = rest(shared, client, frame)
    assert set(found) == {"HTTP JSON", "HTTP binary", "gRPC"}
    for way, answer in found.items():
        assert answer["numbers"] == expected, way
        assert answer["dtype"] == "float64"
        assert answer["live"] and answer["ready"] and answer["model_ready"], way
        assert (answer["server"], answer["model"]) == ("modelyard", "delay")
        status, text = answer["refusal"]
        assert status in ("400", "StatusCode.INVALID_ARGUMENT")
        assert "'at'" in text


@pytest.mark.cluster  # the environment is that of the benchmark, which is not made for every run
def test_mlflows_client_asks_as_it_asks_mlflow(shared: World, client: httpx.Client) -> None:
    try:
        python = kept_python("bench-mlflow", "mlflow")
    except Absent as reason:
        pytest.skip(str(reason))
    frame = flights(20, seed=12).with_columns(wind=pl.Series([None, *range(19)], dtype=pl.Float64))
    place = urlsplit(shared.url)
    rows = records(shared, frame)
    found = run(python, "mlflow_client.py", {"host": place.hostname, "port": place.port, "token": TOKEN, "rows": rows})
    expected = rest(shared, client, frame)
    assert found["version"] == __version__
    for way in ("frame", "table", "records"):
        assert found[way] == expected, way
    assert found["ignored"] == ["params"]
    assert "error code 400" in found["refusal"]
    assert "'wind'" in found["refusal"]


@pytest.mark.cluster  # likewise
def test_kserves_clients_ask_in_both_protocols(shared: World, client: httpx.Client) -> None:
    try:
        python = kept_python("bench-serving-kserve", "kserve")
    except Absent as reason:
        pytest.skip(str(reason))
    frame = flights(20, seed=13)
    told = {"http": shared.url, "grpc": shared.grpc, "token": TOKEN, "inputs": columns(shared, frame),
            "rows": records(shared, frame)}  # fmt: skip
    found = run(python, "kserve_client.py", told)
    expected = rest(shared, client, frame)
    assert all(found.pop(word) for word in ("live", "ready", "model_ready", "gRPC live"))
    assert set(found) == {"REST binary=True", "REST binary=False", "REST v1", "gRPC binary=True", "gRPC binary=False"}
    for way, numbers in found.items():
        assert numbers == expected, way
