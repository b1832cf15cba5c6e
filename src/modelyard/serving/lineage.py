"""Lineage through the whole life: source → version → run → model version → deployment → predictions, and back.

"Poison this file: which models, endpoints and predictions?" is the way down from a file; "which rows did model 7 see?" the way
up from a version. A dataset's version holds the rows of those before it, so what was in one is in the later ones too.

Before a source stands what others told of it by OpenLineage (`serving.openlineage`): their jobs and datasets, which are joined
to our sources, files and datasets by their names.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from typing import Protocol

import polars as pl

from modelyard.core import Problem, ProjectId, missing
from modelyard.core.pages import every
from modelyard.data import DatasetVersion, TableStore
from modelyard.data.lineage import Edge, Graph, Node, around
from modelyard.data.reading import newest_first
from modelyard.registry import ModelVersion
from modelyard.serving.ledger import ledger_table
from modelyard.serving.openlineage.naming import DatasetName, dataset_name, name_of_url, own_namespace
from modelyard.serving.openlineage.received import received
from modelyard.serving.store import ServingTransaction
from modelyard.serving.types import Deployment, Revision
from modelyard.tenancy import Actor, authorise
from modelyard.training import Run

STARTS = ("job", "file", "source", "dataset", "run", "model", "deployment", "prediction")


class Ports(Protocol):
    """What lineage needs of the platform."""

    @property
    def lake(self) -> TableStore:
        """The lake."""
        ...

    def transaction(self) -> AbstractContextManager[ServingTransaction]:
        """Open or join a transaction."""
        ...


def lineage(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    of: str,
    *,
    up: bool = True,
    down: bool = True,
    hops: int | None = None,
    column: str | None = None,
) -> Graph:
    """Return what a thing came from and what came of it, as far as `hops` steps (None: all the way).

    Parameters
    ----------
    of
        `file:NAME` (the URL or last part of its name), `source:URL`, `dataset:flights@3`, `run:12`, `model:delay@7`,
        `deployment:delay`, `prediction:ID`; `job:NAMESPACE/NAME` of somebody else's, and `source:NAMESPACE/NAME` what it reads
        or makes.
    column
        Only what this column of raw rows goes through: versions of datasets that have it, and of models that take it.

    Raises
    ------
    Problem
        `lineage.invalid` for another form, `lineage.missing` where there is no such thing.
    """
    authorise(actor, "dataset.read", project)
    kind, colon, ref = of.partition(":")
    if not colon or kind not in STARTS or not ref:
        forms = ", ".join(f"{known}:…" for known in STARTS)
        raise Problem("lineage.invalid", f"{of[:200]!r} names nothing that has a lineage", f"it is one of {forms}")
    with ports.transaction() as tx:
        whole = _Whole(ports, tx, project, column)
    if kind == "prediction":
        whole.add_prediction(ref)
    start = whole.start(kind, ref)
    found = around(start, whole.nodes, whole.edges, up=up, down=down, hops=hops)
    return whole.with_predictions(found) if down and hops is None else found


class _Whole:
    """All that a project holds, as a graph."""

    def __init__(self, ports: Ports, tx: ServingTransaction, project: ProjectId, column: str | None) -> None:
        self._lake = ports.lake
        self._project = project
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self._served: dict[str, tuple[str, int]] = {}  # id of a model version → model and number
        self._newest: dict[str, str] = {}  # dataset → id of its version that was looked at last
        for version in reversed(list(newest_first(tx, project))):
            if column is None or any(one.name == column for one in version.schema.columns):
                self._add_dataset_version(version)
        for run in every(partial(tx.runs.find, project)):
            self._add_run(run)
        for model in tx.models.find(project):
            for made in every(partial(tx.models.versions, project, model.name)):
                if column is None or any(one.name == column for one in made.row):
                    self._add_model_version(made)
        for deployment in tx.deployments.find(project):
            self._add_deployment(deployment, every(partial(tx.deployments.revisions, project, deployment.id)))
        self._add_received(tx)
        self._drop_loose_ends()

    def start(self, kind: str, ref: str) -> str:
        """Return the id of the node that a person means."""
        known = [node for node in self.nodes.values() if node.kind in _KINDS[kind]]
        for node in known:
            number = node.told.rpartition(" ")[2] if kind == "run" else node.told
            if ref in (node.id, node.told, node.told.replace(" v", "@"), number, node.id.partition(":")[2]):
                return node.id
        if kind == "dataset" and "@" not in ref:
            newest = [node for node in known if node.told.rpartition(" v")[0] == ref]
            if newest:
                return newest[-1].id
        raise missing("lineage", ref[:200], [node.told for node in known], f"yard lineage show {kind}:…")

    def add_prediction(self, ref: str) -> None:
        """Add the prediction with this id, if a ledger holds it."""
        for node in [one for one in self.nodes.values() if one.kind == "deployment"]:
            name = node.id.partition(":")[2]
            if self._lake.version(self._project, ledger_table(name)) is None:
                continue
            rows = self._lake.scan(self._project, ledger_table(name)).filter(pl.col("id") == ref)
            found = rows.select("model", "version", "answered_at").head(1).collect()
            if found.height:
                model, version, at = found.row(0)
                self._node(f"prediction:{ref}", "prediction", ref, at)
                self._edge(_id_of(model, version), f"prediction:{ref}")
                return

    def with_predictions(self, found: Graph) -> Graph:
        """Return the graph with how many answers each of its model versions gave in each of its deployments."""
        nodes, edges = list(found.nodes), list(found.edges)
        reached = {node.id for node in nodes}
        for edge in found.edges:
            target = self.nodes[edge.target]
            if target.kind != "deployment" or edge.source not in self._served or edge.source not in reached:
                continue
            name = target.id.partition(":")[2]
            told = self._answered(name, *self._served[edge.source])
            if told is not None:
                count, until = told
                id_ = f"predictions:{name}:{edge.source}"
                nodes.append(Node(id_, "predictions", f"{count:,} by {self.nodes[edge.source].told} in {name}", until))
                edges.append(Edge(edge.target, id_))
        return Graph(tuple(nodes), tuple(edges))

    def _answered(self, deployment: str, model: str, version: int) -> tuple[int, datetime] | None:
        """Return how many rows a version answered in a deployment, and when the last one."""
        if self._lake.version(self._project, ledger_table(deployment)) is None:
            return None
        rows = self._lake.scan(self._project, ledger_table(deployment))
        mine = rows.filter(pl.col("model") == model, pl.col("version") == version)
        count, last = mine.select(pl.len().alias("count"), pl.col("answered_at").max()).collect().row(0)
        return (count, last) if count else None

    def _add_dataset_version(self, version: DatasetVersion) -> None:
        self._node(version.id, "dataset_version", f"{version.name} v{version.number}", version.created_at)
        for parent in version.parents:
            if parent.ref not in self.nodes:
                self._node(parent.ref, parent.kind, parent.told or parent.ref)
            self._edge(parent.ref, version.id)
        before = self._newest.get(version.dataset)
        if before is not None and not version.whole:
            self._edge(before, version.id)
        self._newest[version.dataset] = version.id

    def _add_run(self, run: Run) -> None:
        self._node(run.id, "run", f"{run.experiment} {run.number}", run.created_at)
        for data in dict.fromkeys((run.data, *run.features)):
            self._edge(data, run.id)

    def _add_model_version(self, made: ModelVersion) -> None:
        id_ = _id_of(made.model, made.number)
        self._served[id_] = made.model, made.number
        self._node(id_, "model_version", f"{made.model}@{made.number}", made.created_at)
        if made.run is not None:
            self._edge(made.run, id_)
        elif made.data is not None:
            self._edge(made.data, id_)
        for part in made.composition.parts if made.composition is not None else ():
            self._edge(_id_of(part.model, part.version), id_)

    def _add_deployment(self, deployment: Deployment, revisions: Iterable[Revision]) -> None:
        id_ = f"deployment:{deployment.name}"
        self._node(id_, "deployment", deployment.name, deployment.created_at)
        for version in sorted({route.version for revision in revisions for route in revision.routes}):
            self._edge(_id_of(deployment.model, version), id_)

    def _add_received(self, tx: ServingTransaction) -> None:
        """Add what others told of their jobs. A dataset of theirs that is ours, or a folder of ours, is joined to it."""
        told = list(received(tx, self._project))
        if not told:
            return
        ours = self._own_names(own_namespace(tx, self._project))
        theirs: dict[DatasetName, str] = {}
        for one in told:
            for name in (*one.inputs, *one.outputs):
                if name not in theirs:
                    theirs[name] = ours.get(name) or f"external_dataset:{name.namespace}/{name.name}"
                    if name not in ours:
                        self._node(theirs[name], "external_dataset", name.name, one.at)
            if one.job is None:
                continue
            job = f"external_job:{one.job.namespace}/{one.job.name}"
            if job not in self.nodes:
                self._node(job, "external_job", one.job.name, one.at)
            for name in one.inputs:
                self._edge(theirs[name], job)
            for name in one.outputs:
                self._edge(job, theirs[name])
        for name, id_ in ours.items():
            for folder in name.folders():
                if folder in theirs and folder not in ours:
                    self._edge(theirs[folder], id_)

    def _own_names(self, namespace: str) -> dict[DatasetName, str]:
        """Return the ids of our sources and files, and of the newest version of each dataset, by the names that others use."""
        found: dict[DatasetName, str] = {}
        for node in self.nodes.values():
            if node.kind in ("source", "file") and (name := name_of_url(node.id)) is not None:
                found[name] = node.id
            elif node.kind == "dataset_version":  # they stand in order, the newest last
                found[dataset_name(namespace, node.told.rpartition(" v")[0])] = node.id
        return found

    def _node(self, id_: str, kind: str, told: str, at: datetime | None = None) -> None:
        self.nodes[id_] = Node(id_, kind, told, at)

    def _edge(self, source: str, target: str) -> None:
        self.edges.append(Edge(source, target))

    def _drop_loose_ends(self) -> None:
        """Leave out edges to what does not go through the column, or is not recorded any more."""
        self.edges = [edge for edge in self.edges if edge.source in self.nodes and edge.target in self.nodes]


_KINDS = {
    "file": ("file", "source"),
    "job": ("external_job",),
    "source": ("source", "file", "ledger", "external_dataset"),
    "dataset": ("dataset_version",),
    "run": ("run",),
    "model": ("model_version",),
    "deployment": ("deployment",),
    "prediction": ("prediction",),
}


def _id_of(model: str, version: int) -> str:
    return f"model_version:{model}@{version}"
