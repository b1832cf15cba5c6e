"""The labelled losses of a rollout, arm by arm and step by step: what the judge weighs."""

from datetime import timedelta

import polars as pl

from modelyard.core import PageRequest, ProjectId
from modelyard.monitoring.labels import Ports, labelled_rows
from modelyard.monitoring.sequential import Arm, Stratum
from modelyard.serving import Deployment, Rollout
from modelyard.training.metrics import ROW_LOSSES

LONGEST_ROLLOUT = 1000  # revisions looked through
EARLIER = timedelta(days=2)  # event times may lie before the moment of answering by this much


def strata_of(ports: Ports, project: ProjectId, deployment: Deployment, rollout: Rollout) -> list[Stratum]:
    """Return one stratum for each step of the rollout, in order; rows without a label yet are left out.

    Rows belong to the revision that answered them, whatever their event time, so that each stratum has one share of canary.
    """
    with ports.transaction() as tx:
        made = tx.deployments.revisions(project, deployment.id, PageRequest(limit=LONGEST_ROLLOUT)).items
    steps = sorted(revision.number for revision in made if revision.cause == rollout.id)
    rows = labelled_rows(ports, project, deployment.name, since=rollout.started_at - EARLIER)
    if not rows.height or not steps:
        return []
    known = rows.filter(pl.col("label").is_not_null())
    return [_stratum(deployment, rollout, known.filter(pl.col("revision") == step)) for step in steps]


def _stratum(deployment: Deployment, rollout: Rollout, rows: pl.DataFrame) -> Stratum:
    canary = pl.col("version") == rollout.candidate
    return Stratum(_arm(deployment, rows.filter(canary)), _arm(deployment, rows.filter(~canary)))


def _arm(deployment: Deployment, rows: pl.DataFrame) -> Arm:
    loss = ROW_LOSSES[deployment.loss]
    return Arm.of(loss(rows["label"].cast(pl.Float64).to_numpy(), rows["answer"].cast(pl.Float64).to_numpy()))
