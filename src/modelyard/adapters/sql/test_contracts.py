"""Every store's contract, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
import sqlalchemy as sa

from modelyard.adapters.sql import SqlMetadata
from modelyard.adapters.sql.engine import open_engine
from modelyard.adapters.sql.tables import METADATA
from modelyard.testing.dataset_store import DatasetStoreContract
from modelyard.testing.deployment_store import DeploymentStoreContract
from modelyard.testing.event_store import EventStoreContract
from modelyard.testing.isolation import IsolationContract
from modelyard.testing.job_store import JobStoreContract, LeaseContract
from modelyard.testing.metadata import MetadataContract, Opener
from modelyard.testing.model_store import ModelStoreContract
from modelyard.testing.monitor_store import MonitorStoreContract
from modelyard.testing.pipeline_store import PipelineStoreContract
from modelyard.testing.policy_store import PolicyStoreContract
from modelyard.testing.run_store import MetricContract, RunStoreContract
from modelyard.testing.tenancy_store import TenancyStoreContract


@pytest.fixture(scope="session")
def server_of_stores(postgresql_server: str) -> Iterator[str]:
    """Return the URL of a database that lives as long as the tests of this process: to make one takes longer than to use it."""
    import psycopg  # so that tests without a server run without its driver

    name = f"stores_{uuid4().hex}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        yield urlunsplit(urlsplit(postgresql_server)._replace(path=f"/{name}"))
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture(
    params=[pytest.param("sqlite", marks=pytest.mark.contract), pytest.param("postgresql", marks=pytest.mark.services)]
)
def emptied_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database without rows."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'metadata.sqlite'}"
    url = str(request.getfixturevalue("server_of_stores"))
    metadata = SqlMetadata(url)
    metadata.upgrade()
    metadata.close()
    engine = open_engine(url)
    with engine.begin() as connection:
        for table in reversed(METADATA.sorted_tables):
            connection.execute(sa.delete(table))
    engine.dispose()
    return url


class OnSql:
    @pytest.fixture
    def opener(self, emptied_url: str) -> Opener:
        return partial(SqlMetadata, emptied_url)


class TestMetadata(MetadataContract):
    @pytest.fixture
    def opener(self, metadata_url: str) -> Opener:
        return partial(SqlMetadata, metadata_url)


class TestEventStore(OnSql, EventStoreContract): ...


class TestTenancyStore(OnSql, TenancyStoreContract): ...


class TestJobStore(OnSql, JobStoreContract): ...


class TestLeases(OnSql, LeaseContract): ...


class TestDatasetStore(OnSql, DatasetStoreContract): ...


class TestPipelineStore(OnSql, PipelineStoreContract): ...


class TestRunStore(OnSql, RunStoreContract): ...


class TestMetrics(OnSql, MetricContract): ...


class TestModelStore(OnSql, ModelStoreContract): ...


class TestDeploymentStore(OnSql, DeploymentStoreContract): ...


class TestMonitorStore(OnSql, MonitorStoreContract): ...


class TestPolicyStore(OnSql, PolicyStoreContract): ...


class TestIsolation(OnSql, IsolationContract): ...
