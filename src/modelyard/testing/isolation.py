"""The wall between projects: what each verb of each store may see and change from the outside, which is nothing.

The two tables name every verb that takes a project; a test compares them with the ports, so that a new verb cannot be left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature

import pytest

from modelyard.core import Page, PageRequest, Problem, ProblemKind, ProjectId
from modelyard.data import Dataset, DatasetId, DatasetStore, DatasetVersion
from modelyard.events import EventStore, Fact
from modelyard.jobs import Job, JobState, JobStore, Schedule
from modelyard.monitoring import Alert, Monitor, MonitorId, MonitorStore, QueuedRow, Window
from modelyard.prepare import PipelineStore, PipelineVersion
from modelyard.reactions import (
    ActionKind,
    Decision,
    Metadata,
    Policy,
    PolicyId,
    PolicyStore,
    ReactionTransaction,
)
from modelyard.registry import Alias, Approval, Model, ModelId, ModelStore, ModelVersion
from modelyard.serving import Deployment, DeploymentId, DeploymentStore, Revision, Rollout
from modelyard.testing import examples
from modelyard.testing.examples import ANN, CHURN, FLIGHTS, NOON
from modelyard.testing.metadata import StoreContract
from modelyard.training import MetricPoint, Run, RunStore, Study

STORES: Mapping[str, type] = {
    "events": EventStore,
    "jobs": JobStore,
    "datasets": DatasetStore,
    "pipelines": PipelineStore,
    "runs": RunStore,
    "models": ModelStore,
    "deployments": DeploymentStore,
    "monitors": MonitorStore,
    "policies": PolicyStore,
}
EMPTY = ProjectId("project_empty")
PAGE = PageRequest()


@dataclass(frozen=True)
class Things:
    """One of everything, with ids that no other project has and names that every project has."""

    of: ProjectId
    number: int
    job: Job
    schedule: Schedule
    dataset: Dataset
    version: DatasetVersion
    pipeline: PipelineVersion
    run: Run
    study: Study
    point: MetricPoint
    model: Model
    model_version: ModelVersion
    alias: Alias
    approval: Approval
    deployment: Deployment
    revision: Revision
    rollout: Rollout
    monitor: Monitor
    window: Window
    alert: Alert
    queued: QueuedRow
    policy: Policy
    decision: Decision
    fence: int = 0


def things_of(of: ProjectId, number: int) -> Things:
    """Return a project's things; `number` makes their ids."""
    dataset, deployment = DatasetId(f"dataset_{number}"), DeploymentId(f"deployment_{number}")
    monitor = MonitorId(f"monitor_{number}")
    return Things(
        of=of,
        number=number,
        job=examples.job(number, of),
        schedule=examples.schedule(of=of),
        dataset=replace(examples.dataset(of=of), id=dataset),
        version=replace(examples.dataset_version(number, of), dataset=dataset),
        pipeline=examples.pipeline_version(number, of),
        run=examples.run(number, of),
        study=examples.study(number, of),
        point=MetricPoint("loss", number, number / 7, NOON),
        model=replace(examples.model(of=of), id=ModelId(f"model_{number}")),
        model_version=examples.model_version(1, of),
        alias=examples.alias(of=of),
        approval=examples.approval(of=of),
        deployment=replace(examples.deployment(of=of), id=deployment),
        revision=replace(examples.revision(number), deployment=deployment),
        rollout=replace(examples.rollout(number, of), deployment=deployment),
        monitor=replace(examples.monitor(of=of), id=monitor),
        window=replace(examples.window(1, of), monitor=monitor),
        alert=replace(examples.alert(number, of), monitor=monitor),
        queued=examples.queued_row(number, of),
        policy=replace(examples.policy(of=of), id=PolicyId(f"policy_{number}")),
        decision=examples.decision(number, of, action=ActionKind.RETRAIN),
    )


Verb = Callable[[ReactionTransaction, ProjectId, Things], object]

READS: Mapping[str, Verb] = {
    "events.read": lambda tx, project, its: tx.events.read(project),
    "events.cursor": lambda tx, project, its: tx.events.cursor(project, "follower"),
    "jobs.get": lambda tx, project, its: tx.jobs.get(project, [its.job.id]),
    "jobs.find": lambda tx, project, its: tx.jobs.find(project, PAGE),
    "jobs.logs": lambda tx, project, its: tx.jobs.logs(project, its.job.id),
    "jobs.schedules": lambda tx, project, its: tx.jobs.schedules(project),
    "datasets.find": lambda tx, project, its: tx.datasets.find(project),
    "datasets.get_versions": lambda tx, project, its: tx.datasets.get_versions(project, [its.version.id]),
    "datasets.versions": lambda tx, project, its: tx.datasets.versions(project, PAGE, name="weather"),
    "pipelines.newest": lambda tx, project, its: tx.pipelines.newest(project),
    "pipelines.get": lambda tx, project, its: tx.pipelines.get(project, [(its.pipeline.name, its.pipeline.number)]),
    "pipelines.versions": lambda tx, project, its: tx.pipelines.versions(project, its.pipeline.name, PAGE),
    "runs.next_number": lambda tx, project, its: tx.runs.next_number(project) - 1,
    "runs.get": lambda tx, project, its: tx.runs.get(project, [its.run.id]),
    "runs.find": lambda tx, project, its: tx.runs.find(project, PAGE, sort="loss", where=[("log_loss", ">", 0)]),
    "runs.points": lambda tx, project, its: tx.runs.points(project, [its.run.id], "loss")[its.run.id],
    "runs.get_studies": lambda tx, project, its: tx.runs.get_studies(project, [its.study.id]),
    "runs.studies": lambda tx, project, its: tx.runs.studies(project, PAGE),
    "models.find": lambda tx, project, its: tx.models.find(project),
    "models.get_versions": lambda tx, project, its: tx.models.get_versions(project, "delay", [1]),
    "models.versions": lambda tx, project, its: tx.models.versions(project, "delay", PAGE),
    "models.aliases": lambda tx, project, its: tx.models.aliases(project, "delay"),
    "models.approvals": lambda tx, project, its: tx.models.approvals(project, "delay", 1),
    "deployments.find": lambda tx, project, its: tx.deployments.find(project),
    "deployments.latest_revisions": lambda tx, project, its: tx.deployments.latest_revisions(project),
    "deployments.revisions": lambda tx, project, its: tx.deployments.revisions(project, its.deployment.id, PAGE),
    "deployments.get_rollouts": lambda tx, project, its: tx.deployments.get_rollouts(project, [its.rollout.id]),
    "deployments.rollouts": lambda tx, project, its: tx.deployments.rollouts(project, PAGE, deployment=its.deployment.id),
    "monitors.find": lambda tx, project, its: tx.monitors.find(project),
    "monitors.windows": lambda tx, project, its: tx.monitors.windows(project, its.monitor.id, PAGE),
    "monitors.get_alerts": lambda tx, project, its: tx.monitors.get_alerts(project, [its.alert.id]),
    "monitors.alerts": lambda tx, project, its: tx.monitors.alerts(project, PAGE, monitor=its.monitor.id),
    "monitors.queued": lambda tx, project, its: tx.monitors.queued(project, its.queued.deployment),
    "policies.find": lambda tx, project, its: tx.policies.find(project),
    "policies.get_decisions": lambda tx, project, its: tx.policies.get_decisions(project, [its.decision.id]),
    "policies.decisions": lambda tx, project, its: tx.policies.decisions(project, PAGE, deployment="delay"),
}

# In the order in which `fill` makes things: what something belongs to goes before it. `save` verbs change what is there.
WRITES: Mapping[str, Verb] = {
    "events.add": lambda tx, project, its: tx.events.add(project, [Fact("a.b", f"{its.number}")], actor=ANN, at=NOON),
    "events.advance": lambda tx, project, its: tx.events.advance(project, "follower", its.number),
    "jobs.add": lambda tx, project, its: tx.jobs.add(project, [its.job]),
    "jobs.log": lambda tx, project, its: tx.jobs.log(project, its.job.id, [(NOON, "stdout", f"line of {its.number}")]),
    "jobs.save_schedules": lambda tx, project, its: tx.jobs.save_schedules(project, [its.schedule]),
    "datasets.add": lambda tx, project, its: tx.datasets.add(project, [its.dataset]),
    "datasets.save": lambda tx, project, its: tx.datasets.save(project, [replace(its.dataset, source=f"file:///{project}")]),
    "datasets.add_versions": lambda tx, project, its: tx.datasets.add_versions(project, [its.version]),
    "pipelines.add": lambda tx, project, its: tx.pipelines.add(project, [its.pipeline]),
    "datasets.save_versions": lambda tx, project, its: tx.datasets.save_versions(
        project, [replace(its.version, note=f"in {project}")]
    ),
    "runs.add": lambda tx, project, its: tx.runs.add(project, [its.run]),
    "runs.save": lambda tx, project, its: tx.runs.save(project, [replace(its.run, experiment=f"in {project}")]),
    "runs.log": lambda tx, project, its: tx.runs.log(project, its.run.id, [its.point]),
    "runs.add_studies": lambda tx, project, its: tx.runs.add_studies(project, [its.study]),
    "runs.save_studies": lambda tx, project, its: tx.runs.save_studies(project, [replace(its.study, metric=f"in {project}")]),
    "models.add": lambda tx, project, its: tx.models.add(project, [its.model]),
    "models.add_versions": lambda tx, project, its: tx.models.add_versions(project, [its.model_version]),
    "models.save_versions": lambda tx, project, its: tx.models.save_versions(
        project, [replace(its.model_version, note=f"in {project}")]
    ),
    "models.save_aliases": lambda tx, project, its: tx.models.save_aliases(
        project, [replace(its.alias, moved_by=f"in {project}")]
    ),
    "models.add_approvals": lambda tx, project, its: tx.models.add_approvals(project, [its.approval]),
    "deployments.add": lambda tx, project, its: tx.deployments.add(project, [its.deployment]),
    "deployments.save": lambda tx, project, its: tx.deployments.save(project, [replace(its.deployment, time=f"in {project}")]),
    "deployments.add_revisions": lambda tx, project, its: tx.deployments.add_revisions(project, [its.revision]),
    "deployments.save_rollouts": lambda tx, project, its: tx.deployments.save_rollouts(
        project, [replace(its.rollout, cause=f"in {project}")]
    ),
    "monitors.add": lambda tx, project, its: tx.monitors.add(project, [its.monitor]),
    "monitors.save": lambda tx, project, its: tx.monitors.save(project, [replace(its.monitor, state={"in": project})]),
    "monitors.add_windows": lambda tx, project, its: tx.monitors.add_windows(project, [its.window]),
    "monitors.add_alerts": lambda tx, project, its: tx.monitors.add_alerts(project, [its.alert]),
    "monitors.add_queued": lambda tx, project, its: tx.monitors.add_queued(project, [its.queued]),
    "policies.save": lambda tx, project, its: tx.policies.save(project, [replace(its.policy, created_by=f"in {project}")]),
    "policies.add_decisions": lambda tx, project, its: tx.policies.add_decisions(project, [its.decision]),
    "policies.save_decisions": lambda tx, project, its: tx.policies.save_decisions(
        project, [replace(its.decision, undone_by=f"in {project}")]
    ),
}
LEASED: Mapping[str, Verb] = {
    "jobs.heartbeat": lambda tx, project, its: tx.jobs.heartbeat(project, its.job.id, its.fence, lease_s=999_999),
    "jobs.close": lambda tx, project, its: tx.jobs.close(project, its.job.id, its.fence, JobState.FAILED, at=NOON),
    "jobs.request_cancel": lambda tx, project, its: tx.jobs.request_cancel(project, [its.job.id], at=NOON),
    "jobs.requeue": lambda tx, project, its: tx.jobs.requeue(project, [its.job.id]),
}
# But for facts, revisions, points and lines, which name none.
NAMES_ITS_PROJECT = [
    name
    for name in WRITES
    if name.partition(".")[2].startswith(("add", "save")) and name not in ("events.add", "deployments.add_revisions")
]


def fill(metadata: Metadata, project: ProjectId, number: int) -> Things:
    """Put one of everything into a project, with a lease on its job, and return what was put."""
    things = things_of(project, number)
    with metadata.transaction() as tx:
        for write in WRITES.values():
            write(tx, project, things)
        lease = tx.jobs.lease("worker", lease_s=600, projects=[project], at=NOON)
        assert lease is not None
    return replace(things, fence=lease.fence)


def look(metadata: Metadata, project: ProjectId, things: Things) -> dict[str, object]:
    """Return what each verb that reads says of a project, asked for these things."""
    with metadata.transaction() as tx:
        return {name: read(tx, project, things) for name, read in READS.items()}


def is_nothing(answer: object) -> bool:
    """Return whether an answer holds no thing."""
    return not (answer.items if isinstance(answer, Page) else answer)


class IsolationContract(StoreContract):
    """Two full projects and an empty one: none is seen or changed from another."""

    def test_every_verb_that_takes_a_project_is_tried(self) -> None:
        verbs = {f"{name}.{verb}" for name, store in STORES.items() for verb in public_verbs(store)}
        everywhere = {"jobs.lease", "jobs.lapse"}  # a worker's, tried below
        assert verbs - everywhere == {*READS, *WRITES, *LEASED}
        assert all(next(iter(verb_parameters(name))) == "project" for name in verbs - everywhere)

    def test_a_project_reads_the_same_whatever_is_in_another(self, metadata: Metadata) -> None:
        ours = fill(metadata, CHURN, 501)
        alone = look(metadata, CHURN, ours)
        assert [name for name, answer in alone.items() if is_nothing(answer)] == []
        fill(metadata, FLIGHTS, 1)
        fill(metadata, ProjectId("project_zoo"), 901)
        assert look(metadata, CHURN, ours) == alone

    def test_what_is_elsewhere_cannot_be_read(self, metadata: Metadata, subtests: pytest.Subtests) -> None:
        theirs = fill(metadata, FLIGHTS, 7)
        for name, read in READS.items():
            with subtests.test(name), metadata.transaction() as tx:
                try:
                    answer = read(tx, EMPTY, theirs)
                except Problem as problem:
                    assert problem.kind is ProblemKind.MISSING
                else:
                    assert is_nothing(answer)

    def test_what_is_elsewhere_cannot_be_written(self, metadata: Metadata, subtests: pytest.Subtests) -> None:
        """Foreign things as they are, and such that claim to be ours, from a project with the same names and an empty one."""
        theirs = fill(metadata, FLIGHTS, 7)
        fill(metadata, CHURN, 501)
        before = look(metadata, FLIGHTS, theirs)
        for name, write in (*WRITES.items(), *LEASED.items()):
            with subtests.test(name):
                for project in (CHURN, EMPTY):
                    for claimed in (theirs, replace(things_of(project, theirs.number), fence=theirs.fence)):
                        attempt(metadata, write, project, claimed)
                assert look(metadata, FLIGHTS, theirs) == before

    def test_what_says_that_it_is_of_another_project_is_refused(self, metadata: Metadata, subtests: pytest.Subtests) -> None:
        theirs = things_of(FLIGHTS, 7)
        for name in NAMES_ITS_PROJECT:
            with subtests.test(name):
                problems = [attempt(metadata, WRITES[name], project, theirs) for project in (CHURN, EMPTY)]
                assert [problem and problem.kind for problem in problems] == [ProblemKind.MISSING] * 2

    def test_a_foreign_lease_is_worth_nothing(self, metadata: Metadata, subtests: pytest.Subtests) -> None:
        theirs = fill(metadata, FLIGHTS, 7)
        for name, use in LEASED.items():
            with subtests.test(name):
                problem = attempt(metadata, use, CHURN, theirs)
                assert problem is not None
                assert problem.code in ("lease.conflict", "job.missing")

    def test_a_worker_of_some_projects_gets_no_job_of_others(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.jobs.add(FLIGHTS, [examples.job(1)])
            assert tx.jobs.lease("worker", lease_s=600, projects=[CHURN, EMPTY]) is None
            lease = tx.jobs.lease("worker", lease_s=600)
        assert lease is not None
        assert lease.job.project == FLIGHTS


def attempt(metadata: Metadata, write: Verb, project: ProjectId, things: Things) -> Problem | None:
    """Try a write in a transaction of its own, and return the problem it met."""
    try:
        with metadata.transaction() as tx:
            write(tx, project, things)
    except Problem as problem:
        return problem
    return None


def public_verbs(store: type) -> Sequence[str]:
    """Return the verbs of a port."""
    return [name for name in vars(store) if not name.startswith("_")]


def verb_parameters(name: str) -> list[str]:
    """Return the parameters of a verb, without `self`."""
    store, _, verb = name.partition(".")
    return list(signature(getattr(STORES[store], verb)).parameters)[1:]
