"""The settings of the demo's loop, with why they are so."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How delay is kept right. Found in a sketch of the year; see docs/decisions/0004."""

    seed: int = 7
    canary: tuple[int, ...] = (10, 50, 100)
    loss: str = "brier"  # bounded, so that one certain and wrong answer does not decide a canary
    tolerance: float = 0.02  # of the canary's mean loss
    gate_margin: float = 0.005  # a recipe may be worse by less than this on the week held back
    latency_us: float = 50_000.0
    alarm_tolerance: float = 0.02  # of the mean Brier loss of a day
    held_back_days: int = 7
    cooldown_days: int = 14
    schedule: str = "0 6 15 * *"
    budget: str = "16/year"
    push_from: str = "2013-10-07"  # incident two: on the first day from here on without a canary under way
