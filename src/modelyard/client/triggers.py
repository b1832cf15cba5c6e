"""What sets a policy's rule off."""

from dataclasses import dataclass

from modelyard.reactions import TriggerKind


@dataclass(frozen=True)
class Trigger:
    """What sets a rule off: a monitor's `degraded`, or a `schedule(…)`."""

    kind: TriggerKind
    monitor: str | None = None
    deployment: str | None = None
    cron: str | None = None


def schedule(cron: str) -> Trigger:
    """Return the trigger of a cron expression, by the platform's clock, in UTC.

    >>> schedule("0 6 1,15 * *").cron
    '0 6 1,15 * *'
    """
    return Trigger(TriggerKind.SCHEDULE, cron=cron)
