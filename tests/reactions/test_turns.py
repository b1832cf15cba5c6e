"""Turns of the loop: two at once, killed midway, replayed, with one part broken, and idle."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from queue import Empty, Queue
from threading import Barrier, Event, Thread
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from modelyard.core import Problem, ProjectId
from modelyard.jobs import Job
from modelyard.jobs.service import run_due, save_schedule
from modelyard.reactions import ActionKind, Decision, Metadata, ReactionTransaction
from modelyard.reactions.service import look, push, turn
from modelyard.registry.service import promote
from modelyard.serving import RolloutState
from modelyard.serving.service import deploy
from modelyard.tenancy.service import create_project
from modelyard.wiring import Follower, Platform
from modelyard.wiring.follower import IDLE_S
from tests.living import ALL, DAY_S, ON_ALARM, PERFORMANCE, START, WEEKLY, Living, copy, opened

MANY = 4
TIMEOUT_S = 30


def at_a_busy_moment(living: Living) -> None:
    """Bring a project to where alarm, schedule, judge and gate all have something to do in one turn.

    The deployment `delay` has a harmful canary with its labels; `other` has a retraining that has ended, and its schedule is
    due again.
    """
    place = (living.platform, living.actor, living.project)
    deploy(*place, "other", model="delay", tolerance=0.05, loss="brier")
    living.monitor(window_s=3 * DAY_S, tests=(replace(PERFORMANCE, by_rows=True, threshold=1e4),))
    living.policy("alarms")
    living.policy("weekly", rules=(WEEKLY,), deployment="other")
    living.clock.set(START + timedelta(days=1))
    assert [one.action for one in living.turn()] == [ActionKind.RETRAIN]
    living.version(1.0)
    push(*place, "delay", 2, reason="planted")
    living.skills |= {1: -0.7, 2: -4.0}
    for _ in range(6):
        happened = living.ask(400)
        living.clock.advance(days=1)
        living.label(happened)
    living.clock.advance(hours=30)
    living.retrained(1.0, number=3)


def told(decisions: list[Decision]) -> list[tuple[Any, ...]]:
    """Return what decisions come to, without their ids: action, kind of cause, version, policy, time, words."""
    return [(one.action.value, one.cause.partition("_")[0], one.version, one.policy, one.at, one.told) for one in decisions]


def counted(decisions: list[Decision]) -> dict[tuple[str | None, str, str], int]:
    """Return how often each policy did each thing for each cause."""
    found: dict[tuple[str | None, str, str], int] = {}
    for one in decisions:
        key = (one.policy, one.action.value, one.cause)
        found[key] = found.get(key, 0) + 1
    return found


@pytest.fixture(scope="module")
def busy(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home of a project at a busy moment."""
    home = copy(template, tmp_path_factory.mktemp("busy") / "home")
    with opened(home) as living:
        at_a_busy_moment(living)
        (home / "now").write_text(living.clock().isoformat())
    return home


@contextmanager
def at_work(busy: Path, home: Path) -> Iterator[Living]:
    """Open a copy of the busy project at its moment."""
    with opened(copy(busy, home), id_seed=77) as living:
        living.clock.set(datetime.fromisoformat((busy / "now").read_text()))
        living.skills |= {1: 1.0, 2: -1.0, 3: 1.0}
        yield living


def settle(living: Living) -> list[Decision]:
    """Turn until nothing is left to do."""
    for _ in range(10):
        if not living.turn():
            break
    return living.decisions()


def test_a_turn_does_all_that_is_due_and_the_next_one_nothing(busy: Path, tmp_path: Path) -> None:
    with at_work(busy, tmp_path / "home") as living:
        before = len(living.decisions())
        made = living.turn()
        assert sorted(one.action.value for one in made) == ["canary", "hold", "retrain", "roll_back"]
        assert living.turn() == []
        assert len(living.decisions()) == before + 4


def test_turns_at_once_decide_each_thing_once(busy: Path, tmp_path: Path) -> None:
    with at_work(busy, tmp_path / "calm") as living:
        calm = told(settle(living))
    with at_work(busy, tmp_path / "crowd") as living:
        together = Barrier(MANY)

        def turn_together(_: int) -> list[Decision]:
            together.wait(30)
            return living.turn()

        with ThreadPoolExecutor(MANY) as threads:
            made = [one for found in threads.map(turn_together, range(MANY)) for one in found]
        assert len({one.id for one in made}) == len(made) == 4
        assert sorted(told(settle(living)), key=str) == sorted(calm, key=str)
        assert set(counted(living.decisions()).values()) == {1}


class Killed(BaseException):
    """The end of a process, as no code can catch it."""


@dataclass
class Mortal:
    """A metadata database whose process dies as it is about to commit for the nth time."""

    metadata: Metadata
    left: int
    depth: int = 0

    @contextmanager
    def transaction(self) -> Iterator[ReactionTransaction]:
        """Open a transaction, which may be the last."""
        self.depth += 1
        try:
            with self.metadata.transaction() as tx:
                yield tx
                if self.depth == 1:
                    self.left -= 1
                    if self.left < 0:
                        raise Killed
        finally:
            self.depth -= 1

    def reading(self) -> AbstractContextManager[ReactionTransaction]:
        """Open a transaction that reads."""
        return self.metadata.reading()


def test_a_turn_that_is_killed_at_any_commit_is_finished_by_the_next_and_doubles_nothing(busy: Path, tmp_path: Path) -> None:
    with at_work(busy, tmp_path / "calm") as living:
        calm = sorted(told(settle(living)), key=str)
    commits = 0
    while True:
        with at_work(busy, tmp_path / f"killed-{commits}") as living:
            platform = living.platform
            dying: Any = Mortal(platform.metadata, commits)
            try:
                turn(replace(platform, metadata=dying), living.project)
                died = False
            except Killed:
                died = True
            assert sorted(told(settle(living)), key=str) == calm, f"killed at commit {commits}"
            assert set(counted(living.decisions()).values()) == {1}
        if not died:
            break
        commits += 1
    assert commits >= 5


def story(living: Living) -> list[tuple[Any, ...]]:
    """Live two weeks with harm, retrainings and their canaries, and return what was decided."""
    living.monitor()
    living.policy(rules=(replace(ON_ALARM, cooldown_s=3 * DAY_S), replace(WEEKLY, cooldown_s=3 * DAY_S)))
    for day in range(14):
        living.skills[1] = 1.0 if day < 3 else 0.0
        living.live(1, rows=400)
        if living.queued():
            living.retrained(1.0)
            living.turn()
    return told(living.decisions())


def test_the_same_replay_decides_the_same(template: Path, tmp_path: Path) -> None:
    with opened(copy(template, tmp_path / "once"), id_seed=1) as living:
        once, ids = story(living), [one.id for one in living.decisions()]
    with opened(copy(template, tmp_path / "again"), id_seed=2) as living:
        assert story(living) == once
        assert not {one.id for one in living.decisions()} & set(ids)
    assert {"retrain", "canary", "promote"} <= {one[0] for one in once}


def test_what_breaks_in_one_part_stops_no_other_and_is_raised_at_the_end(busy: Path, tmp_path: Path) -> None:
    with at_work(busy, tmp_path / "home") as living:
        living.monitor("broken", deployment="other")
        rows = living.platform.lake.scan(living.project, "ledger/delay").head(5).collect()
        stray = rows.with_columns(version=pl.lit(99, pl.Int64), time=pl.lit(living.clock()))
        living.platform.lake.append(living.project, "ledger/other", stray, commit="stray")
        living.clock.advance(days=1)
        with pytest.raises(Problem) as caught:
            living.turn()
        assert caught.value.code == "version.missing"
        assert living.rollout().state is RolloutState.ROLLED_BACK
        assert {"retrain", "canary", "roll_back"} <= set(living.actions())


# The follower


def test_the_follower_does_all_projects_and_shows_the_one_that_fails(
    living: Living, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = (living.platform, living.actor)
    broken = create_project(*place, "aaa-broken").id
    for project in (broken, living.project):
        told_of = {"kind": "run.train", "title": "nightly", "payload": {}}
        save_schedule(*place, project, name="nightly", cron="0 3 * * *", **told_of)  # type: ignore[arg-type]
    living.clock.advance(days=1)
    follower = Follower(living.platform)
    monkeypatch.setattr("modelyard.wiring.follower.run_due", breaking(broken))
    with caplog.at_level(logging.ERROR):
        assert follower.turn_all()
        assert follower.failing == {broken: "Its disk is full: no space. Next: free some"}
        follower.turn_all()
    assert len(caplog.records) == 1, "the same failure is logged once"
    assert living.project in follower.turned
    assert broken not in follower.turned
    with living.platform.reading() as tx:
        assert [job.title for job in tx.jobs.find(living.project, ALL).items] == ["nightly"]
    monkeypatch.undo()
    while follower.turn_all():
        pass
    assert (follower.failing, broken in follower.turned) == ({}, True)


def breaking(project: ProjectId) -> Callable[[Platform, ProjectId], list[Job]]:
    """Return `run_due`, but for a project of which it raises."""

    def run(platform: Platform, one: ProjectId) -> list[Job]:
        if one == project:
            raise Problem("file.unavailable", "Its disk is full", "no space", "free some")
        return run_due(platform, one)

    return run


def test_the_follower_takes_up_jobs_runs_studies_and_aliases(living: Living) -> None:
    place = (living.platform, living.actor, living.project)
    living.version(1.0)
    promote(*place, "delay", 2, "champion")
    assert [one.version for one in living.routes()] == [1]
    follower = Follower(living.platform)
    while follower.turn_all():
        pass
    assert [one.version for one in living.routes()] == [2]
    assert follower.turned[living.project] == living.clock()


def statements_of(living: Living, follower: Follower) -> list[str]:
    """Return what one turn of the follower asks the database, once it has found nothing more to do."""
    while follower.turn_all():
        pass
    statements: list[str] = []
    metadata: Any = living.platform.metadata

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        statements.append(statement)

    sa.event.listen(metadata._engine, "before_cursor_execute", note)
    assert follower.turn(living.project) is False
    sa.event.remove(metadata._engine, "before_cursor_execute", note)
    return [one for one in statements if not one.startswith(("BEGIN", "SAVEPOINT", "RELEASE"))]


def test_an_idle_turn_asks_seven_short_questions_and_writes_nothing(living: Living) -> None:
    living.monitor()
    living.policy(rules=(ON_ALARM, WEEKLY))
    follower = Follower(living.platform)
    assert len(statements_of(living, follower)) == 7
    living.clock.set(START + timedelta(days=1))
    living.turn()
    while_retraining = statements_of(living, follower)
    assert len(while_retraining) == 9
    living.retrained(1.0)
    living.turn()
    assert living.rollout().state is RolloutState.RUNNING
    under_canary = statements_of(living, follower)
    assert len(under_canary) == 7
    assert all(one.startswith("SELECT") for one in [*while_retraining, *under_canary])
    assert not look(living.platform, living.project)


def test_the_follower_rests_until_something_changes_the_clock_moves_or_somebody_waits(
    living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower, stop, turns = Follower(living.platform), Event(), Queue[int]()
    turn_all = follower.turn_all

    def counted() -> bool:
        busy = turn_all()
        turns.put(1)
        return busy

    def rested() -> None:
        """Wait until it turns no more."""
        with pytest.raises(Empty):
            while True:
                turns.get(timeout=4 * IDLE_S)

    monkeypatch.setattr(follower, "turn_all", counted)
    thread = Thread(target=follower.run, args=(stop,))
    thread.start()
    try:
        rested()
        living.version(1.0)
        promote(living.platform, living.actor, living.project, "delay", 2, "champion")
        assert turns.get(timeout=TIMEOUT_S)
        rested()
        living.clock.advance(seconds=2)
        assert turns.get(timeout=TIMEOUT_S)
        rested()
        follower.hurried.set()
        assert turns.get(timeout=TIMEOUT_S)
        rested()
    finally:
        stop.set()
        thread.join()
