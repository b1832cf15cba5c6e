"""A lake in OpenStack Swift, whose conditional PUT lets several writers have their way: it is written under a lock."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from secrets import token_hex

import polars as pl
import pytest

from modelyard.adapters import PLACES, connect
from modelyard.adapters.delta import DeltaLake
from modelyard.adapters.sql import SqlMetadata
from modelyard.core.places import below
from modelyard.testing.table_kills import churned
from modelyard.testing.table_store import FLIGHTS, TABLE, Opener, TableStoreContract, rows
from modelyard.wiring.lake import LOCKED, keeps_apart
from tests.fetch import Absent
from tests.swift import KEY, SECRET, Swift

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("journey")]  # one heavy thing after another
LEASE_S = 5.0  # who is killed holds the others up for so long


@pytest.fixture(scope="module")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a server; skip where there cannot be one."""
    server = Swift()
    try:
        yield server.start(tmp_path_factory.mktemp("swift"))
    except Absent as why:
        pytest.skip(str(why))
    finally:
        server.stop()


@pytest.fixture
def swift_url(swift: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of a fresh, empty bucket, with the credentials in the AWS environment."""
    import boto3  # noqa: PLC0415 - so that tests without a server run without it
    from botocore.config import Config  # noqa: PLC0415

    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}
    others = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull}
    for name, value in {**keys, **others, "AWS_ENDPOINT_URL": swift, "AWS_ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(name, value)
    bucket = f"test-{token_hex(8)}"
    boto3.session.Session().client("s3", endpoint_url=swift, config=Config(s3={"addressing_style": "path"})).create_bucket(
        Bucket=bucket
    )
    return f"s3://{bucket}/lake?endpoint={swift}&region=us-east-1"


def open_locked(url: str, metadata: str) -> DeltaLake:
    """Return the lake, locked in a metadata database that is up to date."""
    return DeltaLake.from_url(url).guarded(partial(SqlMetadata(metadata).hold, lease_s=LEASE_S))


@pytest.fixture
def locked(swift_url: str, tmp_path: Path) -> Opener:
    """Return what opens a lake in Swift under a lock."""
    metadata = f"sqlite:///{tmp_path / 'metadata.sqlite'}"
    SqlMetadata(metadata).upgrade()
    return partial(open_locked, swift_url, metadata)


class TestDeltaLakeInSwift(TableStoreContract):
    @pytest.fixture
    def opener(self, locked: Opener) -> Opener:
        return locked


def append_alone(opener: Opener, writer: int) -> None:
    """Append twenty rows in as many commits."""
    lake = opener()
    for n in range(20):
        lake.append(FLIGHTS, TABLE, rows(writer * 100 + n, writer * 100 + n + 1), commit=f"{writer} {n}")


def test_of_racing_appends_of_four_processes_none_is_lost(locked: Opener) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as processes:
        for done in [processes.submit(append_alone, locked, writer) for writer in range(4)]:
            done.result()
    found = locked().scan(FLIGHTS, TABLE).select(pl.col("id").sort()).collect()["id"].to_list()
    assert found == [writer * 100 + n for writer in range(4) for n in range(20)]


def test_killed_appends_and_vacuums_lose_nothing(locked: Opener) -> None:
    assert churned(locked, 2, within_s=4).kills == 2


def test_the_store_is_seen_not_to_keep_writers_apart_and_that_is_remembered(swift_url: str) -> None:
    store = connect(PLACES, below(swift_url, ".modelyard"))
    assert not keeps_apart(swift_url, lambda url: connect(PLACES, url))
    assert [file.name for file in store.find()] == [LOCKED]
    assert not keeps_apart(swift_url, lambda url: connect(PLACES, url))
