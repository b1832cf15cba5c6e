"""The process of one try: open the platform, run the step, tell how it ended."""

import faulthandler
import os
import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TextIO

from modelyard.core import Json, MemberId, Problem, canonical_json
from modelyard.jobs import Job
from modelyard.runner.assignment import Assignment
from modelyard.runner.context import StepContext
from modelyard.runner.failure import told
from modelyard.runner.messages import Teller
from modelyard.runner.secrets import take_secrets
from modelyard.runner.steps import find_step
from modelyard.tenancy.service import actor_of
from modelyard.wiring import open_platform, read_settings

# The watched limit is on resident memory. This one stops a single allocation that outruns the watch, and no other: what a
# process may map and never touch (thread stacks, arenas) is several times what it uses.
BACKSTOP_FACTOR = 4
BACKSTOP_MORE_MB = 4096


def run(assignment: Assignment) -> int:
    """Run the try and return the exit status: 0 when there is a result."""
    teller = Teller(assignment.messages)
    try:
        _settle(assignment)
        result = _result(assignment, teller)
    except BaseException as error:  # also SystemExit: code may end in any way
        teller.problem(told(error, f"Job {assignment.job}"))
        return 1
    teller.result(result)
    return 0


def _result(assignment: Assignment, teller: Teller) -> Json:
    platform = open_platform(read_settings())
    try:
        with platform.transaction() as tx:
            [job] = tx.jobs.get(assignment.project, [assignment.job])
        step = find_step(job.kind)
        actor = replace(actor_of(platform, MemberId(job.created_by), project=job.project), trace=assignment.trace)
        result = step(StepContext(platform, actor, job.project, job, assignment.scratch, teller.progress))
        return _checked(job, result)
    finally:
        platform.close()


def _checked(job: Job, result: Mapping[str, Any]) -> dict[str, Any]:
    try:
        told_result = dict(result)
        canonical_json(told_result)
    except (TypeError, ValueError) as error:
        what = f"The step {job.kind} returned no JSON object"
        raise Problem("job.invalid", what, str(error), "return a dict of JSON values") from error
    return told_result


def _settle(assignment: Assignment) -> None:
    """Make this process a fit place for a stranger's code."""
    if assignment.trace is not None:
        os.environ["TRACEPARENT"] = assignment.trace.traceparent  # where OpenTelemetry looks for it
    os.environ.update(take_secrets(assignment.secrets))
    # New objects, since those of a forked process know the files of its parent. By lines, so that a crash loses none.
    sys.stdout = _by_lines(1)
    sys.stderr = _by_lines(2)
    with suppress(RuntimeError, OSError):
        faulthandler.enable()  # so that a crash leaves its Python frames in the log
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if assignment.memory_mb is not None:
        most = (BACKSTOP_FACTOR * assignment.memory_mb + BACKSTOP_MORE_MB) << 20
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    # A forked process has the generator of its parent, so that each job of a worker would draw the same numbers.
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def _by_lines(descriptor: int) -> TextIO:
    return os.fdopen(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
