"""What every metadata database must do, whatever its stores: join, undo, keep writers apart, upgrade.

Subclass `MetadataContract` and the contracts of the stores (`event_store`, `job_store`, …), give each the fixture `opener`, and
run them with pytest.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Barrier, Event

import pytest

from modelyard.core import MemberId, Problem
from modelyard.events import Fact
from modelyard.reactions import Metadata
from modelyard.testing import examples
from modelyard.testing.examples import AIRPORT, ANN, CHURN, FLIGHTS, NOON

Opener = Callable[[], Metadata]
TIMEOUT_S = 60


def processes(count: int, opener: Opener) -> ProcessPoolExecutor:
    """Return a pool of processes that share nothing with this one; the imports are made once, in the server they fork from."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["modelyard.testing.metadata", getattr(opener, "func", opener).__module__])
    return ProcessPoolExecutor(count, mp_context=context)


class StoreContract:
    """What the contracts of all stores begin with: an empty, upgraded database for each test."""

    @pytest.fixture
    def opener(self) -> Opener:
        """Return what opens the database under test; each call anew, on the same empty place. It must survive pickling."""
        raise NotImplementedError

    @pytest.fixture
    def metadata(self, opener: Opener) -> Iterator[Metadata]:
        metadata = opener()
        metadata.upgrade()
        yield metadata
        metadata.close()


class MetadataContract(StoreContract):
    """Transactions and upgrades."""

    def test_what_a_transaction_wrote_is_seen_by_the_next_and_by_others(self, metadata: Metadata, opener: Opener) -> None:
        with metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset()])
            assert [d.name for d in tx.datasets.find(FLIGHTS)] == ["weather"]
        other = opener()
        with other.transaction() as tx:
            assert tx.datasets.find(FLIGHTS) == [examples.dataset()]
        other.close()

    def test_changes_tell_that_somebody_has_committed(self, metadata: Metadata, opener: Opener) -> None:
        first = metadata.changes()
        if first is None:  # it cannot tell
            return
        with metadata.reading() as tx:
            tx.events.read(FLIGHTS)
        with metadata.transaction():
            pass
        assert metadata.changes() == metadata.changes() == first
        with suppress(ZeroDivisionError), metadata.transaction() as tx:
            tx.events.add(FLIGHTS, [Fact("undone", "x")], actor=ANN, at=NOON)
            raise ZeroDivisionError
        assert metadata.changes() == first
        for number, writer in enumerate((metadata, opener())):
            before = metadata.changes()
            with writer.transaction() as tx:
                tx.events.add(FLIGHTS, [Fact("told", str(number))], actor=ANN, at=NOON)
            assert metadata.changes() != before
            if writer is not metadata:
                writer.close()

    def test_a_transaction_that_raises_leaves_nothing(self, metadata: Metadata) -> None:
        with pytest.raises(ZeroDivisionError), metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset()])
            tx.events.add(FLIGHTS, [Fact("dataset.created", "weather")], actor=ANN, at=NOON)
            _ = 1 / 0
        with metadata.transaction() as tx:
            assert tx.datasets.find(FLIGHTS) == []
            assert tx.events.read(FLIGHTS) == []

    def test_a_transaction_inside_another_joins_it(self, metadata: Metadata) -> None:
        with pytest.raises(ZeroDivisionError), metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset()])
            with metadata.transaction() as inner:
                assert [d.name for d in inner.datasets.find(FLIGHTS)] == ["weather"]
                inner.datasets.add(FLIGHTS, [examples.dataset("planes")])
            _ = 1 / 0
        with metadata.transaction() as tx:
            assert tx.datasets.find(FLIGHTS) == []

    def test_a_joined_transaction_that_raises_is_undone_alone(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset("planes")])
            tx.events.add(FLIGHTS, [Fact("dataset.created", "planes")], actor=ANN, at=NOON)
            with pytest.raises(Problem, match="weather"), metadata.transaction() as inner:
                inner.events.add(FLIGHTS, [Fact("dataset.created", "weather")], actor=ANN, at=NOON)
                assert len(inner.events.read(FLIGHTS)) == 2
                inner.datasets.add(FLIGHTS, [examples.dataset("weather")])
                inner.datasets.add(FLIGHTS, [examples.dataset("weather")])
            tx.events.add(FLIGHTS, [Fact("dataset.created", "airports")], actor=ANN, at=NOON)
        with metadata.transaction() as tx:
            assert [d.name for d in tx.datasets.find(FLIGHTS)] == ["planes"]
            assert [event.subject for event in tx.events.read(FLIGHTS)] == ["planes", "airports"]

    def test_a_refused_write_leaves_the_transaction_usable(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset()])
            with pytest.raises(Problem, match="taken"):
                tx.datasets.add(FLIGHTS, [examples.dataset("planes"), examples.dataset()])
            tx.datasets.add(FLIGHTS, [examples.dataset("airports")])
        with metadata.transaction() as tx:
            assert [d.name for d in tx.datasets.find(FLIGHTS)] == ["airports", "weather"]

    def test_another_thread_does_not_join_and_sees_nothing_unfinished(self, metadata: Metadata) -> None:
        def look() -> list[str]:
            with metadata.reading() as tx:
                return [dataset.name for dataset in tx.datasets.find(FLIGHTS)]

        with ThreadPoolExecutor(1) as thread:
            with metadata.transaction() as tx:
                tx.datasets.add(FLIGHTS, [examples.dataset()])
                assert thread.submit(look).result(TIMEOUT_S) == []
            assert thread.submit(look).result(TIMEOUT_S) == ["weather"]

    def test_a_reading_transaction_sees_one_state_throughout(self, metadata: Metadata) -> None:
        def write() -> None:
            with metadata.transaction() as tx:
                tx.datasets.add(FLIGHTS, [examples.dataset()])

        with ThreadPoolExecutor(1) as thread:
            with metadata.reading() as tx:
                assert tx.datasets.find(FLIGHTS) == []
                thread.submit(write).result(TIMEOUT_S)
                assert tx.datasets.find(FLIGHTS) == []
                with metadata.transaction() as joined:
                    assert joined.datasets.find(FLIGHTS) == []
            with metadata.reading() as tx:
                assert [d.name for d in tx.datasets.find(FLIGHTS)] == ["weather"]

    def test_a_reading_transaction_refuses_to_write(self, metadata: Metadata) -> None:
        with metadata.reading() as tx:
            with pytest.raises(RuntimeError, match="only reads"):
                tx.datasets.add(FLIGHTS, [examples.dataset()])
            with pytest.raises(RuntimeError, match="only reads"):
                tx.events.add(FLIGHTS, [Fact("a.b", "c")], actor=ANN, at=NOON)
        with metadata.transaction() as tx:
            assert tx.datasets.find(FLIGHTS) == []

    def test_reading_inside_a_writing_transaction_joins_it(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset()])
            with metadata.reading() as joined:
                assert [d.name for d in joined.datasets.find(FLIGHTS)] == ["weather"]

    def test_no_writer_decides_on_what_another_is_changing(self, metadata: Metadata) -> None:
        """One reads a count and gives the other time to read it too before it writes the count plus one."""
        first_has_read, second_has_read = Event(), Event()

        def first() -> None:
            with metadata.transaction() as tx:
                seen = tx.events.cursor(FLIGHTS, "counter")
                first_has_read.set()
                second_has_read.wait(0.2)  # in vain, where the other has to wait for this one's end
                tx.events.advance(FLIGHTS, "counter", seen + 1)

        def second() -> None:
            assert first_has_read.wait(TIMEOUT_S)
            with metadata.transaction() as tx:
                seen = tx.events.cursor(FLIGHTS, "counter")
                second_has_read.set()
                tx.events.advance(FLIGHTS, "counter", seen + 1)

        with ThreadPoolExecutor(2) as threads:
            for done in [threads.submit(first), threads.submit(second)]:
                done.result(TIMEOUT_S)
        with metadata.transaction() as tx:
            assert tx.events.cursor(FLIGHTS, "counter") == 2

    def test_a_full_batch_of_threads_loses_nothing_and_meets_no_lock(self, metadata: Metadata) -> None:
        together = Barrier(8)

        def write(worker: int) -> None:
            together.wait(TIMEOUT_S)
            for step in range(5):
                with metadata.transaction() as tx:
                    project = (FLIGHTS, CHURN)[(worker + step) % 2]
                    count_up(tx.events.cursor, tx.events.advance, project)
                    tx.events.add(project, [Fact("thread.wrote", f"{worker}")], actor=ANN, at=NOON)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(write, range(8)))
        with metadata.transaction() as tx:
            assert [tx.events.cursor(project, "counter") for project in (FLIGHTS, CHURN)] == [20, 20]
            positions = [event.position for project in (FLIGHTS, CHURN) for event in tx.events.read(project)]
            assert len(set(positions)) == 40

    def test_a_name_is_held_by_one_at_a_time_and_others_wait(self, metadata: Metadata, opener: Opener, tmp_path: Path) -> None:
        with processes(3, opener) as pool:
            for done in [pool.submit(count_alone, opener, tmp_path / "count") for _ in range(3)]:
                done.result(TIMEOUT_S)
        assert (tmp_path / "count").read_text() == "30"
        with metadata.hold("a") as stay, metadata.hold("b"):
            stay()

    def test_who_stands_still_for_longer_than_the_lease_is_told_that_the_name_was_lost(
        self, metadata: Metadata, opener: Opener
    ) -> None:
        with metadata.hold("a", lease_s=0.0) as stay, closing(opener()) as other, other.hold("a") as others:
            with pytest.raises(Problem) as told:
                stay()
            others()
        assert told.value.code == "lock.conflict"

    def test_a_name_that_others_keep_is_given_up_after_a_while(self, metadata: Metadata, opener: Opener) -> None:
        with closing(opener()) as other, metadata.hold("a"), pytest.raises(Problem) as told, other.hold("a", patience_s=0.0):
            pass
        assert told.value.code == "lock.timeout"

    def test_a_killed_holder_keeps_a_name_until_its_lease_ends(self, metadata: Metadata, opener: Opener) -> None:
        context = get_context("spawn")
        here, there = context.Pipe()
        holder = context.Process(target=hold_until_killed, args=(opener, there))
        holder.start()
        there.close()
        assert here.recv() == "held"
        holder.kill()
        holder.join()
        with pytest.raises(Problem) as told, metadata.hold("a", patience_s=0.0):
            pass
        assert told.value.code == "lock.timeout"
        with metadata.hold("a") as stay:
            stay()

    def test_a_name_is_not_held_inside_a_transaction_which_nobody_would_see(self, metadata: Metadata) -> None:
        with metadata.transaction(), pytest.raises(RuntimeError), metadata.hold("a"):
            pass

    def test_processes_upgrade_and_write_side_by_side(self, opener: Opener) -> None:
        with processes(3, opener) as pool:
            begun: list[Future[int]] = [pool.submit(upgrade_and_count, opener, 10) for _ in range(3)]
            assert sum(done.result(TIMEOUT_S) for done in begun) == 30
        metadata = opener()
        with metadata.transaction() as tx:
            assert tx.events.cursor(FLIGHTS, "counter") == 30
        metadata.close()

    def test_an_upgrade_of_what_is_up_to_date_changes_nothing(self, metadata: Metadata, opener: Opener) -> None:
        with metadata.transaction() as tx:
            tx.tenancy.add_organisations([examples.organisation()])
            tx.tenancy.add_members(AIRPORT, [examples.member()])
        other = opener()
        other.upgrade()
        with other.transaction() as tx:
            assert [m.id for m in tx.tenancy.members(AIRPORT)] == [MemberId("member_ann")]
        other.close()


def count_up(cursor: Callable[..., int], advance: Callable[..., None], project: str) -> None:
    """Read a consumer's place and write the one after it."""
    advance(project, "counter", cursor(project, "counter") + 1)


def upgrade_and_count(opener: Opener, times: int) -> int:
    """Open the database in this process, upgrade it, and count up; return how often."""
    metadata = opener()
    metadata.upgrade()
    for _ in range(times):
        with metadata.transaction() as tx:
            count_up(tx.events.cursor, tx.events.advance, FLIGHTS)
    metadata.close()
    return times


def count_alone(opener: Opener, file: Path) -> None:
    """Count on in a file ten times, which goes wrong where somebody else does so at the same time."""
    with closing(opener()) as metadata:
        for _ in range(10):
            with metadata.hold("count"):
                found = int(file.read_text()) if file.exists() else 0
                file.write_text(str(found + 1))


def hold_until_killed(opener: Opener, tell: Connection) -> None:
    """Hold a name for three seconds beyond the end."""
    with opener().hold("a", lease_s=3.0):
        tell.send("held")
        Event().wait()
