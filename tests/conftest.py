"""A deployment that lives, for each test a copy of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.living import Living, build, copy, opened


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home of a platform with a champion and its deployment."""
    home = tmp_path_factory.mktemp("living") / "home"
    build(home)
    return home


@pytest.fixture
def living(template: Path, tmp_path: Path) -> Iterator[Living]:
    """Give a copy of it, opened."""
    with opened(copy(template, tmp_path / "home")) as found:
        yield found
