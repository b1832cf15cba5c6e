"""What happens in a project, told as OpenLineage's run events: each fact gives none, one or two, the same each time.

A deed that has no length (a version is there, a deployment is switched) is told as a run that starts and ends at once. The id
of a run is made of ours, so that whoever hears it twice hears of the same run.
"""

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar
from uuid import NAMESPACE_URL, uuid5

import msgspec

from modelyard.core import Digest, Json, JsonObject, ObjectStore, Page, PageRequest, Problem, ProblemKind, ProjectId, to_text
from modelyard.data import Dataset, DatasetVersion, DatasetVersionId
from modelyard.data.profile import from_json
from modelyard.data.reading import STOPPED_FACT
from modelyard.data.times import in_utc
from modelyard.events import Event
from modelyard.jobs import Job, JobId
from modelyard.prepare import FittedPipeline
from modelyard.prepare.plan import plan
from modelyard.registry import ModelVersion
from modelyard.serving.batch import ScoreRequest, SourceKind, TargetKind
from modelyard.serving.openlineage import facets
from modelyard.serving.openlineage.naming import (
    DatasetName,
    dataset_name,
    deployment_name,
    features_name,
    model_name,
    name_of_url,
    own_namespace,
)
from modelyard.serving.store import ServingTransaction
from modelyard.tenancy import Actor, authorise
from modelyard.training import Run, RunId, Study, StudyId
from modelyard.training.documents import trainer_from_json

T = TypeVar("T")
logger = logging.getLogger(__name__)

_RUNS: Final = uuid5(NAMESPACE_URL, "pkg:pypi/modelyard")
_START, _COMPLETE, _FAIL, _ABORT = "START", "COMPLETE", "FAIL", "ABORT"
_ENDS: Final[Mapping[str, str]] = MappingProxyType(
    {"started": _START, "created": _START, "finished": _COMPLETE, "failed": _FAIL, "cancelled": _ABORT}
)
_POSITION: Final = re.compile("[0-9]{1,18}")
_AWAY: Final = (ProblemKind.UNAVAILABLE, ProblemKind.TIMEOUT, ProblemKind.LIMITED)  # the next try may do better
_SCORE: Final = "model.score"  # the kind of a job that scores a batch


class Ports(Protocol):
    """What telling needs of the platform."""

    @property
    def objects(self) -> ObjectStore:
        """The object store."""
        ...

    def transaction(self) -> AbstractContextManager[ServingTransaction]:
        """Open or join a transaction."""
        ...


@dataclass(frozen=True)
class _Known:
    """What the facts of a stretch are about, by id: loaded at once."""

    namespace: str
    datasets: dict[str, Dataset]  # by name
    versions: dict[DatasetVersionId, DatasetVersion]
    runs: dict[RunId, Run]
    studies: dict[StudyId, Study]
    models: dict[str, ModelVersion]  # by `delay@7`
    deployments: dict[str, str]  # the model of each, by name
    jobs: dict[JobId, Job]
    contents: dict[Digest, Any]  # JSON documents of the object store


def run_events(ports: Ports, project: ProjectId, facts: Sequence[Event]) -> list[tuple[Event, list[JsonObject]]]:
    """Return each fact with the run events that tell of it, in order.

    A fact that can be told no more, as its content is lost or was never in its form, is told by none; the log says why.

    Raises
    ------
    Problem
        Where database or object store do not answer.
    """
    try:
        with ports.transaction() as tx:
            known = _load(ports, tx, project, [fact for fact in facts if fact.kind in KINDS])
        return [(fact, list(_TOLD[fact.kind](known, fact)) if fact.kind in KINDS else []) for fact in facts]
    except Problem as problem:
        if problem.kind in _AWAY:
            raise
        if len(facts) == 1:
            logger.warning("no lineage of %s %s: %s", facts[0].kind, facts[0].subject, problem)
            return [(facts[0], [])]
    return [one for fact in facts for one in run_events(ports, project, [fact])]


def exported(
    ports: Ports, actor: Actor, project: ProjectId, page: PageRequest, *, since: datetime | None = None
) -> Page[JsonObject]:
    """Return the run events of a page of facts, oldest first: those from `since` on, or after the key of the page before.

    Raises
    ------
    Problem
        `page.invalid` for a key that no page gave.
    """
    authorise(actor, "event.read", project)
    if page.after is not None and not _POSITION.fullmatch(page.after):
        raise Problem(
            "page.invalid", f"'{page.after[:80]}' is no key of a page", "no page gave it", "ask from the first page on"
        )
    begin = in_utc(since)
    with ports.transaction() as tx:
        facts = tx.events.read(project, after=int(page.after or 0), limit=page.limit, kinds=KINDS)
        wanted = [fact for fact in facts if begin is None or fact.at >= begin]
        told = tuple(event for _, events in run_events(ports, project, wanted) for event in events)
    return Page(told, str(facts[-1].position) if len(facts) == page.limit else None)


def _load(ports: Ports, tx: ServingTransaction, project: ProjectId, facts: Sequence[Event]) -> _Known:
    models: dict[str, ModelVersion] = {}
    registered = [fact.subject.rpartition("@") for fact in facts if fact.kind == "version.registered"]
    for model in dict.fromkeys(model for model, _, _ in registered):
        numbers = sorted({int(number) for name, _, number in registered if name == model})
        models |= {f"{model}@{one.number}": one for one in tx.models.get_versions(project, model, numbers)}
    run_ids = [RunId(one) for one in _subjects(facts, "run")] + [one.run for one in models.values() if one.run is not None]
    runs = {one.id: one for one in tx.runs.get(project, _once(run_ids))}
    study_ids = [StudyId(one) for one in _subjects(facts, "study")] + [one.study for one in runs.values() if one.study]
    studies = {one.id: one for one in tx.runs.get_studies(project, _once(study_ids))}
    created = [DatasetVersionId(fact.data["version"]) for fact in facts if fact.kind == "dataset_version.created"]
    version_ids = [*created, *(one.data for one in runs.values()), *(one.data for one in studies.values())]
    version_ids += [one.data for one in models.values() if one.data is not None]
    versions = {one.id: one for one in tx.datasets.get_versions(project, _once(version_ids))}
    parents = [parent for one in created for parent in versions[one].parents if parent.kind == "dataset_version"]
    further = _once(DatasetVersionId(parent.ref) for parent in parents)
    versions |= {one.id: one for one in tx.datasets.get_versions(project, [id_ for id_ in further if id_ not in versions])}
    digests = [versions[id_].profile for id_ in created] + [one.recipe.trainer for one in runs.values()]
    digests = _once(digests + [one.pipeline for one in models.values() if one.pipeline is not None])
    return _Known(
        namespace=own_namespace(tx, project),
        datasets={one.name: one for one in tx.datasets.find(project)},
        versions=versions,
        runs=runs,
        studies=studies,
        models=models,
        deployments={one.name: one.model for one in tx.deployments.find(project)},
        jobs={one.id: one for one in tx.jobs.get(project, _once(JobId(fact.subject) for fact in facts if _is_scoring(fact)))},
        contents=dict(zip(digests, map(json.loads, ports.objects.get(project, digests)), strict=True)),
    )


def _subjects(facts: Iterable[Event], noun: str) -> list[str]:
    return [fact.subject for fact in facts if fact.kind.partition(".")[0] == noun]


def _once(ids: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(ids))


# One fact


def _of_version(known: _Known, fact: Event) -> Iterator[JsonObject]:
    """Tell that rows were taken in, and in a run of its own, as a part of it, what the checks found."""
    version = known.versions[DatasetVersionId(fact.data["version"])]
    taken = _Deed(known, fact, version.id, f"dataset.take_in.{version.name}", "INGESTION")
    inputs = [one for parent in version.parents if (one := _parent(known, parent.kind, parent.ref)) is not None]
    output = _version_dataset(known, version)
    written = {"outputStatistics": facets.written_facet(version.rows, version.size_bytes)}
    yield from taken.at_once(inputs, [{**output, "outputFacets": written}])
    checked = _Deed(known, fact, f"{version.id}/checks", f"dataset.check.{version.name}", "CHECK", parent=taken)
    profile = from_json(known.contents[version.profile])
    found: dict[str, Json] = {"dataQualityMetrics": facets.metrics_facet(profile, version.size_bytes)}
    if version.outcomes:
        found["dataQualityAssertions"] = facets.assertions_facet(version.outcomes)
    yield from checked.at_once([{**output, "inputFacets": found}], [])


def _of_stopped(known: _Known, fact: Event) -> Iterator[JsonObject]:
    """Tell of a batch that was stopped as a whole: nothing was made of it."""
    deed = _Deed(known, fact, str(fact.data["batch"]), f"dataset.take_in.{fact.subject}", "INGESTION")
    source = known.datasets[fact.subject].source
    read = name_of_url(source) if source is not None else None
    failed = "; ".join(f"{one['check']} fails: {one['found'] or one['rows']}" for one in fact.data["failed"])
    problem = {"what": f"A batch of {fact.data['quarantined']} rows was stopped", "why": failed}
    inputs = [] if read is None else [_dataset(read)]
    yield deed.told(_START, inputs, [])
    yield deed.told(_FAIL, inputs, [], errorMessage=facets.error_facet(problem))


def _of_run(known: _Known, fact: Event) -> Iterator[JsonObject]:
    run = known.runs[RunId(fact.subject)]
    verb = fact.kind.partition(".")[2]
    code = trainer_from_json(known.contents[run.recipe.trainer]).code
    deed = _training(known, fact, run, sourceCode=facets.source_code_facet(code.source))
    failed = {"errorMessage": facets.error_facet(run.problem)} if verb == "failed" and run.problem else {}
    yield deed.told(_ENDS[verb], [_version_dataset(known, known.versions[run.data])], [], **failed)


def _of_study(known: _Known, fact: Event) -> Iterator[JsonObject]:
    study = known.studies[StudyId(fact.subject)]
    deed = _searching(known, fact, study)
    yield deed.told(_ENDS[fact.kind.partition(".")[2]], [_version_dataset(known, known.versions[study.data])], [])


def _of_registration(known: _Known, fact: Event) -> Iterator[JsonObject]:
    """Tell that a model version is there: a dataset to others, beside that of its features, which tells of raw columns."""
    made = known.models[fact.subject]
    run = known.runs[made.run] if made.run is not None else None
    parent = None if run is None else _training(known, fact, run)
    deed = _Deed(known, fact, fact.subject, f"model.register.{made.model}", "REGISTRATION", parent=parent)
    inputs: list[JsonObject] = []
    outputs = [_model_dataset(known, made.model, made.number, schema=facets.schema_facet(made.signature.outputs))]
    if made.composition is not None:
        inputs += [_model_dataset(known, part.model, part.version) for part in made.composition.parts]
    elif made.data is not None:
        rows = known.versions[made.data]
        inputs.append(_version_dataset(known, rows))
        if made.pipeline is not None:
            fitted = FittedPipeline.from_json(known.contents[made.pipeline])
            of = dataset_name(known.namespace, rows.name)
            raw = facets.column_lineage_facet(plan(fitted).raw_columns(), of)
            version = facets.version_facet(made.number)
            outputs.append(_dataset(features_name(known.namespace, made.model), version=version, columnLineage=raw))
    yield from deed.at_once(inputs, outputs)


def _of_switch(known: _Known, fact: Event) -> Iterator[JsonObject]:
    """Tell which versions a deployment answers with from now on."""
    number = fact.data["revision"]
    deed = _Deed(known, fact, f"{fact.subject}/{number}", f"deployment.switch.{fact.subject}", "DEPLOYMENT")
    model = known.deployments[fact.subject]
    inputs = [_model_dataset(known, model, route["version"]) for route in fact.data["routes"]]
    output = _dataset(deployment_name(known.namespace, fact.subject), version=facets.version_facet(number))
    yield from deed.at_once(inputs, [output])


def _of_scoring(known: _Known, fact: Event) -> Iterator[JsonObject]:
    """Tell of a batch that is scored: a retried one starts again. One whose payload names no rows failed before it began."""
    if not _is_scoring(fact):
        return
    job = known.jobs[JobId(fact.subject)]
    try:
        request, report = msgspec.convert(job.payload, ScoreRequest), job.result or {}
    except msgspec.ValidationError:
        return
    model = report.get("model", request.model.partition("@")[0])
    deed = _Deed(known, fact, job.id, f"{_SCORE}.{model}", "SCORING")
    inputs = [_model_dataset(known, model, report["version"]) if report else _dataset(model_name(known.namespace, model))]
    if request.source.kind is SourceKind.DATASET:
        name, _, number = request.source.ref.partition("@")
        version = {"version": facets.version_facet(int(number))} if number.isdecimal() else {}
        inputs.append(_dataset(dataset_name(known.namespace, name), **version))
    elif request.source.kind is SourceKind.URL and (read := name_of_url(request.source.ref)) is not None:
        inputs.append(_dataset(read))
    outputs: list[JsonObject] = []
    if request.target.kind is TargetKind.URL and (target := name_of_url(request.target.ref)) is not None:
        written = {"outputFacets": {"outputStatistics": facets.written_facet(report["rows"])}} if report else {}
        outputs.append({**_dataset(target), **written})
    verb = fact.kind.partition(".")[2]
    failed = {"errorMessage": facets.error_facet(fact.data.get("problem", {}))} if verb == "failed" else {}
    yield deed.told(_ENDS[verb], inputs, outputs, **failed)


# Parts of events


@dataclass(frozen=True)
class _Deed:
    """A run of a job, and the fact by which it is told."""

    known: _Known
    fact: Event
    thing: str  # what of ours it is, by id
    job: str
    kind: str
    job_facets: Mapping[str, Json] = field(default_factory=dict)
    parent: "_Deed | None" = None

    @property
    def run(self) -> str:
        return str(uuid5(_RUNS, f"{self.fact.project}/{self.thing}"))

    def told(self, state: str, inputs: Iterable[JsonObject], outputs: Iterable[JsonObject], **run: Json) -> JsonObject:
        """Return the event of one transition."""
        of_run: dict[str, Json] = {"processing_engine": facets.engine_facet(), **run}
        namespace = self.known.namespace
        if self.parent is not None:
            of_run["parent"] = facets.parent_facet(self.parent.run, namespace, self.parent.job)
        of_job = {"jobType": facets.job_type_facet(self.kind), **self.job_facets}
        return {
            "eventType": state,
            "eventTime": to_text(self.fact.at),
            "run": {"runId": self.run, "facets": of_run},
            "job": {"namespace": namespace, "name": self.job, "facets": of_job},
            "inputs": list(inputs),
            "outputs": list(outputs),
            "producer": facets.PRODUCER,
            "schemaURL": facets.EVENT_SCHEMA,
        }

    def at_once(self, inputs: Sequence[JsonObject], outputs: Sequence[JsonObject]) -> list[JsonObject]:
        """Return the events of a run that starts and ends at once."""
        return [self.told(_START, inputs, outputs), self.told(_COMPLETE, inputs, outputs)]


def _training(known: _Known, fact: Event, run: Run, **job: Json) -> _Deed:
    parent = _searching(known, fact, known.studies[run.study]) if run.study is not None else None
    return _Deed(known, fact, run.id, f"run.train.{run.experiment}", "TRAINING", job, parent)


def _searching(known: _Known, fact: Event, study: Study) -> _Deed:
    return _Deed(known, fact, study.id, f"study.search.{study.experiment}", "SEARCH")


def _dataset(name: DatasetName, **its: Json) -> JsonObject:
    return {"namespace": name.namespace, "name": name.name, "facets": its}


def _version_dataset(known: _Known, version: DatasetVersion) -> JsonObject:
    schema, number = facets.schema_facet(version.schema.columns), facets.version_facet(version.number)
    return _dataset(dataset_name(known.namespace, version.name), schema=schema, version=number)


def _model_dataset(known: _Known, model: str, version: int, **its: Json) -> JsonObject:
    return _dataset(model_name(known.namespace, model), version=facets.version_facet(version), **its)


def _parent(known: _Known, kind: str, ref: str) -> JsonObject | None:
    """Return where rows came from; None for what has no name outside."""
    if kind == "dataset_version":
        return _version_dataset(known, known.versions[DatasetVersionId(ref)])
    if kind == "ledger":
        return _dataset(deployment_name(known.namespace, ref.rpartition("/")[2]))
    name = None if kind == "pipeline" else name_of_url(ref)
    return None if name is None else _dataset(name)


def _is_scoring(fact: Event) -> bool:
    return fact.kind.startswith("job.") and fact.data.get("kind") == _SCORE


_TOLD: Final[Mapping[str, Callable[[_Known, Event], Iterator[JsonObject]]]] = MappingProxyType(
    {
        "dataset_version.created": _of_version,
        STOPPED_FACT: _of_stopped,
        "run.started": _of_run,
        "run.finished": _of_run,
        "run.failed": _of_run,
        "run.cancelled": _of_run,
        "study.created": _of_study,
        "study.finished": _of_study,
        "study.failed": _of_study,
        "study.cancelled": _of_study,
        "version.registered": _of_registration,
        "revision.made": _of_switch,
        "job.started": _of_scoring,
        "job.finished": _of_scoring,
        "job.failed": _of_scoring,
        "job.cancelled": _of_scoring,
    }
)
KINDS: Final = tuple(_TOLD)  # of the facts that are told
