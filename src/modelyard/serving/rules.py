"""Pure decisions of serving: which route answers a request, and how a rollout moves."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from itertools import pairwise

from modelyard.core import Problem
from modelyard.serving.judgement import Judgement
from modelyard.serving.types import Revision, Rollout, RolloutState, Route, RouteKind

ALL = 100  # per cent
LOSSES = ("log_loss", "brier", "squared_error", "absolute_error")
DEFAULT_CANARY = (10, 50, ALL)
DEFAULT_TOLERANCE = 0.02

MOVES = {
    RolloutState.RUNNING: {RolloutState.PROMOTED, RolloutState.ROLLED_BACK, RolloutState.HELD},
    RolloutState.HELD: {RolloutState.RUNNING, RolloutState.PROMOTED, RolloutState.ROLLED_BACK},  # a person decided
    RolloutState.PROMOTED: set[RolloutState](),
    RolloutState.ROLLED_BACK: set[RolloutState](),
}
OPEN = (RolloutState.RUNNING, RolloutState.HELD)

_RANGE = 1 << 64


def choose(revision: Revision, key: str) -> Route:
    """Return the route that answers requests with this key: the same one each time while the revision stands.

    The keys are spread by a hash over [0, 100); canaries take the lower end. So a key that is in a canary's 10 % is in its
    50 % too, and the next candidate, whose hash is salted with its own version, meets other keys first. Nothing else goes into
    the hash, no id above all: traffic that is replayed is routed the same again.
    """
    routes = revision.routes
    if len(routes) == 1:
        return routes[0]
    ordered = sorted(routes, key=_canaries_first)
    place = _place(f"{ordered[0].version}:{key}")
    upper = 0
    for route in ordered:
        upper += route.weight
        if place < upper:
            return route
    return ordered[-1]


def _canaries_first(route: Route) -> tuple[bool, int]:
    return route.kind is not RouteKind.CANARY, route.version


def _place(text: str) -> float:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _RANGE * ALL


def live_version(revision: Revision) -> int:
    """Return the version that answers what no canary does."""
    return next(route.version for route in revision.routes if route.kind is RouteKind.LIVE)


def routes_of(candidate: int, base: int | None, share: int) -> tuple[Route, ...]:
    """Return the routes that give a candidate its share, in per cent, beside the base.

    >>> [(route.version, route.weight, route.kind.value) for route in routes_of(2, 1, 10)]
    [(1, 90, 'live'), (2, 10, 'canary')]
    >>> [(route.version, route.weight, route.kind.value) for route in routes_of(2, 1, 100)]
    [(2, 100, 'live')]
    """
    if base is None or share >= ALL:
        return (Route(candidate, ALL),)
    return Route(base, ALL - share), Route(candidate, share, RouteKind.CANARY)


def check_canary(steps: Sequence[int]) -> tuple[int, ...]:
    """Return the steps when they rise and end in 100.

    Raises
    ------
    Problem
        `deployment.invalid`.
    """
    rising = all(low < high for low, high in pairwise(steps))
    if not steps or steps[0] < 1 or steps[-1] != ALL or not rising:
        told = ",".join(str(step) for step in steps) or "none"
        why = "they are per cent, rise from at least 1, and end in 100"
        raise Problem("deployment.invalid", f"The canary steps {told} are not usable", why, "--canary 10,50,100")
    return tuple(steps)


def next_step(rollout: Rollout, canary: Sequence[int]) -> int | None:
    """Return the index of the step after the rollout's; None when that one would be the whole traffic: it is promoted then.

    At 100 % no live answer is left to be judged beside, so the last step is the promotion itself.
    """
    step = rollout.step + 1
    return step if step < len(canary) and canary[step] < ALL else None


def move(rollout: Rollout, to: RolloutState, now: datetime, judgement: Judgement | None = None) -> Rollout:
    """Return the rollout in its new state.

    Raises
    ------
    Problem
        `rollout.conflict` where `MOVES` has no such step.
    """
    if to not in MOVES[rollout.state]:
        raise Problem(
            "rollout.conflict",
            f"The rollout of version {rollout.candidate} on {rollout.name} cannot become {to.value}",
            f"it is {rollout.state.value}",
            f"yard deployment show {rollout.name}",
        )
    ended = to not in OPEN
    return replace(
        rollout, state=to, judgement=judgement or rollout.judgement, finished_at=now if ended else rollout.finished_at
    )
