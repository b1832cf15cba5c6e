import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.adapters import OBJECTS, TABLE, Port, connect, resolve
from modelyard.core import Problem
from modelyard.testing.object_store import FLIGHTS

GREETERS: Port[Callable[[str], str]] = Port("greeters", "greeter")


@pytest.mark.parametrize("key", TABLE)
def test_every_row_names_something_that_can_be_called(key: str) -> None:
    port, _, name = key.partition(".")
    assert callable(resolve(Port[object](port, port), name))


def test_a_url_is_connected_by_its_scheme(tmp_path: Path) -> None:
    store = connect(OBJECTS, tmp_path.as_uri())
    [digest] = store.put(FLIGHTS, [b"x"])
    assert store.get(FLIGHTS, [digest]) == [b"x"]


def test_an_unknown_scheme_suggests_the_nearest() -> None:
    with pytest.raises(Problem, match=r"There is no object store 's4': did you mean 's3'\?") as told:
        connect(OBJECTS, "s4://bucket")
    assert told.value.code == "adapter.missing"
    with pytest.raises(Problem, match="there is file, s3"):
        connect(OBJECTS, "xyzzy://bucket")


@pytest.mark.parametrize("url", ["/var/objects", "", "://bucket"])
def test_a_url_without_a_scheme_is_told_what_to_begin_with(url: str) -> None:
    with pytest.raises(Problem, match="file:, s3:") as told:
        connect(OBJECTS, url)
    assert told.value.code == "adapter.invalid"


def test_a_port_has_only_its_own_rows() -> None:
    with pytest.raises(Problem) as told:
        resolve(GREETERS, "s3")
    assert told.value.code == "adapter.missing"


MISSING_PACKAGE = """
import sys
sys.modules["boto3"] = None
from modelyard.adapters import OBJECTS, connect
from modelyard.core import Problem
try:
    connect(OBJECTS, "s3://bucket")
except Problem as problem:
    sys.exit(f"{problem.code} {problem}")
"""


def test_a_missing_package_is_told_with_the_command_that_installs_it() -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", MISSING_PACKAGE], capture_output=True, text=True, check=False, env=env)
    assert ended.stderr.startswith("adapter.unavailable The object store 's3' needs the package boto3")
    assert ended.stderr.rstrip().endswith("pip install 'modelyard[s3]'")


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "strangers.py").write_text("def greet(url):\n    return f'hello {url}'\n")
    (tmp_path / "strangers_broken.py").write_text("import no_such_package_anywhere\n")
    (tmp_path / "strangers_wrong.py").write_text("from strangers import no_such_name\n")
    info = tmp_path / "strangers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[modelyard.adapters]\n"
        "greeters.hello = strangers:greet\n"
        "greeters.broken = strangers_broken:greet [loud]\n"
        "greeters.wrong = strangers_wrong:greet\n"
        "objects.file = strangers:greet\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("stranger")
def test_a_strangers_package_adds_a_row() -> None:
    assert connect(GREETERS, "hello://world") == "hello hello://world"
    assert connect(GREETERS, "hello+driver://world") == "hello hello+driver://world"


def test_a_stranger_does_not_take_the_place_of_ours(stranger: Path) -> None:
    assert connect(OBJECTS, stranger.as_uri()).absent(FLIGHTS, []) == []


@pytest.mark.usefixtures("stranger")
def test_a_package_that_a_strangers_adapter_lacks_is_told_with_its_own_extra() -> None:
    with pytest.raises(Problem, match="no_such_package_anywhere") as told:
        resolve(GREETERS, "broken")
    assert told.value.next_step == "pip install 'strangers[loud]'"


@pytest.mark.usefixtures("stranger")
def test_a_mistake_in_an_adapter_is_not_taken_for_a_missing_package() -> None:
    with pytest.raises(ImportError, match="no_such_name"):
        resolve(GREETERS, "wrong")
