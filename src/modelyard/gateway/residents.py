"""Which versions are in memory: those asked last, as many as a budget holds. The others rest until somebody asks them.

A version that rests costs its contents on the disk alone. Who asks it waits until it is loaded again, some milliseconds for a
small model, and is answered then; the version that nobody has asked for longest makes room.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock, RLock
from time import monotonic
from typing import Any
from weakref import WeakSet

import psutil

from modelyard.core import Problem
from modelyard.gateway.isolation import Isolated
from modelyard.gateway.loads import Load
from modelyard.serving import ServedDeployment, ServedForm
from modelyard.serving.infer import LoadedVersion, content_file, inputs_of
from modelyard.serving.program import Answers, Batch, ByInputs, Inputs, Program

# What ONNX Runtime holds for a model, as measured: 0.1 to 0.6 MiB for a small one, 3 to 7 times the file for trees.
OWN_MB = 0.3
SPREAD = 7.0
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_MIB = 1 << 20


class Resident(ByInputs):
    """The program of a version that may rest. Safe to share between threads.

    Parameters
    ----------
    wake
        Loads the version; raises what is wrong with it.
    make_room
        Told that this one is in memory now.
    """

    def __init__(
        self,
        inputs: Inputs,
        outputs: tuple[str, ...],
        *,
        wake: Callable[[], LoadedVersion],
        make_room: "Callable[[Resident], None]",
        cost_mb: Callable[[LoadedVersion], float],
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._wake = wake
        self._make_room = make_room
        self._cost_mb = cost_mb
        self._lock = Lock()
        self._program: Program | None = None
        self.used = 0.0  # monotonic seconds
        self.held_mb = 0.0

    @property
    def runs_code(self) -> bool:
        """Whether it is asked in a thread: also while it rests, for loading takes time."""
        program = self._program
        return program is None or program.runs_code

    @property
    def is_apart(self) -> bool:
        """Whether who asks it waits for something else: its own process, or its being loaded."""
        program = self._program
        return program is None or program.is_apart

    @property
    def rests(self) -> bool:
        """Whether it is not in memory."""
        return self._program is None

    def infer(self, batch: Batch) -> Answers:
        """Return the version's answers, loaded if it rests. Raises what it raises, and what is wrong with it."""
        self.used = monotonic()
        program = self._program or self._awake()
        return program.infer(batch)

    def warm(self) -> None:
        """Run everything once, loaded if it rests."""
        (self._program or self._awake()).warm()

    def take(self, loaded: LoadedVersion) -> None:
        """Be in memory from now on."""
        self.held_mb = self._cost_mb(loaded)
        self.used = monotonic()
        self._program = loaded.program
        self._make_room(self)

    def rest(self) -> None:
        """Leave the memory. Who is being answered is answered."""
        self._program = None
        self.held_mb = 0.0

    def _awake(self) -> Program:
        with self._lock:
            found = self._program
            if found is None:
                loaded = self._wake()
                self.take(loaded)
                found = loaded.program
            return found


class Residents:
    """Loads versions, and keeps those in memory that were asked last.

    Parameters
    ----------
    bring
        Brings a version's contents into a folder.
    open_
        Loads a version whose contents are there.
    budget_mb
        What versions may hold together, in MiB. A version that alone holds more is not loaded.
    """

    def __init__(self, bring: Callable[[ServedDeployment, ServedForm, Path], None], open_: Load, budget_mb: float) -> None:
        self._bring = bring
        self._open = open_
        self._budget_mb = budget_mb
        self._lock = RLock()
        self._all: WeakSet[Resident] = WeakSet()
        self.woken = 0  # versions that were asked while they rested

    def load(self, deployment: ServedDeployment, form: ServedForm, folder: Path) -> LoadedVersion:
        """Return a version, loaded and warm.

        Raises
        ------
        Problem
            As loading does; `version.too_large` when it takes more than the whole budget.
        """
        loaded = self._checked(deployment, form, folder)
        resident = self._resident(deployment, form, folder)
        resident.take(loaded)
        return _as_version(form, resident, loaded.pace_s)

    def at_rest(self, deployment: ServedDeployment, form: ServedForm, folder: Path) -> LoadedVersion:
        """Return a version that is loaded when it is first asked. Problem `column.invalid` for a signature that is none."""
        return _as_version(form, self._resident(deployment, form, folder), 0.0)

    def figures(self) -> Mapping[str, float]:
        """Return how many versions are in memory, how many rest, and how often one was woken."""
        with self._lock:
            awake = [one for one in self._all if not one.rests]
            return {
                "modelyard_versions_in_memory": len(awake),
                "modelyard_versions_at_rest": len(self._all) - len(awake),
                "modelyard_versions_memory_bytes": sum(one.held_mb for one in awake) * _MIB,
                "modelyard_versions_woken_total": self.woken,
            }

    def status(self) -> dict[str, Any]:
        """Return the same for people, as JSON."""
        told = self.figures()
        return {
            "in_memory": told["modelyard_versions_in_memory"],
            "at_rest": told["modelyard_versions_at_rest"],
            "memory_mb": round(told["modelyard_versions_memory_bytes"] / _MIB, 1),
            "woken": self.woken,
        }

    def _resident(self, deployment: ServedDeployment, form: ServedForm, folder: Path) -> Resident:
        made = Resident(
            inputs_of(form),
            tuple(column.name for column in form.signature.outputs),
            wake=partial(self._woken, deployment, form, folder),
            make_room=self._make_room,
            cost_mb=partial(_held_mb, form, folder),
        )
        with self._lock:
            self._all.add(made)
        return made

    def _woken(self, deployment: ServedDeployment, form: ServedForm, folder: Path) -> LoadedVersion:
        self.woken += 1
        return self._checked(deployment, form, folder)

    def _checked(self, deployment: ServedDeployment, form: ServedForm, folder: Path) -> LoadedVersion:
        self._bring(deployment, form, folder)
        wanted = _least_mb(form, folder)
        if wanted > self._budget_mb:
            why = f"it takes some {wanted:,.0f} MiB of memory, and all versions together may take {self._budget_mb:,.0f}"
            step = "start gateways with more (--memory-mb), or make a smaller model"
            raise Problem("version.too_large", f"Version {form.version} of {deployment.name} is too large", why, step)
        return self._open(deployment, form, folder)

    def _make_room(self, newest: Resident) -> None:
        with self._lock:
            awake = [one for one in self._all if not one.rests]
            over = sum(one.held_mb for one in awake) - self._budget_mb
            for one in sorted(awake, key=lambda one: one.used):
                if over <= 0:
                    return
                if one is not newest:
                    over -= one.held_mb
                    one.rest()


def memory_budget_mb() -> float:
    """Return half of the memory that this machine, or the group that this process is in, may use, in MiB."""
    limits = [psutil.virtual_memory().total]
    for file in CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # `max`: there is no limit
            limits.append(int(file.read_text()))
    return min(limits) / 2 / _MIB


def _as_version(form: ServedForm, resident: Resident, pace_s: float) -> LoadedVersion:
    return LoadedVersion(form, resident, resident.columns, resident.kinds, resident.cells, resident.outputs, pace_s)


def _least_mb(form: ServedForm, folder: Path) -> float:
    """Return what a version of these contents holds, were it data."""
    return OWN_MB + SPREAD * sum(content_file(folder, one).stat().st_size for one in set(form.contents)) / _MIB


def _held_mb(form: ServedForm, folder: Path, loaded: LoadedVersion) -> float:
    program = loaded.program
    return program.keeper.own_mb() if isinstance(program, Isolated) else _least_mb(form, folder)
