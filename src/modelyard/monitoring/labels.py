"""Labels: kept as they come, joined to the ledger by prediction id whenever they are read.

The truth of a prediction is its label received last. A label sent twice counts once; one that comes before its prediction
waits.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from math import isfinite
from typing import Protocol

import polars as pl

from modelyard.core import Clock, IdMaker, ObjectStore, Problem, ProjectId
from modelyard.data import Stretch, TableStore
from modelyard.events import Fact
from modelyard.monitoring.store import MonitoringTransaction
from modelyard.monitoring.types import Label, QueueState
from modelyard.serving.ledger import read_ledger
from modelyard.serving.service import get_deployment
from modelyard.tenancy import Actor, authorise

BEFORE_PREDICTION = timedelta(days=30)  # a label may come in before the time of its prediction, but not by more than this
SCHEMA: dict[str, pl.DataType] = {
    "prediction": pl.String(),
    "value": pl.Float64(),
    "time": pl.Datetime("us", "UTC"),
    "received_at": pl.Datetime("us", "UTC"),
}


class Ports(Protocol):
    """What labels need of the platform."""

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        ...

    @property
    def ids(self) -> IdMaker:
        """The maker of ids."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """The object store."""
        ...

    @property
    def lake(self) -> TableStore:
        """The lake."""
        ...

    def transaction(self) -> AbstractContextManager[MonitoringTransaction]:
        """Open or join a transaction."""
        ...


def label_table(deployment: str) -> str:
    """Return the lake table of a deployment's labels."""
    return f"labels/{deployment}"


def add_labels(ports: Ports, actor: Actor, project: ProjectId, deployment: str, labels: Sequence[Label]) -> int:
    """Keep labels and return how many; late ones, repeated ones and ones out of order are all welcome.

    Raises
    ------
    Problem
        `label.invalid` for a value that is not finite or an empty prediction id; none of the batch is kept then.
    """
    authorise(actor, "label.write", project)
    get_deployment(ports, actor, project, deployment)
    for row, label in enumerate(labels):
        if not label.prediction or not isfinite(label.value):
            raise Problem(
                "label.invalid",
                f"Label {row} cannot be kept",
                "its prediction id is empty" if not label.prediction else f"its value is {label.value}",
                "send the id that the answer carried, and a finite number",
                {"row": row},
            )
    if not labels:
        return 0
    columns = {name: [getattr(label, name) for label in labels] for name in SCHEMA}
    commit = ports.ids("labels")
    ports.lake.append(project, label_table(deployment), pl.DataFrame(columns, schema=SCHEMA), commit=commit)
    with ports.transaction() as tx:
        settle(tx, project, deployment, {label.prediction for label in labels}, ports.clock())
        fact = Fact("labels.added", deployment, {"labels": len(labels)})
        tx.events.add(project, [fact], actor=actor.member, at=ports.clock())
    return len(labels)


def settle(tx: MonitoringTransaction, project: ProjectId, deployment: str, predictions: Collection[str], now: datetime) -> None:
    """Take predictions out of the queue of labels, whoever labelled them."""
    known = tx.monitors.queued(project, deployment, states=[QueueState.OPEN])
    done = [replace(one, state=QueueState.LABELLED, ended_at=now) for one in known if one.prediction in predictions]
    tx.monitors.add_queued(project, done)


def read_labels(ports: Ports, project: ProjectId, deployment: str, *, since: datetime | None = None) -> pl.LazyFrame:
    """Return one row a prediction: its label received last; those received before `since` may be missing."""
    try:
        found = ports.lake.scan(project, label_table(deployment), within=Stretch("received_at", since)).select(*SCHEMA)
    except Problem as problem:
        if problem.code != "table.missing":
            raise
        return pl.LazyFrame(schema=SCHEMA)
    return found.sort("received_at", "time", "value").unique("prediction", keep="last", maintain_order=False)


def labelled_rows(
    ports: Ports, project: ProjectId, deployment: str, *, since: datetime | None = None, until: datetime | None = None
) -> pl.DataFrame:
    """Return the ledger's rows of [since, until) with `answer` and `label` (null: not known yet), by event time and id.

    A prediction that was asked for again under its id counts once, with its first answer: labels are of predictions.
    """
    earliest = None if since is None else since - BEFORE_PREDICTION
    ledger = read_ledger(ports, project, deployment, since=since, until=until)
    labels = read_labels(ports, project, deployment, since=earliest).select(
        pl.col("prediction").alias("id"), pl.col("value").alias("label"), pl.col("time").alias("label_time")
    )
    first = ledger.sort("answered_at", "version").unique("id", keep="first")
    return first.join(labels, on="id", how="left").sort("time", "id").collect()
