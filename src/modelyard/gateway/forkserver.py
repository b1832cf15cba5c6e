"""The process from which those of versions are forked: it has imported what is heavy, once, and runs nobody's code.

`python -m modelyard.gateway.forkserver --control N`: the socket N is to its gateway. To `{"start": [FRAMEWORK, …]}`, sent with
the descriptor of a version's own socket, it tells `{"pid": N}`; to `{"end": PID}`, once that is killed, `{"status": N}`.
When the socket closes, however the gateway ended, it kills everything below itself. When it is killed itself, the kernel ends
the versions' processes.

The gateway itself is never forked: it has threads, which a forked process would miss.
"""

import argparse
import faulthandler
import gc
import json
import os
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress

from modelyard.adapters import FRAMEWORK, resolve
from modelyard.gateway import version_process
from modelyard.wiring import process_tree

LONGEST_REQUEST = 4096
# Those that a forked process may use when they were imported before. onnxruntime starts a thread that it would wait for.
FORKABLE = frozenset({"sklearn", "xgboost", "lightgbm"})


class ForkServer:
    """Forks, and ends what it has forked."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._pid = os.getpid()
        self._ended: dict[int, int] = {}  # statuses that nobody has asked for yet
        self._below: set[int] = set()
        self._imported: set[str] = set()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # the gateway decides when this ends
        process_tree.adopt_orphans()
        gc.freeze()  # so that the versions' own collections do not copy what is shared

    def serve(self) -> socket.socket:
        """Do what is asked. In the process of a version, return its socket; when the gateway is gone, end all."""
        while True:
            try:
                text, descriptors, _, _ = socket.recv_fds(self._control, LONGEST_REQUEST, 1)
            except ConnectionError:
                text, descriptors = b"", []
            if not text:
                process_tree.kill_below()
                os._exit(0)
            request = json.loads(text)
            self._reap()
            if "end" in request:
                self._tell({"status": self._end(request["end"])})
                continue
            connection = socket.socket(fileno=descriptors[0])
            pid = self._start(request["start"])
            if not pid:
                return connection
            connection.close()
            self._tell({"pid": pid})

    def _start(self, frameworks: Sequence[str]) -> int:
        for framework in frameworks:
            self._import(framework)
        pid = os.fork()
        if pid:
            self._below.add(pid)
            return pid
        process_tree.die_with(self._pid)
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._control.close()
        return 0

    def _import(self, framework: str) -> None:
        if framework in FORKABLE and framework not in self._imported:
            self._imported.add(framework)
            with suppress(Exception):  # not installed, or broken: then the version's process says so
                resolve(FRAMEWORK, framework)
                gc.freeze()

    def _end(self, pid: int) -> int | None:
        """Return the exit status of a version's process, ended now if it was not; None for one of another fork server."""
        if pid not in self._below:
            return None
        self._below.remove(pid)
        status = self._ended.pop(pid, None)
        if status is None:
            os.kill(pid, signal.SIGKILL)
            _kill_group(pid)
            _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)

    def _reap(self) -> None:
        """Note which have ended, and let go of orphans that have."""
        for pid, status in process_tree.reap().items():
            if pid in self._below:
                _kill_group(pid)
                self._ended[pid] = status

    def _tell(self, message: dict[str, int | None]) -> None:
        with suppress(OSError):  # the gateway is gone: its closed socket is read next
            self._control.sendall(json.dumps(message).encode() + b"\n")


def _kill_group(pid: int) -> None:
    """Kill what a version has started, but what has left its session: that ends with the fork server."""
    with suppress(ProcessLookupError, PermissionError):  # it leads no group yet, or nobody is left in it
        os.killpg(pid, signal.SIGKILL)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the gateway is gone; in the process of a version, answer for it."""
    parser = argparse.ArgumentParser(prog="python -m modelyard.gateway.forkserver", description="Fork versions' processes.")
    parser.add_argument("--control", type=int, required=True, help="descriptor of the socket to the gateway")
    options = parser.parse_args(arguments)
    # Of Python 3.12 on: the threads that it sees are those of OpenBLAS and jemalloc, which are ready for forks.
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
    connection = ForkServer(socket.socket(fileno=options.control)).serve()
    faulthandler.enable()
    status = 1
    try:
        version_process.serve(connection)
        status = 0
    except SystemExit as error:  # a function step may do that
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stderr.flush()
        os._exit(status)  # at once: taking apart what was imported would copy it


if __name__ == "__main__":
    main()
