"""Monitors, their windows, alerts, and the queue of labels."""

from collections.abc import Sequence

from modelyard.adapters.sql.session import Session
from modelyard.adapters.sql.tables import ALERT, LABEL_QUEUE, MONITOR, WINDOW
from modelyard.adapters.sql.typed_table import TypedTable
from modelyard.core import Page, PageRequest, ProjectId
from modelyard.monitoring import Alert, AlertId, AlertKind, Monitor, MonitorId, QueuedRow, QueueState, Window


class SqlMonitorStore:
    """`modelyard.monitoring.MonitorStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._monitors = TypedTable(MONITOR, Monitor, "monitor")
        self._windows = TypedTable(WINDOW, Window, "window", key=("monitor", "start"))
        self._alerts = TypedTable(ALERT, Alert, "alert")
        self._queued = TypedTable(LABEL_QUEUE, QueuedRow, "queued_row", key=("deployment", "prediction"))

    def add(self, project: ProjectId, monitors: Sequence[Monitor]) -> None:
        """Insert; Problem `monitor.exists` on a taken name."""
        self._monitors.add(self._session, project, monitors)

    def save(self, project: ProjectId, monitors: Sequence[Monitor]) -> None:
        """Replace by id."""
        self._monitors.save(self._session, project, monitors)

    def find(self, project: ProjectId) -> list[Monitor]:
        """Return all, by name."""
        return self._monitors.find(self._session, project, order=("name",))

    def add_windows(self, project: ProjectId, windows: Sequence[Window]) -> None:
        """Insert or replace by monitor and start; Problem `monitor.missing` for an unknown monitor."""
        self._windows.put(self._session, project, windows, orphan="monitor.missing")

    def windows(self, project: ProjectId, monitor: MonitorId, page: PageRequest) -> Page[Window]:
        """Return windows, newest first."""
        return self._windows.page(self._session, project, page, WINDOW.c.monitor == monitor, by="start")

    def add_alerts(self, project: ProjectId, alerts: Sequence[Alert]) -> None:
        """Insert."""
        self._alerts.add(self._session, project, alerts)

    def get_alerts(self, project: ProjectId, ids: Sequence[AlertId]) -> list[Alert]:
        """Return them in order. Problem `alert.missing` for an unknown one."""
        return self._alerts.get(self._session, project, [(id_,) for id_ in ids])

    def alerts(
        self, project: ProjectId, page: PageRequest, *, monitor: MonitorId | None = None, kinds: Sequence[AlertKind] = ()
    ) -> Page[Alert]:
        """Return alerts, newest first."""
        where = [] if monitor is None else [ALERT.c.monitor == monitor]
        if kinds:
            where.append(ALERT.c.kind.in_([kind.value for kind in kinds]))
        return self._alerts.page(self._session, project, page, *where)

    def add_queued(self, project: ProjectId, rows: Sequence[QueuedRow]) -> None:
        """Insert or replace by deployment and prediction."""
        self._queued.put(self._session, project, rows)

    def queued(self, project: ProjectId, deployment: str, *, states: Sequence[QueueState] = ()) -> list[QueuedRow]:
        """Return a deployment's, by prediction."""
        where = [LABEL_QUEUE.c.deployment == deployment]
        if states:
            where.append(LABEL_QUEUE.c.state.in_([state.value for state in states]))
        return self._queued.find(self._session, project, *where, order=("prediction",))
