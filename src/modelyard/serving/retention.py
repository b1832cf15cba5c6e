"""Retention: versions of datasets that nothing needs are dropped for good, those that a model at work stands on never.

A vacuum first records, in one transaction, which versions are dropped: from then on nobody can read them, train on them or come
to need them, since whoever does so looks in a transaction of its own. Then the lake loses what no version reads. A kill between
the two loses nothing that stays; the next vacuum removes what this one left.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Protocol

from modelyard.core import Clock, Json, ObjectStore, Page, PageRequest, ProjectId
from modelyard.core.pages import every
from modelyard.data import DatasetVersion, DatasetVersionId, Fate, TableStore, Vacuum
from modelyard.data.reading import VACUUMED_FACT, facts_of, find_dataset, newest_first
from modelyard.data.retention import JUDGED, KEEP, LEFT_FOR, OLDER_THAN, check_keep, decide, outlived, unread
from modelyard.data.rules import quarantine_of, table_of
from modelyard.events import Fact
from modelyard.jobs import Job, JobState
from modelyard.registry import ModelVersion
from modelyard.registry.parts import parts_of
from modelyard.serving.rules import OPEN
from modelyard.serving.store import ServingTransaction
from modelyard.tenancy import Actor, authorise
from modelyard.training import RunId, RunState, StudyState


class Ports(Protocol):
    """What retention needs of the platform."""

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """The object store."""
        ...

    @property
    def lake(self) -> TableStore:
        """The lake."""
        ...

    def transaction(self) -> AbstractContextManager[ServingTransaction]:
        """Open or join a transaction."""
        ...


def vacuum(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    name: str,
    *,
    keep: int = KEEP,
    older_than: timedelta = OLDER_THAN,
    dry_run: bool = False,
) -> Vacuum:
    """Drop the versions of a dataset that are neither among the `keep` newest, nor younger, nor needed, and free their bytes.

    Needed are, with the versions that theirs were made from: what models under an alias (or under it just before), in a
    deployment's routes or in an open rollout were trained and measured on, and what runs, studies and jobs under way read. A
    dropped version keeps its record and its profile; asking for its rows is Problem `dataset_version.dropped`.

    Rows of stopped batches that are as old, and were judged before the newest version, leave the quarantine. What killed
    writers left in the lake goes too.

    Raises
    ------
    Problem
        `dataset.missing`; `vacuum.invalid` for keeping none.
    """
    authorise(actor, "dataset.read" if dry_run else "dataset.vacuum", project)
    check_keep(keep)
    held = ports.lake.commits(project, table_of(name))
    with ports.transaction() as tx:
        find_dataset(ports, project, name)
        now = ports.clock()
        versions = list(newest_first(tx, project, name))
        fates = decide(versions, needs_of(tx, project), keep=keep, before=now - older_than)
        going = {one.version for one in fates if one.fate is Fate.DROPPED}
        batches = outlived(facts_of(tx, project, name, JUDGED), now - older_than)
        after = [replace(one, dropped_at=now) if one.id in going else one for one in versions]
        if not dry_run and (going or batches):
            tx.datasets.save_versions(project, [one for one in after if one.id in going])
            numbers = sorted(one.number for one in after if one.id in going)
            told = {"dropped": numbers, "batches": batches, "keep": keep, "older_than_s": older_than.total_seconds()}
            tx.events.add(project, [Fact(VACUUMED_FACT, name, told)], actor=actor.member, at=now)
        gone = [batch for fact in facts_of(tx, project, name, [VACUUMED_FACT]) for batch in fact.data["batches"]]
    rows = ports.lake.vacuum(project, table_of(name), unread(after, held), left_for=LEFT_FOR, dry_run=dry_run)
    bad = ports.lake.vacuum(project, quarantine_of(name), [*gone, *batches], left_for=LEFT_FOR, dry_run=dry_run)
    return Vacuum(name, dry_run, tuple(fates), len(batches), rows.files + bad.files, rows.size_bytes + bad.size_bytes)


def needs_of(tx: ServingTransaction, project: ProjectId) -> Mapping[DatasetVersionId, Sequence[str]]:
    """Return which dataset versions of a project are needed, and by what, for people."""
    versions = list(newest_first(tx, project))
    found: dict[DatasetVersionId, dict[str, None]] = {}
    for version, why in [*_by_models(tx, project), *_by_training(tx, project), *_by_jobs(tx, project, versions)]:
        found.setdefault(version, {})[why] = None
    _add_parents(found, versions)
    return {version: tuple(why) for version, why in found.items()}


def _by_models(tx: ServingTransaction, project: ProjectId) -> Iterator[tuple[DatasetVersionId, str]]:
    at_work: dict[str, dict[int, str]] = {}
    for model, number, why in _at_work(tx, project):
        at_work.setdefault(model, {}).setdefault(number, f"{model}@{number} {why}")
    by_run: dict[RunId, dict[str, None]] = {}
    for model, whys in at_work.items():
        for version in tx.models.get_versions(project, model, sorted(whys)):
            for part in _all_parts(tx, version):
                why = whys[version.number] + ("" if part is version else f", with {part.model}@{part.number}")
                for run in (part.run, part.refit_of, *(one.run for one in part.evaluations)):
                    if run is not None:
                        by_run.setdefault(run, {})[why] = None
                if part.data is not None:
                    yield part.data, why
    for made in tx.runs.get(project, list(by_run)):
        yield from ((data, why) for data in (made.data, *made.features) for why in by_run[made.id])


def _at_work(tx: ServingTransaction, project: ProjectId) -> Iterator[tuple[str, int, str]]:
    """Give each model version that answers, or may answer by one step of a person or of the platform, and why."""
    for alias in tx.models.aliases(project):
        if alias.version is not None:
            yield alias.model, alias.version, f"is {alias.name}"
        if alias.previous is not None:
            yield alias.model, alias.previous, f"was {alias.name} before"
    deployments = {one.id: one for one in tx.deployments.find(project)}
    for revision in tx.deployments.latest_revisions(project):
        served = deployments[revision.deployment]
        for route in revision.routes:
            yield served.model, route.version, f"is {route.kind.value} in {served.name}"
    for rollout in every(partial(tx.deployments.rollouts, project, states=OPEN)):
        model = deployments[rollout.deployment].model
        yield model, rollout.candidate, f"is {rollout.state.value} in a rollout on {rollout.name}"
        if rollout.base is not None:
            yield model, rollout.base, f"is what a rollout on {rollout.name} goes back to"


def _all_parts(tx: ServingTransaction, version: ModelVersion) -> Iterator[ModelVersion]:
    yield version
    for part in parts_of(tx, version):
        yield from _all_parts(tx, part)


def _by_training(tx: ServingTransaction, project: ProjectId) -> Iterator[tuple[DatasetVersionId, str]]:
    for run in every(partial(tx.runs.find, project, states=[RunState.PENDING, RunState.RUNNING])):
        yield from ((data, f"run {run.number} is {run.state.value}") for data in (run.data, *run.features))
    for study in every(partial(tx.runs.studies, project)):
        if study.state is StudyState.RUNNING:
            yield study.data, f"a study of {study.experiment} is running"


def _by_jobs(
    tx: ServingTransaction, project: ProjectId, versions: Sequence[DatasetVersion]
) -> Iterator[tuple[DatasetVersionId, str]]:
    known = {name: one.id for one in versions for name in (one.id, one.ref)}
    under_way: Callable[[PageRequest], Page[Job]] = partial(tx.jobs.find, project, states=[JobState.QUEUED, JobState.RUNNING])
    for job in every(under_way):
        for text in _texts(dict(job.payload)):
            if text in known:
                yield known[text], f"a job is {job.state.value}: {job.title}"


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _add_parents(found: dict[DatasetVersionId, dict[str, None]], versions: Sequence[DatasetVersion]) -> None:
    """Add what the needed versions were made from, batch by batch, and what that was made from."""
    by_id = {one.id: one for one in versions}
    by_place = {(one.dataset, one.number): one for one in versions}
    waiting = list(found)
    while waiting:
        needed = by_id[waiting.pop()]
        why = f"{needed.ref} was made from it, and {next(iter(found[needed.id]))}"
        batch: DatasetVersion | None = needed
        while batch is not None:
            for parent in batch.parents:
                ref = DatasetVersionId(parent.ref)
                if parent.kind == "dataset_version" and ref in by_id:
                    if ref not in found:
                        waiting.append(ref)
                    found.setdefault(ref, {})[why] = None
            batch = None if batch.whole else by_place.get((batch.dataset, batch.number - 1))
