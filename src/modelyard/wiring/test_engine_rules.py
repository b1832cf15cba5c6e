"""Where a list is set, pipelines run on this machine and on what stands on it, and nowhere else."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelyard.core import Problem
from modelyard.prepare.engine import Engine
from modelyard.wiring.engine_rules import allowed_engines
from modelyard.wiring.settings import read_settings


def asked(engines: str, url: str, folder: Path) -> list[str]:
    """Return what was opened."""
    settings = replace(read_settings(home=folder, environment={}, folder=folder), engines=engines)
    opened: list[str] = []

    def open_engine(url: str) -> AbstractContextManager[Engine]:
        opened.append(url)
        nothing: Any = nullcontext()
        return nothing  # type: ignore[no-any-return] # no test asks it

    allowed_engines(settings, open_engine)(url)
    return opened


@pytest.mark.parametrize(
    ("engines", "url"),
    [
        ("any", "spark://anywhere:7077"),
        ("spark://lake:7077", "spark://lake:7077"),
        ("spark://lake:7077/, ray://lake:10001", "ray://LAKE:10001"),
        ("spark://lake:7077", "spark://lake:7077?spark.executor.memory=4g"),
        ("spark://lake:7077", "local"),
        ("", "local"),
    ],
)
def test_what_is_listed_is_opened_with_its_options(engines: str, url: str, tmp_path: Path) -> None:
    assert asked(engines, url, tmp_path) == [url]


@pytest.mark.parametrize(
    "url", ["spark://lake:7078", "spark://lake:7077@evil:7077", "sc://lake:7077", "spark://local", "local://x"]
)
def test_what_is_not_listed_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(Problem) as told:
        asked("spark://lake:7077", url, tmp_path)
    assert told.value.code == "engine.forbidden"
