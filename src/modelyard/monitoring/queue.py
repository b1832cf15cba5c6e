"""The queue of labels: which predictions people are asked the truth about, and who is asked.

Asking holds the rows for whoever asked, so that two people never get the same ones. What comes back is a label like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from modelyard.core import Problem, ProjectId
from modelyard.data.split import salted_hash
from modelyard.events import Fact
from modelyard.monitoring.canary import OF_CLASSIFIERS
from modelyard.monitoring.labels import Ports, labelled_rows
from modelyard.monitoring.types import QueuedRow, QueueReason, QueueState
from modelyard.serving import Deployment
from modelyard.serving.ledger import INPUT_PREFIX, read_shadows
from modelyard.serving.service import get_deployment
from modelyard.tenancy import Actor, authorise

MOST_ROWS = 10_000
HOLD = timedelta(days=7)
MOST_HOLD = timedelta(days=366)
_SALT = "label queue"  # a split by the same hash shall not fall with the rows drawn
_MIDDLE = 0.5


@dataclass(frozen=True)
class Wish:
    """Which rows somebody asks for."""

    rows: int = 200
    by: QueueReason = QueueReason.UNCERTAIN
    random_share: float = 0.2  # of the rows; drawn from all, whatever `by` says
    since: datetime | None = None  # event time; None: all
    hold_s: int = int(HOLD.total_seconds())


def ask(ports: Ports, actor: Actor, project: ProjectId, name: str, wish: Wish) -> pl.DataFrame:
    """Return predictions without a label, the ones that teach most, and hold them for the actor.

    Columns: `id`, `time`, `version`, `answer`, `reason`, `score`, and the inputs as `input.NAME`. Rows that are held or were
    skipped are left out, and of rows with the same inputs all but the first. Asked again, an actor gets other rows until the
    hold ends.

    Raises
    ------
    Problem
        `queue.invalid` for numbers out of range; `queue.refused` where nothing tells which answers are uncertain or disputed.
    """
    authorise(actor, "label.write", project)
    deployment = get_deployment(ports, actor, project, name)
    _check(wish)
    now = ports.clock()
    rows = labelled_rows(ports, project, deployment.name, since=wish.since)
    inputs = [column for column in rows.columns if column.startswith(INPUT_PREFIX)]
    rows = rows.filter(pl.col("label").is_null() & pl.col("answer").is_not_null()).select(
        "id", "time", "version", "answer", *inputs
    )
    rows = rows.unique(inputs or ["id"], keep="first", maintain_order=True)
    scored = rows.join(_scores(ports, project, deployment, wish, rows), on="id", how="left", maintain_order="left")
    with ports.transaction() as tx:
        known = tx.monitors.queued(project, deployment.name)
        taken = [one.prediction for one in known if one.state is not QueueState.OPEN or one.held_until > now]
        chosen = choose(scored.filter(~pl.col("id").is_in(taken)), wish)
        held = now + timedelta(seconds=wish.hold_s)
        queued = [
            QueuedRow(project, deployment.name, id_, QueueReason(reason), score, QueueState.OPEN, actor.member, held, now)
            for id_, reason, score in chosen.select("id", "reason", "score").iter_rows()
        ]
        tx.monitors.add_queued(project, queued)
        fact = Fact("labels.asked", deployment.name, {"rows": len(queued), "by": wish.by.value})
        tx.events.add(project, [fact] if queued else [], actor=actor.member, at=now)
    return chosen.select("id", "time", "version", "answer", "reason", "score", *inputs)


def choose(rows: pl.DataFrame, wish: Wish) -> pl.DataFrame:
    """Return the rows to ask about, by time, with their `reason`; those drawn at random are drawn first, from all.

    Parameters
    ----------
    rows
        `id`, `time`, `score` (null: nothing tells) and others.
    """
    at_random = wish.rows if wish.by is QueueReason.RANDOM else round(wish.rows * wish.random_share)
    hashes = pl.Series("hash", salted_hash(rows.select("id"), _SALT) if rows.height else [], dtype=pl.UInt64)
    drawn = rows.with_columns(hashes).sort("hash").drop("hash").head(at_random)
    rest = rows.join(drawn.select("id"), on="id", how="anti", maintain_order="left").drop_nulls("score")
    best = rest.sort("score", "id", descending=[True, False]).head(wish.rows - drawn.height)
    random = drawn.with_columns(reason=pl.lit(QueueReason.RANDOM.value), score=pl.col("score").fill_null(0.0))
    return pl.concat([random, best.with_columns(reason=pl.lit(wish.by.value))]).sort("time", "id")


def skip(ports: Ports, actor: Actor, project: ProjectId, name: str, predictions: Sequence[str]) -> int:
    """Say that one cannot tell the truth about predictions that one was asked about; nobody is asked again. Return how many.

    Problem `queue.missing` for one that waits for no label.
    """
    authorise(actor, "label.write", project)
    get_deployment(ports, actor, project, name)
    now = ports.clock()
    with ports.transaction() as tx:
        waiting = {one.prediction: one for one in tx.monitors.queued(project, name, states=[QueueState.OPEN])}
        for prediction in predictions:
            if prediction not in waiting:
                why = "it was labelled or skipped, or nobody was asked about it"
                raise Problem(
                    "queue.missing", f"The prediction {prediction[:200]} waits for no label", why, "ask for rows again"
                )
        ended = [replace(waiting[one], state=QueueState.SKIPPED, ended_at=now) for one in dict.fromkeys(predictions)]
        tx.monitors.add_queued(project, ended)
    return len(ended)


def find_queued(ports: Ports, actor: Actor, project: ProjectId, name: str) -> list[QueuedRow]:
    """Return all rows of a deployment's queue, by prediction."""
    authorise(actor, "monitor.read", project)
    get_deployment(ports, actor, project, name)
    with ports.transaction() as tx:
        return tx.monitors.queued(project, name)


def _scores(ports: Ports, project: ProjectId, deployment: Deployment, wish: Wish, rows: pl.DataFrame) -> pl.DataFrame:
    """Return `id` and `score`: the higher, the more is learnt from the row's label."""
    classifies = deployment.loss in OF_CLASSIFIERS
    if wish.by is QueueReason.RANDOM or (wish.by is QueueReason.UNCERTAIN and classifies):
        close = 1 - (pl.col("answer") - _MIDDLE).abs() / _MIDDLE
        return rows.select("id", score=close.clip(0, 1) if classifies else pl.lit(None, dtype=pl.Float64))
    beside = read_shadows(ports, project, deployment.name, wish.since).select("id", pl.col("answer").alias("other"))
    met = rows.lazy().select("id", "answer").join(beside.drop_nulls(), on="id")
    found = met.group_by("id").agg(score=(pl.col("other") - pl.col("answer")).abs().max()).filter(pl.col("score") > 0).collect()
    if found.is_empty() and rows.height:
        raise Problem(
            "queue.refused",
            f"Nothing tells which answers of {deployment.name} are {wish.by.value}",
            "no shadow answered one of these rows otherwise"
            + ("" if classifies else ", and of a number no answer is a close call by itself"),
            f"yard deployment shadow {deployment.name} VERSION, or --by random",
        )
    return found


def _check(wish: Wish) -> None:
    told = ""
    if not 1 <= wish.rows <= MOST_ROWS:
        told = f"{wish.rows:,} rows cannot be asked for: 1 to {MOST_ROWS:,} can"
    elif not (np.isfinite(wish.random_share) and 0 <= wish.random_share <= 1):
        told = f"a random share of {wish.random_share} is none: it is 0 to 1"
    elif not 1 <= wish.hold_s <= MOST_HOLD.total_seconds():
        told = f"a hold of {wish.hold_s} s is none: it is 1 s to {MOST_HOLD.days} days"
    if told:
        raise Problem("queue.invalid", "The queue of labels cannot be asked so", told, "yard label queue --help")
