"""What happened around a deployment in a stretch of time, ready to be drawn: traffic, loss, marks."""

from collections.abc import Sequence
from datetime import datetime

from modelyard.console.frame import base_of
from modelyard.console.marks import Mark, mark_of_alert, mark_of_decision
from modelyard.console.ranges import TimeRange
from modelyard.console.timeline import Timeline
from modelyard.console.traffic import Traffic, layers, losses, slot_width, slots
from modelyard.console.visits import Visit
from modelyard.core import PageRequest
from modelyard.monitoring import Alert
from modelyard.monitoring.rules import reference_metrics
from modelyard.monitoring.service import find_alerts
from modelyard.reactions import Decision
from modelyard.reactions.service import find_decisions
from modelyard.registry import ModelVersion
from modelyard.registry.service import find_versions
from modelyard.serving import Deployment, Revision
from modelyard.serving.rules import live_version
from modelyard.serving.service import revisions

MANY = PageRequest(limit=1000)


def timeline_of(visit: Visit, deployment: Deployment, traffic: Traffic, shown: TimeRange) -> Timeline:
    """Return what happened around a deployment."""
    width = slot_width(shown.since, shown.until)
    starts = slots(shown.since, shown.until, width)
    part = traffic.between(starts[0], shown.until)
    made = revisions_of(visit, deployment)
    return Timeline(
        since=shown.since,
        until=shown.until,
        starts=starts,
        width=width,
        layers=layers(part, starts, width),
        loss=losses(part, width),
        loss_name=deployment.loss.replace("_", " "),
        marks=marks_of(visit, deployment),
        live=live_version(made[0]) if made else None,
        reference=references(versions_of(visit, deployment), made, deployment.loss),
    )


def marks_of(visit: Visit, deployment: Deployment) -> tuple[Mark, ...]:
    """Return the marks of all alerts and decisions of a deployment, oldest first."""
    base = base_of(visit.project)
    found = [mark_of_alert(one, f"{base}/monitor/alerts/{one.id}") for one in alerts_of(visit, deployment)]
    found += [mark_of_decision(one, f"{base}/react/decisions/{one.id}") for one in decisions_of(visit, deployment)]
    return tuple(sorted(found, key=lambda mark: mark.at))


def alerts_of(visit: Visit, deployment: Deployment) -> list[Alert]:
    """Return the newest alerts of a deployment."""
    found = find_alerts(visit.platform, visit.actor, visit.project.id, MANY).items
    return [one for one in found if one.deployment == deployment.name]


def decisions_of(visit: Visit, deployment: Deployment) -> Sequence[Decision]:
    """Return the newest decisions of a deployment."""
    return find_decisions(visit.platform, visit.actor, visit.project.id, MANY, deployment=deployment.name).items


def revisions_of(visit: Visit, deployment: Deployment) -> Sequence[Revision]:
    """Return the newest revisions of a deployment, newest first."""
    return revisions(visit.platform, visit.actor, visit.project.id, deployment.name, MANY).items


def versions_of(visit: Visit, deployment: Deployment) -> dict[int, ModelVersion]:
    """Return the versions of a deployment's model, by number."""
    found = find_versions(visit.platform, visit.actor, visit.project.id, deployment.model, MANY).items
    return {version.number: version for version in found}


def references(versions: dict[int, ModelVersion], made: Sequence[Revision], loss: str) -> tuple[tuple[datetime, float], ...]:
    """Return from when on which loss was expected: that of the live version on rows it was not fitted on."""
    found: list[tuple[datetime, float]] = []
    for revision in reversed(made):
        version = versions.get(live_version(revision))
        expected = reference_metrics(version).get(loss) if version else None
        if expected is not None and (not found or found[-1][1] != expected):
            found.append((revision.at, expected))
    return tuple(found)
