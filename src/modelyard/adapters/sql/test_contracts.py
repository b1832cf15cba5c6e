"""Every store's contract, on SQLite and on PostgreSQL."""

from functools import partial

import pytest

from modelyard.adapters.sql import SqlMetadata
from modelyard.testing.event_store import EventStoreContract
from modelyard.testing.metadata import MetadataContract, Opener
from modelyard.testing.tenancy_store import TenancyStoreContract


class OnSql:
    @pytest.fixture
    def opener(self, metadata_url: str) -> Opener:
        return partial(SqlMetadata, metadata_url)


class TestMetadata(OnSql, MetadataContract): ...


class TestEventStore(OnSql, EventStoreContract): ...


class TestTenancyStore(OnSql, TenancyStoreContract): ...
