from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.serving import Route
from tests.gateway.control import Control
from tests.gateway.world import CONTROL_TOKEN, World

collect_ignore = ["foreign"]  # scripts for other environments


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    control = Control(CONTROL_TOKEN)
    control.start()
    made = World(tmp_path, control)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One running gateway with version 1 live, for tests that leave it as it was."""
    control = Control(CONTROL_TOKEN)
    control.start()
    made = World(tmp_path_factory.mktemp("gateway"), control)
    try:
        made.publish(made.served(Route(1, 100)))
        made.start("--body-limit", "1000000", "--grpc-port", "0")
        yield made
    finally:
        made.close()
