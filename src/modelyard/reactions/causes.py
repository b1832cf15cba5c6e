"""What sets policies off: alarms, as the events tell of them, and schedules, as the clock does. Each cause is met once."""

from collections.abc import Iterator
from dataclasses import replace

from modelyard.core import Problem, ProjectId, to_text
from modelyard.events import Event
from modelyard.monitoring import Alert, AlertId, AlertKind
from modelyard.reactions.notice import host_of, send_notice
from modelyard.reactions.ports import Ports
from modelyard.reactions.record import Deed, Occasion, acting, deployment_named, name_of, policy_named, record
from modelyard.reactions.retraining import PAGE, PASSING, retrain_or_hold
from modelyard.reactions.rules import cooling, due_times, schedule_cause
from modelyard.reactions.store import ReactionTransaction
from modelyard.reactions.types import ActionKind, Decision, TriggerKind
from modelyard.registry.service import find_aliases
from modelyard.serving.service import roll_back_deployment
from modelyard.tenancy import Actor

CONSUMER = "reactions"
BATCH = 500


def news(tx: ReactionTransaction, project: ProjectId) -> list[Event]:
    """Return the events that reactions have not seen."""
    return tx.events.read(project, after=tx.events.cursor(project, CONSUMER), limit=BATCH)


def answer_alarms(ports: Ports, project: ProjectId) -> list[Decision]:
    """Let the policies meet each new alarm. What was decided and what was seen are one transaction."""
    made: list[Decision] = []
    while True:
        with ports.transaction() as tx:
            events = news(tx, project)
            if not events:
                return made
            raised = [AlertId(one.subject) for one in events if one.kind == "alert.raised"]
            for alarm in tx.monitors.get_alerts(project, raised):
                if alarm.kind is AlertKind.ALARM:
                    made += _meet_alarm(ports, tx, alarm)
            tx.events.advance(project, CONSUMER, events[-1].position)


def keep_schedule(ports: Ports, project: ProjectId, name: str) -> list[Decision]:
    """Do what a policy's schedules ask for by now. What was decided and which times were met are one transaction."""
    made: list[Decision] = []
    with ports.transaction() as tx:
        for rule, at in due_times(policy_named(tx, project, name), ports.clock()):
            policy = policy_named(tx, project, name)
            policy = replace(policy, state={**policy.state, rule.cron or "": to_text(at)})
            tx.policies.save(project, [policy])
            occasion = Occasion(policy, rule, schedule_cause(policy, at), f"the schedule '{rule.cron}'")
            made.append(_act(ports, tx, occasion))
    return made


def _meet_alarm(ports: Ports, tx: ReactionTransaction, alarm: Alert) -> Iterator[Decision]:
    for known in tx.policies.find(alarm.project):
        if not known.enabled or known.deployment != alarm.deployment or alarm.at < known.created_at:
            continue
        done: set[tuple[ActionKind, str | None]] = set()
        for rule in known.rules:
            deed = (rule.action, rule.url if rule.action is ActionKind.NOTIFY else None)
            if rule.trigger is TriggerKind.ALARM and rule.monitor == alarm.monitor_name and deed not in done:
                done.add(deed)
                policy = policy_named(tx, alarm.project, known.name)
                yield _act(ports, tx, Occasion(policy, rule, alarm.id, alarm.told, alarm))


def _act(ports: Ports, tx: ReactionTransaction, occasion: Occasion) -> Decision:
    """Do what a rule says, and tell its address of it. A rule that only tells, tells nobody that it held."""
    actor = acting(ports, occasion.policy)
    decision = _do(ports, tx, actor, occasion)
    rule = occasion.rule
    if rule.url is not None and (rule.action is not ActionKind.NOTIFY or decision.action is ActionKind.NOTIFY):
        send_notice(ports, actor, decision, rule.url)
    return decision


def _do(ports: Ports, tx: ReactionTransaction, actor: Actor, occasion: Occasion) -> Decision:
    """Do what a rule says. Where that cannot be, hold and say why: one rule must not stop the loop."""
    try:
        with ports.transaction():
            if occasion.rule.action is ActionKind.ROLL_BACK:
                return _roll_back(ports, tx, actor, occasion)
            if occasion.rule.action is ActionKind.NOTIFY:
                return _notify(ports, tx, occasion)
            return retrain_or_hold(ports, tx, actor, occasion)
    except Problem as problem:
        if problem.kind in PASSING:
            raise
        return _hold(ports, tx, occasion, f"held: {problem.what}: {problem.why}")


def _roll_back(ports: Ports, tx: ReactionTransaction, actor: Actor, occasion: Occasion) -> Decision:
    policy, alarm = occasion.policy, occasion.alarm
    deployment = deployment_named(tx, policy.project, policy.deployment)
    aliases = find_aliases(ports, actor, policy.project, deployment.model)
    before = next((alias.version for alias in aliases if alias.name == deployment.alias), None)
    if alarm is not None and alarm.version != before:
        return _hold(ports, tx, occasion, f"held: the alarm is about v{alarm.version}, and v{before} answers now")
    wait = _wait(ports, tx, occasion)
    if wait is not None:
        return _hold(ports, tx, occasion, wait)
    version = roll_back_deployment(ports, actor, policy.project, deployment.name, cause=occasion.cause).routes[0].version
    deed = Deed(
        action=ActionKind.ROLL_BACK,
        cause=occasion.cause,
        told=f"rolled back to v{version} ({occasion.why})",
        evidence={"trigger": occasion.why, "from": before},
        by=name_of(policy),
        version=version,
    )
    return record(ports, tx, deployment, deed, policy.name)


def _notify(ports: Ports, tx: ReactionTransaction, occasion: Occasion) -> Decision:
    policy, url = occasion.policy, occasion.rule.url or ""
    wait = _wait(ports, tx, occasion)
    if wait is not None:
        return _hold(ports, tx, occasion, wait)
    deployment = deployment_named(tx, policy.project, policy.deployment)
    evidence = {"trigger": occasion.why}
    version = occasion.alarm.version if occasion.alarm is not None else None
    told = f"told {host_of(url)} ({occasion.why})"
    deed = Deed(ActionKind.NOTIFY, occasion.cause, told, evidence, name_of(policy), version)
    return record(ports, tx, deployment, deed, policy.name)


def _wait(ports: Ports, tx: ReactionTransaction, occasion: Occasion) -> str | None:
    policy, rule = occasion.policy, occasion.rule
    if not rule.cooldown_s:
        return None
    made = tx.policies.decisions(policy.project, PAGE, deployment=policy.deployment, actions=[rule.action]).items
    return cooling(rule, ports.clock(), [one.at for one in made if one.by == name_of(policy) and one.cause != occasion.cause])


def _hold(ports: Ports, tx: ReactionTransaction, occasion: Occasion, told: str) -> Decision:
    policy = occasion.policy
    deployment = deployment_named(tx, policy.project, policy.deployment)
    evidence = {"trigger": occasion.why}
    deed = Deed(ActionKind.HOLD, occasion.cause, f"{told} ({occasion.why})", evidence, name_of(policy))
    return record(ports, tx, deployment, deed, policy.name)
