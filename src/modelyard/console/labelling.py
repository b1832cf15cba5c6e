"""Labelling: the predictions that a visitor holds, each with what it was asked, and a place to say the truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import Any

import polars as pl
from fastapi import APIRouter
from fastapi.responses import Response

from modelyard.console.frame import Frame, base_of, frame_of, show
from modelyard.console.rendering import PageRoute, see_other
from modelyard.console.visits import Fields, InProject, Visit
from modelyard.core import Problem
from modelyard.monitoring import Label, QueuedRow, QueueReason, QueueState
from modelyard.monitoring.canary import OF_CLASSIFIERS
from modelyard.monitoring.labels import add_labels, labelled_rows
from modelyard.monitoring.queue import Wish, ask, find_queued, skip
from modelyard.serving import Deployment
from modelyard.serving.ledger import INPUT_PREFIX
from modelyard.serving.service import get_deployment
from modelyard.tenancy import LEAST_ROLE, RANK, role_in

router = APIRouter(prefix="/projects/{project}/serve", route_class=PageRoute, include_in_schema=False)
AT_ONCE = 20
HOLD_S = 86_400
WRITE = "label.write"


@dataclass(frozen=True)
class Asked:
    """A prediction that the visitor is asked about."""

    row: QueuedRow
    answer: float
    inputs: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class LabellingPage:
    """The context of the page."""

    frame: Frame
    deployment: Deployment
    href: str
    asked: tuple[Asked, ...]
    classes: bool  # the truth is yes or no; else a number
    may: bool
    reasons: tuple[str, ...]
    ended: Mapping[str, int]  # how many rows of the queue were labelled, and skipped


def build_labelling(visit: Visit, name: str) -> LabellingPage:
    """Return the context of what the visitor is asked about."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    deployment = get_deployment(platform, actor, project, name)
    queue, now = find_queued(platform, actor, project, name), platform.clock()
    mine = {
        one.prediction: one
        for one in queue
        if one.state is QueueState.OPEN and one.holder == actor.member and one.held_until > now
    }
    rows = labelled_rows(platform, project, name).filter(pl.col("id").is_in(list(mine))) if mine else pl.DataFrame()
    inputs = [column for column in rows.columns if column.startswith(INPUT_PREFIX)]
    role = role_in(actor, project)
    return LabellingPage(
        frame=frame_of(visit, "Serve", "Label"),
        deployment=deployment,
        href=f"{base_of(visit.project)}/serve/{name}/label",
        asked=tuple(
            Asked(mine[row["id"]], row["answer"], tuple((one.removeprefix(INPUT_PREFIX), row[one]) for one in inputs))
            for row in rows.iter_rows(named=True)
        ),
        classes=deployment.loss in OF_CLASSIFIERS,
        may=role is not None and RANK[role] >= RANK[LEAST_ROLE[WRITE]],
        reasons=tuple(reason.value for reason in QueueReason),
        ended={state.value: sum(one.state is state for one in queue) for state in (QueueState.LABELLED, QueueState.SKIPPED)},
    )


def _number(text: str) -> float:
    """Return the number that somebody wrote; NaN, which is no label, for what is none."""
    try:
        return float(text)
    except ValueError:
        return nan


@router.get("/{name}/label")
def labelling(visit: InProject, name: str) -> Response:
    """Show what the visitor is asked about."""
    return show(visit, "labelling.html", lambda: build_labelling(visit, name))


@router.post("/{name}/label/ask")
def ask_for_rows(visit: InProject, name: str, fields: Fields) -> Response:
    """Give the visitor further predictions to label."""
    by = fields.get("by", "")
    if by not in {reason.value for reason in QueueReason}:
        known = ", ".join(reason.value for reason in QueueReason)
        raise Problem(
            "queue.invalid", "The queue of labels cannot be asked so", f"'{by[:40]}' is none of {known}", "choose one"
        )
    wish = Wish(AT_ONCE, QueueReason(by), hold_s=HOLD_S)
    found = ask(visit.platform, visit.actor, visit.project.id, name, wish)
    told = f"{found.height} more are yours for a day." if found.height else "None without a label is left to ask about."
    return see_other(f"{base_of(visit.project)}/serve/{name}/label", told)


@router.post("/{name}/label")
def tell_truth(visit: InProject, name: str, fields: Fields) -> Response:
    """Keep the truth about a prediction, or that it cannot be told."""
    platform, project, prediction = visit.platform, visit.project.id, fields.get("prediction", "")
    if "skip" in fields:
        skip(platform, visit.actor, project, name, [prediction])
    else:
        now = platform.clock()
        add_labels(platform, visit.actor, project, name, [Label(prediction, _number(fields.get("value", "")), now, now)])
    return see_other(f"{base_of(visit.project)}/serve/{name}/label")
