"""A platform with workers in processes of their own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import psutil

from modelyard.core import ProjectId
from modelyard.jobs import Job, JobState, Lease, Limits, lease
from modelyard.jobs.rules import ENDED
from modelyard.jobs.service import get, logs, submit
from modelyard.tenancy import Actor
from modelyard.wiring import Platform

DEADLINE_S = 60.0
ROOT = Path(__file__).parents[2]
PLUGIN = "yard_strange"
STEPS = ("echo", "talk", "fail", "refuse", "leave", "hold", "abandon", "eat", "fill")
# What the steps here need: a fork server that imports scikit-learn would take longer than all these tests.
PRELOAD = "modelyard.runner.child,modelyard.adapters.sql,modelyard.adapters.delta"


def until(condition: Callable[[], Any], what: str) -> Any:
    """Return what `condition` returns as soon as that is true; fail when it takes longer than anything here may."""
    pause, last = Event(), time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < last, f"waited in vain for {what}"
        pause.wait(0.01)
    return found


def is_gone(pid: int) -> bool:
    """Return whether no process has this id, or one that has ended and is not yet buried."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def write_plugin(folder: Path) -> None:
    """Install the strange steps and the strange database as a package of entry points."""
    about = folder / f"{PLUGIN}-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PLUGIN}\nVersion: 1\n")
    rows = ["[modelyard.steps]", *(f"strange.{step} = tests.runner.strange_steps:{step}" for step in STEPS)]
    rows += ["[modelyard.adapters]", "metadata.away = tests.runner.away:AwayMetadata"]
    rows += ["sources.waiting = tests.runner.waiting_source:WaitingSource"]
    (about / "entry_points.txt").write_text("\n".join(rows))


@dataclass
class Yard:
    """The platform in `home`, and who asks for work in it."""

    home: Path
    plugin: Path
    platform: Platform
    actor: Actor
    project: ProjectId
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, name: str, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a worker; what it says goes to `NAME.log`."""
        path = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(self.plugin), str(ROOT / "src"), str(ROOT)]).lstrip(
            os.pathsep
        )
        environment = {**os.environ, "PYTHONPATH": path, "STRANGE_PASSWORD": "open-sesame", **variables}
        command = [sys.executable, "-m", "modelyard.runner.worker", "--home", str(self.home), "--name", name, "--retry", "0.02"]
        command += ["--preload", PRELOAD, *options]
        with (self.home / f"{name}.log").open("ab") as log:
            worker = subprocess.Popen(command, env=environment, stderr=log, cwd=self.home)
        self.workers.append(worker)
        return worker

    def said(self, name: str) -> str:
        """Return what a worker has said so far."""
        return (self.home / f"{name}.log").read_text()

    def submit(self, step: str, payload: Mapping[str, Any] | None = None, **more: Any) -> Job:
        """Queue a job of one of the strange steps."""
        more.setdefault("limits", Limits())
        return submit(
            self.platform, self.actor, self.project, kind=f"strange.{step}", title=step, payload=payload or {}, **more
        )

    def get(self, job: Job) -> Job:
        """Return the job as it stands."""
        return get(self.platform, self.actor, self.project, job.id)

    def ended(self, job: Job) -> Job:
        """Return the job as soon as it has ended."""
        found: Job = until(lambda: now if (now := self.get(job)).state in ENDED else None, f"the end of {job.kind}")
        return found

    def run(self, step: str, payload: Mapping[str, Any] | None = None, **more: Any) -> Job:
        """Queue a job, and return it when it has ended."""
        return self.ended(self.submit(step, payload, **more))

    def hold(self, folder: Path, **more: Any) -> tuple[Job, list[int]]:
        """Queue a job that holds on until `go` is in `folder`; return it when it runs, and the ids of its processes."""
        folder.mkdir(exist_ok=True)
        job = self.submit("hold", {"folder": str(folder)}, **more)
        return job, self.held(folder, 1)

    def held(self, folder: Path, attempt: int) -> list[int]:
        """Return the ids of a holding job's processes in a try, as soon as they run."""
        path = folder / f"pids-{attempt}"
        until(path.exists, f"try {attempt} of a holding job")
        return [int(pid) for pid in path.read_text().split()]

    def texts(self, job: Job, stream: str) -> list[str]:
        """Return the lines of one stream of a job's log."""
        lines = logs(self.platform, self.actor, self.project, job.id, limit=10_000)
        return [line.text for line in lines if line.stream == stream]

    def facts(self, job: Job) -> list[str]:
        """Return what happened to a job."""
        with self.platform.transaction() as tx:
            return [event.kind for event in tx.events.read(self.project, subject=job.id)]

    def lapse(self, job: Job) -> Lease:
        """Take a running job from its worker, as if that had said nothing for longer than its lease; return the new lease."""

        def take() -> Lease | None:
            with self.platform.transaction() as tx:
                tx.jobs.heartbeat(self.project, job.id, 1, lease_s=-1)
            return lease.take(self.platform, "by hand", lease_s=60)

        held: Lease = until(take, "a lease to lapse")
        assert held.job.id == job.id
        return held

    def close(self) -> None:
        """End the workers."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(DEADLINE_S)
        self.platform.close()


def gone(pids: list[int]) -> None:
    """Return when none of these processes is left."""
    until(lambda: all(is_gone(pid) for pid in pids), "the end of a job's processes")


def assert_failed(job: Job, code: str) -> Mapping[str, Any]:
    """Return the problem of a job that must have failed with `code`."""
    assert job.state is JobState.FAILED
    assert job.problem is not None
    assert job.problem["code"] == code, job.problem
    return job.problem
