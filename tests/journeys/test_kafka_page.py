"""The page on Kafka runs as it stands, against `yard up` and the real broker."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from modelyard.cli.app import app
from tests.journeys.platform import END_S, Running, running

pytestmark = [pytest.mark.journey, pytest.mark.cluster]

PAGE = Path(__file__).parents[2] / "docs" / "serving" / "kafka.md"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def deploy(platform: Running, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `churn` deployed, from the rows that `yard init` makes."""
    monkeypatch.setenv("MODELYARD_URL", platform.url)
    monkeypatch.setenv("MODELYARD_TOKEN", platform.token or "")
    monkeypatch.chdir(folder)

    def yard(*arguments: str) -> None:
        done = CliRunner().invoke(app, [*arguments, "--json"])
        assert done.exit_code == 0, done.output

    yard("init", "churn")
    yard("project", "create", "churn")
    subprocess.run([sys.executable, "make_data.py"], cwd=folder / "churn", check=True)
    yard(
        "dataset",
        "add",
        "customers",
        str(folder / "churn" / "customers.parquet"),
        "--key",
        "customer_id",
        "--time",
        "signed_at",
    )
    yard("dataset", "snapshot", "customers")
    yard("run", "start", f"{folder / 'churn' / 'train.py'}:train", "depth=3", "--data", "customers@1")
    yard("model", "register", "churn", "1")
    yard("model", "promote", "churn", "1", "champion")
    yard("deployment", "create", "churn@champion")


@contextmanager
def started(command: str, environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Give a command of the page once it has said that it is ready, and end it as Ctrl-C does."""
    with subprocess.Popen(
        ["/bin/bash", "-c", f"exec {command}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            assert json.loads(line)["ready"]
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(END_S)


def test_the_page_on_kafka_runs(kafka_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path / "home") as platform:
        deploy(platform, tmp_path, monkeypatch)
        found_here = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {"KAFKA": kafka_address, "MODELYARD_HOME": str(platform.home), "PATH": found_here}
        (_, exports), (_, topics), (_, start), (_, ask) = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
        assert set(re.findall(r"(\w+)=", exports)) == {"KAFKA", "MODELYARD_URL", "MODELYARD_TOKEN", "MODELYARD_HOME"}
        subprocess.run([sys.executable, "-c", topics], env=environment, check=True)
        with started(start, environment) as process:
            done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        assert process.returncode == 0
        assert re.match(r"b'c00012' \{'probability': 0\.\d+\} \{'modelyard-prediction-id': b'c00012-november'", done.stdout)
        assert "'modelyard-version': b'1'" in done.stdout
