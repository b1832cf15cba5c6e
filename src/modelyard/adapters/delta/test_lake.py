import os
import shutil
import subprocess
import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from secrets import token_hex

import polars as pl
import pytest
from deltalake import DeltaTable, QueryBuilder

from modelyard.adapters.delta import DeltaLake
from modelyard.core import Problem
from modelyard.data import Stretch, Vacuumed
from modelyard.testing.table_kills import churned
from modelyard.testing.table_store import DAY, FLIGHTS, TABLE, Opener, TableStoreContract, rows


class TestDeltaLake(TableStoreContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return partial(DeltaLake, tmp_path / "the lake #1 ä")


@pytest.mark.services
class TestDeltaLakeInS3(TableStoreContract):
    @pytest.fixture
    def opener(self, s3_url: str) -> Opener:
        return partial(DeltaLake.from_url, s3_url.replace("?", f"/{token_hex(8)}?"))


def test_killed_appends_and_vacuums_lose_nothing_and_bring_nothing_back(tmp_path: Path) -> None:
    assert churned(partial(DeltaLake, tmp_path), 4).kills == 4


@pytest.mark.services
def test_killed_appends_and_vacuums_lose_nothing_in_s3(s3_url: str) -> None:
    assert churned(partial(DeltaLake.from_url, s3_url.replace("?", f"/{token_hex(8)}?")), 2).kills == 2


def test_files_that_killed_writers_left_go_after_a_while(tmp_path: Path) -> None:
    lake = DeltaLake(tmp_path)
    lake.append(FLIGHTS, TABLE, rows(0, 2), commit="a")
    [kept] = (tmp_path / FLIGHTS / TABLE).glob("_commit=*/*.parquet")
    old, young = kept.with_name("old.parquet"), kept.with_name("young.parquet")
    for path in (old, young):
        shutil.copy(kept, path)
    os.utime(old, (1, 1))
    os.utime(kept, (1, 1))
    assert lake.vacuum(FLIGHTS, TABLE, [], left_for=DAY, dry_run=True) == Vacuumed(1, 0)
    assert lake.vacuum(FLIGHTS, TABLE, [], left_for=DAY) == Vacuumed(1, 0)
    assert (kept.exists(), old.exists(), young.exists()) == (True, False, True)
    assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(0, 2))


def test_a_vacuum_that_was_killed_before_it_removed_the_files_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = DeltaLake(tmp_path)
    for n in range(14):  # past a checkpoint
        lake.append(FLIGHTS, TABLE, rows(n, n + 1), commit=f"c{n}")
        if n == 1:
            with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
                dying.setattr("modelyard.adapters.delta.lake._remove", lambda *_: raise_(KeyboardInterrupt()))
                lake.vacuum(FLIGHTS, TABLE, ["c0"], left_for=DAY)
    assert len(list((tmp_path / FLIGHTS / TABLE).glob("_commit=*/*.parquet"))) == 14
    lake.vacuum(FLIGHTS, TABLE, ["c0"], left_for=DAY)
    assert len(list((tmp_path / FLIGHTS / TABLE).glob("_commit=*/*.parquet"))) == 13
    assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(1, 14))


def raise_(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    "url",
    [
        "file://elsewhere/lake",
        "file:lake",
        "s3://",
        "s3://ann:secret@lake",
        "s3://lake?x=1",
        "hdfs://lake/x",
        "file:///lake?x=1",
        "file:///a%2520b",
    ],
)
def test_a_url_that_names_no_local_folder_is_refused(url: str) -> None:
    with pytest.raises(Problem) as told:
        DeltaLake.from_url(url)
    assert told.value.code == "adapter.invalid"


def test_a_url_names_a_folder(tmp_path: Path) -> None:
    DeltaLake.from_url((tmp_path / "the lake").as_uri()).append(FLIGHTS, TABLE, rows(0, 1), commit="a")
    assert (tmp_path / "the lake" / FLIGHTS / TABLE / "_delta_log").is_dir()


def test_other_readers_of_delta_see_the_rows_and_their_commits(tmp_path: Path) -> None:
    DeltaLake(tmp_path).append(FLIGHTS, TABLE, rows(0, 3), commit="a:1")
    found = pl.scan_delta(str(tmp_path / FLIGHTS / TABLE)).collect()
    assert found["_commit"].to_list() == ["a:1"] * 3
    assert found.drop("_commit").sort("id").equals(rows(0, 3))


def test_files_outside_of_a_stretch_are_not_read(tmp_path: Path) -> None:
    lake = DeltaLake(tmp_path)
    for day in (1, 2, 3):
        lake.append(FLIGHTS, TABLE, pl.DataFrame({"at": [datetime(2013, 1, day)]}), commit=f"{day}")
    for path in (tmp_path / FLIGHTS / TABLE).glob("_commit=[13]/*.parquet"):
        path.unlink()
    within = Stretch("at", datetime(2013, 1, 1, 0, 0, 0, 1), datetime(2013, 1, 3))
    assert lake.scan(FLIGHTS, TABLE, within=within).collect()["at"].to_list() == [datetime(2013, 1, 2)]


def test_other_readers_find_zeros_of_both_signs(tmp_path: Path) -> None:
    lake = DeltaLake(tmp_path)
    for commit, values in (("a", [-0.0, None, -1.0]), ("b", [0.0, 5.0]), ("c", [-0.0])):
        lake.append(FLIGHTS, TABLE, pl.DataFrame({"a": values}), commit=commit)
    table = DeltaTable(tmp_path / FLIGHTS / TABLE)
    found = pl.DataFrame(QueryBuilder().register("t", table).execute("SELECT a FROM t WHERE a = 0").read_all())
    assert found["a"].to_list() == [0.0, 0.0, 0.0]


def test_the_lakes_own_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Problem) as told:
        DeltaLake(tmp_path).append(FLIGHTS, TABLE, pl.DataFrame({"_commit": ["a"]}), commit="a")
    assert told.value.code == "column.invalid"


def test_a_log_that_was_spoilt_is_told(tmp_path: Path) -> None:
    lake = DeltaLake(tmp_path)
    lake.append(FLIGHTS, TABLE, rows(0, 3), commit="a")
    for entry in (tmp_path / FLIGHTS / TABLE / "_delta_log").glob("*.json"):
        entry.write_text("no json\n")
    with pytest.raises(Problem) as told:
        lake.scan(FLIGHTS, TABLE)
    assert told.value.code == "lake.unavailable"


# The kernel's limit on a file's size stands for the full disk: the same call fails, with another number.
FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from modelyard.adapters.delta import DeltaLake
from modelyard.core import Problem
from modelyard.testing.table_store import FLIGHTS, TABLE, rows
lake = DeltaLake(Path(sys.argv[1]))
lake.append(FLIGHTS, TABLE, rows(0, 2), commit="a")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
try:
    lake.append(FLIGHTS, TABLE, rows(0, 100_000), commit="b")
except Problem as problem:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(0, 2))
    lake.append(FLIGHTS, TABLE, rows(2, 100_000), commit="b")
    assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(0, 100_000))
    sys.exit(f"{problem.code} {problem}")
"""

WITHOUT_PYARROW = """
import sys
from pathlib import Path
sys.modules["pyarrow"] = None
sys.modules["pandas"] = None
from modelyard.adapters.delta import DeltaLake
from modelyard.testing.table_store import FLIGHTS, TABLE, rows
lake = DeltaLake(Path(sys.argv[1]))
first = lake.append(FLIGHTS, TABLE, rows(0, 2), commit="a")
lake.append(FLIGHTS, TABLE, rows(2, 4), commit="b")
assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(0, 4))
assert lake.scan(FLIGHTS, TABLE, version=first).collect().equals(rows(0, 2))
"""


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{script}", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )


def test_a_full_disk_is_told_and_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    done = run(FULL_DISK, tmp_path)
    assert done.stderr.splitlines()[-1].startswith("lake.unavailable"), done.stderr
    assert "the disk is full" in done.stderr


def test_neither_pyarrow_nor_pandas_is_needed(tmp_path: Path) -> None:
    done = run(WITHOUT_PYARROW, tmp_path)
    assert done.returncode == 0, done.stderr
