"""Use cases of preparation: pipelines saved under a name, in versions."""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from modelyard.core import (
    Clock,
    Json,
    JsonObject,
    ObjectStore,
    Page,
    PageRequest,
    Problem,
    ProjectId,
    canonical_json,
    check_name,
    missing,
)
from modelyard.data import Check, TableStore
from modelyard.data.quality.kinds import verify_alone
from modelyard.data.reading import find_version
from modelyard.data.rules import parse_ref
from modelyard.data.sample import sample_version
from modelyard.events import Fact
from modelyard.prepare.rules import read_pipeline
from modelyard.prepare.store import PrepareTransaction
from modelyard.prepare.trying import Tried
from modelyard.prepare.trying_apart import try_apart
from modelyard.prepare.types import Pipeline, PipelineVersion, kind_of
from modelyard.tenancy import Actor, authorise

MOST_NOTE = 1_000  # characters
MOST_ROWS = 10_000  # of a sample that steps are tried on


class Ports(Protocol):
    """What saved pipelines need of the platform."""

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """The object store."""
        ...

    def transaction(self) -> AbstractContextManager[PrepareTransaction]:
        """Open or join a transaction."""
        ...


class TryingPorts(Ports, Protocol):
    """What trying needs besides."""

    @property
    def lake(self) -> TableStore:
        """The lake."""
        ...


def save_pipeline(
    ports: Ports, actor: Actor, project: ProjectId, name: str, pipeline: Json, *, checks: Sequence[Check] = (), note: str = ""
) -> PipelineVersion:
    """Save a pipeline, in its JSON form, as the next version of this name; equal to the newest it is that one.

    Raises
    ------
    Problem
        `pipeline.invalid` for a name, a JSON or a note that is none, or no step at all; `step.missing`, `step.invalid` with the
        number of the step; `check.invalid`.
    """
    authorise(actor, "pipeline.write", project)
    check_name("pipeline", name)
    if len(note) > MOST_NOTE:
        raise Problem("pipeline.invalid", f"The note has {len(note):,} characters", f"the most is {MOST_NOTE:,}", "shorten it")
    read = read_pipeline(pipeline)
    if not read.steps and not read.sets:
        raise Problem("pipeline.invalid", "The pipeline has no step", "there is nothing to save", "add a step")
    promised = tuple(verify_alone(check) for check in checks)
    [digest] = ports.objects.put(project, [canonical_json(read.to_json()).encode()])
    with ports.transaction() as tx:
        newest = next(iter(tx.pipelines.versions(project, name, PageRequest(limit=1)).items), None)
        if newest is not None and (newest.digest, newest.checks) == (digest, promised):
            return newest
        made = PipelineVersion(
            project=project,
            name=name,
            number=newest.number + 1 if newest else 1,
            digest=digest,
            kinds=tuple(kind_of(step) for step in (*read.sets, *read.steps)),
            checks=promised,
            created_by=actor.member,
            created_at=ports.clock(),
            note=note,
        )
        tx.pipelines.add(project, [made])
        fact = Fact("pipeline.saved", name, {"number": made.number, "digest": digest, "steps": len(read.steps)})
        tx.events.add(project, [fact], actor=actor.member, at=made.created_at)
    return made


def find_pipelines(ports: Ports, actor: Actor, project: ProjectId) -> list[PipelineVersion]:
    """Return the newest version of each saved pipeline, by name."""
    authorise(actor, "pipeline.read", project)
    with ports.transaction() as tx:
        return tx.pipelines.newest(project)


def pipeline_versions(ports: Ports, actor: Actor, project: ProjectId, name: str, page: PageRequest) -> Page[PipelineVersion]:
    """Return the versions of a pipeline, newest first. Problem `pipeline.missing` with the nearest names."""
    authorise(actor, "pipeline.read", project)
    with ports.transaction() as tx:
        found = tx.pipelines.versions(project, name, page)
        if not found.items and page.after is None:
            raise missing("pipeline", name[:200], [one.name for one in tx.pipelines.newest(project)], "yard pipeline list")
    return found


def get_pipeline_version(ports: Ports, actor: Actor, project: ProjectId, ref: str) -> PipelineVersion:
    """Return the version that `flights@3`, `flights@latest` or `flights` names.

    Raises
    ------
    Problem
        `pipeline.missing`, `pipeline_version.missing`, `pipeline_version.invalid` for another form.
    """
    authorise(actor, "pipeline.read", project)
    name, number = parse_ref(ref, "pipeline_version")
    with ports.transaction() as tx:
        newest = {one.name: one for one in tx.pipelines.newest(project)}
        if name not in newest:
            raise missing("pipeline", name[:200], newest, "yard pipeline list")
        last = newest[name]
        if number is None or number == last.number:
            return last
        if number > last.number:
            what = f"There is no {name}@{str(number)[:20]}"
            raise Problem("pipeline_version.missing", what, f"the newest is {name}@{last.number}", "yard pipeline list")
        [found] = tx.pipelines.get(project, [(name, number)])
    return found


def pipeline_document(ports: Ports, actor: Actor, project: ProjectId, version: PipelineVersion) -> JsonObject:
    """Return the JSON of a saved pipeline, as `Pipeline.to_json` gives it."""
    authorise(actor, "pipeline.read", project)
    [content] = ports.objects.get(project, [version.digest])
    document: JsonObject = json.loads(content)
    return document


def load_pipeline(ports: Ports, actor: Actor, project: ProjectId, version: PipelineVersion) -> Pipeline:
    """Return a saved pipeline."""
    return Pipeline.from_json(pipeline_document(ports, actor, project, version))


def try_pipeline(
    ports: TryingPorts,
    actor: Actor,
    project: ProjectId,
    pipeline: Pipeline,
    data: str,
    *,
    label: str | None = None,
    rows: int = 1_000,
    seed: int = 0,
) -> Tried:
    """Return what each step of a pipeline does to a sample of a dataset version (`flights@3`, `flights`), and where it stops.

    The same sample for the same version, `rows` and `seed`. Function steps are not run.

    Raises
    ------
    Problem
        `pipeline.invalid` for steps over sets; `sample.invalid` for rows not from 1 to 10,000; `dataset.missing`,
        `dataset_version.missing`; `try.timeout` after 15 s, `try.failed`.
    """
    authorise(actor, "dataset.read", project)
    if pipeline.sets:
        why, step = (
            "on a sample they would see a part of the set",
            "store their rows by pipeline.run, and try the rest on those",
        )
        raise Problem("pipeline.invalid", "Steps over a whole set are not tried", why, step)
    if rows > MOST_ROWS:
        raise Problem("sample.invalid", f"Steps cannot be tried on {rows:,} rows", f"the most is {MOST_ROWS:,}", "take fewer")
    sample = sample_version(ports, actor, project, find_version(ports, project, data), rows, seed)
    return try_apart(pipeline, sample, label)
