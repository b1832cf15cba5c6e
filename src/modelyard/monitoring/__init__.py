"""Monitors, windows, labels and alerts; drift, harm and the judge of canaries."""

from modelyard.monitoring.drift import ColumnDrift
from modelyard.monitoring.sequential import Looks
from modelyard.monitoring.store import MonitoringTransaction, MonitorStore
from modelyard.monitoring.types import (
    Alert,
    AlertId,
    AlertKind,
    Label,
    Monitor,
    MonitorId,
    MonitorTest,
    QueuedRow,
    QueueReason,
    QueueState,
    Window,
)

__all__ = [
    "Alert",
    "AlertId",
    "AlertKind",
    "ColumnDrift",
    "Label",
    "Looks",
    "Monitor",
    "MonitorId",
    "MonitorStore",
    "MonitorTest",
    "MonitoringTransaction",
    "QueueReason",
    "QueueState",
    "QueuedRow",
    "Window",
]
