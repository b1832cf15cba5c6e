"""What `import modelyard` promises: its names, and that it costs next to nothing."""

import subprocess
import sys

import pytest

import modelyard

NAMES = {
    "Choice",
    "Float",
    "Int",
    "Problem",
    "Search",
    "Split",
    "SplitKind",
    "__version__",
    "drift",
    "gate",
    "on",
    "performance",
    "prep",
    "project",
    "quality",
    "schedule",
}
HEAVY = (
    "polars",
    "numpy",
    "pyarrow",
    "fastapi",
    "pydantic",
    "sqlalchemy",
    "httpx",
    "msgspec",
    "rich",
    "typer",
    "asyncio",
    "logging",
)


def test_the_public_names_are_these() -> None:
    assert set(modelyard.__all__) == NAMES == set(dir(modelyard))


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    found = getattr(modelyard, name)
    assert name == "__version__" or found.__doc__


def test_another_name_is_no_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'projects'"):
        modelyard.projects  # noqa: B018 - the look-up is the test


def test_importing_it_imports_nothing_heavy() -> None:
    code = f"import sys, modelyard; print([name for name in {HEAVY!r} if name in sys.modules], len(sys.modules) < 150)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] True\n"
