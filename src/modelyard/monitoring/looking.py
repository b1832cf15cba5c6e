"""One look at one window of a monitor: its rows, their drift, the harm of their labels, and the alerts that follow."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from modelyard.core import PageRequest, ProjectId, to_text
from modelyard.data import Profile, reading
from modelyard.data.features import Features, open_join
from modelyard.data.profile import profile
from modelyard.events import Fact
from modelyard.monitoring.drift import ColumnDrift, drift, usual_spread
from modelyard.monitoring.harm import BLOCK_BETS, EDetector
from modelyard.monitoring.labels import Ports, labelled_rows
from modelyard.monitoring.rules import Span, is_alarm_due, metrics_by_version, opened_notices, reference_metrics, window_metrics
from modelyard.monitoring.types import Alert, AlertId, AlertKind, Monitor, MonitorTest, Window
from modelyard.registry import ModelVersion
from modelyard.registry.service import get_version
from modelyard.serving import Deployment
from modelyard.serving.ledger import INPUT_PREFIX
from modelyard.tenancy import Actor
from modelyard.training import RunId
from modelyard.training.metrics import ROW_LOSSES

HALF = 0.5  # an answer from here on says yes
MOST_EVIDENCE = 1e12  # shown of the detector's; it grows without bound


@dataclass(frozen=True)
class Sight:
    """What a look has found so far, and what the monitor keeps of it."""

    ports: Ports
    monitor: Monitor
    version: ModelVersion
    span: Span
    window: Window
    state: Mapping[str, Any]
    alerts: tuple[Alert, ...] = ()

    def alert(self, kind: AlertKind, subject: str, told: str, evidence: Mapping[str, Any]) -> Alert:
        """Return an alert on what was seen."""
        monitor = self.monitor
        return Alert(
            id=AlertId(self.ports.ids("alert")),
            project=monitor.project,
            monitor=monitor.id,
            monitor_name=monitor.name,
            deployment=monitor.deployment,
            kind=kind,
            subject=subject,
            version=self.version.number,
            at=self.span.end,
            told=told,
            evidence=evidence,
        )


def look(
    ports: Ports, actor: Actor, monitor: Monitor, deployment: Deployment, span: Span
) -> tuple[Monitor, tuple[Alert, ...]] | None:
    """Return the monitor after a window, and the alerts that it raised; None: somebody has looked at it meanwhile."""
    rows = labelled_rows(ports, monitor.project, deployment.name, since=span.start, until=span.end)
    window, state = _empty(ports, monitor, span, rows.height), monitor.state
    alerts: tuple[Alert, ...] = ()
    if rows.height:
        sight = _see(ports, actor, monitor, deployment, window, rows)
        window, state, alerts = sight.window, sight.state, sight.alerts
    with ports.transaction() as tx:
        now = next((one for one in tx.monitors.find(monitor.project) if one.id == monitor.id), None)
        if now is None or now.evaluated_until != monitor.evaluated_until:
            return None
        moved = replace(now, evaluated_until=span.end, state=state)
        tx.monitors.add_windows(monitor.project, [window])
        tx.monitors.add_alerts(monitor.project, alerts)
        tx.monitors.save(monitor.project, [moved])
        facts = [Fact("alert.raised", alert.id, {"kind": alert.kind.value, "told": alert.told}) for alert in alerts]
        told = Fact("window.evaluated", monitor.name, {"end": span.end.isoformat(), "rows": rows.height})
        tx.events.add(monitor.project, [told, *facts], actor=f"monitor:{monitor.name}", at=ports.clock())
    return moved, alerts


def _empty(ports: Ports, monitor: Monitor, span: Span, rows: int) -> Window:
    return Window(
        monitor=monitor.id,
        project=monitor.project,
        start=span.start,
        end=span.end,
        version=None,
        rows=rows,
        labelled=0,
        metrics={},
        reference_loss=None,
        evidence=None,
        drift=(),
        by_version={},
        at=ports.clock(),
    )


def _see(ports: Ports, actor: Actor, monitor: Monitor, deployment: Deployment, window: Window, rows: pl.DataFrame) -> Sight:
    """Return what a window with rows shows. The version that is watched is the one that answered most of the live requests."""
    live = rows.filter(pl.col("route") == "live")
    number = int((live if live.height else rows)["version"].mode().sort()[0])
    version = get_version(ports, actor, monitor.project, f"{deployment.model}@{number}")
    known = rows.filter(pl.col("label").is_not_null() & pl.col("answer").is_not_null())
    window = replace(
        window,
        version=number,
        labelled=known.height,
        metrics=window_metrics(known),
        by_version=metrics_by_version(known),
    )
    sight = Sight(ports, monitor, version, Span(window.start, window.end), window, monitor.state)
    for test in monitor.tests:
        sight = (
            _drifted(sight, rows) if test.kind == "drift" else _harmed(sight, test, known.filter(pl.col("version") == number))
        )
    return sight


def _drifted(sight: Sight, rows: pl.DataFrame) -> Sight:
    ports, monitor, version = sight.ports, sight.monitor, sight.version
    held = _reference(sight)
    if held is None:
        return sight
    reference, usual = held
    served = [c.name for c in version.row if INPUT_PREFIX + c.name in rows.columns and c.name in reference.columns]
    inputs = rows.select(pl.col(INPUT_PREFIX + name).alias(name) for name in served)
    with ports.transaction() as tx:
        before = tx.monitors.windows(monitor.project, monitor.id, PageRequest(limit=2)).items
    kept = Profile(reference.rows, {name: reference.columns[name] for name in served})
    found = drift(kept, profile(inputs, kept), usual=usual, earlier=[window.drift for window in reversed(before)])
    fresh, still = opened_notices(found, sight.state.get("open", {}), sight.span)
    return replace(
        sight,
        window=replace(sight.window, drift=found),
        state={**sight.state, "open": still, "usual": usual, "usual_of": version.data},
        alerts=(*sight.alerts, *(_notice(sight, one) for one in fresh)),
    )


def _reference(sight: Sight) -> tuple[Profile, dict[str, float]] | None:
    """Return the profile of the rows that the version was trained on, and how far it usually spreads; None: it was imported."""
    ports, project, version = sight.ports, sight.monitor.project, sight.version
    if version.data is None:
        return None
    data = reading.get_version_by_id(ports, project, version.data)
    rows = reading.read(ports, project, data)
    if version.features is not None and version.run is not None:  # the profile that is kept is of the dataset's own columns
        joined = _with_features(ports, project, version.run, version.features, rows.collect())
        rows, reference = joined.lazy(), profile(joined)
    else:
        reference = reading.profile_of(ports, project, data)
    if sight.state.get("usual_of") == version.data:
        return reference, dict(sight.state["usual"])
    return reference, usual_spread(rows.collect(), reference)


def _with_features(ports: Ports, project: ProjectId, run_id: RunId, features: Features, rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows that a version was trained on with what its run looked up for them."""
    with ports.transaction() as tx:
        [run] = tx.runs.get(project, [run_id])
        read = {one.name: one.id for one in tx.datasets.get_versions(project, run.features)}
    tables = [read[lookup.dataset] for lookup in features.lookups]
    return open_join(ports, project, features, tables).joined(rows)


def _notice(sight: Sight, moved: ColumnDrift) -> Alert:
    evidence = {"distance": moved.distance, "p_value": moved.p_value, "rows": moved.rows}
    return sight.alert(AlertKind.NOTICE, moved.column, f"{moved.column} moved: {moved.why}", evidence)


def _harmed(sight: Sight, test: MonitorTest, known: pl.DataFrame) -> Sight:
    """Feed the detector of a loss with the window's labels, in the order in which the truth became known.

    Labels outside [0, 1] are left out: the detector's promise holds for such losses only, and one wrong label must not stop it.
    """
    loss, version = test.metric or "", sight.version.number
    fed = known.filter(pl.col("label").is_between(0, 1) & pl.col("answer").is_between(0, 1)).sort("label_time", "id")
    expected = _expected(reference_metrics(sight.version), loss)
    if expected is None or not fed.height:
        return sight
    kept = sight.state.get("harm", {}).get(loss, {})
    kept = kept if kept.get("version") == version else {}
    fresh = EDetector(expected, test.tolerance, test.threshold) if test.by_rows else _by_windows(expected, test)
    detector = EDetector.from_json(kept["detector"]) if kept else fresh
    if detector.bets == fresh.bets:  # else it was fed otherwise, and what it has seen says nothing now
        fresh = replace(fresh, evidence=detector.evidence, labels=detector.labels, alarms=detector.alarms)
    losses = _losses(fed, loss)
    detector, crossed = fresh.update(losses if test.by_rows else losses.mean(keepdims=True))
    alarmed = kept.get("alarmed")
    alerts = sight.alerts
    if crossed and is_alarm_due(alarmed, sight.span.end):
        alarmed = to_text(sight.span.end)
        mean = float(losses.mean())
        told = (
            f"{loss} loss {mean:.3f} in this window against {expected:.3f} on held-out rows "
            f"(tolerance {test.tolerance:g}): the e-detector passed {detector.threshold:,.0f}"
        )
        evidence = {"window_loss": mean, "reference_loss": expected, "rows": fed.height, "alarms": len(crossed)}
        alerts = (*alerts, sight.alert(AlertKind.ALARM, loss, told, evidence))
    now = {"version": version, "detector": dict(detector.to_json()), "alarmed": alarmed}
    return replace(
        sight,
        window=replace(sight.window, reference_loss=expected, evidence=min(detector.level, MOST_EVIDENCE)),
        state={**sight.state, "harm": {**sight.state.get("harm", {}), loss: now}},
        alerts=alerts,
    )


def _by_windows(expected: float, test: MonitorTest) -> EDetector:
    """Return the detector that is fed each window's mean: rows of one window err together, and would each count as news."""
    return EDetector(expected, test.tolerance, test.threshold, BLOCK_BETS, (0.0,) * len(BLOCK_BETS))


def _expected(metrics: Mapping[str, float], loss: str) -> float | None:
    if loss == "brier":
        return metrics.get("brier")
    accuracy = metrics.get("accuracy")
    return None if accuracy is None else 1 - accuracy


def _losses(fed: pl.DataFrame, loss: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    labels = fed["label"].to_numpy().astype(np.float64)
    answers = fed["answer"].to_numpy().astype(np.float64)
    found: np.ndarray[tuple[int], np.dtype[np.float64]] = ROW_LOSSES["brier"](
        labels, answers if loss == "brier" else (answers >= HALF).astype(np.float64)
    )
    return found
