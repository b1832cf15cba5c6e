from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelyard.tenancy.service import ensure_project, local_owner
from modelyard.wiring import open_platform, read_settings
from tests.runner.yard import Yard, write_plugin

MakeYard = Callable[[Path], Yard]


@pytest.fixture(scope="session")
def make_yard(tmp_path_factory: pytest.TempPathFactory) -> MakeYard:
    """Return what opens a platform in a folder, with the strange steps beside it."""
    plugin = tmp_path_factory.mktemp("plugin")
    write_plugin(plugin)

    def make(home: Path) -> Yard:
        platform = open_platform(read_settings(home=home, environment={}))
        actor = local_owner(platform)
        return Yard(home, plugin, platform, actor, ensure_project(platform, actor, "flights").id)

    return make


@pytest.fixture
def yard(make_yard: MakeYard, tmp_path: Path) -> Iterator[Yard]:
    """Open a platform of the test's own."""
    made = make_yard(tmp_path / "home")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def busy_yard(make_yard: MakeYard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """Open a platform with one worker, for tests that leave both as they were. Its database goes away on demand."""
    made = make_yard(tmp_path_factory.mktemp("busy"))
    try:
        made.start("busy", MODELYARD_METADATA=f"away:///{made.home / 'metadata.sqlite'}")
        yield made
    finally:
        made.close()
