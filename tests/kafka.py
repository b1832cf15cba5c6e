"""One node of Apache Kafka for tests: formatted, started, ended, killed. Standard library only."""

import base64
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.fetch import Absent
from tests.servers import LOOPBACK, end, free_port, listens, spawn, wait_until

JAVA = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")


class KafkaNode:
    """A node that is broker and controller in one. It keeps its loopback ports and its data: `start` after `stop` goes on.

    Parameters
    ----------
    accounts
        Passwords of those who may come in by `guarded_address`, where the first one may do everything and the others nothing.
    """

    def __init__(self, jars: Path, folder: Path, accounts: Mapping[str, str] | None = None) -> None:
        self._java = ["java", *JAVA, "-cp", f"{jars}/*"]
        self._folder = folder
        self._accounts = accounts or {}
        self._port, self._controller_port, self._guarded_port = free_port(), free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where clients begin."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def guarded_address(self) -> str:
        """Where clients with an account begin."""
        return f"{LOOPBACK}:{self._guarded_port}"

    def start(self) -> None:
        """Start it and wait until it listens. Raises `Absent`."""
        settings = self._folder / "server.properties"
        log = self._folder / "kafka.log"
        if not settings.exists():
            self._folder.mkdir(parents=True)
            settings.write_text(self._settings())
            self._format(settings)
        self._process = spawn([*self._java, "kafka.Kafka", str(settings)], log, folder=self._folder)
        wait_until(lambda: listens(self._port), self._process, log)

    def stop(self) -> None:
        """End it as SIGTERM does."""
        end(self._process, signal.SIGTERM)

    def kill(self) -> None:
        """End it as kill -9 does."""
        end(self._process, signal.SIGKILL)

    def _format(self, settings: Path) -> None:
        cluster = "c" + base64.urlsafe_b64encode(os.urandom(16)).decode()[1:22]
        command = [*self._java, "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", str(settings)]
        try:
            made = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except FileNotFoundError as error:
            raise Absent("there is no java; install default-jre-headless") from error
        if made.returncode != 0:
            raise Absent(f"its folder could not be formatted: {made.stdout.strip()[-300:]}")

    def _settings(self) -> str:
        controller = f"{LOOPBACK}:{self._controller_port}"
        told: dict[str, object] = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.bootstrap.servers": controller,
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": self._folder / "data",
            "num.partitions": 4,
            # One node keeps one copy of each of its own topics.
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,  # so that a killed member is missed soon
        }
        told |= self._guard() if self._accounts else {}
        return "".join(f"{name}={value}\n" for name, value in told.items())

    def _guard(self) -> dict[str, object]:
        guarded = f",SASL_PLAINTEXT://{self.guarded_address}"
        users = " ".join(f'user_{name}="{password}"' for name, password in self._accounts.items())
        login = "org.apache.kafka.common.security.plain.PlainLoginModule"
        return {
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{LOOPBACK}:{self._controller_port}{guarded}",
            "advertised.listeners": f"PLAINTEXT://{self.address}{guarded}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"{login} required {users};",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:{next(iter(self._accounts))}",
        }
