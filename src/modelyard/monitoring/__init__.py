"""Monitors, windows, labels and alerts."""

from modelyard.monitoring.store import MonitorStore, MonitoringTransaction
from modelyard.monitoring.types import Alert, AlertId, AlertKind, Label, Monitor, MonitorId, MonitorTest, Window

__all__ = [
    "Alert",
    "AlertId",
    "AlertKind",
    "Label",
    "Monitor",
    "MonitorId",
    "MonitorStore",
    "MonitorTest",
    "MonitoringTransaction",
    "Window",
]
