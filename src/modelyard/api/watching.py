"""Routes of monitoring and reactions."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query

from modelyard.api.callers import InProject, PageQuery
from modelyard.api.reading import SnapshotRoute
from modelyard.core import Page
from modelyard.monitoring import Alert, AlertId, AlertKind, Monitor, MonitorTest, Window
from modelyard.monitoring.service import (
    create_monitor,
    evaluate,
    find_alerts,
    find_monitors,
    find_windows,
    get_alert,
)
from modelyard.reactions import ActionKind, Decision, DecisionId, Policy, Retraining, Rule
from modelyard.reactions.service import apply_policy, find_decisions, find_policies, get_decision, undo

router = APIRouter(prefix="/v1/projects/{project}", tags=["monitoring"], route_class=SnapshotRoute)


@dataclass(frozen=True)
class NewMonitor:
    """A monitor to declare."""

    name: str
    deployment: str
    window_s: int = 86_400
    label_delay_s: int = 0
    tests: tuple[MonitorTest, ...] = (MonitorTest("drift"), MonitorTest("performance", "brier"))


@dataclass(frozen=True)
class NewPolicy:
    """A policy to apply."""

    name: str
    deployment: str
    rules: tuple[Rule, ...]
    retraining: Retraining | None = None
    budget: int = 4
    budget_s: int = 30 * 86_400
    enabled: bool = True


@router.get("/monitors")
def monitors(call: InProject) -> list[Monitor]:
    """Return the monitors."""
    return find_monitors(call.platform, call.actor, call.project)


@router.post("/monitors", status_code=201)
def make_monitor(call: InProject, new: NewMonitor) -> Monitor:
    """Declare a monitor."""
    return create_monitor(
        call.platform,
        call.actor,
        call.project,
        new.name,
        deployment=new.deployment,
        window_s=new.window_s,
        label_delay_s=new.label_delay_s,
        tests=new.tests,
    )


@router.get("/monitors/{name}/windows")
def windows(call: InProject, name: str, page: PageQuery) -> Page[Window]:
    """Return a monitor's windows, newest first."""
    return find_windows(call.platform, call.actor, call.project, name, page)


@router.post("/monitors/{name}/evaluate")
def evaluate_now(call: InProject, name: str) -> list[Alert]:
    """Look at all windows that are due."""
    return evaluate(call.platform, call.actor, call.project, name)


@router.get("/alerts")
def alerts(call: InProject, page: PageQuery, kind: Annotated[list[AlertKind] | None, Query()] = None) -> Page[Alert]:
    """Return alerts, newest first."""
    return find_alerts(call.platform, call.actor, call.project, page, kinds=kind or ())


@router.get("/alerts/{alert}")
def alert(call: InProject, alert: AlertId) -> Alert:
    """Return one alert."""
    return get_alert(call.platform, call.actor, call.project, alert)


@router.get("/policies")
def policies(call: InProject) -> list[Policy]:
    """Return the policies."""
    return find_policies(call.platform, call.actor, call.project)


@router.post("/policies", status_code=201)
def make_policy(call: InProject, new: NewPolicy) -> Policy:
    """Apply a policy."""
    return apply_policy(
        call.platform,
        call.actor,
        call.project,
        new.name,
        deployment=new.deployment,
        rules=new.rules,
        retraining=new.retraining,
        budget=new.budget,
        budget_s=new.budget_s,
        enabled=new.enabled,
    )


@router.get("/decisions")
def decisions(
    call: InProject,
    page: PageQuery,
    deployment: str | None = None,
    action: Annotated[list[ActionKind] | None, Query()] = None,
) -> Page[Decision]:
    """Return decisions, newest first."""
    return find_decisions(call.platform, call.actor, call.project, page, deployment=deployment, actions=action or ())


@router.get("/decisions/{decision}")
def decision(call: InProject, decision: DecisionId) -> Decision:
    """Return one decision with its evidence."""
    return get_decision(call.platform, call.actor, call.project, decision)


@router.post("/decisions/{decision}/undo", status_code=201)
def undo_decision(call: InProject, decision: DecisionId) -> Decision:
    """Take a decision back."""
    return undo(call.platform, call.actor, call.project, decision)
