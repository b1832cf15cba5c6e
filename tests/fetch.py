"""Programs that tests need: found on this machine, or installed and built where it allows that. Standard library only."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Lock

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelyard"
VERSITYGW = ("versitygw", "1.8.0", "github.com/versity/versitygw/cmd/versitygw")
KAFKA = ("kafka", "4.3.1")
KAFKA_JARS = ("org.apache.kafka:kafka_2.13:4.3.1", "org.apache.kafka:kafka-tools:4.3.1", "org.slf4j:slf4j-simple:1.7.36")

_APT = Lock()


class Absent(Exception):
    """A service cannot be had on this machine; the text says why."""


def find_postgresql() -> Path | None:
    """Return the folder of the newest PostgreSQL's server programs."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    found = packaged[-1] if packaged else Path(on_path).resolve() if on_path else None
    return found.parent if found else None


def postgresql_account() -> str | None:
    """Return the account to run PostgreSQL as; None: as ourselves, since only root is refused by it."""
    if os.geteuid() != 0:
        return None
    import pwd  # noqa: PLC0415 - POSIX only, as root is

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def find_chromium() -> str | None:
    """Return the path of an installed Chromium or Chrome."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


def build_versitygw() -> Path | None:
    """Return the program, built once and kept in the user's cache; None where it is not and Go cannot build it."""
    name, version, module = VERSITYGW
    program = CACHE / f"{name}-{version}"
    if program.is_file():
        return program
    go = shutil.which("go")
    if go is None:
        return None
    tell(f"building {name} {version} with Go, once (a minute or two)")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="modelyard-go-") as scratch:
        places = {"GOBIN": f"{scratch}/bin", "GOPATH": f"{scratch}/path", "GOCACHE": f"{scratch}/cache"}
        flags = {"GOFLAGS": "-trimpath -modcacherw", "CGO_ENABLED": "0"}
        built = subprocess.run(
            [go, "install", "-ldflags=-s", f"{module}@v{version}"], env=os.environ | places | flags, check=False,
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        made = Path(scratch) / "bin" / name
        if built.returncode != 0 or not made.is_file():
            tell(f"Go could not build {name}, so moto's S3 server is used: {built.stdout.strip()[-200:]}")
            return None
        whole = program.with_name(f"{program.name}.{os.getpid()}")
        shutil.copy2(made, whole)
        whole.replace(program)
    return program


def fetch_kafka() -> Path:
    """Return the folder of Apache Kafka's jars, fetched once by Maven and kept in the user's cache. Raises `Absent`."""
    name, version = KAFKA
    folder = CACHE / f"{name}-{version}"
    if folder.is_dir():
        return folder
    if shutil.which("mvn") is None:
        apt_install("maven")
    tell(f"fetching {name} {version} with Maven, once (54 MB)")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="modelyard-maven-", dir=CACHE) as scratch:
        project, jars = Path(scratch) / "pom.xml", Path(scratch) / "jars"
        project.write_text(_maven_project(KAFKA_JARS))
        copy = ["dependency:copy-dependencies", f"-DoutputDirectory={jars}", "-DincludeScope=runtime"]
        done = _quietly(["mvn", "-q", "-B", "-f", str(project), f"-Dmaven.repo.local={scratch}/repository", *copy])
        if done.returncode != 0 or not jars.is_dir():
            raise Absent(f"Maven could not fetch {name} {version}: {done.stdout.strip()[-300:]}")
        if not folder.is_dir():
            jars.rename(folder)
    return folder


def _maven_project(artifacts: tuple[str, ...]) -> str:
    """Return a project that depends on these, each `group:artifact:version`."""
    parts = [artifact.split(":") for artifact in artifacts]
    needed = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        for group, name, version in parts
    )
    head = "<modelVersion>4.0.0</modelVersion><groupId>dev</groupId><artifactId>servers</artifactId><version>1</version>"
    return f"<project>{head}<packaging>pom</packaging><dependencies>{needed}</dependencies></project>"


def apt_install(package: str) -> None:
    """Install a package of the system where we may: as root, or in CI by a sudo that asks nothing. Raises `Absent`."""
    apt = shutil.which("apt-get")
    if apt is None:
        raise Absent(f"install {package} with this system's package manager")
    ask = ["sudo", "-n"] if os.geteuid() != 0 else []
    if ask and (
        os.environ.get("CI") != "true" or subprocess.run([*ask, "true"], capture_output=True, check=False).returncode != 0
    ):
        raise Absent(f"run: sudo apt-get install {package}")
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]  # run level 1: the package starts no server of its own
    install = [*ask, *quiet, apt, "install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", package]
    with _APT:
        tell(f"installing {package} by apt-get")
        done = _quietly(install)
        if done.returncode != 0:
            _quietly([*ask, *quiet, apt, "update", "-q"])
            done = _quietly(install)
    if done.returncode != 0:
        raise Absent(f"apt-get install {package} failed: {done.stdout.strip()[-300:]}")


def _quietly(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, check=False, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def tell(text: str) -> None:
    """Say something to the person at the terminal, beside the tests' own output."""
    print(f"dev: {text}", file=sys.stderr, flush=True)
