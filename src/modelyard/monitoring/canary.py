"""The labelled losses of a rollout, arm by arm and step by step: what the judge weighs."""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from modelyard.core import PageRequest, ProjectId
from modelyard.monitoring.labels import Ports, labelled_rows
from modelyard.monitoring.sequential import Arm, Stratum
from modelyard.serving import Deployment, Rollout, RouteKind
from modelyard.training.metrics import ROW_LOSSES

LONGEST_ROLLOUT = 1000  # revisions looked through
DAY = pl.col("time").dt.date().alias("day")
OF_CLASSIFIERS = ("log_loss", "brier")  # a label outside [0, 1] is none of theirs, and must not weigh in
EARLIER = timedelta(days=2)  # event times may lie before the moment of answering by this much


@dataclass(frozen=True)
class CanaryLosses:
    """What a rollout has shown so far."""

    strata: tuple[Stratum, ...]
    rows_at_step: int  # labelled rows of the canary at the step where it stands


def losses_of(ports: Ports, project: ProjectId, deployment: Deployment, rollout: Rollout) -> CanaryLosses:
    """Return strata by step, day and, of a classifier, by label; rows without a label yet are left out.

    Rows belong to the revision that answered them, so that each stratum has one share of canary. Days are kept apart because
    rows of one day err together, labels because chance gives one arm more of the hard ones: what is compared is then like with
    like, and much less of it is noise. An answer changes no label here, so that taking it into account is fair.
    """
    with ports.transaction() as tx:
        made = tx.deployments.revisions(project, deployment.id, PageRequest(limit=LONGEST_ROLLOUT)).items
    steps = [revision.number for revision in made if revision.cause == rollout.id]
    rows = labelled_rows(ports, project, deployment.name, since=rollout.started_at - EARLIER)
    if not rows.height or not steps:
        return CanaryLosses((), 0)
    # Callers who name a version are no sample, nor are rows at which the canary failed and the live version stood in.
    by_chance = pl.col("revision").is_in(steps) & pl.col("route").is_in([RouteKind.LIVE.value, RouteKind.CANARY.value])
    both = pl.col("label").is_not_null() & pl.col("answer").is_not_null()
    fit = pl.col("label").is_between(0, 1) if deployment.loss in OF_CLASSIFIERS else pl.lit(value=True)
    known = rows.filter(by_chance & both & fit).with_columns(DAY)
    here = (pl.col("revision") == max(steps)) & (pl.col("version") == rollout.candidate)
    classes = known["label"].is_in([0.0, 1.0]).all()
    by = ["revision", "day", "label"] if classes else ["revision", "day"]
    strata = tuple(_stratum(deployment, rollout, part) for part in known.sort(by).partition_by(by, maintain_order=True))
    return CanaryLosses(strata, known.filter(here).height)


def _stratum(deployment: Deployment, rollout: Rollout, rows: pl.DataFrame) -> Stratum:
    canary = pl.col("version") == rollout.candidate
    return Stratum(_arm(deployment, rows.filter(canary)), _arm(deployment, rows.filter(~canary)))


def _arm(deployment: Deployment, rows: pl.DataFrame) -> Arm:
    loss = ROW_LOSSES[deployment.loss]
    return Arm.of(loss(rows["label"].cast(pl.Float64).to_numpy(), rows["answer"].cast(pl.Float64).to_numpy()))
