"""The port of monitoring. Labels are a table of the lake, `labels/DEPLOYMENT`."""

from collections.abc import Sequence
from typing import Protocol

from modelyard.core import Page, PageRequest, ProjectId
from modelyard.monitoring.types import Alert, AlertId, AlertKind, Monitor, MonitorId, QueuedRow, QueueState, Window
from modelyard.serving import ServingTransaction


class MonitorStore(Protocol):
    """Monitors, their windows, alerts, and the queue of labels."""

    def add(self, project: ProjectId, monitors: Sequence[Monitor]) -> None:
        """Insert; Problem `monitor.exists` on a taken name."""
        ...

    def save(self, project: ProjectId, monitors: Sequence[Monitor]) -> None:
        """Replace by id."""
        ...

    def find(self, project: ProjectId) -> list[Monitor]:
        """Return all, by name."""
        ...

    def add_windows(self, project: ProjectId, windows: Sequence[Window]) -> None:
        """Insert or replace by monitor and start."""
        ...

    def windows(self, project: ProjectId, monitor: MonitorId, page: PageRequest) -> Page[Window]:
        """Return windows, newest first."""
        ...

    def add_alerts(self, project: ProjectId, alerts: Sequence[Alert]) -> None:
        """Insert."""
        ...

    def get_alerts(self, project: ProjectId, ids: Sequence[AlertId]) -> list[Alert]:
        """Return them in order. Problem `alert.missing` for an unknown one."""
        ...

    def alerts(
        self, project: ProjectId, page: PageRequest, *, monitor: MonitorId | None = None, kinds: Sequence[AlertKind] = ()
    ) -> Page[Alert]:
        """Return alerts, newest first."""
        ...

    def add_queued(self, project: ProjectId, rows: Sequence[QueuedRow]) -> None:
        """Insert or replace by deployment and prediction."""
        ...

    def queued(self, project: ProjectId, deployment: str, *, states: Sequence[QueueState] = ()) -> list[QueuedRow]:
        """Return a deployment's, by prediction."""
        ...


class MonitoringTransaction(ServingTransaction, Protocol):
    """The part of a transaction that this slice needs."""

    @property
    def monitors(self) -> MonitorStore:
        """Monitors, windows, alerts, the queue of labels."""
        ...
