"""What all tests share: their rings, the services they ask for, no way to the outside world, and skips counted aloud."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from hypothesis import settings

RINGS = ("unit", "contract", "services", "cluster", "browser", "journey")
RING_OF_FIXTURE = {
    "chromium_path": "browser",
    "kafka_address": "cluster",
    "postgresql_url": "services",
    "redis_url": "services",
    "s3_url": "services",
    "metadata_url": "contract",
    "objects_url": "contract",
}
LOOPBACK = ("127.", "::1", "localhost", "::ffff:127.", "testserver")
S3_REGION = "us-east-1"
HERE = Path(__file__).parent
IN_CI = os.environ.get("CI") == "true"

settings.register_profile("house", deadline=None, derandomize=IN_CI)
settings.load_profile("house")


def pytest_configure() -> None:
    """Keep Python's sockets on this machine, in every test process."""
    sys.addaudithook(refuse_outside)


def refuse_outside(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise where Python is about to look up or reach a host other than this one; Unix sockets pass."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else host
    if name and name not in ("0.0.0.0", "::") and not name.startswith(LOOPBACK):  # noqa: S104 - compared, not bound
        raise OSError(f"a test may not reach {name}: only this machine's own servers")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its ring by what it asks for, and let journeys run one after another on one worker."""
    for item in items:
        if not any(item.get_closest_marker(ring) for ring in RINGS):
            item.add_marker(ring_of(item))
        if item.get_closest_marker("journey"):
            item.add_marker(pytest.mark.xdist_group("journey"))


def ring_of(item: pytest.Item) -> str:
    """Return the ring of a test that names none: by its fixtures, else by its folder.

    Tests beside what they test are `unit`; those of adapters, and those in `tests/`, work with real parts: `contract`.
    """
    folders = item.path.relative_to(HERE).parts
    if "journeys" in folders:
        return "journey"
    asked = set(getattr(item, "fixturenames", ()))
    named = next((ring for fixture, ring in RING_OF_FIXTURE.items() if fixture in asked), None)
    return named or ("contract" if folders[0] == "tests" or "adapters" in folders else "unit")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, fail for each skipped test but those that need an engine which `./dev test` cannot install."""
    if IN_CI and any(fails_ci(report) for report in skipped(session.config)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Count the skipped tests aloud, by name and reason."""
    reports = skipped(config)
    terminalreporter.write_line(f"skipped: {len(reports)}", bold=bool(reports))
    for report in reports:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        failing = " [fails in CI]" if IN_CI and fails_ci(report) else ""
        terminalreporter.write_line(f"  {report.nodeid}: {reason.removeprefix('Skipped: ')}{failing}")


def fails_ci(report: pytest.TestReport) -> bool:
    """Return whether a skip fails CI: all but those of the ring `cluster`. A whole file that skips itself has no ring."""
    return "cluster" not in getattr(report, "keywords", {})


def skipped(config: pytest.Config) -> list[pytest.TestReport]:
    """Return the reports of the skipped tests; expected failures are none."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return [report for report in reporter.stats.get("skipped", [])] if reporter else []


def service(variable: str) -> str:
    """Return where a service is, or skip the test with the reason why it is not here."""
    value = os.environ.get(variable)
    if not value:
        pytest.skip(os.environ.get(f"{variable}_ABSENT") or f"{variable} is not set; ./dev test sets it")
    return value


@pytest.fixture(scope="session")
def postgresql_server() -> str:
    """Return the URL of the PostgreSQL server's administrator."""
    return service("MODELYARD_TEST_POSTGRESQL")


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """Return the URL of a fresh, empty PostgreSQL database, dropped after the test."""
    import psycopg  # noqa: PLC0415 - so that tests without a server run without its driver

    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        yield urlunsplit(urlsplit(postgresql_server)._replace(path=f"/{name}"))
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture
def s3_url(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of a fresh, empty bucket, with the credentials in the AWS environment."""
    import boto3  # noqa: PLC0415 - as above

    server = urlsplit(service("MODELYARD_TEST_S3"))
    endpoint = f"{server.scheme}://{server.hostname}:{server.port}"
    aws = {
        "AWS_ACCESS_KEY_ID": server.username or "",
        "AWS_SECRET_ACCESS_KEY": server.password or "",
        "AWS_REGION": S3_REGION,
        "AWS_DEFAULT_REGION": S3_REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    for variable, value in aws.items():
        monkeypatch.setenv(variable, value)
    bucket = f"test-{uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}?endpoint={endpoint}&region={S3_REGION}"


@pytest.fixture
def redis_url(worker_id: str) -> str:
    """Return the URL of an empty database of the Redis server, one for each process of tests."""
    redis = pytest.importorskip("redis")
    number = int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0
    url = f"{service('MODELYARD_TEST_REDIS')}/{number}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture(scope="session")
def kafka_address() -> str:
    """Return where the Kafka broker is: host and port."""
    return service("MODELYARD_TEST_KAFKA")


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Return the path of the browser to start."""
    return service("MODELYARD_TEST_CHROMIUM")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def metadata_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty metadata database: SQLite, and PostgreSQL where it is here."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'metadata.sqlite'}"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.services)])
def objects_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty object store: a folder, and S3 where it is here."""
    if request.param == "file":
        return (tmp_path / "objects").as_uri()
    return str(request.getfixturevalue("s3_url"))
