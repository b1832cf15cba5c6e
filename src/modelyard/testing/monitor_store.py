"""What every store of monitors must do."""

from dataclasses import replace

import pytest

from modelyard.core import PageRequest, Problem
from modelyard.monitoring import AlertId, AlertKind, MonitorId, QueueState
from modelyard.reactions import Metadata
from modelyard.testing import examples
from modelyard.testing.examples import CHURN, FLIGHTS
from modelyard.testing.metadata import StoreContract
from modelyard.testing.pages import through


class MonitorStoreContract(StoreContract):
    """Monitors, their windows, alerts."""

    def test_monitors_come_back_whole_by_name_and_are_replaced(self, metadata: Metadata) -> None:
        evaluated = replace(examples.monitor(), evaluated_until=None, state={})
        with metadata.transaction() as tx:
            tx.monitors.add(FLIGHTS, [examples.monitor(), examples.monitor("another")])
            tx.monitors.save(FLIGHTS, [evaluated])
        with metadata.transaction() as tx:
            assert tx.monitors.find(FLIGHTS) == [examples.monitor("another"), evaluated]
            with pytest.raises(Problem) as told:
                tx.monitors.save(FLIGHTS, [examples.monitor("none")])
        assert told.value.code == "monitor.missing"

    def test_a_taken_name_is_refused_within_the_project_only(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.monitors.add(FLIGHTS, [examples.monitor()])
            with pytest.raises(Problem) as told:
                tx.monitors.add(FLIGHTS, [replace(examples.monitor(), id=MonitorId("monitor_2"))])
            tx.monitors.add(CHURN, [examples.monitor(of=CHURN)])
        assert told.value.code == "monitor.exists"

    def test_windows_come_back_whole_and_are_paged_newest_first(self, metadata: Metadata) -> None:
        bare = replace(
            examples.window(1), version=None, reference_loss=None, evidence=None, drift=(), by_version={}, metrics={}
        )
        with metadata.transaction() as tx:
            tx.monitors.add(FLIGHTS, [examples.monitor(), examples.monitor("another")])
            tx.monitors.add_windows(FLIGHTS, [bare, *(examples.window(day) for day in (3, 2, 5, 4))])
            tx.monitors.add_windows(FLIGHTS, [examples.window(9, name="another")])
            pages = through(lambda page: tx.monitors.windows(FLIGHTS, examples.monitor().id, page), 2)
        assert pages == [(examples.window(5), examples.window(4)), (examples.window(3), examples.window(2)), (bare,)]

    def test_a_window_is_replaced_by_monitor_and_start(self, metadata: Metadata) -> None:
        again = replace(examples.window(1), labelled=1000)
        with metadata.transaction() as tx:
            tx.monitors.add(FLIGHTS, [examples.monitor()])
            tx.monitors.add_windows(FLIGHTS, [examples.window(1)])
            tx.monitors.add_windows(FLIGHTS, [again])
            assert tx.monitors.windows(FLIGHTS, again.monitor, PageRequest()).items == (again,)

    def test_a_window_belongs_to_a_monitor(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx, pytest.raises(Problem) as told:
            tx.monitors.add_windows(FLIGHTS, [examples.window()])
        assert told.value.code == "monitor.missing"

    def test_a_key_that_is_no_time_is_refused(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx, pytest.raises(Problem) as told:
            tx.monitors.windows(FLIGHTS, examples.monitor().id, PageRequest("yesterday"))
        assert told.value.code == "page.invalid"

    def test_alerts_come_back_whole_and_in_order(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.monitors.add_alerts(FLIGHTS, [examples.alert(1), replace(examples.alert(2), version=None)])
            found = tx.monitors.get_alerts(FLIGHTS, [examples.alert(2).id, examples.alert(1).id])
            assert found == [replace(examples.alert(2), version=None), examples.alert(1)]
            with pytest.raises(Problem) as told:
                tx.monitors.get_alerts(FLIGHTS, [AlertId("alert_none")])
        assert told.value.code == "alert.missing"

    def test_alerts_are_picked_and_paged_newest_first(self, metadata: Metadata) -> None:
        notice = examples.alert(2, kind=AlertKind.NOTICE)
        with metadata.transaction() as tx:
            tx.monitors.add_alerts(FLIGHTS, [examples.alert(1), notice, examples.alert(3), examples.alert(4, name="another")])
            by = examples.monitor().id
            pages = through(lambda page: tx.monitors.alerts(FLIGHTS, page, monitor=by), 2)
            alarms = tx.monitors.alerts(FLIGHTS, PageRequest(), kinds=[AlertKind.ALARM]).items
        assert pages == [(examples.alert(3), notice), (examples.alert(1),)]
        assert [alert.id[-1] for alert in alarms] == ["4", "3", "1"]

    def test_queued_rows_come_back_whole_are_replaced_and_picked_by_state(self, metadata: Metadata) -> None:
        skipped = replace(examples.queued_row(2, state=QueueState.SKIPPED), ended_at=examples.NOON)
        other = replace(examples.queued_row(1), deployment="another")
        with metadata.transaction() as tx:
            tx.monitors.add_queued(FLIGHTS, [examples.queued_row(3), examples.queued_row(2), examples.queued_row(1), other])
            tx.monitors.add_queued(FLIGHTS, [skipped])
            tx.monitors.add_queued(FLIGHTS, [])
        with metadata.transaction() as tx:
            assert tx.monitors.queued(FLIGHTS, "delay") == [examples.queued_row(1), skipped, examples.queued_row(3)]
            assert tx.monitors.queued(FLIGHTS, "delay", states=[QueueState.SKIPPED, QueueState.LABELLED]) == [skipped]
            assert tx.monitors.queued(FLIGHTS, "another", states=[QueueState.OPEN]) == [other]
            assert tx.monitors.queued(FLIGHTS, "none") == []
