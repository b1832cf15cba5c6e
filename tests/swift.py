"""OpenStack Swift with its S3 API on one device, for tests: a store that does not keep writers apart."""

import shutil
import signal
import subprocess
from getpass import getuser
from pathlib import Path

from tests.environments import python_with
from tests.fetch import Absent, apt_install
from tests.servers import LOOPBACK, end, free_port, keeps_attributes, listens, spawn, wait_until

KEY, SECRET = "test:tester", "testing"
PARTS = ("account", "container", "object")
MODULES = {"account": "account", "container": "container", "object": "obj", "proxy": "proxy"}
# Swift looks for its salt in /etc alone, unless it is told before anything else is imported.
LAUNCH = """
import sys
from importlib import import_module
from swift.common import utils
utils.SWIFT_CONF_FILE = sys.argv.pop(1)
sys.exit(import_module(sys.argv.pop(1)).main())
"""
RINGS = """
import sys
from swift.common.ring import RingBuilder
folder, *parts = sys.argv[1:]
for name, port in (part.split(":") for part in parts):
    ring = RingBuilder(6, 1, 0)
    at = {"ip": "127.0.0.1", "port": int(port), "replication_ip": "127.0.0.1", "replication_port": int(port)}
    ring.add_dev({"id": 0, "region": 1, "zone": 1, "device": "d1", "weight": 1.0, "meta": "", **at})
    ring.rebalance()
    ring.get_ring().save(f"{folder}/{name}.ring.gz")
"""
FILTERS = "catch_errors gatekeeper cache listing_formats s3api tempauth bulk copy slo dlo versioned_writes symlink"


class Swift:
    """The account, container, object and proxy servers, and the memcached that they share. Raises `Absent` on a start."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, folder: Path) -> str:
        """Start it on an empty folder and return the URL of its S3 API."""
        if not keeps_attributes(folder):
            raise Absent("files here carry no extended attributes, in which Swift keeps its metadata")
        python = python_with("swift", "swift==2.38.3", "setuptools<81")
        memcached = shutil.which("memcached")
        if memcached is None:
            apt_install("memcached")
            memcached = shutil.which("memcached")
        if memcached is None:
            raise Absent("the package memcached brought no program of that name")
        ports = {name: free_port() for name in (*PARTS, "proxy", "memcached")}
        (folder / "devices" / "d1").mkdir(parents=True)
        self._configure(folder, ports)
        rings = [f"{name}:{ports[name]}" for name in PARTS]
        subprocess.run([str(python), "-c", RINGS, str(folder), *rings], check=True)
        port = ports["memcached"]
        at = ["-u", getuser(), "-l", LOOPBACK, "-p", str(port), "-m", "16"]
        self._spawn([memcached, *at], folder / "memcached.log", port)
        for name, module in MODULES.items():
            command = [str(python), "-c", LAUNCH, str(folder / "swift.conf"), f"swift.{module}.server"]
            self._spawn([*command, str(folder / f"{name}.conf")], folder / f"{name}.log", ports[name])
        return f"http://{LOOPBACK}:{ports['proxy']}"

    def stop(self) -> None:
        """End all of it. Safe to repeat."""
        for process in reversed(self._processes):
            end(process, signal.SIGTERM)
        self._processes.clear()

    def _spawn(self, command: list[str], log: Path, port: int) -> None:
        process = spawn(command, log)
        self._processes.append(process)
        wait_until(lambda: listens(port), process, log)

    def _configure(self, folder: Path, ports: dict[str, int]) -> None:
        hashing = "[swift-hash]\nswift_hash_path_suffix = s\nswift_hash_path_prefix = p\n"
        (folder / "swift.conf").write_text(f"{hashing}[storage-policy:0]\nname = default\ndefault = yes\n")
        for name in PARTS:
            (folder / f"{name}.conf").write_text(
                f"[DEFAULT]\n{_at(folder, ports[name])}devices = {folder}/devices\nmount_check = false\n"
                f"[pipeline:main]\npipeline = {name}-server\n[app:{name}-server]\nuse = egg:swift#{name}\n"
            )
        own = {
            "cache": f"use = egg:swift#memcache\nmemcache_servers = {LOOPBACK}:{ports['memcached']}\n",
            "s3api": "use = egg:swift#s3api\nlocation = us-east-1\n",
            "tempauth": "use = egg:swift#tempauth\nuser_test_tester = testing .admin\n",
            "versioned_writes": "use = egg:swift#versioned_writes\nallow_object_versioning = true\n",
        }
        filters = "".join(f"[filter:{name}]\n{own.get(name, f'use = egg:swift#{name}{chr(10)}')}" for name in FILTERS.split())
        (folder / "proxy.conf").write_text(
            f"[DEFAULT]\n{_at(folder, ports['proxy'])}[pipeline:main]\npipeline = {FILTERS} proxy-server\n"
            "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\nallow_account_management = true\n"
            f"{filters}"
        )


def _at(folder: Path, port: int) -> str:
    told = {"bind_ip": LOOPBACK, "bind_port": port, "workers": 0, "user": getuser(), "swift_dir": folder}
    return "".join(f"{name} = {value}\n" for name, value in {**told, "log_address": folder / "none"}.items())
