"""A writer killed between the lake and the record leaves nothing to be seen, and its retry is exact."""

import os
import signal
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from modelyard.adapters.delta import DeltaLake
from modelyard.core import ManualClock, Problem, ProjectId
from modelyard.data import Vacuumed
from modelyard.data.service import append
from modelyard.serving.retention import vacuum
from modelyard.tenancy import Actor
from tests.data.place import Place, flights, made, open_ports


class DyingLake(DeltaLake):
    """A lake whose process is killed as soon as it has committed to a table of the given kind."""

    kind = ""

    def append(self, project: ProjectId, table: str, frame: pl.DataFrame, *, commit: str) -> int:
        version = super().append(project, table, frame, commit=commit)
        if table.startswith(self.kind):
            os.kill(os.getpid(), signal.SIGKILL)
        return version


def die_while_appending(
    metadata_url: str, folder: Path, actor: Actor, project: ProjectId, frame: pl.DataFrame, kind: str
) -> None:
    ports = open_ports(metadata_url, folder, ManualClock(datetime(2013, 4, 1, tzinfo=UTC)))
    DyingLake.kind = kind
    object.__setattr__(ports, "lake", DyingLake(folder / "lake"))
    append(ports, actor, project, "flights", frame)


@pytest.mark.parametrize("kind", ["quarantine/", "datasets/"])
def test_a_killed_writer_leaves_nothing_to_be_seen(place: Place, metadata_url: str, kind: str) -> None:
    place.dataset(stop_share=0.5)
    first = made(place.append(flights(0, 10)))
    batch = flights(8, 20)
    writer = get_context("spawn").Process(
        target=die_while_appending, args=(metadata_url, place.folder, place.actor, place.project, batch, kind)
    )
    writer.start()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    assert place.version("flights") == first
    assert place.rows("flights").equals(flights(0, 10))
    admission = place.append(batch)
    assert (admission.admitted, admission.quarantined) == (10, 2)
    assert place.rows("flights").equals(flights(0, 20))
    assert place.quarantine()["flight_id"].to_list() == ["UA8", "UA9"]
    table = place.ports.lake.scan(place.project, "datasets/flights").collect()
    assert table.height == 20


class DyingVacuum(DeltaLake):
    """A lake whose process is killed before or after it vacuums a table of the given kind."""

    kind = ""
    after = False

    def vacuum(self, project: ProjectId, table: str, *rest: Any, **named: Any) -> Vacuumed:
        if table.startswith(self.kind) and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        found = super().vacuum(project, table, *rest, **named)
        if table.startswith(self.kind):
            os.kill(os.getpid(), signal.SIGKILL)
        return found


def die_while_vacuuming(metadata_url: str, folder: Path, actor: Actor, project: ProjectId, kind: str, after: bool) -> None:
    ports = open_ports(metadata_url, folder, ManualClock(datetime(2013, 5, 1, tzinfo=UTC)))
    DyingVacuum.kind, DyingVacuum.after = kind, after
    object.__setattr__(ports, "lake", DyingVacuum(folder / "lake"))
    vacuum(ports, actor, project, "flights", keep=1, older_than=timedelta())


@pytest.mark.parametrize("kind", ["quarantine/", "datasets/"])
@pytest.mark.parametrize("after", [False, True])
def test_a_killed_vacuum_keeps_what_stays_readable_and_the_next_one_finishes_it(
    place: Place, metadata_url: str, kind: str, after: bool
) -> None:
    place.dataset(stop_share=0.5)
    place.append(flights(0, 10))
    assert place.append(flights(2, 10)).version is None
    for start in (3, 5):
        made(place.append(flights(start, start + 10), whole=True))
    args = (metadata_url, place.folder, place.actor, place.project, kind, after)
    killed = get_context("spawn").Process(target=die_while_vacuuming, args=args)
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert place.rows("flights").equals(flights(5, 15))
    assert place.quarantine().height == 0
    with pytest.raises(Problem) as told:
        place.rows("flights@1")
    assert told.value.code == "dataset_version.dropped"
    again = made(place.append(flights(0, 10), whole=True))
    place.ports.clock.advance(days=60)
    vacuum(place.ports, place.actor, place.project, "flights", keep=2, older_than=timedelta())
    held = place.ports.lake.commits(place.project, "datasets/flights")
    assert set(held) == {place.version("flights@3").commit, again.commit}
    assert place.ports.lake.commits(place.project, "quarantine/flights") == {}
    assert place.rows("flights").equals(flights(0, 10))
    assert place.rows("flights@3").equals(flights(5, 15))


def test_another_batch_after_a_killed_one_does_not_see_its_rows(place: Place, metadata_url: str) -> None:
    place.dataset()
    place.append(flights(0, 10))
    args = (metadata_url, place.folder, place.actor, place.project, flights(10, 15), "datasets/")
    writer = get_context("spawn").Process(target=die_while_appending, args=args)
    writer.start()
    writer.join()
    second = made(place.append(flights(12, 20)))
    assert place.rows(second.id).equals(pl.concat([flights(0, 10), flights(12, 20)]))
    assert made(place.append(flights(10, 12))).rows == 20
    assert place.rows("flights@2").equals(place.rows(second.id))
