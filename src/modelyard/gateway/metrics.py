"""What the gateway counts, for Prometheus: requests by deployment, version, route and status, their latency, the ledger."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LABELS = ("project", "deployment", "version", "route")
BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
NOBODY = ("", "", "", "")  # labels of requests that found no version


class Metrics:
    """The counters of one gateway. Labels are bounded: names come from the catalogue, never from a request."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("modelyard_requests", "Infer requests answered.", (*LABELS, "status"), registry=self._registry)
        self._seconds = Histogram(
            "modelyard_request_seconds", "From the first byte read to the answer.", LABELS, buckets=BUCKETS_S,
            registry=self._registry,
        )  # fmt: skip
        self._rows = Counter("modelyard_rows", "Rows answered.", LABELS, registry=self._registry)
        self._kept: dict[tuple[str, ...], tuple[Counter, Histogram, Counter]] = {}

    def answered(self, labels: tuple[str, str, str, str], rows: int, seconds: float) -> None:
        """Count a request that was answered well."""
        kept = self._kept.get(labels)
        if kept is None:
            kept = (self._requests.labels(*labels, "200"), self._seconds.labels(*labels), self._rows.labels(*labels))
            self._kept[labels] = kept
        requests, latency, answered = kept
        requests.inc()
        latency.observe(seconds)
        answered.inc(rows)

    def failed(self, labels: tuple[str, str, str, str], status: int) -> None:
        """Count a request that was answered by a problem."""
        self._requests.labels(*labels, str(status)).inc()

    def watch(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Show what `read` gives at each scrape: `rows_lost` and names ending in `_total` as counters, others as gauges."""
        self._registry.register(_Reading(read))

    def text(self) -> bytes:
        """Return all in Prometheus' text form."""
        return generate_latest(self._registry)


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
