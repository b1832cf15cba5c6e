"""Monitor: what moved, and does it hurt? The monitors; one with its windows; one window column by column; one alert."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

import polars as pl
from fastapi import APIRouter
from fastapi.responses import Response
from markupsafe import Markup

from modelyard.console.charts import bar_list, histogram_pair
from modelyard.console.deeds import Deed, deeds_of
from modelyard.console.drift_picture import draw_drift
from modelyard.console.frame import Frame, base_of, frame_of, show
from modelyard.console.rendering import PageRoute
from modelyard.console.telling import figure
from modelyard.console.visits import InProject, Visit
from modelyard.core import PageRequest, Problem, missing
from modelyard.data import Profile
from modelyard.data.profile import profile
from modelyard.data.service import profile_of
from modelyard.monitoring import Alert, AlertId, Monitor, Window
from modelyard.monitoring.drift import ColumnDrift
from modelyard.monitoring.service import find_alerts, find_monitors, find_windows, get_alert, get_monitor
from modelyard.reactions.service import find_decisions
from modelyard.registry.service import get_version
from modelyard.serving import Deployment
from modelyard.serving.ledger import INPUT_PREFIX, read_ledger
from modelyard.serving.service import get_deployment

router = APIRouter(prefix="/projects/{project}/monitor", route_class=PageRoute, include_in_schema=False)
MANY = PageRequest(limit=1000)
DRAWN = 366
PAIRS = 4


@dataclass(frozen=True)
class MonitorRow:
    """A monitor, in a line."""

    monitor: Monitor
    href: str
    window: Window | None  # the newest one that has rows
    alarms: int
    notices: int


@dataclass(frozen=True)
class MonitorsPage:
    """The context of the list."""

    frame: Frame
    rows: tuple[MonitorRow, ...]
    alerts: tuple[tuple[Alert, str], ...]


@dataclass(frozen=True)
class WindowRow:
    """A window, in a line."""

    window: Window
    href: str
    moved: ColumnDrift | None  # the column that moved most


@dataclass(frozen=True)
class MonitorPage:
    """The context of one monitor."""

    frame: Frame
    monitor: Monitor
    deployment_href: str
    picture: Markup | None
    rows: tuple[WindowRow, ...]
    next_key: str | None
    alerts: tuple[tuple[Alert, str], ...]


@dataclass(frozen=True)
class WindowPage:
    """The context of one window."""

    frame: Frame
    monitor: Monitor
    monitor_href: str
    window: Window
    before: str | None
    after: str | None
    ranking: Markup
    pairs: tuple[tuple[ColumnDrift, Markup], ...]
    reference: str


@dataclass(frozen=True)
class AlertPage:
    """The context of one alert."""

    frame: Frame
    alert: Alert
    window_href: str
    evidence: tuple[tuple[str, str], ...]
    deeds: tuple[Deed, ...]


def monitor_path(visit: Visit, name: str) -> str:
    """Return the address of a monitor."""
    return f"{base_of(visit.project)}/monitor/{quote(name, safe='')}"


def window_path(visit: Visit, name: str, start: datetime) -> str:
    """Return the address of a window: its start, to the second."""
    return f"{monitor_path(visit, name)}/{start:%Y-%m-%dT%H:%M:%SZ}"


def _linked(visit: Visit, alerts: Sequence[Alert]) -> tuple[tuple[Alert, str], ...]:
    return tuple((one, f"{base_of(visit.project)}/monitor/alerts/{one.id}") for one in alerts)


def build_monitors(visit: Visit) -> MonitorsPage:
    """Return the context of the list."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    alerts = find_alerts(platform, actor, project, MANY).items
    rows = []
    for monitor in find_monitors(platform, actor, project):
        windows = find_windows(platform, actor, project, monitor.name, PageRequest(limit=20)).items
        newest = next((one for one in windows if one.rows), None)
        of = [one for one in alerts if one.monitor == monitor.id]
        alarms = sum(one.kind.value == "alarm" for one in of)
        rows.append(MonitorRow(monitor, monitor_path(visit, monitor.name), newest, alarms, len(of) - alarms))
    return MonitorsPage(frame_of(visit, "Monitor", "Monitor"), tuple(rows), _linked(visit, alerts[:20]))


def build_monitor(visit: Visit, name: str) -> MonitorPage:
    """Return the context of one monitor."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    monitor = get_monitor(platform, actor, project, name)
    frame = frame_of(visit, "Monitor", name)
    page = find_windows(platform, actor, project, name, PageRequest(frame.query.get("after")))
    drawn = find_windows(platform, actor, project, name, PageRequest(limit=DRAWN)).items
    alerts = [one for one in find_alerts(platform, actor, project, MANY).items if one.monitor == monitor.id]
    hrefs = {one.start: window_path(visit, name, one.start) for one in drawn}
    return MonitorPage(
        frame=frame,
        monitor=monitor,
        deployment_href=f"{base_of(visit.project)}/serve/{quote(monitor.deployment, safe='')}",
        picture=draw_drift(tuple(reversed(drawn)), hrefs) if drawn else None,
        rows=tuple(WindowRow(one, window_path(visit, name, one.start), strongest(one)) for one in page.items),
        next_key=page.next_key,
        alerts=_linked(visit, alerts[:20]),
    )


def strongest(window: Window) -> ColumnDrift | None:
    """Return the column that moved most, of those that are worth a notice or, without any, of all."""
    return max(window.drift, key=lambda one: (one.notice, one.strength), default=None)


def build_window(visit: Visit, name: str, start: str) -> WindowPage:
    """Return the context of one window."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    monitor = get_monitor(platform, actor, project, name)
    windows = find_windows(platform, actor, project, name, MANY).items
    place = next((n for n, one in enumerate(windows) if f"{one.start:%Y-%m-%dT%H:%M:%SZ}" == start), None)
    if place is None:
        raise missing("window", start, [f"{one.start:%Y-%m-%dT%H:%M:%SZ}" for one in windows[:20]], f"yard monitor show {name}")
    window = windows[place]
    ranked = sorted(window.drift, key=lambda one: (not one.notice, -one.strength))
    deployment = get_deployment(platform, actor, project, monitor.deployment)
    reference, told = _reference(visit, deployment, window)
    current = _current(visit, deployment, window, reference, [one.column for one in ranked[:PAIRS]]) if reference else None
    pairs = []
    for one in ranked[:PAIRS]:
        if reference and current and one.column in current.columns and one.column in reference.columns:
            pairs.append((one, histogram_pair(reference.columns[one.column], current.columns[one.column], one.column)))
    bars = [(one.column, one.strength, f"{one.strength:.1f}{' notice' if one.notice else ''}") for one in ranked[:16]]
    return WindowPage(
        frame=frame_of(visit, "Monitor", f"{window.start:%d %b %Y}"),
        monitor=monitor,
        monitor_href=monitor_path(visit, name),
        window=window,
        before=window_path(visit, name, windows[place + 1].start) if place + 1 < len(windows) else None,
        after=window_path(visit, name, windows[place - 1].start) if place else None,
        ranking=bar_list(bars, "How far each column moved", limit=1.0),
        pairs=tuple(pairs),
        reference=told,
    )


def _reference(visit: Visit, deployment: Deployment, window: Window) -> tuple[Profile | None, str]:
    """Return the profile of the rows that the window's version was trained on."""
    if window.version is None:
        return None, ""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    try:
        version = get_version(platform, actor, project, f"{deployment.model}@{window.version}")
        if version.data is None:
            return None, ""
        with platform.transaction() as tx:
            [data] = tx.datasets.get_versions(project, [version.data])
    except Problem:
        return None, ""
    return profile_of(platform, actor, project, data), f"{data.name} v{data.number}"


def _current(
    visit: Visit, deployment: Deployment, window: Window, reference: Profile, columns: Sequence[str]
) -> Profile | None:
    """Return the profile of the window's answered rows, counted over the slots of the reference."""
    rows = read_ledger(visit.platform, visit.project.id, deployment.name, window.start, window.end)
    known = set(rows.collect_schema().names())
    wanted = [name for name in columns if INPUT_PREFIX + name in known and name in reference.columns]
    if not wanted:
        return None
    frame = rows.select(pl.col(INPUT_PREFIX + name).alias(name) for name in wanted).collect()
    return profile(frame, Profile(reference.rows, {name: reference.columns[name] for name in wanted}))


def build_alert(visit: Visit, alert_id: AlertId) -> AlertPage:
    """Return the context of one alert."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    alert = get_alert(platform, actor, project, alert_id)
    windows = find_windows(platform, actor, project, alert.monitor_name, MANY).items
    window = next((one for one in windows if one.end == alert.at), None)
    made = find_decisions(platform, actor, project, MANY, deployment=alert.deployment).items
    answers = [one for one in reversed(made) if one.cause == alert.id]
    return AlertPage(
        frame=frame_of(visit, "Monitor", f"{alert.kind.value} on {alert.subject}"),
        alert=alert,
        window_href=window_path(visit, alert.monitor_name, window.start) if window else monitor_path(visit, alert.monitor_name),
        evidence=tuple((name.replace("_", " "), _told(told)) for name, told in alert.evidence.items()),
        deeds=deeds_of(visit, answers),
    )


def _told(told: object) -> str:
    if isinstance(told, bool | str):
        return str(told)
    if isinstance(told, int | float):
        return figure(told) if isinstance(told, float) else str(told)
    return json.dumps(told, ensure_ascii=False, default=str)


@router.get("")
def monitors(visit: InProject) -> Response:
    """Show the monitors."""
    return show(visit, "monitors.html", lambda: build_monitors(visit))


@router.get("/alerts/{alert}")
def one_alert(visit: InProject, alert: AlertId) -> Response:
    """Show one alert."""
    return show(visit, "alert.html", lambda: build_alert(visit, alert))


@router.get("/{name}")
def one_monitor(visit: InProject, name: str) -> Response:
    """Show one monitor."""
    return show(visit, "monitor.html", lambda: build_monitor(visit, name))


@router.get("/{name}/{start}")
def one_window(visit: InProject, name: str, start: str) -> Response:
    """Show one window."""
    return show(visit, "window.html", lambda: build_window(visit, name, start))
