"""A project whose datasets a test fills."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from modelyard.adapters import open_engine, open_source
from modelyard.adapters.delta import DeltaLake
from modelyard.adapters.file import FileObjects
from modelyard.adapters.sql import SqlMetadata, SqlTransaction
from modelyard.core import IdMaker, ManualClock, PageRequest, ProjectId
from modelyard.core.files import turn
from modelyard.data import Admission, Check, Dataset, DatasetVersion, Parent, Source
from modelyard.data.reading import newest_first
from modelyard.data.service import append, create_dataset, get_version, quarantined, read
from modelyard.data.snapshots import snapshot
from modelyard.events import Event
from modelyard.prepare.engine import Engine
from modelyard.tenancy import Actor

START = datetime(2013, 1, 1, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Ports:
    """The ports of data, filled."""

    clock: ManualClock
    ids: IdMaker
    metadata: SqlMetadata
    objects: FileObjects
    lake: DeltaLake
    source: Callable[[str], Source]
    turns: Path
    engine: Callable[[str], AbstractContextManager[Engine]] = open_engine

    def transaction(self) -> AbstractContextManager[SqlTransaction]:
        """Open or join a transaction."""
        return self.metadata.transaction()

    def turn(self, name: str) -> AbstractContextManager[None]:
        """Wait for others in a turn of this name."""
        return turn(self.turns / name)


def open_ports(metadata_url: str, folder: Path, clock: ManualClock) -> Ports:
    """Return ports on a database and a folder, which several processes may share."""
    lake = DeltaLake(folder / "lake")
    metadata, objects = SqlMetadata(metadata_url), FileObjects(folder / "objects")
    return Ports(clock, IdMaker(clock), metadata, objects, lake, open_source, folder / "turns")


def flights(start: int, stop: int) -> pl.DataFrame:
    """Return flights `start` to below `stop`, one an hour."""
    numbers = range(start, stop)
    return pl.DataFrame(
        {
            "flight_id": [f"UA{n}" for n in numbers],
            "departs_at": [START + timedelta(hours=n) for n in numbers],
            "origin": [("JFK", "LGA", "EWR")[n % 3] for n in numbers],
            "delay": [n * 0.5 for n in numbers],
        },
        schema={"flight_id": pl.String, "departs_at": pl.Datetime("us", "UTC"), "origin": pl.String, "delay": pl.Float64},
    )


@dataclass(frozen=True)
class Place:
    """The use cases, with who, where and on what filled in."""

    ports: Ports
    actor: Actor
    project: ProjectId
    folder: Path

    def dataset(self, name: str = "flights", **rest: Any) -> Dataset:
        """Create a dataset, of flights unless said otherwise."""
        rest = {"key": ("flight_id",), "time": "departs_at", **rest}
        return create_dataset(self.ports, self.actor, self.project, name, **rest)

    def append(
        self,
        frame: pl.DataFrame,
        name: str = "flights",
        parents: Sequence[Parent] = (),
        note: str = "",
        *,
        replacing: bool = False,
        whole: bool = False,
    ) -> Admission:
        """Append a frame."""
        place = (self.ports, self.actor, self.project)
        return append(*place, name, frame, parents=parents, note=note, replacing=replacing, whole=whole)

    def snapshot(self, name: str = "flights", **rest: Any) -> Admission:
        """Take a snapshot."""
        return snapshot(self.ports, self.actor, self.project, name, **rest)

    def version(self, ref: str) -> DatasetVersion:
        """Return a version."""
        return get_version(self.ports, self.actor, self.project, ref)

    def rows(self, ref: str) -> pl.DataFrame:
        """Return a version's rows."""
        return read(self.ports, self.actor, self.project, self.version(ref)).collect()

    def quarantine(self, name: str = "flights") -> pl.DataFrame:
        """Return what is quarantined."""
        return quarantined(self.ports, self.actor, self.project, name).collect()

    def versions(self, name: str = "flights") -> list[DatasetVersion]:
        """Return all versions, oldest first."""
        with self.ports.transaction() as tx:
            return list(newest_first(tx, self.project, name))[::-1]

    def events(self, kind: str) -> list[Event]:
        """Return the project's events of a kind."""
        with self.ports.transaction() as tx:
            return tx.events.read(self.project, kinds=[kind], limit=1000)


FIRST = PageRequest()


def made(admission: Admission) -> DatasetVersion:
    """Return the version that an admission made."""
    assert admission.version is not None
    return admission.version


def one_of(name: str, values: Sequence[str]) -> Check:
    """Return a check that a text is among `values`."""
    return Check("one_of", (name,), {"values": list(values)})
