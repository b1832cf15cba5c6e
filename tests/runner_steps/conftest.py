"""Homes with a trained champion, a copy for each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.serving.service import deploy
from tests.runner_steps.place import Place, opened


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home of a project with data, a champion and its deployment."""
    folder = tmp_path_factory.mktemp("trained")
    with opened(folder / "home", folder / "scratch") as place:
        place.data()
        place.registered(place.trained(), alias="champion")
        deploy(*place.who, "late", model="late", loss="log_loss")
    return folder / "home"


@pytest.fixture
def place(trained_home: Path, tmp_path: Path) -> Iterator[Place]:
    """Give a copy of it, opened."""
    shutil.copytree(trained_home, tmp_path / "home")
    with opened(tmp_path / "home", tmp_path / "scratch", id_seed=1) as found:
        yield found
