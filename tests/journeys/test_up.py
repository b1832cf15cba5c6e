"""From `yard up` to a labelled prediction on the command line, and what stays when a part is killed."""

import json
import os
import re
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import psutil
import pytest
from typer.testing import CliRunner

from modelyard.cli.app import app
from modelyard.cli.exits import EXITS
from modelyard.client import Connection, connect
from modelyard.client.projects import open_project
from modelyard.core import ProblemKind
from tests.environments import kept_python
from tests.fetch import Absent
from tests.journeys.platform import END_S, Running, running, started

Yard = Callable[..., Any]
PAGES = Path(__file__).parents[2] / "docs" / "serving"
PYTHONS = {"grpc": ("tritonclient-2.73.0", "tritonclient"), "mlflow": ("bench-mlflow", "mlflow")}
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("yard") / "home") as found:
        yield found


@pytest.fixture
def yard(platform: Running, monkeypatch: pytest.MonkeyPatch) -> Yard:
    """Return what runs a command and gives its JSON; a problem's, when it is to fail with a kind."""
    monkeypatch.setenv("MODELYARD_URL", platform.url)
    monkeypatch.setenv("MODELYARD_TOKEN", platform.token or "")

    def run(*arguments: str, fails: ProblemKind | None = None) -> Any:
        done = CliRunner().invoke(app, [*arguments, "--json"])
        assert done.exit_code == (0 if fails is None else EXITS[fails]), done.output
        return json.loads(done.stdout) if fails is None else json.loads(done.stderr)["problem"]

    return run


@pytest.fixture
def sdk(platform: Running) -> Iterator[Connection]:
    found = connect(platform.url, platform.token)
    yield found
    found.close()


def test_a_model_goes_from_a_file_to_labelled_predictions(
    platform: Running, yard: Yard, sdk: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "churn"
    monkeypatch.chdir(tmp_path)
    yard("init", "churn")
    yard("project", "create", "churn")
    monkeypatch.syspath_prepend(folder)
    rows = __import__("make_data").customers()
    rows.write_csv(folder / "customers.csv")

    yard("dataset", "add", "customers", str(folder / "customers.csv"), "--key", "customer_id", "--time", "signed_at")
    version = yard("dataset", "snapshot", "customers", "--until", "2024-10-01")
    assert version["number"] == 1
    again = yard("dataset", "snapshot", "customers")
    assert (again["number"], again["rows"]) == (2, rows.height)

    run = yard("run", "start", f"{folder / 'train.py'}:train", "depth=3", "--data", "customers@1")
    assert (run["state"], run["recipe"]["params"]) == ("finished", {"depth": 3})
    assert run["metrics"]["roc_auc"] > 0.6
    assert [one["number"] for one in yard("run", "list", "--where", "roc_auc > 0.6", "--sort", "-roc_auc")] == [1]
    assert yard("run", "list", "--where", "roc_auc > 0.99") == []

    assert yard("model", "register", "churn", "1")["number"] == 1
    yard("model", "gate", "churn", "champion", "--approvals", "1")
    refused = yard("model", "promote", "churn", "1", "champion", fails=ProblemKind.REFUSED)
    assert refused["detail"]["failed"] == ["approvals"]
    yard("model", "approve", "churn", "1", "champion", "--reason", "looked at the slices")
    assert yard("model", "promote", "churn", "1", "champion")["version"] == 1

    yard("deployment", "create", "churn@champion", "--canary", "20,100")
    service = open_project(sdk, "churn").deployment("churn")
    asked = rows.drop("churned").head(40)
    answers = service.predict(asked, ids=[f"p{number}" for number in range(40)], times=asked["signed_at"].to_list())
    assert (answers.version, len(answers)) == (1, 40)

    scored = tmp_path / "scored.parquet"
    asked.write_parquet(tmp_path / "asked.parquet")
    yard("score", "churn@champion", str(tmp_path / "asked.parquet"), str(scored))
    assert max(abs(a - b) for a, b in zip(pl.read_parquet(scored)["probability"], answers.values, strict=True)) <= 1e-6

    run_pages(platform)

    labels = pl.DataFrame({"id": [f"p{number}" for number in range(30)], "value": rows["churned"].head(30)})
    labels.write_csv(tmp_path / "labels.csv")
    assert yard("label", "add", "churn", str(tmp_path / "labels.csv")) == {"labels": 30}
    headers = {"Authorization": f"Bearer {platform.token}"}
    httpx.post(f"{platform.gateway}/v1/ledger/flush", headers=headers, timeout=END_S).raise_for_status()
    ledger = service.predictions().filter(pl.col("id").str.starts_with("p"))
    assert (ledger.height, ledger["label"].null_count()) == (40, 10)


def run_pages(platform: Running) -> None:
    """Run every example of the doors' pages against the deployment `churn`; in Python those whose clients are installed."""
    told = {"GATEWAY": platform.gateway, "GRPC": platform.grpc or "", "TOKEN": platform.token or ""}
    ran = 0
    for page in ("rest", "grpc", "mlflow", "tfserving", "scaling"):
        for language, block in BLOCK.findall((PAGES / f"{page}.md").read_text(encoding="utf-8")):
            program = ["bash", "-e", "-o", "pipefail", "-c"] if language == "sh" else [foreign_python(page), "-c"]
            if block.startswith("export ") or program[0] is None:
                continue
            done = subprocess.run([*program, block], env=os.environ | told, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{page}: {done.stdout} {done.stderr}"
            ran += 1
    assert ran >= 6


def foreign_python(page: str) -> str | None:
    """Return the Python that has a page's client."""
    try:
        return str(kept_python(*PYTHONS[page]))
    except Absent:
        return None


def test_what_is_asked_wrongly_is_told_in_full(platform: Running, yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    yard("project", "create", "wrong")
    yard("dataset", "add", "customers", "--key", "customer_id", "--project", "wrong")
    problem = yard("dataset", "show", "custommers", "--project", "wrong", fails=ProblemKind.MISSING)
    assert "did you mean 'customers'" in problem["why"]
    assert "did you mean 'wrong'" in yard("run", "list", "--project", "wrnog", fails=ProblemKind.MISSING)["why"]
    assert (
        yard("run", "list", "--where", "roc_auc >> 1", "--project", "wrong", fails=ProblemKind.INVALID)["code"]
        == "where.invalid"
    )
    monkeypatch.setenv("MODELYARD_TOKEN", "yard_" + "0" * 43)
    assert yard("project", "list", fails=ProblemKind.UNAUTHENTICATED)["code"] == "token.unauthenticated"


def test_a_token_has_the_role_that_it_was_made_with(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    made = yard("token", "create", "reader", "--role", "viewer")
    monkeypatch.setenv("MODELYARD_TOKEN", made["secret"])
    yard("project", "list")
    assert yard("project", "create", "mine", fails=ProblemKind.FORBIDDEN)["code"] == "action.forbidden"


def test_the_gateways_token_is_for_its_owner_alone(platform: Running) -> None:
    kept = platform.home / "gateway" / "token"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    for process in [psutil.Process(platform.process.pid), *platform.family()]:
        assert kept.read_text() not in " ".join(process.cmdline())


def test_a_taken_home_or_port_is_told(platform: Running, tmp_path: Path) -> None:
    for home, port, code, kind in (
        (platform.home, "0", "home.conflict", ProblemKind.CONFLICT),
        (tmp_path, platform.url.rpartition(":")[2], "port.unavailable", ProblemKind.UNAVAILABLE),
    ):
        with started(home, "--port", port, environment=dict(os.environ)) as process:
            _, errors = process.communicate(timeout=END_S)
        assert process.returncode == EXITS[kind]
        assert json.loads(errors)["problem"]["code"] == code


def test_the_gateway_answers_on_while_the_control_plane_is_killed_and_comes_back(platform: Running, yard: Yard) -> None:
    platform.part("modelyard.embedded.control").kill()
    assert httpx.get(f"{platform.gateway}/v2/health/ready", timeout=END_S).json() == {"ready": True}
    assert httpx.get(f"{platform.url}/v1/health", timeout=END_S).json()["status"] == "ok"
    yard("project", "list")


def test_sigterm_ends_all_of_it_and_a_later_start_tells_no_token(tmp_path: Path) -> None:
    with running(tmp_path / "home") as first:
        assert first.token
        assert first.end() == (0, [])
    with running(tmp_path / "home") as second:
        assert second.token is None
        status, alive = second.end(signal.SIGKILL)
        assert (status, alive) == (-signal.SIGKILL, [])
