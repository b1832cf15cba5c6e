"""How full a gateway is: one number that tells whoever starts and ends gateways whether there are enough.

It is the largest of three parts, each beside what counts as full: the processor that this process takes, the fullest of its
queues, and how long answers take. 1 is full, 0 is idle; more than 1 is possible. A part is of the last ten seconds.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from statistics import fmean

WINDOW_S = 10.0
LOOK_S = 1.0  # between two samples
SHARE = 0.95  # of the answers, which come within the latency that is told
CPU = 0.8  # of one core
QUEUE = 0.25  # of what may wait: later, requests are refused
LOAD = "modelyard_load"  # the gauge; those of its parts begin so


@dataclass(frozen=True, slots=True)
class Full:
    """What counts as full."""

    cpu: float = CPU  # share of one core
    queue: float = QUEUE  # share of what may wait
    latency_s: float = inf  # the aim for 95 % of the answers; `inf`: there is none


USUAL = Full()


@dataclass(frozen=True, slots=True)
class Sample:
    """What is seen of a gateway at one moment."""

    at: float  # s, of a clock that only goes on
    cpu_s: float  # that the process has taken
    queue: float  # the fullest one, as a share of what may wait
    answers: Sequence[int]  # given so far, by the bounds of their latency


class Fullness:
    """The last samples of one gateway, and what they say."""

    def __init__(self, full: Full, bounds_s: Sequence[float]) -> None:
        self._full = full
        self._bounds_s = bounds_s  # of the latencies, ascending; one more count has the answers over the last of them
        self._samples: deque[Sample] = deque()

    def look(self, sample: Sample) -> None:
        """Take a sample in; those from before the window are let go."""
        self._samples.append(sample)
        while len(self._samples) > 2 and self._samples[1].at <= sample.at - WINDOW_S:  # noqa: PLR2004 - a difference needs two
            self._samples.popleft()

    def parts(self) -> Mapping[str, float]:
        """Return `cpu`, `queue` and `latency`, each 1 where it is full, and `load`, the largest of them."""
        parts = {"cpu": self._cpu(), "queue": self._queue(), "latency": self._latency()}
        return {"load": max(parts.values()), **parts}

    def figures(self) -> Mapping[str, float]:
        """Return the parts by the names of their gauges."""
        return {LOAD if name == "load" else f"{LOAD}_{name}": value for name, value in self.parts().items()}

    def _cpu(self) -> float:
        if len(self._samples) < 2:  # noqa: PLR2004 - a difference needs two
            return 0.0
        first, last = self._samples[0], self._samples[-1]
        return (last.cpu_s - first.cpu_s) / (last.at - first.at) / self._full.cpu

    def _queue(self) -> float:
        return fmean(sample.queue for sample in self._samples) / self._full.queue if self._samples else 0.0

    def _latency(self) -> float:
        if self._full.latency_s == inf or not self._samples:
            return 0.0
        first, last = self._samples[0].answers, self._samples[-1].answers
        counts = [after - before for before, after in zip(first, last, strict=True)]
        return quantile(self._bounds_s, counts, SHARE) / self._full.latency_s


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float:
    """Return the value below which a share of the counted lies, as if each count lay evenly between its bounds.

    `counts` has one more than `bounds`: what lies over the last of them, which is told as that one. Of none it is 0.

    >>> quantile([1.0, 2.0], [10, 10, 0], 0.95)
    1.9
    """
    total = sum(counts)
    if not total:
        return 0.0
    wanted = share * total
    for lower, upper, count, sofar in zip([0.0, *bounds], bounds, counts, accumulate(counts), strict=False):
        if sofar >= wanted:
            return upper - (upper - lower) * (sofar - wanted) / count
    return bounds[-1]
