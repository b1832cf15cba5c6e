"""The suite of engines for the one at `MODELYARD_TEST_ENGINE`; `test_clusters` runs it in the engines' environment."""

import os
from collections.abc import Iterator

import pytest

from modelyard.adapters import open_engine
from modelyard.prepare.engine import Engine
from modelyard.testing.engine import EngineContract


class TestEngine(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Iterator[Engine]:
        with open_engine(os.environ["MODELYARD_TEST_ENGINE"]) as engine:
            yield engine
