"""The repository's own habits: locks, addresses, the wheel, and tests that stay on this machine and hide no skip."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit
from zipfile import ZipFile

import boto3
import psycopg
import pytest

import hatch_build

ROOT = Path(__file__).resolve().parent.parent
LOCKED = ("pyproject.toml", "package.json", "package-lock.json")


@pytest.fixture(scope="module")
def dev() -> ModuleType:
    loader = SourceFileLoader("dev", str(ROOT / "dev"))
    spec = importlib.util.spec_from_loader("dev", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in LOCKED:
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def test_the_locks_come_from_what_the_project_says_now(dev: ModuleType) -> None:
    assert list(dev.stale_locks(ROOT)) == []


def test_a_changed_dependency_makes_every_lock_stale(dev: ModuleType, copy: Path) -> None:
    project = copy / "pyproject.toml"
    project.write_text(project.read_text().replace('"polars>=', '"polars>=0.'))
    assert len(list(dev.stale_locks(copy))) == len(dev.RESOLVED)


def test_a_changed_setting_of_a_tool_leaves_the_locks_fresh(dev: ModuleType, copy: Path) -> None:
    project = copy / "pyproject.toml"
    project.write_text(project.read_text().replace("line-length = 128", "line-length = 100"))
    assert list(dev.stale_locks(copy)) == []


def test_a_changed_script_package_makes_the_npm_lock_stale(dev: ModuleType, copy: Path) -> None:
    package = copy / "package.json"
    package.write_text(package.read_text().replace('"uplot": "', '"uplot": "0.'))
    assert [line for line in dev.stale_locks(copy) if "package-lock.json" in line]


def test_no_tracked_file_names_a_registry_or_somebodys_machine(dev: ModuleType) -> None:
    assert list(dev.addresses(ROOT, dev.tracked("ls-files"))) == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("notes.md", "see https://registry.npm" + "js.org/uplot"),
        ("notes.md", "from files.python" + "hosted.org"),
        ("settings.toml", 'home = "/' + 'home/grace/yard"'),
        ("requirements/run.txt", "--index-url https" + "://mirror.example/simple"),
        ("package-lock.json", '"resolved": "https' + '://mirror.example/uplot.tgz"'),
    ],
)
def test_an_address_of_one_machine_is_found(dev: ModuleType, tmp_path: Path, name: str, line: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(f"first\n{line}\n")
    [found] = dev.addresses(tmp_path, [name])
    assert found.startswith(f"{name}:2: ")


def test_vendored_script_is_fresh_only_when_whole_and_of_the_locks_version(copy: Path) -> None:
    vendor = copy / hatch_build.VENDOR
    vendor.mkdir(parents=True)
    for name in hatch_build.FILES:
        (vendor / name).touch()
    assert not hatch_build.is_fresh(copy)
    versions = hatch_build.locked_versions(copy)
    (vendor / "versions.json").write_text(json.dumps(versions))
    assert hatch_build.is_fresh(copy)
    (vendor / "versions.json").write_text(json.dumps({**versions, "uplot": "0.0.1"}))
    assert not hatch_build.is_fresh(copy)
    (vendor / "versions.json").write_text(json.dumps(versions))
    (vendor / "uPlot.LICENSE").unlink()
    assert not hatch_build.is_fresh(copy)


def test_the_wheel_carries_the_script_with_its_licences_and_no_tests(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = set(ZipFile(wheel).namelist())
    vendor = "modelyard/console/static/vendor"
    assert {f"{vendor}/{name}" for name in hatch_build.FILES} <= names
    assert {"modelyard/py.typed", "modelyard/core/problems.py"} <= names
    assert [name for name in names if Path(name).name.startswith("test_")] == []
    assert {name.split("/")[0].split("-")[0] for name in names} == {"modelyard"}


def test_a_test_may_not_reach_another_machine() -> None:
    with pytest.raises(OSError, match=r"may not reach 192\.0\.2\.1"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(OSError, match=r"may not reach example\.org"):
        socket.getaddrinfo("example.org", 443)


def test_a_test_may_reach_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


@pytest.mark.parametrize(("environment", "code"), [({"CI": "true"}, 1), ({"CI": ""}, 0)])
def test_a_skip_is_told_by_name_and_fails_in_ci(tmp_path: Path, environment: dict[str, str], code: int) -> None:
    shutil.copy(ROOT / "conftest.py", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "test_a.py").write_text("def test_it(chromium_path: str) -> None: ...\n")
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("MODELYARD_TEST_", "PYTEST_"))}
    bare["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_a.py"]
    done = subprocess.run(command, cwd=tmp_path, env=bare | environment, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "skipped: 1\n  test_a.py::test_it: MODELYARD_TEST_CHROMIUM is not set; ./dev test sets it" in done.stdout


def test_postgresql_is_real_and_empty(postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert found == (0,)


def test_s3_keeps_bytes_in_a_bucket_of_the_test(s3_url: str) -> None:
    bucket = urlsplit(s3_url).netloc
    client = boto3.client("s3")
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    client.put_object(Bucket=bucket, Key="a", Body=b"yard")
    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"yard"


@pytest.mark.browser
def test_chromium_tells_its_version(chromium_path: str) -> None:
    told = subprocess.run([chromium_path, "--version"], capture_output=True, text=True, check=True).stdout
    assert "Chrom" in told
