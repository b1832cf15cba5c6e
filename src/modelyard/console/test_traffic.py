"""The read model of traffic, over a real lake."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelyard.console.traffic import TrafficBook, by_route, half_width, layers, losses, quantile, read_traffic, slots
from modelyard.core import ProjectId
from modelyard.monitoring.labels import SCHEMA, label_table
from modelyard.serving import Deployment
from modelyard.serving.ledger import META, ledger_table
from modelyard.testing import examples
from modelyard.wiring import Platform, open_platform, read_settings

NOON = datetime(2013, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PROJECT = ProjectId("proj_flights")


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return open_platform(read_settings(home=tmp_path, environment={}, folder=tmp_path))


@pytest.fixture
def deployment() -> Deployment:
    return replace(examples.deployment(), project=PROJECT, loss="brier")


def answer(
    platform: Platform, hour: int, count: int, *, version: int = 1, route: str = "live", latency_us: int = 500
) -> list[str]:
    ids = [f"{hour}-{version}-{n}" for n in range(count)]
    at = [NOON + hour * HOUR + timedelta(seconds=n) for n in range(count)]
    frame = pl.DataFrame(
        {name: [None] * count for name in META}
        | {"id": ids, "version": [version] * count, "route": [route] * count, "time": at, "answer": [0.25] * count}
        | {"latency_us": [latency_us] * count},
        schema_overrides=dict(META),
    )
    platform.lake.append(PROJECT, ledger_table("delay"), frame, commit=f"{hour}-{version}")
    return ids


def label(platform: Platform, ids: list[str], value: float) -> None:
    count = len(ids)
    columns = {"prediction": ids, "value": [value] * count, "time": [NOON] * count, "received_at": [NOON] * count}
    platform.lake.append(PROJECT, label_table("delay"), pl.DataFrame(columns, schema=SCHEMA), commit=f"{ids[0]}={value}")


def test_answers_are_counted_by_version_role_and_hour(platform: Platform, deployment: Deployment) -> None:
    answer(platform, 0, 3)
    answer(platform, 1, 2)
    answer(platform, 1, 1, version=2, route="canary")
    traffic = read_traffic(platform, PROJECT, deployment)
    starts = slots(NOON, NOON + 2 * HOUR, HOUR)
    found = [(one.version, one.canary, one.rows) for one in layers(traffic, starts, HOUR)]
    assert found == [(1, False, (3, 2, 0)), (2, True, (0, 1, 0))]
    assert traffic.rows == 6


def test_the_loss_is_that_of_the_rows_with_a_label_and_late_labels_count(platform: Platform, deployment: Deployment) -> None:
    ids = answer(platform, 0, 4)
    label(platform, ids[:2], 1.0)
    label(platform, ids[:1], 0.0)  # sent again, and another truth
    [point] = losses(read_traffic(platform, PROJECT, deployment), HOUR)
    assert point.rows == 2
    expected = np.array([0.25**2, 0.75**2]) if point.mean < 0.5 else np.array([0.75**2] * 2)
    assert point.mean == pytest.approx(expected.mean())
    assert point.half_width == pytest.approx(1.96 * expected.std(ddof=1) / np.sqrt(2))


def test_quantiles_of_latency_are_right_within_a_tenth(platform: Platform, deployment: Deployment) -> None:
    answer(platform, 0, 98, latency_us=400)
    answer(platform, 1, 2, latency_us=9000)
    traffic = read_traffic(platform, PROJECT, deployment)
    assert quantile(traffic, 0.5) == pytest.approx(400, rel=0.1)
    assert quantile(traffic, 0.99) == pytest.approx(9000, rel=0.1)
    [figures] = by_route(traffic)
    assert (figures.rows, figures.labelled, figures.loss) == (100, 0, None)
    assert figures.p95 == pytest.approx(400, rel=0.1)


def test_each_route_of_a_version_has_its_own_figures(platform: Platform, deployment: Deployment) -> None:
    answer(platform, 0, 50, latency_us=400)
    answer(platform, 1, 20, version=2, route="canary", latency_us=9000)
    answer(platform, 2, 30, version=2, route="live", latency_us=100)
    figures = by_route(read_traffic(platform, PROJECT, deployment))
    assert [(one.version, one.route, one.rows) for one in figures] == [(2, "live", 30), (2, "canary", 20), (1, "live", 50)]
    assert [one.p50 for one in figures] == [pytest.approx(expected, rel=0.1) for expected in (100, 9000, 400)]


def test_nothing_answered_is_no_traffic(platform: Platform, deployment: Deployment) -> None:
    traffic = read_traffic(platform, PROJECT, deployment)
    assert (traffic.rows, traffic.first, quantile(traffic, 0.5)) == (0, None, None)
    assert losses(traffic, HOUR) == ()


def test_the_book_scans_again_only_when_a_table_has_grown_and_its_cost_allows(
    platform: Platform, deployment: Deployment
) -> None:
    ticks = iter(range(0, 10_000, 1))
    book = TrafficBook(platform, monotonic=lambda: float(next(ticks)))
    ids = answer(platform, 0, 3)
    first = book.of(PROJECT, deployment)
    answer(platform, 1, 3)
    assert book.of(PROJECT, deployment) is first  # the scan took a tick: ten ticks of rest
    for _ in range(12):
        book.of(PROJECT, deployment)
    second = book.of(PROJECT, deployment)
    assert second.rows == 6
    for _ in range(30):
        assert book.of(PROJECT, deployment) is second
    label(platform, ids, 1.0)
    for _ in range(30):
        third = book.of(PROJECT, deployment)
    assert int(third.cells["labelled"].sum()) == 3


def test_an_interval_of_one_row_is_none() -> None:
    assert half_width(1, 0.5, 0.25) == 0.0
