"""Pure decisions of reactions: may a retraining start now, and which way does a rollout go."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from croniter import croniter

from modelyard.core import Problem, from_text, to_text
from modelyard.monitoring.rules import floor_time
from modelyard.reactions.notice import host_of
from modelyard.reactions.types import ActionKind, Decision, Policy, Rule, TriggerKind
from modelyard.serving import Judgement, Rollout, Verdict


@dataclass(frozen=True)
class Choice:
    """What to do about a cause, and why, in one sentence."""

    action: ActionKind
    told: str


def may_retrain(policy: Policy, rule: Rule, now: datetime, made: Sequence[Decision], busy: str | None) -> Choice:
    """Return RETRAIN, or HOLD with the reason: something under way, the cool-down, the budget.

    `made` holds the policy's earlier RETRAIN decisions in any order; `busy` says what is under way for the deployment.
    """
    if busy is not None:
        return Choice(ActionKind.HOLD, f"held: {busy}")
    retrains = [d.at for d in made if d.action is ActionKind.RETRAIN]
    wait = cooling(rule, now, retrains)
    if wait is not None:
        return Choice(ActionKind.HOLD, wait)
    spent = sum(at > now - timedelta(seconds=policy.budget_s) for at in retrains)
    if spent >= policy.budget:
        span = _days(timedelta(seconds=policy.budget_s))
        return Choice(ActionKind.HOLD, f"held: the budget of {policy.budget} retrains in {span} is spent")
    return Choice(ActionKind.RETRAIN, "retrain on fresh data")


def cooling(rule: Rule, now: datetime, acted: Sequence[datetime]) -> str | None:
    """Return why a rule has to wait, when the policy last did its action less than the cool-down ago; None: it has not to."""
    left = timedelta(seconds=rule.cooldown_s) - (now - max(acted)) if acted else timedelta()
    return f"held: cool-down for another {_days(left)}" if left > timedelta() else None


def due_times(policy: Policy, now: datetime) -> list[tuple[Rule, datetime]]:
    """Return each schedule rule with its newest time that is due and was not looked at yet. Times missed in between are one."""
    found = []
    for rule in policy.rules:
        if rule.trigger is not TriggerKind.SCHEDULE or rule.cron is None:
            continue
        seen = policy.state.get(rule.cron)
        since = from_text(seen) if seen else policy.created_at
        last: datetime = croniter(rule.cron, now + timedelta(microseconds=1)).get_prev(datetime)
        if since < last <= now:
            found.append((rule, last))
    return found


def schedule_cause(policy: Policy, at: datetime) -> str:
    """Return the cause that a time of a policy's schedule is: one for ever, and no other policy's."""
    return f"schedule:{policy.name}@{to_text(at)[:16]}Z"


def check_policy(policy: Policy) -> None:
    """Return when the policy can work.

    Raises
    ------
    Problem
        `policy.invalid` naming the rule that cannot.
    """
    for rule in policy.rules:
        if rule.trigger is TriggerKind.ALARM and rule.monitor is None:
            raise _invalid("a rule on an alarm names no monitor", "on(watch.degraded, …)")
        if rule.trigger is TriggerKind.SCHEDULE and not croniter.is_valid(rule.cron or ""):
            raise _invalid(f"'{rule.cron}' is no cron expression", 'on(schedule("0 6 * * 1"))')
        if rule.action not in (ActionKind.RETRAIN, ActionKind.ROLL_BACK, ActionKind.NOTIFY):
            raise _invalid(f"a rule cannot do '{rule.action.value}'", "use retrain, roll_back or notify")
        if rule.url is not None:
            host_of(rule.url)
        elif rule.action is ActionKind.NOTIFY:
            raise _invalid("a rule tells nobody: it has no address", '.notify("https://hooks.example/…")')
        if rule.cooldown_s < 0:
            raise _invalid("a cool-down is negative", 'at_most("1/14d")')
        if rule.action is ActionKind.RETRAIN and policy.retraining is None:
            raise _invalid("a rule retrains, but the policy does not say on what", 'train.retrain(data="latest")')
    if policy.retraining is not None and (policy.retraining.held_back_s <= 0 or (policy.retraining.history_s or 1) <= 0):
        raise _invalid("a stretch of its retraining has no length", 'train.retrain(data="latest", held_back="7d")')
    if policy.budget < 0 or policy.budget_s <= 0:
        raise _invalid("the budget is negative", 'at_most("4/month")')


LOOK_EVERY = timedelta(minutes=15)


def is_look_due(rollout: Rollout, now: datetime) -> bool:
    """Return whether the judge looks at a rollout now: once in each quarter of an hour of the platform's clock.

    Looks so depend on the clock, not on how often the follower turns: a replay decides the same again.
    """
    return floor_time(now, LOOK_EVERY) > floor_time(rollout.looked_at or rollout.started_at, LOOK_EVERY)


@dataclass(frozen=True)
class Course:
    """How a canary moves: rows it needs at a step before it goes on while nothing speaks against it."""

    step_rows: int = 200


def next_move(judged: Judgement, *, last_step: bool, rows_at_step: int, course: Course) -> Verdict:
    """Return the way on: ROLL_BACK at once, PROMOTE to the next step or the end, HOLD at the cap, else UNDECIDED.

    The last step before 100 % is left only by the judge's word. Earlier ones are steps of exposure: they are left after
    `step_rows` without a sign of harm, since a small share would take months to prove what the next step proves in days.
    """
    if judged.verdict in (Verdict.ROLL_BACK, Verdict.HOLD):
        return judged.verdict
    if judged.verdict is Verdict.PROMOTE:
        return Verdict.PROMOTE
    if not last_step and rows_at_step >= course.step_rows and judged.difference < judged.tolerance:
        return Verdict.PROMOTE
    return Verdict.UNDECIDED


def _invalid(why: str, next_step: str) -> Problem:
    return Problem("policy.invalid", "The policy cannot be applied", why, next_step)


def _days(span: timedelta) -> str:
    days = span.total_seconds() / 86_400
    return f"{days:.0f} days" if days >= 2 else f"{days * 24:.0f} hours"  # noqa: PLR2004 - below two days hours say more
