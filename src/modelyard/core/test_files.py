import os
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from time import sleep

import pytest

from modelyard.core.files import sweep_scratch, turn, whole_file


def test_the_file_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    with whole_file(target) as write:
        write(b"one ")
        write(b"two")
        assert not target.exists()
    assert target.read_bytes() == b"one two"
    assert list(target.parent.iterdir()) == [target]


def test_a_block_that_raises_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"before")
    with pytest.raises(RuntimeError), whole_file(target) as write:
        write(b"after")
        raise RuntimeError
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_the_mode_is_lessened_by_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "file", mode=0o666):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_sweep_never_takes_the_scratch_of_a_living_writer(tmp_path: Path) -> None:
    with whole_file(tmp_path / "file") as write:
        write(b"slow")
        assert sweep_scratch(tmp_path) == 0
    assert (tmp_path / "file").read_bytes() == b"slow"


@pytest.fixture
def threads_change_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("threads_change_often")
def test_writers_and_sweepers_at_once_lose_nothing(tmp_path: Path) -> None:
    done = Event()

    def sweep() -> None:
        while not done.is_set():
            sweep_scratch(tmp_path / ".scratch")

    sweepers = [Thread(target=sweep) for _ in range(2)]
    for sweeper in sweepers:
        sweeper.start()
    try:
        for number in range(200):
            with whole_file(tmp_path / str(number), scratch=tmp_path / ".scratch") as write:
                write(b"x")
    finally:
        done.set()
        for sweeper in sweepers:
            sweeper.join()
    assert all((tmp_path / str(number)).read_bytes() == b"x" for number in range(200))
    assert list((tmp_path / ".scratch").iterdir()) == []


def test_a_new_file_never_takes_the_place_of_another(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with whole_file(target, new=True) as write:
        write(b"first")
    with pytest.raises(FileExistsError), whole_file(target, new=True) as write:
        write(b"second")
    assert target.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [target]


def test_turns_follow_one_another(tmp_path: Path) -> None:
    under_way, most = 0, []

    def work(_: int) -> None:
        nonlocal under_way
        with turn(tmp_path / "turns" / "one"):
            under_way += 1
            most.append(under_way)
            sleep(0.005)
            under_way -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(12)))
    assert most == [1] * 12


def test_who_has_waited_long_goes_on_and_so_does_who_can_have_no_lock(tmp_path: Path) -> None:
    with turn(tmp_path / "one"), turn(tmp_path / "one", patience_s=0.05), turn(tmp_path / "two"):
        pass
    (tmp_path / "file").write_text("")
    with turn(tmp_path / "file" / "three"):
        pass
