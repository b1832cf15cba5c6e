"""Use cases of monitoring: declare a monitor, look at its due windows, read what it found."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import polars as pl

from modelyard.core import (
    Clock,
    IdMaker,
    ObjectStore,
    Page,
    PageRequest,
    Problem,
    ProjectId,
    check_name,
    missing,
    to_text,
)
from modelyard.data import Profile, TableStore, reading
from modelyard.data.profile import profile
from modelyard.events import Fact
from modelyard.monitoring.drift import ColumnDrift, drift, usual_spread
from modelyard.monitoring.harm import EDetector
from modelyard.monitoring.labels import labelled_rows
from modelyard.monitoring.rules import Span, due_windows, is_alarm_due, metrics_by_version, opened_notices, window_metrics
from modelyard.monitoring.store import MonitoringTransaction
from modelyard.monitoring.types import Alert, AlertId, AlertKind, Monitor, MonitorId, MonitorTest, Window
from modelyard.registry import ModelVersion
from modelyard.registry.service import get_version
from modelyard.serving import Deployment
from modelyard.serving.ledger import INPUT_PREFIX
from modelyard.serving.service import get_deployment
from modelyard.tenancy import Actor, authorise
from modelyard.training.metrics import ROW_LOSSES

WATCHED = ("brier", "zero_one")


class Ports(Protocol):
    """What monitoring needs of the platform."""

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        ...

    @property
    def ids(self) -> IdMaker:
        """The maker of ids."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """The object store."""
        ...

    @property
    def lake(self) -> TableStore:
        """The lake."""
        ...

    def transaction(self) -> AbstractContextManager[MonitoringTransaction]:
        """Open or join a transaction."""
        ...


def create_monitor(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    name: str,
    *,
    deployment: str,
    window_s: int = 86_400,
    label_delay_s: int = 0,
    tests: Sequence[MonitorTest] = (MonitorTest("drift"), MonitorTest("performance", "brier")),
) -> Monitor:
    """Declare a monitor; one that is there under this name takes the new settings and keeps its place.

    Raises
    ------
    Problem
        `monitor.invalid` for a window under a minute, an unknown kind of test or loss.
    """
    authorise(actor, "monitor.write", project)
    check_name("monitor", name)
    get_deployment(ports, actor, project, deployment)
    _check_tests(window_s, tests)
    with ports.transaction() as tx:
        known = next((m for m in tx.monitors.find(project) if m.name == name), None)
        if known is not None:
            monitor = replace(known, window_s=window_s, label_delay_s=label_delay_s, tests=tuple(tests))
            tx.monitors.save(project, [monitor])
        else:
            monitor = Monitor(
                MonitorId(ports.ids("mon")),
                project,
                name,
                deployment,
                window_s,
                label_delay_s,
                tuple(tests),
                actor.member,
                ports.clock(),
            )
            tx.monitors.add(project, [monitor])
        tx.events.add(project, [Fact("monitor.declared", name)], actor=actor.member, at=ports.clock())
    return monitor


def find_monitors(ports: Ports, actor: Actor, project: ProjectId) -> list[Monitor]:
    """Return the project's monitors, by name."""
    authorise(actor, "monitor.read", project)
    with ports.transaction() as tx:
        return tx.monitors.find(project)


def get_monitor(ports: Ports, actor: Actor, project: ProjectId, name: str) -> Monitor:
    """Return one monitor. Problem `monitor.missing` with the nearest names."""
    found = find_monitors(ports, actor, project)
    for monitor in found:
        if monitor.name == name:
            return monitor
    raise missing("monitor", name, [monitor.name for monitor in found], "yard monitor list")


def find_windows(ports: Ports, actor: Actor, project: ProjectId, name: str, page: PageRequest) -> Page[Window]:
    """Return a monitor's windows, newest first."""
    monitor = get_monitor(ports, actor, project, name)
    with ports.transaction() as tx:
        return tx.monitors.windows(project, monitor.id, page)


def find_alerts(
    ports: Ports, actor: Actor, project: ProjectId, page: PageRequest, *, kinds: Sequence[AlertKind] = ()
) -> Page[Alert]:
    """Return the project's alerts, newest first."""
    authorise(actor, "monitor.read", project)
    with ports.transaction() as tx:
        return tx.monitors.alerts(project, page, kinds=kinds)


def get_alert(ports: Ports, actor: Actor, project: ProjectId, alert: AlertId) -> Alert:
    """Return one alert."""
    authorise(actor, "monitor.read", project)
    with ports.transaction() as tx:
        return tx.monitors.get_alerts(project, [alert])[0]


def evaluate(ports: Ports, actor: Actor, project: ProjectId, name: str) -> list[Alert]:
    """Look at every window of a monitor that is due by the platform's clock, and return the alerts raised."""
    authorise(actor, "monitor.read", project)
    monitor = get_monitor(ports, actor, project, name)
    deployment = get_deployment(ports, actor, project, monitor.deployment)
    raised: list[Alert] = []
    for span in due_windows(monitor, ports.clock()):
        monitor, alerts = _look(ports, actor, project, monitor, deployment, span)
        raised += alerts
    return raised


def reference_metrics(version: ModelVersion) -> Mapping[str, float]:
    """Return the metrics of the version on rows it was not fitted on: a refit's are those of the recipe when it was judged."""
    if version.refit_of is not None and version.evaluations:
        return version.evaluations[-1].metrics
    return version.metrics


def _look(
    ports: Ports, actor: Actor, project: ProjectId, monitor: Monitor, deployment: Deployment, span: Span
) -> tuple[Monitor, list[Alert]]:
    rows = labelled_rows(ports, project, deployment.name, since=span.start, until=span.end)
    state = dict(monitor.state)
    alerts: list[Alert] = []
    window = Window(
        monitor=monitor.id,
        project=project,
        start=span.start,
        end=span.end,
        version=None,
        rows=rows.height,
        labelled=0,
        metrics={},
        reference_loss=None,
        evidence=None,
        drift=(),
        by_version={},
        at=ports.clock(),
    )
    if rows.height:
        live = rows.filter(pl.col("route") == "live")
        number = int((live if live.height else rows)["version"].mode().sort()[0])
        version = get_version(ports, actor, project, f"{deployment.model}@{number}")
        known = rows.filter(pl.col("label").is_not_null())
        window = replace(
            window,
            version=number,
            labelled=known.height,
            metrics=window_metrics(known),
            by_version=metrics_by_version(known),
        )
        for test in monitor.tests:
            if test.kind == "drift":
                found, state = _look_for_drift(ports, project, monitor, version, rows, span, state)
                window = replace(window, drift=found[0])
                alerts += [_notice(ports, monitor, one, number, span) for one in found[1]]
            else:
                watched = known.filter(pl.col("version") == number)
                window, state, harm = _look_for_harm(ports, monitor, test, version, watched, window, state)
                alerts += harm
    moved = replace(monitor, evaluated_until=span.end, state=state)
    with ports.transaction() as tx:
        tx.monitors.add_windows(project, [window])
        tx.monitors.add_alerts(project, alerts)
        tx.monitors.save(project, [moved])
        facts = [Fact("alert.raised", alert.id, {"kind": alert.kind.value, "told": alert.told}) for alert in alerts]
        told = Fact("window.evaluated", monitor.name, {"end": span.end.isoformat(), "rows": rows.height})
        tx.events.add(project, [told, *facts], actor=f"monitor:{monitor.name}", at=ports.clock())
    return moved, alerts


def _look_for_drift(
    ports: Ports,
    project: ProjectId,
    monitor: Monitor,
    version: ModelVersion,
    rows: pl.DataFrame,
    span: Span,
    state: dict[str, Any],
) -> tuple[tuple[tuple[ColumnDrift, ...], list[ColumnDrift]], dict[str, Any]]:
    reference, usual = _reference(ports, project, version, state)
    inputs = rows.select(pl.col(INPUT_PREFIX + c.name).alias(c.name) for c in version.signature.inputs)
    inputs = inputs.select(c for c in inputs.columns if c in reference.columns)
    with ports.transaction() as tx:
        before = tx.monitors.windows(project, monitor.id, PageRequest(limit=2)).items
    earlier = [window.drift for window in before]
    kept = Profile(reference.rows, {name: reference.columns[name] for name in inputs.columns})
    found = drift(kept, profile(inputs, kept), usual=usual, earlier=earlier)
    fresh, still = opened_notices(found, state.get("open", {}), span)
    return (found, fresh), {**state, "open": still, "usual": usual, "usual_of": version.data}


def _reference(
    ports: Ports, project: ProjectId, version: ModelVersion, state: Mapping[str, Any]
) -> tuple[Profile, dict[str, float]]:
    data = reading.get_version_by_id(ports, project, version.data)
    reference = reading.profile_of(ports, project, data)
    if state.get("usual_of") == version.data:
        return reference, dict(state["usual"])
    return reference, usual_spread(reading.read(ports, project, data).collect(), reference)


def _look_for_harm(
    ports: Ports,
    monitor: Monitor,
    test: MonitorTest,
    version: ModelVersion,
    known: pl.DataFrame,
    window: Window,
    state: dict[str, Any],
) -> tuple[Window, dict[str, Any], list[Alert]]:
    expected = reference_metrics(version).get("brier" if test.metric == "brier" else "error_rate")
    if expected is None and test.metric == "zero_one":
        accuracy = reference_metrics(version).get("accuracy")
        expected = None if accuracy is None else 1 - accuracy
    if expected is None or not known.height:
        return window, state, []
    detector = EDetector(expected, test.tolerance)
    if state.get("watched") == version.number and "detector" in state:
        detector = EDetector.from_json(state["detector"])
    ordered = known.sort("label_time", "id")
    labels = ordered["label"].to_numpy().astype(np.float64)
    answers = ordered["answer"].to_numpy().astype(np.float64)
    losses = ROW_LOSSES["brier"](labels, answers if test.metric == "brier" else (answers >= 0.5).astype(np.float64))  # noqa: PLR2004
    detector, alarms = detector.update(losses)
    alerts = []
    alarmed = state.get("alarmed", {}) if state.get("watched") == version.number else {}
    if alarms and is_alarm_due(alarmed.get(test.metric or ""), window.end):
        alarmed = {**alarmed, test.metric or "": to_text(window.end)}
        mean = float(losses.mean())
        told = (
            f"{test.metric} loss {mean:.3f} in this window against {expected:.3f} on held-out rows "
            f"(tolerance {test.tolerance:g}): the e-detector passed {detector.threshold:,.0f}"
        )
        evidence = {"window_loss": mean, "reference_loss": expected, "rows": known.height, "alarms": len(alarms)}
        alerts.append(
            Alert(
                AlertId(ports.ids("alert")),
                monitor.project,
                monitor.id,
                monitor.name,
                monitor.deployment,
                AlertKind.ALARM,
                test.metric or "brier",
                version.number,
                window.end,
                told,
                evidence,
            )
        )
    shown = replace(window, reference_loss=expected, evidence=min(detector.level, 1e12))
    kept = {"watched": version.number, "detector": dict(detector.to_json()), "alarmed": alarmed}
    return shown, {**state, **kept}, alerts


def _notice(ports: Ports, monitor: Monitor, moved: ColumnDrift, version: int, span: Span) -> Alert:
    return Alert(
        AlertId(ports.ids("alert")),
        monitor.project,
        monitor.id,
        monitor.name,
        monitor.deployment,
        AlertKind.NOTICE,
        moved.column,
        version,
        span.end,
        f"{moved.column} moved: {moved.why}",
        {"distance": moved.distance, "p_value": moved.p_value, "rows": moved.rows},
    )


def _check_tests(window_s: int, tests: Sequence[MonitorTest]) -> None:
    if window_s < 60:  # noqa: PLR2004 - said in the message
        raise Problem("monitor.invalid", f"The window is {window_s} s long", "the least is 60 s", 'window="1h"')
    for test in tests:
        if test.kind not in ("drift", "performance"):
            raise missing("test", test.kind, ["drift", "performance"])
        if test.kind == "performance" and test.metric not in WATCHED:
            raise missing("loss", test.metric or "", WATCHED, "the detector's promise holds for losses in [0, 1] only")
