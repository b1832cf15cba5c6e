"""Every store's contract, on SQLite and on PostgreSQL."""

from functools import partial

import pytest

from modelyard.adapters.sql import SqlMetadata
from modelyard.testing.dataset_store import DatasetStoreContract
from modelyard.testing.deployment_store import DeploymentStoreContract
from modelyard.testing.event_store import EventStoreContract
from modelyard.testing.job_store import JobStoreContract, LeaseContract
from modelyard.testing.metadata import MetadataContract, Opener
from modelyard.testing.model_store import ModelStoreContract
from modelyard.testing.monitor_store import MonitorStoreContract
from modelyard.testing.policy_store import PolicyStoreContract
from modelyard.testing.run_store import MetricContract, RunStoreContract
from modelyard.testing.tenancy_store import TenancyStoreContract


class OnSql:
    @pytest.fixture
    def opener(self, metadata_url: str) -> Opener:
        return partial(SqlMetadata, metadata_url)


class TestMetadata(OnSql, MetadataContract): ...


class TestEventStore(OnSql, EventStoreContract): ...


class TestTenancyStore(OnSql, TenancyStoreContract): ...


class TestJobStore(OnSql, JobStoreContract): ...


class TestLeases(OnSql, LeaseContract): ...


class TestDatasetStore(OnSql, DatasetStoreContract): ...


class TestDeploymentStore(OnSql, DeploymentStoreContract): ...


class TestModelStore(OnSql, ModelStoreContract): ...


class TestMonitorStore(OnSql, MonitorStoreContract): ...


class TestPolicyStore(OnSql, PolicyStoreContract): ...


class TestMetric(OnSql, MetricContract): ...


class TestRunStore(OnSql, RunStoreContract): ...
