"""The services that tests need, started once for all test workers and ended with the run.

`./dev test` tells where they are by `MODELYARD_TEST_*` variables; `conftest.py` turns these into fixtures. Standard
library only, since `dev` runs before anything is installed.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tests.fetch import (
    Absent,
    apt_install,
    build_versitygw,
    fetch_kafka,
    find_chromium,
    find_postgresql,
    postgresql_account,
    tell,
)
from tests.kafka import KafkaNode
from tests.servers import LOOPBACK, end, free_port, keeps_attributes, listens, spawn, wait_until

S3_KEY, S3_SECRET = "yardkey", "yardsecret"


class Service(Protocol):
    """One thing that tests need and this machine may have."""

    name: str
    variable: str  # tells the tests where it is; with `_ABSENT` after it, why it is not

    def start(self, scratch: Path) -> str:
        """Return the variable's value once the service answers. Raises `Absent`."""
        ...

    def stop(self) -> None:
        """End it and what it started. Safe to repeat."""
        ...


class Postgresql:
    """PostgreSQL of the system's packages, with a data folder of its own and without the disk's safety.

    With a password the server asks everybody for one; without, it trusts this machine.
    """

    name = "PostgreSQL"
    variable = "MODELYARD_TEST_POSTGRESQL"

    def __init__(self, password: str = "") -> None:
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, scratch: Path) -> str:
        """Start a server on a fresh data folder and return the URL of its administrator."""
        programs = find_postgresql()
        if programs is None:
            apt_install("postgresql")
            programs = find_postgresql()
        if programs is None:
            raise Absent("the package postgresql brought no initdb")
        account = postgresql_account()
        data = scratch / "postgresql"
        data.mkdir(mode=0o700)
        if account is not None:
            shutil.chown(data, account)
        initdb = [
            str(programs / "initdb"),
            "-D",
            str(data),
            "-U",
            "postgres",
            *self._authentication(scratch, account),
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ]
        made = subprocess.run(
            initdb, user=account, cwd=data, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if made.returncode != 0:
            raise Absent(f"initdb failed: {made.stdout.strip()[-300:]}")
        port = free_port()
        settings = {
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": data,
            "max_connections": 200,
            "fsync": "off",
            "full_page_writes": "off",
        }
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = scratch / "postgresql.log"
        self._process = spawn(command, log, account=account, folder=data)
        ask = [str(programs / "pg_isready"), "-q", "-h", LOOPBACK, "-p", str(port)]
        wait_until(lambda: subprocess.run(ask, check=False).returncode == 0, self._process, log)
        return f"postgresql://postgres@{LOOPBACK}:{port}/postgres"

    def _authentication(self, scratch: Path, account: str | None) -> list[str]:
        if not self._password:
            return ["-A", "trust"]
        file = scratch / "postgresql-password"
        file.write_text(self._password)
        if account is not None:
            shutil.chown(file, account)
        return ["-A", "scram-sha-256", "--pwfile", str(file)]

    def stop(self) -> None:
        """Shut down without waiting for clients."""
        end(self._process, signal.SIGINT)


class S3:
    """An S3 server: versitygw where its program is cached or Go can build it, else moto's."""

    name = "S3"
    variable = "MODELYARD_TEST_S3"

    def __init__(self, python: Path) -> None:
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, scratch: Path) -> str:
        """Start a server on an empty folder and return its URL, with key and secret in it."""
        port = free_port()
        log = scratch / "s3.log"
        command = self._versitygw(scratch, port) or [str(self._python), "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)]
        keys = {"ROOT_ACCESS_KEY": S3_KEY, "ROOT_SECRET_KEY": S3_SECRET}
        self._process = spawn(command, log, environment=os.environ | keys)
        wait_until(lambda: listens(port), self._process, log)
        return f"http://{S3_KEY}:{S3_SECRET}@{LOOPBACK}:{port}"

    def _versitygw(self, scratch: Path, port: int) -> list[str] | None:
        program = build_versitygw()
        if program is None:
            return None
        data, versions, attributes = (scratch / f"s3-{part}" for part in ("data", "versions", "attributes"))
        for folder in (data, versions, attributes):
            folder.mkdir()
        sidecar = [] if keeps_attributes(data) else ["--sidecar", str(attributes)]
        front = [str(program), "--port", f"{LOOPBACK}:{port}", "--quiet", "posix"]
        return [*front, *sidecar, "--versioning-dir", str(versions), str(data)]

    def stop(self) -> None:
        """End the server."""
        end(self._process, signal.SIGTERM)


class Redis:
    """Redis of the system's packages, in memory alone."""

    name = "Redis"
    variable = "MODELYARD_TEST_REDIS"

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, scratch: Path) -> str:
        """Start an empty server and return its URL, without a database."""
        if shutil.which("redis-server") is None:
            apt_install("redis-server")
        port, log = free_port(), scratch / "redis.log"
        options = {"port": str(port), "bind": LOOPBACK, "dir": str(scratch), "save": "", "appendonly": "no"}
        command = ["redis-server", *(part for name, value in options.items() for part in (f"--{name}", value))]
        self._process = spawn(command, log)
        wait_until(lambda: listens(port), self._process, log)
        return f"redis://{LOOPBACK}:{port}"

    def stop(self) -> None:
        """End the server."""
        end(self._process, signal.SIGTERM)


class Kafka:
    """Apache Kafka, one node that is broker and controller."""

    name = "Kafka"
    variable = "MODELYARD_TEST_KAFKA"

    def __init__(self) -> None:
        self._node: KafkaNode | None = None

    def start(self, scratch: Path) -> str:
        """Start a node on an empty folder and return its address."""
        self._node = KafkaNode(fetch_kafka(), scratch / "kafka")
        self._node.start()
        return self._node.address

    def stop(self) -> None:
        """End the node."""
        if self._node is not None:
            self._node.stop()


class Chromium:
    """The browser of the system's packages; the tests start it themselves."""

    name = "Chromium"
    variable = "MODELYARD_TEST_CHROMIUM"

    def start(self, scratch: Path) -> str:
        """Return the path of the program."""
        del scratch
        found = find_chromium()
        if found is None:
            apt_install("chromium")
            found = find_chromium()
        if found is None:
            raise Absent("the package chromium brought no program of that name")
        return found

    def stop(self) -> None:
        """Nothing runs between tests."""


@contextmanager
def running(services: list[Service]) -> Iterator[dict[str, str]]:
    """Start the services side by side, yield the variables that tell tests of them, and end them all."""
    scratch = Path(tempfile.mkdtemp(prefix="modelyard-test-"))
    scratch.chmod(0o711)  # a server that runs as an account of its own must get through to its folder
    try:
        with ThreadPoolExecutor(len(services) or 1) as pool:
            variables = dict(pool.map(lambda service: _start(service, scratch), services))
        yield variables
    finally:
        for service in services:
            service.stop()
        shutil.rmtree(scratch, ignore_errors=True)


def _start(service: Service, scratch: Path) -> tuple[str, str]:
    began = time.monotonic()
    try:
        value = service.start(scratch)
    except Absent as absent:
        told = f"no {service.name}: {absent}"
        tell(told)
        return f"{service.variable}_ABSENT", told
    tell(f"{service.name} is up ({time.monotonic() - began:.1f} s)")
    return service.variable, value
