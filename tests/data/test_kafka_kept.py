"""A topic is kept for good: each of its messages exactly once, whoever is killed and whenever."""

import json
import random
import re
import signal
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing import get_context
from multiprocessing.synchronize import Event as ProcessEvent
from pathlib import Path
from threading import Event, Thread

import polars as pl

from modelyard.core import ManualClock, ProjectId
from modelyard.data import Check
from modelyard.data.snapshots import snapshot
from modelyard.serving.broker import Record
from modelyard.tenancy import Actor
from tests.data.place import Place, Ports, open_ports
from tests.data.test_killed import DyingLake
from tests.topics import PATIENCE_S, Topics

KILLS = 20
LONGEST_LIFE_S = 1.0  # of a taker, after its first snapshot
POISON = ("%d", '{"n": %d, "n": 0}', '{"n": "no. %d"}', "flight %d \x00")


def ports_of(metadata_url: str, folder: Path) -> Ports:
    """Return the ports of a process, by the time at which it begins: versions of several processes have an order by it."""
    return open_ports(metadata_url, folder, ManualClock(datetime.now(UTC)))


def take_on(metadata_url: str, folder: Path, actor: Actor, project: ProjectId, begun: ProcessEvent) -> None:
    """Take snapshots until we are killed."""
    ports = ports_of(metadata_url, folder)
    while True:
        snapshot(ports, actor, project, "flights")
        begun.set()


def message(number: int) -> bytes:
    """Return the message of a number: one of seven is no row, and one of eleven a row that fails a check."""
    if number % 7 == 3:
        return (POISON[number % len(POISON)] % number).encode()
    return json.dumps({"n": number, "delay": -1.0 if number % 11 == 5 else number / 3, "origin": "JFK"}).encode()


class Sender(Thread):
    """A producer that sends numbered messages, some at a time, until it is told to end."""

    def __init__(self, topics: Topics) -> None:
        super().__init__()
        self._topics = topics
        self._ending = Event()
        self.sent = 0

    def run(self) -> None:
        some = random.Random(7)
        while not self._ending.wait(0.05):
            numbers = range(self.sent, self.sent + some.randrange(1, 40))
            self._topics.send([Record(b"%d" % number, message(number), ()) for number in numbers])
            self.sent = numbers.stop

    def close(self) -> None:
        """End it, and wait for what it sends."""
        self._ending.set()
        self.join()


def numbers_in(quarantine: pl.DataFrame) -> list[int]:
    """Return the numbers of what is quarantined: rows that failed a check, and messages that are none."""
    undecoded = quarantine["_content"].drop_nulls().to_list()
    rows = quarantine.filter(pl.col("_content").is_null())["n"].cast(pl.Int64).to_list()
    return [int(re.findall(r"\d+", text)[0]) for text in undecoded] + rows


def test_every_message_is_kept_once_whenever_its_taker_is_killed(place: Place, kafka_address: str) -> None:
    topics, moments = Topics.make(kafka_address), random.Random(11)
    check = Check("between", ("delay",), {"low": 0, "high": None})
    place.dataset(key=(), time=None, source=f"kafka://{kafka_address}/{topics.source}", checks=[check], stop_share=1.0)
    args = (f"sqlite:///{place.folder / 'metadata.sqlite'}", place.folder, place.actor, place.project)
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, "modelyard.adapters.kafka"])
    sender = Sender(topics)
    sender.start()
    with closing(sender):
        for _ in range(KILLS):
            begun = context.Event()
            taker = context.Process(target=take_on, args=(*args, begun))
            taker.start()
            assert begun.wait(PATIENCE_S)
            taker.join(moments.uniform(0, LONGEST_LIFE_S))
            assert taker.exitcode is None, "it ended by itself"
            taker.kill()
            taker.join()
    ports = ports_of(*args[:2])
    with closing(ports.metadata):
        place = replace(place, ports=ports)
        versions = len(place.versions())
        while place.snapshot().waiting:
            pass
        kept = place.rows("flights")["n"].to_list()
        assert Counter([*kept, *numbers_in(place.quarantine())]) == Counter(range(sender.sent))
        assert versions >= KILLS


def die_after_quarantine(metadata_url: str, folder: Path, actor: Actor, project: ProjectId) -> None:
    """Take a snapshot, and be killed when what is no row lies in quarantine."""
    ports = ports_of(metadata_url, folder)
    DyingLake.kind = "quarantine/"
    snapshot(replace(ports, lake=DyingLake(folder / "lake")), actor, project, "flights")


def test_what_a_killed_taker_left_in_quarantine_is_not_put_there_again(place: Place, kafka_address: str) -> None:
    topics = Topics.make(kafka_address)
    place.dataset(key=(), time=None, source=f"kafka://{kafka_address}/{topics.source}", stop_share=1.0)
    topics.send([Record(None, value, ()) for value in (b'{"n": 1}', b"x", b"x")], partition=0)
    args = (f"sqlite:///{place.folder / 'metadata.sqlite'}", place.folder, place.actor, place.project)
    taker = get_context("spawn").Process(target=die_after_quarantine, args=args)
    taker.start()
    taker.join()
    assert taker.exitcode == -signal.SIGKILL
    topics.send([Record(None, value, ()) for value in (b"x", b'{"n": 2}')], partition=0)
    place.snapshot()
    assert place.rows("flights")["n"].to_list() == [1, 2]
    assert [one.rpartition("/")[2] for one in place.quarantine()["_place"]] == ["1", "2", "3"]
