"""Pure decisions of serving: which route answers a request, and how a rollout moves."""

from collections.abc import Mapping, Sequence
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
    routes = answering(revision)
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


def answering(revision: Revision) -> tuple[Route, ...]:
    """Return the routes whose answers callers get."""
    routes = revision.routes
    if len(routes) == 1:
        return routes
    return tuple(route for route in routes if route.kind is not RouteKind.SHADOW)


def is_shared(revision: Revision) -> bool:
    """Return whether several versions share the requests by weights."""
    return sum(route.kind is RouteKind.LIVE for route in revision.routes) > 1


def shadows(revision: Revision) -> tuple[Route, ...]:
    """Return the routes that are asked besides."""
    return tuple(route for route in revision.routes if route.kind is RouteKind.SHADOW)


def mirrored(shadow: Route, key: str) -> bool:
    """Return whether a shadow is asked about a request with this key: the same one each time."""
    return shadow.weight >= ALL or _place(f"shadow:{shadow.version}:{key}") < shadow.weight


def _canaries_first(route: Route) -> tuple[bool, int]:
    return route.kind is not RouteKind.CANARY, route.version


def _place(text: str) -> float:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _RANGE * ALL


def live_version(revision: Revision) -> int:
    """Return the version that answers what no canary does; of several that share it, the one that the alias names."""
    return next(route.version for route in revision.routes if route.kind is RouteKind.LIVE)


def split_of(weights: Mapping[int, int], aliased: int) -> tuple[Route, ...]:
    """Return the routes of versions that share the requests, that of the alias first.

    >>> [(route.version, route.weight) for route in split_of({5: 30, 3: 70}, 3)]
    [(3, 70), (5, 30)]

    Raises
    ------
    Problem
        `deployment.invalid` when a weight is under 1, they do not make 100, or the alias' version has none.
    """
    told = ", ".join(f"{version}={weight}" for version, weight in weights.items()) or "none"
    if aliased not in weights:
        why = f"the alias names version {aliased}, which must have a share"
        raise Problem("deployment.invalid", f"The weights {told} are not usable", why, f"give {aliased} at least 1")
    if min(weights.values()) < 1 or sum(weights.values()) != ALL:
        why = f"each is at least 1 per cent and together they make {ALL}; these make {sum(weights.values())}"
        raise Problem("deployment.invalid", f"The weights {told} are not usable", why, "yard deployment split NAME 3=70 5=30")
    others = sorted(version for version in weights if version != aliased)
    return tuple(Route(version, weights[version]) for version in (aliased, *others))


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
