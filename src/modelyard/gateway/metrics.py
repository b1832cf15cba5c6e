"""What the gateway counts, for Prometheus: requests by deployment, version, route and status, their latency, the ledger."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from threading import Lock

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from modelyard.core import Problem
from modelyard.gateway.calls import Call
from modelyard.gateway.routes import Labels
from modelyard.serving import RouteKind
from modelyard.wiring.statuses import status_of

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LABELS = ("project", "deployment", "version", "route")
BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
NOBODY = ("", "", "", "")  # labels of requests that found no version


@dataclass(slots=True)
class _Answered:
    rows: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))


class Metrics:
    """The counters of one gateway. Labels are bounded: names come from the catalogue, never from a request.

    A batch is counted under one lock: a counter of the client library a request costs more than answering it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._answered: dict[Labels, _Answered] = {}
        self._failed: dict[tuple[Labels, int], int] = {}
        self._restarted: dict[tuple[str, str, str], int] = {}
        self._registry = CollectorRegistry()
        self._registry.register(_Requests(self._families))

    def answered(self, calls: Sequence[Call]) -> None:
        """Count requests that were answered well."""
        with self._lock:
            for call in calls:
                labels = call.labels
                counted = self._answered.get(labels)
                if counted is None:
                    counted = self._answered[labels] = _Answered()
                counted.rows += len(call.ids)
                counted.seconds += call.seconds
                counted.buckets[bisect_left(BUCKETS_S, call.seconds)] += 1

    def answers(self) -> Sequence[int]:
        """Return how many requests were answered so far within each of `BUCKETS_S`, and later; shadows are not among them."""
        with self._lock:
            counts = [counted.buckets for labels, counted in self._answered.items() if labels[3] != RouteKind.SHADOW.value]
            return [sum(column) for column in zip([0] * (len(BUCKETS_S) + 1), *counts, strict=True)]

    def failed(self, labels: Labels, problem: Problem) -> None:
        """Count a request that was answered by a problem."""
        key = labels, status_of(problem)
        with self._lock:
            self._failed[key] = self._failed.get(key, 0) + 1

    def restarted(self, project: str, deployment: str, version: int) -> None:
        """Count that a version's process was started in place of another."""
        key = project, deployment, str(version)
        with self._lock:
            self._restarted[key] = self._restarted.get(key, 0) + 1

    def watch(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Show what `read` gives at each scrape: names ending in `_total` as counters, others as gauges."""
        self._registry.register(_Reading(read))

    def text(self) -> bytes:
        """Return all in Prometheus' text form."""
        return generate_latest(self._registry)

    def _families(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("modelyard_requests", "Infer requests answered.", labels=(*LABELS, "status"))
        seconds = HistogramMetricFamily("modelyard_request_seconds", "From the first byte read to the answer.", labels=LABELS)
        rows = CounterMetricFamily("modelyard_rows", "Rows answered.", labels=LABELS)
        restarts = CounterMetricFamily(
            "modelyard_version_restarts", "Processes of versions started in place of another.", labels=LABELS[:3]
        )
        with self._lock:
            for labels, counted in self._answered.items():
                sums = list(accumulate(counted.buckets))
                requests.add_metric((*labels, "200"), sums[-1])
                bounds = [*(str(bound) for bound in BUCKETS_S), "+Inf"]
                seconds.add_metric(labels, list(zip(bounds, sums, strict=True)), counted.seconds)
                rows.add_metric(labels, counted.rows)
            for (labels, status), count in self._failed.items():
                requests.add_metric((*labels, str(status)), count)
            for named, count in self._restarted.items():
                restarts.add_metric(named, count)
        yield from (requests, seconds, rows, restarts)


class _Requests(Collector):
    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families()

    def describe(self) -> Iterator[Metric]:
        return iter(())


class _Reading(Collector):
    def __init__(self, read: Callable[[], Mapping[str, float]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        for name, value in self._read().items():
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            metric = family(name.removesuffix("_total"), name.replace("_", " "))
            metric.add_metric([], value)
            yield metric

    def describe(self) -> Iterator[Metric]:
        return iter(())
