"""Monitors of deployments."""

from collections.abc import Iterator

from modelyard.client.connection import Connection, part
from modelyard.client.triggers import Trigger
from modelyard.monitoring import Alert, Monitor, MonitorTest, Window
from modelyard.reactions import TriggerKind


def drift() -> MonitorTest:
    """Test whether the inputs moved: shown as notices, never acted on."""
    return MonitorTest("drift")


def performance(
    metric: str = "brier", *, tolerance: float = 0.02, threshold: float = 30.0, by_rows: bool = False
) -> MonitorTest:
    """Test whether the labelled loss is worse than on held-out rows by more than `tolerance`: an alarm, which policies act on.

    Parameters
    ----------
    metric
        A loss in [0, 1]: `brier` or `zero_one`.
    tolerance
        How much worse is still fine.
    threshold
        False alarms are at least so many windows apart on average (so many labels, with `by_rows`).
    by_rows
        Take every label for evidence of its own: right only where rows do not err together, as those of one day mostly do.
    """
    return MonitorTest("performance", metric, tolerance, threshold, by_rows)


class MonitorClient:
    """A monitor by name."""

    def __init__(self, connection: Connection, project: str, record: Monitor) -> None:
        self.record = record
        self._connection = connection
        self._project = project
        self._path = f"{project}/monitors/{part(record.name)}"

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    @property
    def degraded(self) -> Trigger:
        """What a policy's rule may begin with: this monitor raised an alarm."""
        return Trigger(TriggerKind.ALARM, monitor=self.record.name, deployment=self.record.deployment)

    def windows(self) -> Iterator[Window]:
        """Yield what each window showed, newest first."""
        return self._connection.pages(f"{self._path}/windows", Window)

    def alerts(self) -> Iterator[Alert]:
        """Yield what it raised, newest first."""
        found = self._connection.pages(f"{self._project}/alerts", Alert)
        return (alert for alert in found if alert.monitor == self.record.id)

    def evaluate(self) -> list[Alert]:
        """Look at all windows that are due now, and return what that raised."""
        return self._connection.post(f"{self._path}/evaluate", list[Alert])
