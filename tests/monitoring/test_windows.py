"""Windows of a monitor: due by the clock, each once, with drift told when it opens and harm when the labels show it."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import polars as pl
import pytest

from modelyard.core import Problem
from modelyard.monitoring import AlertKind, MonitorTest
from modelyard.monitoring.service import evaluate
from modelyard.serving.service import deploy, move_alias
from tests.living import DAY, DAY_S, PERFORMANCE, START, Living, copy, opened, promised

ZERO_ONE = MonitorTest("performance", "zero_one", 0.02)


def look(living: Living, name: str = "watch") -> list[str]:
    """Look at what is due, and return what was raised."""
    return [alert.subject for alert in evaluate(living.platform, living.actor, living.project, name)]


def pass_days(living: Living, days: int, *, rows: int = 300, shift: float = 0.0) -> None:
    """Let days pass with answers and labels; `shift` moves the wind."""
    for _ in range(days):
        happened = living.ask(rows, known_as=pl.col("input.wind") + shift)
        living.clock.advance(days=1)
        living.label(happened)


def test_a_window_is_looked_at_once_and_only_after_its_end_and_the_labels_delay(living: Living) -> None:
    living.monitor(label_delay_s=DAY_S // 2)
    happened = living.ask(100)
    living.clock.set(START + 1.5 * DAY - timedelta(seconds=1))
    look(living)
    assert living.windows() == []
    living.label(happened)
    living.clock.advance(seconds=1)
    look(living)
    [window] = living.windows()
    assert (window.start, window.end, window.rows, window.labelled, window.version) == (START, START + DAY, 100, 100, 1)
    assert window.metrics["brier"] == pytest.approx(window.reference_loss, abs=0.06)
    look(living)
    assert living.windows() == [window]


def test_windows_missed_in_between_are_all_looked_at_in_order_empty_ones_too(living: Living) -> None:
    living.monitor()
    living.ask(50)
    living.clock.advance(days=3)
    living.ask(70)
    living.clock.advance(days=1)
    look(living)
    assert [(one.rows, one.version) for one in living.windows()] == [(50, 1), (0, None), (0, None), (70, 1)]
    assert living.watch().evaluated_until == START + 4 * DAY


def test_a_row_on_the_border_is_in_the_later_window(living: Living) -> None:
    living.monitor()
    living.ask(1, start=START)
    living.ask(1, start=START + DAY)
    living.clock.advance(days=2)
    look(living)
    assert [one.rows for one in living.windows()] == [1, 1]


def test_of_many_who_look_at_once_each_window_counts_for_one(living: Living) -> None:
    living.monitor()
    living.skills[1] = -1.0
    pass_days(living, 6)
    together = Barrier(4)

    def look_together(_: int) -> list[str]:
        together.wait(30)
        return look(living)

    with ThreadPoolExecutor(4) as threads:
        raised = [one for found in threads.map(look_together, range(4)) for one in found]
    assert raised == ["brier"]
    assert [alert.subject for alert in living.alerts()] == ["brier"]
    assert len(living.windows()) == 6


def test_harm_raises_an_alarm_with_its_evidence_and_a_quiet_month_none(living: Living) -> None:
    living.monitor()
    pass_days(living, 30, rows=100)
    assert look(living) == []
    living.skills[1] = -0.5
    pass_days(living, 6)
    assert look(living) == ["brier"]
    [alarm] = living.alerts()
    assert (alarm.kind, alarm.monitor_name, alarm.deployment, alarm.version) == (AlertKind.ALARM, "watch", "delay", 1)
    assert START + 30 * DAY < alarm.at <= START + 36 * DAY
    assert alarm.evidence["window_loss"] > alarm.evidence["reference_loss"] + 0.1
    with living.platform.transaction() as tx:
        [event] = tx.events.read(living.project, kinds=["alert.raised"])
    assert (event.subject, event.data["kind"]) == (alarm.id, "alarm")


def test_a_better_world_than_promised_raises_nothing(living: Living) -> None:
    living.monitor(tests=(PERFORMANCE, ZERO_ONE))
    living.skills[1] = 2.0
    with living.platform.transaction() as tx:
        [version] = tx.models.get_versions(living.project, "delay", [1])
        tx.models.save_versions(living.project, [replace(version, metrics={**version.metrics, "brier": 0.4})])
    pass_days(living, 10)
    assert look(living) == []


def evidence_of_days(home: Path, *, restarts: bool) -> tuple[list[float | None], list[datetime]]:
    """Return the evidence of six harmful days, and when alarms were raised; with `restarts`, a process looks once."""
    living: Living | None = None
    with ExitStack() as processes:
        for day in range(6):
            if living is None or restarts:
                before, living = living, processes.enter_context(opened(home, id_seed=day + 1))
                living.skills[1] = -0.7
                if before is None:
                    living.monitor()
                else:
                    living.clock.set(before.clock())
                    living.rng, living.asked = before.rng, before.asked
            pass_days(living, 1, rows=150)
            look(living)
            assert len(living.windows()) == day + 1
        assert living is not None
        return [one.evidence for one in living.windows()], [one.at for one in living.alerts()]


def test_evidence_goes_on_where_it_was_after_a_restart(template: Path, tmp_path: Path) -> None:
    steady = evidence_of_days(copy(template, tmp_path / "steady"), restarts=False)
    assert evidence_of_days(copy(template, tmp_path / "restarted"), restarts=True) == steady
    assert len(steady[1]) == 1, "the days together raise the alarm, and no day does alone"
    assert steady[1][0] > START + DAY


def test_each_loss_has_evidence_of_its_own(living: Living) -> None:
    living.monitor(tests=(PERFORMANCE, ZERO_ONE))
    living.monitor("brier", tests=(PERFORMANCE,))
    living.monitor("errors", tests=(ZERO_ONE,))
    living.skills[1] = 0.4
    pass_days(living, 4)
    for name in ("watch", "brier", "errors"):
        look(living, name)
    both = living.watch().state["harm"]
    assert both["brier"] == living.watch("brier").state["harm"]["brier"]
    assert both["zero_one"] == living.watch("errors").state["harm"]["zero_one"]


def test_a_detector_that_is_fed_otherwise_from_now_on_starts_anew(living: Living) -> None:
    living.monitor()
    pass_days(living, 2, rows=50)
    look(living)
    living.monitor(tests=(replace(PERFORMANCE, by_rows=True, threshold=1e4),))
    pass_days(living, 1, rows=50)
    look(living)
    assert living.watch().state["harm"]["brier"]["detector"]["labels"] == 50


def test_a_new_tolerance_holds_from_the_next_window_on(living: Living) -> None:
    living.monitor()
    pass_days(living, 1)
    look(living)
    living.monitor(tests=(MonitorTest("performance", "brier", 0.5),))
    living.skills[1] = 0.0
    pass_days(living, 6)
    assert look(living) == []
    assert living.watch().state["harm"]["brier"]["detector"]["tolerance"] == 0.5


def test_the_evidence_against_one_version_is_not_held_against_the_next(living: Living) -> None:
    living.monitor()
    living.skills[1] = 0.5
    pass_days(living, 1)
    look(living)
    before = living.windows()[-1].evidence
    assert before is not None
    living.version(1.0)
    move_alias(living.platform, living.actor, living.project, "delay", 2, "champion")
    pass_days(living, 1)
    look(living)
    window = living.windows()[-1]
    assert window.version == 2
    assert living.watch().state["harm"]["brier"]["detector"]["labels"] == 1


def test_a_refit_is_held_against_its_reference_and_not_its_in_sample_metrics(living: Living) -> None:
    living.version(1.0, metrics={"brier": 0.001, "log_loss": 0.01}, reference=promised(1.0))
    living.monitor()
    move_alias(living.platform, living.actor, living.project, "delay", 2, "champion")
    pass_days(living, 5)
    assert look(living) == []
    assert living.windows()[-1].reference_loss == pytest.approx(0.148, abs=0.02)


def test_a_label_that_is_no_label_of_this_loss_is_left_out_and_stops_nothing(living: Living) -> None:
    living.monitor(tests=(replace(PERFORMANCE, by_rows=True, threshold=1e4),))
    happened = living.ask(100)
    living.clock.advance(days=1)
    living.label([(one, 7.0 if row == 3 else value, at) for row, (one, value, at) in enumerate(happened)])
    assert look(living) == []
    assert living.watch().state["harm"]["brier"]["detector"]["labels"] == 99


def test_drift_opens_one_notice_and_after_three_quiet_windows_the_next_opens_another(living: Living) -> None:
    living.monitor(tests=(MonitorTest("drift"),))
    pass_days(living, 1, rows=1200)
    assert look(living) == []
    pass_days(living, 3, rows=1200, shift=3.0)
    assert look(living) == ["wind"], "one notice for three windows of drift"
    pass_days(living, 2, rows=1200)
    pass_days(living, 1, rows=1200, shift=3.0)
    assert look(living) == [], "still open: quiet for two windows only"
    pass_days(living, 3, rows=1200)
    assert look(living) == []
    pass_days(living, 1, rows=1200, shift=3.0)
    assert look(living) == ["wind"]
    assert {alert.kind for alert in living.alerts()} == {AlertKind.NOTICE}
    drifting = [[one.column for one in window.drift if one.notice] for window in living.windows()]
    assert drifting == [[], ["wind"], ["wind"], ["wind"], [], [], ["wind"], [], [], [], ["wind"]]


def test_a_column_that_the_ledger_holds_under_another_type_stops_nothing(living: Living) -> None:
    living.monitor(tests=(MonitorTest("drift"),))
    living.ask(1000, known_as=pl.col("input.wind").alias("input.wind:String"))
    living.clock.advance(days=1)
    assert look(living) == []
    assert [one.column for one in living.windows()[0].drift] == ["place"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"window_s": 59}, "monitor.invalid"),
        ({"label_delay_s": -1}, "monitor.invalid"),
        ({"tests": (MonitorTest("performance", "log_loss"),)}, "loss.missing"),
        ({"tests": (MonitorTest("drifts"),)}, "test.missing"),
        ({"deployment": "dealy"}, "deployment.missing"),
    ],
)
def test_a_monitor_that_cannot_work_is_refused(living: Living, arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(Problem) as told:
        living.monitor(**arguments)
    assert told.value.code == code


def test_a_monitor_declared_again_keeps_its_place_and_never_counts_rows_twice(living: Living) -> None:
    first = living.monitor(window_s=6 * 3600)
    living.ask(240)
    living.clock.advance(hours=18)
    look(living)
    again = living.monitor(window_s=DAY_S)
    assert (again.id, again.evaluated_until) == (first.id, START + timedelta(hours=18))
    living.clock.advance(hours=30)
    living.ask(10, start=START + DAY)
    look(living)
    assert [one.rows for one in living.windows()] == [60, 60, 60, 10]


def test_a_monitor_does_not_change_the_deployment_that_it_watches(living: Living) -> None:
    living.monitor()
    deploy(living.platform, living.actor, living.project, "another", model="delay")
    with pytest.raises(Problem) as told:
        living.monitor(deployment="another")
    assert told.value.code == "monitor.exists"
