"""Datasets on a real metadata database, lake and object store."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelyard.core import ManualClock
from modelyard.tenancy.service import bootstrap, create_project
from tests.data.place import Place, open_ports


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Give a project on SQLite; in tests that ask for `metadata_url` on each database, since there it matters."""
    url = f"sqlite:///{tmp_path / 'metadata.sqlite'}"
    if "metadata_url" in request.fixturenames:
        url = request.getfixturevalue("metadata_url")
    ports = open_ports(url, tmp_path, ManualClock(datetime(2013, 4, 1, tzinfo=UTC)))
    ports.metadata.upgrade()
    actor, _ = bootstrap(ports)
    yield Place(ports, actor, create_project(ports, actor, "flights").id, tmp_path)
    ports.metadata.close()
