"""What every outbox must do."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta, timezone
from itertools import pairwise
from threading import Event as Signal

import pytest

from modelyard.core import ProjectId
from modelyard.events import Event, Fact
from modelyard.reactions import Metadata
from modelyard.testing.examples import ANN, CHURN, FLIGHTS, NOON
from modelyard.testing.metadata import TIMEOUT_S, StoreContract


def write(metadata: Metadata, project: ProjectId, *facts: Fact) -> None:
    """Write facts in a transaction of their own."""
    with metadata.transaction() as tx:
        tx.events.add(project, facts, actor=ANN, at=NOON)


class EventStoreContract(StoreContract):
    """Facts become events, in the order of commit."""

    def test_a_fact_becomes_an_event_with_its_place(self, metadata: Metadata) -> None:
        data = {"to": 7, "share": 0.5, "names": ["a", None], "nested": {"täg": True}}
        with metadata.transaction() as tx:
            tx.events.add(FLIGHTS, [Fact("alias.moved", "delay", data), Fact("run.created", "run_1")], actor=ANN, at=NOON)
            first, second = tx.events.read(FLIGHTS)
        assert first == Event(first.position, FLIGHTS, "alias.moved", "delay", ANN, NOON, data)
        assert second == Event(second.position, FLIGHTS, "run.created", "run_1", ANN, NOON, {})
        assert 0 < first.position < second.position

    def test_no_facts_are_no_events(self, metadata: Metadata) -> None:
        write(metadata, FLIGHTS)
        with metadata.transaction() as tx:
            assert tx.events.read(FLIGHTS) == []

    def test_events_are_read_on_from_a_position(self, metadata: Metadata) -> None:
        write(metadata, FLIGHTS, *(Fact("run.created", f"run_{n}") for n in range(5)))
        with metadata.transaction() as tx:
            first = tx.events.read(FLIGHTS, limit=2)
            rest = tx.events.read(FLIGHTS, after=first[-1].position)
        assert [event.subject for event in (*first, *rest)] == [f"run_{n}" for n in range(5)]

    def test_events_are_read_backwards_too(self, metadata: Metadata) -> None:
        write(metadata, FLIGHTS, *(Fact("run.created", f"run_{n}") for n in range(5)))
        with metadata.transaction() as tx:
            newest = tx.events.read(FLIGHTS, newest_first=True, limit=2)
            older = tx.events.read(FLIGHTS, newest_first=True, after=newest[-1].position)
        assert [event.subject for event in newest] == ["run_4", "run_3"]
        assert [event.subject for event in older] == ["run_2", "run_1", "run_0"]

    def test_events_are_picked_by_kind_and_subject(self, metadata: Metadata) -> None:
        write(
            metadata, FLIGHTS, Fact("run.created", "a"), Fact("run.finished", "a"), Fact("run.created", "b"), Fact("x.y", "a")
        )
        with metadata.transaction() as tx:
            of_a = [event.kind for event in tx.events.read(FLIGHTS, subject="a")]
            created = [event.subject for event in tx.events.read(FLIGHTS, kinds=["run.created", "x.y"])]
            both = [event.kind for event in tx.events.read(FLIGHTS, kinds=["run.finished"], subject="a")]
        assert of_a == ["run.created", "run.finished", "x.y"]
        assert created == ["a", "b", "a"]
        assert both == ["run.finished"]

    def test_a_time_with_another_offset_is_the_same_moment(self, metadata: Metadata) -> None:
        at = NOON.astimezone(timezone(timedelta(hours=-5)))
        with metadata.transaction() as tx:
            tx.events.add(FLIGHTS, [Fact("a.b", "c")], actor=ANN, at=at)
        with metadata.transaction() as tx:
            [event] = tx.events.read(FLIGHTS)
        assert event.at == NOON
        assert event.at.utcoffset() == timedelta(0)

    def test_a_time_without_an_offset_is_refused(self, metadata: Metadata) -> None:
        with pytest.raises(Exception, match="offset"), metadata.transaction() as tx:
            tx.events.add(FLIGHTS, [Fact("a.b", "c")], actor=ANN, at=NOON.replace(tzinfo=None))

    def test_a_consumer_begins_at_nothing_and_never_moves_back(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            assert tx.events.cursor(FLIGHTS, "follower") == 0
            tx.events.advance(FLIGHTS, "follower", 7)
            tx.events.advance(FLIGHTS, "follower", 3)
            tx.events.advance(FLIGHTS, "other", 1)
            tx.events.advance(CHURN, "follower", 2)
        with metadata.transaction() as tx:
            assert tx.events.cursor(FLIGHTS, "follower") == 7
            assert tx.events.cursor(FLIGHTS, "other") == 1
            assert tx.events.cursor(CHURN, "follower") == 2

    def test_an_undone_step_of_a_consumer_did_not_move_it(self, metadata: Metadata) -> None:
        with pytest.raises(ZeroDivisionError), metadata.transaction() as tx:
            tx.events.advance(FLIGHTS, "follower", 7)
            _ = 1 / 0
        with metadata.transaction() as tx:
            assert tx.events.cursor(FLIGHTS, "follower") == 0

    def test_no_reader_overtakes_a_writer(self, metadata: Metadata) -> None:
        """A slow writer adds its fact first and commits last: a reader that saw the other's event must not miss it."""
        slow_has_added, reader_has_read = Signal(), Signal()

        def slow() -> None:
            with metadata.transaction() as tx:
                tx.events.add(FLIGHTS, [Fact("writer.slow", "a")], actor=ANN, at=NOON)
                slow_has_added.set()
                reader_has_read.wait(0.2)  # where there is one writer at a time, the quick one cannot commit before this one

        def quick() -> None:
            assert slow_has_added.wait(TIMEOUT_S)
            write(metadata, CHURN, Fact("writer.quick", "b"))

        def everything() -> list[Event]:
            with metadata.reading() as tx:
                return [event for project in (FLIGHTS, CHURN) for event in tx.events.read(project)]

        with ThreadPoolExecutor(2) as threads:
            writers = [threads.submit(slow), threads.submit(quick)]
            seen: list[Event] = []
            while not seen:
                seen = everything()
            reader_has_read.set()
            for writer in writers:
                writer.result(TIMEOUT_S)
        late = [event for event in everything() if event.position not in {early.position for early in seen}]
        assert all(event.position > max(early.position for early in seen) for event in late)
        assert len(everything()) == 2

    def test_positions_grow_in_each_project(self, metadata: Metadata) -> None:
        for project in (FLIGHTS, CHURN, FLIGHTS, CHURN):
            write(metadata, project, Fact("a.b", "c"))
        with metadata.transaction() as tx:
            both = [[event.position for event in tx.events.read(project)] for project in (FLIGHTS, CHURN)]
        assert all(before < after for positions in both for before, after in pairwise(positions))
        assert sorted(len(positions) for positions in both) == [2, 2]
