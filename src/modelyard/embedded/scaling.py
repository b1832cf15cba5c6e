"""How many gateways there are to be, by their loads: pure, so that each decision can be made again.

One more is started when the load on average has been full for several looks. The last one is ended when the others would have
stayed well below that for a while. In between nothing changes, and after a change the loads have time to show it: so what one
decision brings about is no cause of the opposite one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

FULL = 1.0
QUIET = 0.6  # the load that would be left to each of one gateway fewer
FULL_LOOKS = 3
CALM_S = 15.0  # after a change; what is measured is of the last ten seconds
QUIET_S = 60.0


@dataclass(frozen=True)
class Scale:
    """How many gateways there may be.

    Parameters
    ----------
    least, most
        Both are included; equal: always as many.
    quiet_s
        For so long the others have to have room, before the last one is ended.
    """

    least: int = 1
    most: int = 1
    quiet_s: float = QUIET_S


@dataclass(frozen=True)
class Seen:
    """What the looks so far have shown."""

    full_looks: int = 0  # in a row
    quiet_since: float | None = None
    calm_until: float = 0.0


def look(scale: Scale, seen: Seen, now: float, loads: Sequence[float]) -> tuple[Seen, int]:
    """Return what is seen now, and the change it asks for: 1, one more; -1, one fewer; 0, none.

    Parameters
    ----------
    now
        Seconds of a clock that only goes on.
    loads
        Of the gateways that run, each of them once; 1 is full.
    """
    if now < seen.calm_until:
        return seen, 0
    count, load = len(loads), fmean(loads)
    seen = replace(
        seen,
        full_looks=seen.full_looks + 1 if load >= FULL else 0,
        quiet_since=(now if seen.quiet_since is None else seen.quiet_since) if load_with_one_less(loads) < QUIET else None,
    )
    if seen.full_looks >= FULL_LOOKS and count < scale.most:
        return Seen(calm_until=now + CALM_S), 1
    if seen.quiet_since is not None and now - seen.quiet_since >= scale.quiet_s and count > scale.least:
        return Seen(calm_until=now + CALM_S), -1
    return seen, 0


def load_with_one_less(loads: Sequence[float]) -> float:
    """Return the load of each if one of them were not there; that of one alone is left to nobody."""
    return sum(loads) / (len(loads) - 1) if len(loads) > 1 else float("inf")
