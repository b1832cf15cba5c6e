"""Use cases of examinations: asked for, kept beside the run, read. They are in no table: an event of the run names each."""

import json
from dataclasses import dataclass, replace

import msgspec

from modelyard.core import Digest, Problem, ProjectId
from modelyard.events import Fact
from modelyard.jobs import Job
from modelyard.jobs.service import submit
from modelyard.tenancy import Actor, authorise
from modelyard.training.documents import to_bytes
from modelyard.training.examination import Examination
from modelyard.training.leave_out import LEAST_FITS
from modelyard.training.service import Ports, get_run, load_trainer
from modelyard.training.types import Run, RunId, RunKind, RunState

EXAMINE_JOB = "run.examine"
EXAMINED = "run.examined"
MOST_SLICES = 200
MOST_FITS = 2_000
_KEPT = 100  # examinations of a run that are told


@dataclass(frozen=True)
class Wanted:
    """What an examination is asked for: the payload of its job."""

    run: RunId
    slices: int
    fits: int


def request_examination(ports: Ports, actor: Actor, project: ProjectId, ref: str, *, slices: int = 20, fits: int = 60) -> Job:
    """Queue the examination of a finished run, by id or number; a worker does it, and keeps what it found.

    Parameters
    ----------
    slices
        How many slices are measured at most, the most suspicious ones.
    fits
        How often the trainer is called at most. The job may take so many times as long as the trainer may.

    Raises
    ------
    Problem
        `run.missing`; `examination.refused` for a run that is not finished, or held out no rows; `examination.invalid` for
        numbers out of range.
    """
    authorise(actor, "run.write", project)
    run = get_run(ports, actor, project, ref)
    check_examinable(run)
    wanted = Wanted(run.id, slices, fits)
    check_wanted(wanted)
    trainer = load_trainer(ports, actor, project, run.recipe.trainer)
    time_s = trainer.limits.time_s
    return submit(
        ports,
        actor,
        project,
        kind=EXAMINE_JOB,
        title=f"examine {run.experiment} (run {run.number})",
        payload=msgspec.to_builtins(wanted),
        limits=replace(trainer.limits, time_s=None if time_s is None else time_s * fits),
    )


def check_wanted(wanted: Wanted) -> None:
    """Return when an examination can be so large. Problem `examination.invalid`."""
    for name, count, least, most in (("slices", wanted.slices, 1, MOST_SLICES), ("fits", wanted.fits, LEAST_FITS, MOST_FITS)):
        if not least <= count <= most:
            what, why = f"An examination cannot have {count} {name}", f"it has {least} to {most:,}"
            raise Problem("examination.invalid", what, why, f"--{name} {min(max(count, least), most)}")


def check_examinable(run: Run) -> None:
    """Return when a run can be examined. Problem `examination.refused`."""
    if run.state is not RunState.FINISHED:
        why = f"it is {run.state.value}"
    elif run.kind is RunKind.REFIT:
        why = "it is a refit: it was fitted on every row, and none is left to judge on"
    else:
        return
    raise Problem("examination.refused", f"Run {run.number} cannot be examined", why, "name a finished run: yard run list")


def keep_examination(ports: Ports, actor: Actor, project: ProjectId, made: Examination) -> Digest:
    """Keep what an examination found, and say so."""
    authorise(actor, "run.write", project)
    [digest] = ports.objects.put(project, [to_bytes(msgspec.to_builtins(made))])
    fact = Fact(EXAMINED, made.run, {"examination": digest, "harmful": sum(one.harmful for one in made.slices)})
    with ports.transaction() as tx:
        tx.events.add(project, [fact], actor=actor.member, at=ports.clock())
    return digest


def find_examinations(ports: Ports, actor: Actor, project: ProjectId, ref: str) -> list[Examination]:
    """Return what the examinations of a run found, newest first."""
    run = get_run(ports, actor, project, ref)
    with ports.transaction() as tx:
        told = tx.events.read(project, kinds=[EXAMINED], subject=run.id, limit=_KEPT, newest_first=True)
    kept = ports.objects.get(project, [Digest(one.data["examination"]) for one in told])
    return [msgspec.convert(json.loads(content), Examination) for content in kept]
