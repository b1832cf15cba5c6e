"""The demands of a gate, as a user writes them: `model.gate("champion", gate.better("log_loss"), gate.checks())`."""

from modelyard.core import Problem
from modelyard.registry import Condition, ConditionKind
from modelyard.training import Direction
from modelyard.training.metrics import DIRECTIONS


def better(metric: str, by: float = 0.0, *, direction: str | None = None) -> Condition:
    """Demand a metric better than the alias's current version by `by`; below 0: not worse by more than that.

    Both are measured on the same labelled rows. The direction is known for the usual metrics.

    Raises
    ------
    Problem
        `metric.invalid` for an unknown direction.

    >>> better("log_loss", by=-0.005).limit
    -0.005
    """
    return Condition(ConditionKind.BETTER, by, metric, direction_of(metric, direction))


def checks() -> Condition:
    """Demand that every row of the dataset version that it was trained on passes the dataset's checks.

    Rows in quarantine are none of them. A check of severity `warning` may fail.
    """
    return Condition(ConditionKind.CHECKS)


def latency(below_us: float) -> Condition:
    """Demand that one row takes at most so many microseconds (median) through preparation and model."""
    return Condition(ConditionKind.LATENCY, below_us)


def parity(within: float = 1e-6) -> Condition:
    """Demand that every form of the version answers as the native one does, to within `within`."""
    return Condition(ConditionKind.PARITY, within)


def approvals(count: int = 1) -> Condition:
    """Demand that so many people said yes."""
    return Condition(ConditionKind.APPROVALS, float(count))


def direction_of(metric: str, told: str | None = None) -> Direction:
    """Return which values of a metric are better: as told (`maximise`, `minimise`), else as known. Problem `metric.invalid`."""
    if told is None and metric in DIRECTIONS:
        return DIRECTIONS[metric]
    try:
        return Direction(told)
    except ValueError:
        why = "it is none that every run is measured by" if told is None else f"'{told}' is no direction"
        step = "say direction='maximise' or direction='minimise'"
        raise Problem("metric.invalid", f"Which values of '{metric}' are better?", why, step) from None
