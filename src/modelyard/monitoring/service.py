"""Use cases of monitoring: declare a monitor, look at its due windows, read what it found."""

from collections.abc import Sequence
from dataclasses import replace

from modelyard.core import Page, PageRequest, Problem, ProjectId, check_name, missing
from modelyard.events import Fact
from modelyard.monitoring.labels import Ports
from modelyard.monitoring.looking import look
from modelyard.monitoring.rules import due_windows
from modelyard.monitoring.types import Alert, AlertId, AlertKind, Monitor, MonitorId, MonitorTest, Window
from modelyard.registry.rules import trained
from modelyard.registry.service import get_version
from modelyard.serving.rules import live_version
from modelyard.serving.service import get_deployment, latest_revision
from modelyard.tenancy import Actor, authorise

WATCHED = ("brier", "zero_one")


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
        `monitor.invalid` for a window under a minute, a negative delay, an unknown kind of test or loss; `monitor.exists` when
        one of this name watches another deployment; `monitor.refused` while an imported version answers there: what it was
        trained on, which windows are held against, is not known.
    """
    authorise(actor, "monitor.write", project)
    check_name("monitor", name)
    watched = get_deployment(ports, actor, project, deployment)
    _check_tests(window_s, label_delay_s, tests)
    live = live_version(latest_revision(ports, actor, project, deployment))
    trained(get_version(ports, actor, project, f"{watched.model}@{live}"), "be watched", "monitor.refused")
    with ports.transaction() as tx:
        known = next((m for m in tx.monitors.find(project) if m.name == name), None)
        if known is not None:
            if known.deployment != deployment:
                why = f"it watches {known.deployment}, and what it has seen there says nothing of another"
                raise Problem("monitor.exists", f"There is a monitor '{name}'", why, "choose another name")
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
    """Look at every window of a monitor that is due by the platform's clock, and return the alerts raised.

    Of several who look at once each window counts for one of them.
    """
    authorise(actor, "monitor.read", project)
    monitor = get_monitor(ports, actor, project, name)
    deployment = get_deployment(ports, actor, project, monitor.deployment)
    raised: list[Alert] = []
    for span in due_windows(monitor, ports.clock()):
        looked = look(ports, actor, monitor, deployment, span)
        if looked is None:
            return raised
        monitor, alerts = looked
        raised += alerts
    return raised


def _check_tests(window_s: int, label_delay_s: int, tests: Sequence[MonitorTest]) -> None:
    if label_delay_s < 0:
        raise Problem("monitor.invalid", f"The labels' delay is {label_delay_s} s", "no label comes before its window ends")
    if window_s < 60:  # noqa: PLR2004 - said in the message
        raise Problem("monitor.invalid", f"The window is {window_s} s long", "the least is 60 s", 'window="1h"')
    for test in tests:
        if test.kind not in ("drift", "performance"):
            raise missing("test", test.kind, ["drift", "performance"])
        if test.kind == "performance" and test.metric not in WATCHED:
            raise missing("loss", test.metric or "", WATCHED, "the detector's promise holds for losses in [0, 1] only")
