"""React: the policies, every decision with its evidence, and the way to take one back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response
from markupsafe import Markup

from modelyard.console.charts import Interval, forest
from modelyard.console.deeds import Deed, deeds_of, title_of
from modelyard.console.frame import Frame, base_of, frame_of, show
from modelyard.console.rendering import PageRoute, see_other
from modelyard.console.visits import Fields, InProject, Visit
from modelyard.core import PageRequest
from modelyard.monitoring import Alert, AlertId
from modelyard.monitoring.service import get_alert
from modelyard.reactions import ActionKind, Decision, DecisionId, Policy
from modelyard.reactions.service import find_decisions, find_policies, get_decision, undo

router = APIRouter(prefix="/projects/{project}/react", route_class=PageRoute, include_in_schema=False)
CHAIN = PageRequest(limit=1000)
ELSEWHERE = ("job", "rollout", "run", "base", "trigger", "undone", "action")  # evidence that the page tells in other places


@dataclass(frozen=True)
class ActionChoice:
    """An action by which the list can be narrowed."""

    name: str
    href: str
    chosen: bool


@dataclass(frozen=True)
class ReactPage:
    """The context of policies and decisions."""

    frame: Frame
    policies: tuple[Policy, ...]
    deeds: tuple[Deed, ...]
    next_key: str | None
    choices: tuple[ActionChoice, ...]


@dataclass(frozen=True)
class Link:
    """A name that leads somewhere."""

    name: str
    href: str


@dataclass(frozen=True)
class DecisionPage:
    """The context of one decision: what set it off, what it stands on, what came of it."""

    frame: Frame
    deed: Deed
    alert: Alert | None
    alert_href: str
    gate: Mapping[str, Any] | None
    interval: Markup | None
    judgement: Mapping[str, Any] | None
    facts: tuple[tuple[str, str], ...]
    links: tuple[Link, ...]
    chain: tuple[Deed, ...]  # the decisions of the same cause, oldest first
    evidence: str


def build_react(visit: Visit) -> ReactPage:
    """Return the context of policies and decisions."""
    frame = frame_of(visit, "React", "React")
    asked = [action for action in ActionKind if action.value == frame.query.get("action")]
    page = PageRequest(frame.query.get("after"))
    found = find_decisions(visit.platform, visit.actor, visit.project.id, page, actions=asked)
    everything = ActionChoice("all", frame.with_query(action=None, after=None), not asked)
    kinds = [kind for kind in ActionKind if kind is not ActionKind.NOTIFY]
    each = (ActionChoice(k.value, frame.with_query(action=k.value, after=None), [k] == asked) for k in kinds)
    policies = tuple(find_policies(visit.platform, visit.actor, visit.project.id))
    return ReactPage(frame, policies, deeds_of(visit, found.items), found.next_key, (everything, *each))


def build_decision(visit: Visit, decision_id: DecisionId) -> DecisionPage:
    """Return the context of one decision."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    decision = get_decision(platform, actor, project, decision_id)
    base = base_of(visit.project)
    alert = get_alert(platform, actor, project, AlertId(decision.cause)) if decision.cause.startswith("alert_") else None
    evidence = decision.evidence
    judgement = evidence.get("judgement")
    around = find_decisions(platform, actor, project, CHAIN, deployment=decision.deployment).items
    chain = [one for one in reversed(around) if one.id == decision.id or _same_story(one, decision)]
    return DecisionPage(
        frame=frame_of(visit, "React", title_of(decision)),
        deed=deeds_of(visit, [decision])[0],
        alert=alert,
        alert_href=f"{base}/monitor/alerts/{decision.cause}",
        gate=evidence.get("gate"),
        interval=_interval(decision, judgement) if judgement else None,
        judgement=judgement,
        facts=_facts(decision),
        links=_links(base, decision),
        chain=deeds_of(visit, chain),
        evidence=json.dumps(evidence, indent=2, sort_keys=True, ensure_ascii=False, default=str),
    )


def _same_story(one: Decision, of: Decision) -> bool:
    if one.cause == of.cause and not of.cause.startswith("member:"):
        return True
    return one.cause == of.id or of.cause == one.id or one.evidence.get("rollout", one.id) == of.evidence.get("rollout", of.id)


def _interval(decision: Decision, judgement: Mapping[str, Any]) -> Markup:
    width = judgement.get("half_width")
    name = f"v{decision.version}" if decision.version is not None else "canary"
    one = Interval(name, float(judgement["difference"]), float(width) if width is not None else float("inf"))
    return forest([one], float(judgement["tolerance"]), "Difference of the mean losses, canary minus live")


def _facts(decision: Decision) -> tuple[tuple[str, str], ...]:
    plain = (str, int, float, bool)
    kept = {name: told for name, told in decision.evidence.items() if isinstance(told, plain) and name not in ELSEWHERE}
    return tuple((name.replace("_", " "), str(told)) for name, told in kept.items())


def _links(base: str, decision: Decision) -> tuple[Link, ...]:
    deployment = quote(decision.deployment, safe="")
    found = [Link(f"deployment {decision.deployment}", f"{base}/serve/{deployment}")]
    if "job" in decision.evidence:
        found.append(Link("its job", f"{base}/jobs/{quote(str(decision.evidence['job']), safe='')}"))
    if decision.evidence.get("run"):
        found.append(Link("its run", f"{base}/train/runs/{quote(str(decision.evidence['run']), safe='')}"))
    if "undone" in decision.evidence:
        found.append(
            Link("the decision that was undone", f"{base}/react/decisions/{quote(str(decision.evidence['undone']), safe='')}")
        )
    return tuple(found)


@router.get("")
def react(visit: InProject) -> Response:
    """Show policies and decisions."""
    return show(visit, "react.html", lambda: build_react(visit))


@router.get("/decisions/{decision}")
def one_decision(visit: InProject, decision: DecisionId) -> Response:
    """Show one decision."""
    return show(visit, "decision.html", lambda: build_decision(visit, decision))


@router.post("/decisions/{decision}/undo")
def undo_decision(visit: InProject, decision: DecisionId, _fields: Fields) -> Response:
    """Take a decision back."""
    made = undo(visit.platform, visit.actor, visit.project.id, decision)
    return see_other(f"{base_of(visit.project)}/react/decisions/{decision}", f"Undone: {made.told}.")
