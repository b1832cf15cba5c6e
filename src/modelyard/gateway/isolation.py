"""Loads versions: data into this process, code into a process of its own, so that whatever it does hurts no other version.

`modelyard.gateway.children` starts the processes, a `Keeper` keeps each of them up, and one thread looks after all.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any
from weakref import finalize

from modelyard.gateway.children import Forks
from modelyard.gateway.frames import Order
from modelyard.gateway.keeper import Bounds, Keeper, Named
from modelyard.serving import ServedDeployment, ServedForm
from modelyard.serving.infer import LoadedVersion, Ports, fetch_version, holds_code, inputs_of, open_version
from modelyard.serving.program import Answers, Batch, ByInputs, Inputs

log = logging.getLogger(__name__)

LOOK_S = 0.5  # between two looks at all processes


@dataclass(frozen=True, eq=False)
class Isolated(ByInputs):
    """The program of a version that answers in a process of its own. When nobody holds it any more, the process is ended."""

    inputs: Inputs
    outputs: tuple[str, ...]
    keeper: Keeper

    @property
    def runs_code(self) -> bool:
        """True: else it would answer in this process."""
        return True

    @property
    def is_apart(self) -> bool:
        """True."""
        return True

    def infer(self, batch: Batch) -> Answers:
        """Return the process' answers. Raises as `Keeper.infer`."""
        return self.keeper.infer(batch)

    def warm(self) -> None:
        """Do nothing: its process has run everything when it is loaded."""


class Isolation:
    """Loads the versions of one gateway, each on its own terms, and ends what it has started.

    Parameters
    ----------
    restarted
        Told project, deployment and version each time that a process was started in place of another.
    """

    def __init__(self, ports: Ports, bounds: Bounds, restarted: Callable[[str, str, int], None]) -> None:
        self._ports = ports
        self._bounds = bounds
        self._restarted = restarted
        self._forks = Forks()
        self._lock = Lock()
        self._keepers: list[Keeper] = []
        self._left: SimpleQueue[Keeper] = SimpleQueue()  # nobody holds their versions any more
        self._ending = Event()
        self._thread: Thread | None = None

    def bring(self, deployment: ServedDeployment, form: ServedForm, folder: Path) -> None:
        """Bring a version's contents into a folder. Raises what the object store raises."""
        fetch_version(self._ports.objects, deployment.project, form, folder)

    def load(self, deployment: ServedDeployment, form: ServedForm, folder: Path) -> LoadedVersion:
        """Return a version whose contents are in the folder, loaded and warm. What holds code is not loaded into this process.

        Raises
        ------
        Problem
            As `open_version`; `version.failed` also when its process ends while it loads.
        """
        if not holds_code(form, folder):
            return open_version(self._ports.framework, form, folder)
        keeper = Keeper(
            Named(deployment.project_name, deployment.name, form.version),
            Order(form, folder, int(2 * self._bounds.memory_mb * (1 << 20))),
            self._bounds,
            bring=partial(self.bring, deployment, form, folder),
            start=self._forks.start,
            started=self._restarted,
        )
        inputs = inputs_of(form)
        keeper.open()
        program = Isolated(inputs, tuple(column.name for column in form.signature.outputs), keeper)
        ending = finalize(program, self._leave, keeper)
        ending.atexit = False  # `close` ends them
        self._keep(keeper)
        return LoadedVersion(form, program, program.columns, program.kinds, program.cells, program.outputs)

    def status(self) -> list[dict[str, Any]]:
        """Return the processes, as JSON."""
        with self._lock:
            return [keeper.status() for keeper in self._keepers]

    def close(self) -> None:
        """End all processes: calls that are open fail."""
        self._ending.set()
        with self._lock:
            keepers, thread = list(self._keepers), self._thread
        for keeper in keepers:
            keeper.close()
        if thread is not None:
            thread.join()
        self._forks.close()

    def _leave(self, keeper: Keeper) -> None:
        self._left.put(keeper)

    def _keep(self, keeper: Keeper) -> None:
        with self._lock:
            self._keepers.append(keeper)
            if self._thread is None:
                self._thread = Thread(target=self._look, name="versions", daemon=True)
                self._thread.start()
        if self._ending.is_set():
            keeper.close()

    def _look(self) -> None:
        while not self._ending.wait(LOOK_S):
            for keeper in self._dropped():
                keeper.close()
            with self._lock:
                keepers = list(self._keepers)
            for keeper in keepers:
                try:
                    keeper.look()
                except Exception:  # the thread must live
                    log.exception("%s", keeper.named)

    def _dropped(self) -> list[Keeper]:
        found = []
        try:
            while True:
                found.append(self._left.get_nowait())
        except Empty:
            pass
        with self._lock:
            self._keepers = [keeper for keeper in self._keepers if keeper not in found]
        return found
