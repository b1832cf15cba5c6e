"""What every message broker must do. Subclass `BrokerContract`, give its fixture `bench`, and run it with pytest."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import pytest

from modelyard.core import Problem
from modelyard.serving.broker import Broker, Message, Record

TRIES = 120  # polls of half a second until a message has to be there
LARGE = 3 << 20  # bytes: more than the bench's topics take


class Bench(Protocol):
    """A broker with three fresh topics, and what a test does with them from outside."""

    def open(self, worker: str) -> Broker:
        """Return a broker for a worker of one group, not claimed yet."""
        ...

    def send(self, records: Sequence[Record]) -> None:
        """Put messages on the source."""
        ...

    def answers(self) -> list[Record]:
        """Return the committed answers, all there are."""
        ...

    def dead_letters(self) -> list[Record]:
        """Return the committed dead letters, all there are."""
        ...

    def open_elsewhere(self) -> Broker:
        """Return a broker whose source does not exist."""
        ...


def numbered(count: int) -> list[Record]:
    """Return messages to send, each with a key and a header of its own."""
    return [
        Record(f"key {n % 7}".encode(), str(n).encode(), (("number", str(n).encode()), ("none", None))) for n in range(count)
    ]


def taken(broker: Broker, count: int) -> list[Message]:
    """Return the next messages, at least so many, without committing them."""
    found: list[Message] = []
    for _ in range(TRIES):
        found += broker.poll(256, 0.5)
        if len(found) >= count:
            return found
    raise AssertionError(f"only {len(found)} of {count} messages came")


def echoes(messages: Sequence[Message], *, is_dead: bool = False) -> list[Record]:
    """Return a record for each message that tells its value."""
    return [Record(one.key, one.value, one.headers, is_dead) for one in messages]


class BrokerContract:
    """The promises of a broker."""

    @pytest.fixture
    def bench(self) -> Iterator[Bench]:
        """Give the bench under test."""
        raise NotImplementedError

    def test_messages_come_as_they_were_sent_and_in_order_within_a_partition(self, bench: Bench) -> None:
        sent = numbered(40)
        bench.send(sent)
        broker = bench.open("one")
        broker.claim()
        found = taken(broker, 40)
        broker.close()
        assert sorted(found_.value or b"" for found_ in found) == sorted(one.value or b"" for one in sent)
        for one in found:
            assert one.headers == (("number", one.value), ("none", None))
            assert one.time is not None
        by_key: dict[bytes | None, list[int]] = {}
        for one in found:
            by_key.setdefault(one.key, []).append(int(one.value or b""))
        assert all(numbers == sorted(numbers) for numbers in by_key.values())
        assert len({one.place for one in found}) == 40

    def test_what_waits_is_known_once_some_of_it_was_taken(self, bench: Bench) -> None:
        broker = bench.open("one")
        assert broker.lag() == 0
        bench.send(numbered(70))
        broker.claim()
        found: list[Message] = []
        while not found:
            found = broker.poll(1, 0.5)
        assert 0 < broker.lag() < 70
        taken(broker, 69)
        assert broker.lag() == 0
        broker.close()
        assert broker.lag() == 0

    def test_answers_place_and_mark_are_committed_together(self, bench: Bench) -> None:
        bench.send(numbered(10))
        broker = bench.open("one")
        assert broker.claim() is None
        messages = taken(broker, 10)
        records = [*echoes(messages[:7]), *echoes(messages[7:], is_dead=True)]
        broker.commit(messages, records, "mark 1")
        assert broker.mark() == "mark 1"
        assert sorted(map(repr, bench.answers())) == sorted(map(repr, echoes(messages[:7])))
        assert sorted(repr(one.value) for one in bench.dead_letters()) == sorted(repr(one.value) for one in messages[7:])
        broker.close()
        after = bench.open("one")
        assert after.claim() == "mark 1"
        bench.send(numbered(1))
        assert [one.value for one in taken(after, 1)] == [b"0"]
        after.close()

    def test_what_was_not_committed_comes_again(self, bench: Bench) -> None:
        bench.send(numbered(10))
        broker = bench.open("one")
        broker.claim()
        first = taken(broker, 10)
        broker.close()
        after = bench.open("two")
        assert after.claim() is None
        assert {one.place for one in taken(after, 10)} == {one.place for one in first}
        after.close()
        assert bench.answers() == []

    def test_a_mark_alone_can_be_committed(self, bench: Bench) -> None:
        broker = bench.open("one")
        broker.claim()
        broker.commit([], [], "begun")
        assert broker.mark() == "begun"
        broker.close()

    def test_a_newer_instance_of_a_worker_shuts_the_older_one_out(self, bench: Bench) -> None:
        bench.send(numbered(5))
        older, newer = bench.open("one"), bench.open("one")
        older.claim()
        messages = taken(older, 5)
        assert newer.claim() is None
        newer.commit([], [], "newer")
        with pytest.raises(Problem) as caught:
            older.commit(messages, echoes(messages), "older")
        assert caught.value.code == "transaction.unavailable"
        assert older.mark() == "newer"
        assert bench.answers() == []
        older.close()
        newer.close()

    def test_a_record_that_is_too_large_is_refused_and_nothing_is_done(self, bench: Bench) -> None:
        bench.send(numbered(4))
        broker = bench.open("one")
        broker.claim()
        messages = taken(broker, 4)
        records = echoes(messages)
        records[2] = Record(b"k", bytes(LARGE), ())
        with pytest.raises(Problem) as caught:
            broker.commit(messages, records, "mark")
        assert caught.value.code == "message.too_large"
        assert broker.mark() is None
        again = taken(broker, 4)
        assert {one.place for one in again} == {one.place for one in messages}
        broker.commit(again, echoes(again), "mark")
        assert len(bench.answers()) == 4
        broker.close()

    def test_a_topic_that_is_not_there_is_told(self, bench: Bench) -> None:
        broker = bench.open_elsewhere()
        with pytest.raises(Problem) as caught:
            broker.claim()
        assert caught.value.code == "topic.missing"
        broker.close()
