"""A worker: leases one job after the other and has each run in a process of its own.

`python -m modelyard.runner.worker --home DIR` runs until SIGTERM, which gives the job in hand back at once. Killed in any other
way, its job's processes end with it, and another worker takes the job when the lease has lapsed.
"""

import argparse
import json
import os
import socket
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelyard.core import Problem, Tracer, system_clock, to_text
from modelyard.core.stop import Stop
from modelyard.core.traces import Fact
from modelyard.jobs import Job, JobState, Lease, lease
from modelyard.jobs.service import lapse
from modelyard.runner.launcher import Launcher
from modelyard.runner.masking import Mask
from modelyard.runner.secrets import parted
from modelyard.runner.watch import Pace, Say, Watch, is_passing
from modelyard.wiring import Platform, Settings, open_platform, read_settings
from modelyard.wiring.settings import PREFIX
from modelyard.wiring.tracing import open_tracer

SCRATCH = "scratch"
# onnxruntime would write to the user's cache folder and report to its maker.
QUIET = {"ORT_DISABLE_TELEMETRY": "1"}
LONGEST_AWAY_S = 10.0


@dataclass
class Worker:
    """Works until it is told to stop.

    Parameters
    ----------
    name
        Whose lease it is, for people.
    kinds
        Which kinds of job it takes; none: all.
    """

    platform: Platform
    launcher: Launcher
    name: str
    stop: Stop
    say: Say
    mask: Mask
    kinds: Sequence[str] = ()
    pace: Pace = field(default_factory=Pace)
    tracer: Tracer | None = None

    def run(self) -> None:
        """Lease and run jobs. What breaks one of them, and a database that does not answer, ends no worker."""
        pause_s = self.pace.poll_s
        away_s = self.pace.away_s
        lapse_at = 0.0
        while not self.stop.asked:
            try:
                changes = self.platform.metadata.changes()
                held = lease.take(self.platform, self.name, lease_s=self.pace.lease_s, kinds=self.kinds)
                if held is not None:
                    self._work(held)
                    pause_s, away_s = self.pace.poll_s, self.pace.away_s
                    continue
                if time.monotonic() >= lapse_at:
                    lapse(self.platform)
                    lapse_at = time.monotonic() + self.pace.lease_s
                self._rest(pause_s, changes)
                pause_s, away_s = min(2 * pause_s, self.pace.longest_poll_s), self.pace.away_s
            except Problem as problem:
                self.say("database.away" if is_passing(problem) else "worker.problem", why=str(problem), code=problem.code)
                self._recover(away_s)
                away_s = min(2 * away_s, LONGEST_AWAY_S)
            except Exception as error:  # a fault of ours must not end the worker
                self.say("worker.fault", why=str(error), traceback=traceback.format_exc())
                self._recover(away_s)
                away_s = min(2 * away_s, LONGEST_AWAY_S)
        self.launcher.close()

    def _rest(self, pause_s: float, changes: int | None) -> None:
        """Wait: not for so long where the database can tell that something has changed since, which may be a new job."""
        until = time.monotonic() + pause_s
        while not self.stop.wait(min(self.pace.poll_s, max(0.0, until - time.monotonic()))) and time.monotonic() < until:
            if changes is not None and self.platform.metadata.changes() != changes:
                return

    def _recover(self, wait_s: float) -> None:
        """Leave no try running that nobody watches, and wait."""
        self.launcher.close()
        self.stop.wait(wait_s)
        if not self.stop.asked:
            self.launcher.open()

    def _work(self, held: Lease) -> None:
        job, started = held.job, time.monotonic()
        self.say("job.leased", job=job.id, kind=job.kind, project=job.project, attempt=job.attempts, fence=held.fence)
        span = None if self.tracer is None else self.tracer.begin(f"job {job.kind}", job.trace, time.perf_counter())
        trace = job.trace if span is None else span.context
        watch = Watch(self.platform, held, self.pace, self.mask, self.stop, self.say, trace)
        ended = watch.run(self.launcher, self.platform.settings.home / SCRATCH)
        if span is not None:
            facts = facts_of(job, ended)
            span.end(facts, failed="error.type" in facts)
        self.say(
            "job.closed" if ended is not None else "job.lost",
            job=job.id,
            state=ended.state.value if ended is not None else None,
            ended_by=watch.verdict.value if watch.verdict is not None else None,
            seconds=round(time.monotonic() - started, 3),
            peak_mb=round(watch.peak_mb) or None,
            problem=problem_line(ended),
        )


def facts_of(job: Job, ended: Job | None) -> dict[str, Fact]:
    """Return what a try's span tells of it. None: the lease was lost."""
    told: dict[str, Fact] = {"modelyard.project": job.project, "modelyard.job": job.id, "modelyard.attempt": job.attempts}
    if ended is None:
        return told | {"modelyard.state": "lost", "error.type": "lease.conflict"}
    told["modelyard.state"] = ended.state.value
    if ended.problem is not None and ended.state is not JobState.FINISHED:
        told["error.type"] = str(ended.problem["code"])
    return told


def problem_line(job: Job | None) -> str | None:
    """Return the last problem of a job in one line."""
    return f"{job.problem['code']}: {job.problem['what']}: {job.problem['why']}" if job is not None and job.problem else None


def environment_of(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` with the settings in it, for the processes of tries."""
    told = {PREFIX + setting.name.upper(): setting.value for setting in settings.origins}
    return {**QUIET, **environment, **told}


def open_patiently(settings: Settings, stop: Stop, say: Say) -> Platform | None:
    """Return the platform as soon as its database answers; None when told to stop before."""
    wait_s = Pace().away_s
    while True:
        try:
            return open_platform(settings)
        except Problem as problem:
            if not is_passing(problem):
                raise
            say("database.away", why=str(problem))
        if stop.wait(wait_s):
            return None
        wait_s = min(2 * wait_s, LONGEST_AWAY_S)


def say_to_stderr(name: str, mask: Mask) -> Say:
    """Return what writes a line of JSON to stderr for each thing said, with secrets hidden."""

    def say(event: str, /, **facts: object) -> None:
        told = {key: value for key, value in facts.items() if value is not None}
        line = {"at": to_text(system_clock()), "worker": name, "event": event, **mask.all_in(told)}
        sys.stderr.write(json.dumps(line, default=str, ensure_ascii=False) + "\n")
        sys.stderr.flush()

    return say


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the command line's options."""
    usual = Pace()
    parser = argparse.ArgumentParser(prog="python -m modelyard.runner.worker", description="Lease jobs and run them.")
    parser.add_argument("--home", type=Path, help="the folder that holds everything; else MODELYARD_HOME")
    parser.add_argument("--name", default=f"{socket.gethostname()}-{os.getpid()}", help="whose leases they are, for people")
    parser.add_argument("--kinds", default="", help="kinds of job to take, with commas; all when empty")
    parser.add_argument("--lease", type=float, default=usual.lease_s, metavar="S", help="how long a lost worker keeps a job")
    parser.add_argument("--retry", type=float, default=usual.first_retry_s, metavar="S", help="pause after a first failed try")
    parser.add_argument("--fresh", action="store_true", help="a new interpreter for each job: slower to start")
    parser.add_argument("--preload", help="modules to import before the first job, with commas")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Work until SIGTERM; return the exit status."""
    options = read_arguments(arguments)
    stop = Stop()
    stop.heed()
    mask = Mask(os.environ)
    say = say_to_stderr(options.name, mask)
    try:
        settings = read_settings(home=options.home)
        environment, secrets = parted(os.environ)  # users' code would see them in the environment
        launcher = Launcher(environment_of(settings, environment), secrets, fresh=options.fresh, preload=options.preload)
        launcher.open()  # it imports while the platform opens
        platform = open_patiently(settings, stop, say)
    except Problem as problem:
        say("worker.failed", code=problem.code, why=str(problem))
        return 1
    if platform is None:
        launcher.close()
        return 0
    pace = replace(
        Pace(), lease_s=options.lease, heartbeat_s=min(Pace.heartbeat_s, options.lease / 4), first_retry_s=options.retry
    )
    kinds = [kind for kind in options.kinds.split(",") if kind]
    say("worker.started", pid=os.getpid(), kinds=kinds, home=str(settings.home))
    tracer = open_tracer("modelyard-worker")
    Worker(platform, launcher, options.name, stop, say, mask, kinds, pace, tracer).run()
    platform.close()
    if tracer is not None:
        tracer.close()
    say("worker.ended")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
