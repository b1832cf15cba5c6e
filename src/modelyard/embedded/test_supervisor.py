import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from modelyard.core import Problem
from modelyard.embedded.supervisor import LARGEST_LOG_BYTES, Child, Order, Program, last_line, open_log, stop_all

SERVER = """
import json, os, signal, sys
print(json.dumps({"pid": os.getpid(), "arguments": sys.argv[1:], "secret": os.environ.get("SECRET")}), flush=True)
signal.pause()
"""
HEARING = """
import json, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: sys.exit("SIGUSR1"))
print(json.dumps({"ready": True}), flush=True)
signal.pause()
"""
SILENT = """
import sys, threading
print("started", file=sys.stderr, flush=True)
threading.Event().wait()
"""
PARENT = """
import json, sys, threading
from pathlib import Path
from modelyard.embedded.supervisor import Child, Order, Program
child = Child(Program("server", "server_of_test", Order, Path(sys.argv[1])), print)
child.start()
print(child.first_line(60)["pid"], flush=True)
threading.Event().wait()
"""
ANSWER_S = 60.0


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Child]]:
    """Return what starts a child that runs a text as a module."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))
    made: list[Child] = []

    def begin(text: str, order: Callable[[], Order | None] = Order, say: Callable[[str], None] = lambda text: None) -> Child:
        (tmp_path / "server_of_test.py").write_text(text)
        made.append(Child(Program("server", "server_of_test", order, tmp_path / "logs" / "server.log"), say))
        made[-1].start()
        return made[-1]

    yield begin
    stop_all(made)


def test_a_child_is_told_its_order_and_ends_when_asked(start: Callable[..., Child]) -> None:
    child = start(SERVER, lambda: Order(["--port", "1"], {"SECRET": "s"}))
    told = child.first_line(ANSWER_S)
    assert (told["arguments"], told["secret"], told["pid"]) == (["--port", "1"], "s", child.pid)
    assert "SECRET" not in " ".join(psutil.Process(told["pid"]).cmdline())
    stop_all([child])
    assert not psutil.pid_exists(told["pid"])


def test_a_killed_child_is_started_again_and_that_is_said(start: Callable[..., Child]) -> None:
    said: list[str] = []
    ended = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        ended.set()

    child = start(SERVER, say=say)
    first = child.first_line(ANSWER_S)["pid"]
    os.kill(first, signal.SIGKILL)
    assert ended.wait(ANSWER_S)
    deadline = time.monotonic() + ANSWER_S
    while child.first_line(ANSWER_S)["pid"] == first and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    assert child.first_line(ANSWER_S)["pid"] == child.pid != first
    assert "signal SIGKILL" in said[0]


def test_a_child_is_told_to_go_in_its_own_way_and_is_not_started_again(start: Callable[..., Child]) -> None:
    said: list[str] = []
    child = start(HEARING, say=said.append)
    assert child.first_line(ANSWER_S) == {"ready": True}
    assert child.answers
    child.ask_to_stop(signal.SIGUSR1)
    child.end(time.monotonic() + ANSWER_S)
    assert (child.ended, child.answers, said, last_line(child.program.log)) == (True, False, [], "SIGUSR1")


def test_a_child_that_does_not_answer_yet_is_sent_no_signal_that_it_may_not_know(start: Callable[..., Child]) -> None:
    child = start(SILENT)
    until = time.monotonic() + ANSWER_S
    while "started" not in last_line(child.program.log) and time.monotonic() < until:
        threading.Event().wait(0.05)
    child.tell(signal.SIGUSR2)  # it would end by it, and be started again
    assert child.pid is not None
    child.ask_to_stop(signal.SIGUSR1)
    child.end(time.monotonic() + ANSWER_S)
    assert child.ended


def test_a_child_that_does_not_start_says_why(start: Callable[..., Child]) -> None:
    child = start("raise SystemExit('the port is taken')")
    with pytest.raises(Problem, match="the port is taken") as caught:
        child.first_line(ANSWER_S)
    assert caught.value.code == "child.failed"


def test_a_child_without_an_order_is_not_run(start: Callable[..., Child]) -> None:
    asked = threading.Event()

    def order() -> None:
        asked.set()

    child = start("raise AssertionError", order)
    assert asked.wait(ANSWER_S)
    stop_all([child])
    assert last_line(child.program.log) == ""


def test_a_child_ends_with_its_killed_parent(tmp_path: Path) -> None:
    (tmp_path / "server_of_test.py").write_text(SERVER)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        _, alive = psutil.wait_procs([child], timeout=ANSWER_S)
    assert alive == []


def test_a_log_that_has_grown_too_large_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_bytes(b"x" * (LARGEST_LOG_BYTES + 1))
    with open_log(path) as log:
        log.write("fresh\n")
    assert path.read_text() == "fresh\n"
    assert (tmp_path / "server.log.1").stat().st_size > LARGEST_LOG_BYTES
