"""Spark and Ray on this machine, out of an environment of their own: clusters as others run them, and what runs on them."""

import os
import re
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from tests.environments import python_with
from tests.fetch import Absent
from tests.servers import LOOPBACK, end, free_port, listens, spawn, wait_until

ROOT = Path(__file__).parents[2]
SPARK, RAY = "pyspark[connect,sql]==4.3.0", "ray[default]==2.60.0"
RAY_NODE = "127.0.0.2"  # a node at 127.0.0.1 waits for itself
RAY_KEY = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5d1c" * 16}


def engines_python() -> Path:
    """Return a Python that has Spark, Ray, and this checkout with the releases that the tests run on. Raises `Absent`."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    ours = [re.split(r"[<>=;]", one)[0].strip() for one in named]
    pinned = [f"{name}=={version(name)}" for name in [*ours, "duckdb", "pytest"]]
    python = python_with("engines", *pinned, SPARK, RAY, patience_s=900)
    [packages] = (python.parents[1] / "lib").glob("python*/site-packages")
    (packages / "checkout.pth").write_text(f"{ROOT / 'src'}\n{ROOT}\n")
    return python


def run_in(python: Path, arguments: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this checkout in that environment."""
    quiet = {"SPARK_LOCAL_IP": LOOPBACK, "RAY_USAGE_STATS_ENABLED": "0", "PYSPARK_PYTHON": str(python), **RAY_KEY}
    return subprocess.run(
        [str(python), "-m", *arguments],
        cwd=ROOT,
        env=os.environ | quiet | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@contextmanager
def spark_cluster(python: Path, scratch: Path) -> Iterator[str]:
    """Give the URL of a standalone master with one worker of two cores."""
    home, environment = _spark(python)
    master, web = free_port(), free_port()
    started = []
    address = ["--host", LOOPBACK, "--port", str(master), "--webui-port", str(web)]
    command = [str(home / "bin" / "spark-class"), "-Xmx256m", "org.apache.spark.deploy.master.Master", *address]
    try:
        log = scratch / "spark-master.log"
        started.append(spawn(command, log, environment=environment))
        wait_until(lambda: listens(master), started[-1], log)
        url, work = f"spark://{LOOPBACK}:{master}", ["--work-dir", str(scratch / "work")]
        address = ["--host", LOOPBACK, "--port", str(free_port()), "--webui-port", str(free_port())]
        size = ["--cores", "2", "--memory", "1g"]
        command = [str(home / "bin" / "spark-class"), "-Xmx256m", "org.apache.spark.deploy.worker.Worker"]
        started.append(spawn([*command, *address, *size, *work, url], scratch / "spark-worker.log", environment=environment))
        wait_until(lambda: "Registering worker" in log.read_text(errors="replace"), started[-1], scratch / "spark-worker.log")
        yield url
    finally:
        for process in reversed(started):
            end(process, signal.SIGTERM)


@contextmanager
def spark_connect(python: Path, scratch: Path) -> Iterator[str]:
    """Give the URL of a server of Spark Connect."""
    home, environment = _spark(python)
    port = free_port()
    settings = {
        "spark.connect.grpc.binding.address": LOOPBACK,
        "spark.connect.grpc.binding.port": str(port),
        "spark.ui.enabled": "false",
    }
    conf = [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
    server = "org.apache.spark.sql.connect.service.SparkConnectServer"
    command = [str(home / "bin" / "spark-submit"), "--class", server, "--master", "local[2]", "--driver-memory", "1g", *conf]
    log = scratch / "spark-connect.log"
    process = spawn(command, log, environment=environment)
    try:
        wait_until(lambda: listens(port), process, log)
        yield f"sc://{LOOPBACK}:{port}"
    finally:
        end(process, signal.SIGTERM)


@contextmanager
def ray_cluster(python: Path, scratch: Path) -> Iterator[str]:
    """Give the URL of the client port of a node."""
    client = free_port()
    ray = str(python.parent / "ray")
    size = ["--num-cpus", "2", "--object-store-memory", str(128 << 20)]
    address = ["--head", "--node-ip-address", RAY_NODE, "--port", str(free_port()), "--ray-client-server-port", str(client)]
    command = [ray, "start", "--block", "--include-dashboard", "false", *address, *size]
    log = scratch / "ray.log"
    variables = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "180", **RAY_KEY}
    process = spawn(command, log, environment=os.environ | variables)
    try:
        wait_until(lambda: "Ray runtime started" in log.read_text(errors="replace"), process, log, patience_s=180)
        yield f"ray://{LOOPBACK}:{client}"
    finally:
        end(process, signal.SIGTERM)


def _spark(python: Path) -> tuple[Path, dict[str, str]]:
    [home] = (python.parents[1] / "lib").glob("python*/site-packages/pyspark")
    if shutil.which("java") is None:
        raise Absent("Spark needs Java")
    told = {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": LOOPBACK, "SPARK_NO_DAEMONIZE": "1", "PYSPARK_PYTHON": str(python)}
    return home, os.environ | told
