"""What a vacuum drops, what it never does, and what is left of what it dropped: on real databases and lakes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from modelyard.core import PageRequest, Problem
from modelyard.data import DatasetVersion, Fate, Parent, Vacuum
from modelyard.data.comparing import compare_versions
from modelyard.data.reading import read, telling_dropped
from modelyard.data.sample import sample_version
from modelyard.data.service import profile_of
from modelyard.jobs import JobState
from modelyard.prepare import Code, Pipeline
from modelyard.registry import Combining, Composition, ModelVersion, Part
from modelyard.serving import RolloutState, Route, RouteKind
from modelyard.serving.retention import vacuum
from modelyard.tenancy import Role
from modelyard.testing import examples
from modelyard.training import Direction, Recipe, Run, RunId, RunState, StudyState, Trainer
from modelyard.training.service import NewRun, save_trainer, start_runs
from tests.data.place import Place, flights, made

NOTHING = timedelta()


def swept(place: Place, keep: int = 1, name: str = "flights", **rest: Any) -> Vacuum:
    """Vacuum a dataset a minute later, of any age unless said otherwise."""
    place.ports.clock.advance(minutes=1)
    return vacuum(place.ports, place.actor, place.project, name, keep=keep, **{"older_than": NOTHING, **rest})


def fates(found: Vacuum) -> dict[int, Fate]:
    return {one.number: one.fate for one in found.versions}


def dumps(place: Place, count: int, name: str = "flights") -> list[DatasetVersion]:
    """Take whole batches in, each with other rows."""
    return [made(place.append(flights(n, n + 10), name, whole=True)) for n in range(count)]


def code_of(deed: Any) -> str:
    with pytest.raises(Problem) as told:
        deed()
    return told.value.code


def test_versions_beyond_the_newest_go_for_good_and_their_records_stay(place: Place, metadata_url: str) -> None:
    del metadata_url
    place.dataset()
    first, second, third, fourth = dumps(place, 4)
    held = place.ports.lake.commits(place.project, "datasets/flights")
    would = swept(place, 2, dry_run=True)
    assert fates(would) == {4: Fate.KEPT, 3: Fate.KEPT, 2: Fate.DROPPED, 1: Fate.DROPPED}
    assert place.rows("flights@1").equals(flights(0, 10))
    assert place.events("dataset.vacuumed") == []
    found = swept(place, 2)
    assert found == replace(would, dry_run=False)
    tomb = place.version("flights@1")
    assert tomb == replace(first, dropped_at=place.ports.clock())
    assert profile_of(place.ports, place.actor, place.project, tomb).rows == 10
    assert (found.files, found.size_bytes) == (2, held[first.commit] + held[second.commit])
    assert set(place.ports.lake.commits(place.project, "datasets/flights")) == {third.commit, fourth.commit}
    assert place.rows("flights@3").equals(flights(2, 12))
    assert place.rows("flights").equals(flights(3, 13))
    [event] = place.events("dataset.vacuumed")
    assert event.data["dropped"] == [1, 2]
    assert event.actor == place.actor.member
    again = swept(place, 2)
    assert (fates(again), again.files, again.size_bytes) == ({4: Fate.KEPT, 3: Fate.KEPT}, 0, 0)
    assert len(place.events("dataset.vacuumed")) == 1


def test_rows_of_a_dropped_version_are_told_to_be_gone_at_every_door(place: Place) -> None:
    place.dataset()
    first, *_ = dumps(place, 3)
    swept(place)
    at = (place.ports, place.actor, place.project)
    for deed in (
        lambda: place.rows("flights@1"),
        lambda: sample_version(*at, place.version("flights@1"), 3),
        lambda: read(place.ports, place.project, first).collect(),
        lambda: compare_versions(*at, "flights", 1, 3),
        lambda: compare_versions(*at, "flights", 3, 1),
    ):
        assert code_of(deed) == "dataset_version.dropped"


def test_who_reads_a_version_in_the_moment_it_goes_is_told_so(place: Place) -> None:
    place.dataset()
    first, _, third = dumps(place, 3)
    going, staying = (read(place.ports, place.project, one) for one in (first, third))
    swept(place)
    with pytest.raises(Problem) as told, telling_dropped(place.ports, first):
        going.collect()
    assert told.value.code == "dataset_version.dropped"
    with telling_dropped(place.ports, third):
        assert staying.collect().equals(flights(2, 12))
    with pytest.raises(pl.exceptions.ColumnNotFoundError), telling_dropped(place.ports, third):
        staying.select("none").collect()


def test_a_version_whose_batches_a_later_one_reads_stays(place: Place) -> None:
    place.dataset()
    place.append(flights(0, 10))
    place.append(flights(10, 20))
    dumps(place, 1)
    place.append(flights(20, 30))
    found = swept(place)
    assert fates(found) == {4: Fate.KEPT, 3: Fate.SHARED, 2: Fate.DROPPED, 1: Fate.DROPPED}
    assert place.rows("flights").equals(pl.concat([flights(0, 10), flights(20, 30)]))
    assert place.rows("flights@3").equals(flights(0, 10))


def test_the_same_content_after_it_was_dropped_is_written_again(place: Place) -> None:
    place.dataset()
    first = made(place.append(flights(0, 10), whole=True))
    place.append(flights(5, 15), whole=True)
    swept(place)
    third = made(place.append(flights(0, 10), whole=True))
    assert third.digest == first.digest
    assert third.commit != first.commit
    assert place.rows("flights").equals(flights(0, 10))
    swept(place)
    fourth = made(place.append(flights(10, 20)))
    assert place.rows(fourth.id).equals(flights(0, 20))
    assert code_of(lambda: place.rows("flights@1")) == "dataset_version.dropped"


def test_the_batch_that_made_the_newest_version_is_known_again_when_the_one_before_was_dropped(place: Place) -> None:
    place.dataset()
    dumps(place, 2)
    place.append(flights(20, 30))
    swept(place)
    assert place.append(flights(20, 30)).version == place.version("flights@3")


def test_young_versions_stay(place: Place) -> None:
    place.dataset()
    dumps(place, 2)
    place.ports.clock.advance(days=91)
    dumps(place, 3)
    found = vacuum(place.ports, place.actor, place.project, "flights", keep=2)
    assert fates(found) == {5: Fate.KEPT, 4: Fate.KEPT, 3: Fate.KEPT, 2: Fate.DROPPED, 1: Fate.DROPPED}


def test_versions_that_were_made_before_batches_had_names_are_read_and_dropped_as_all_others(place: Place) -> None:
    place.dataset()
    versions = dumps(place, 3)
    lake = place.ports.lake
    for n, one in enumerate(versions):
        lake.vacuum(place.project, "datasets/flights", [one.commit], left_for=timedelta(days=1))
        lake.append(place.project, "datasets/flights", flights(n, n + 10), commit=one.digest)
    newest = lake.version(place.project, "datasets/flights")
    assert newest is not None
    with place.ports.transaction() as tx:
        tx.datasets.save_versions(place.project, [replace(one, commit="", table_version=newest) for one in versions])
    assert place.rows("flights@1").equals(flights(0, 10))
    swept(place, 2)
    assert set(lake.commits(place.project, "datasets/flights")) == {one.digest for one in versions[1:]}
    assert place.rows("flights@2").equals(flights(1, 11))


def model_on(
    place: Place, version: DatasetVersion, number: int, *, name: str = "delay", run: int | None = None, **rest: Any
) -> ModelVersion:
    """Record a model version that a run made from a dataset version."""
    ran = replace(examples.run(run or number, place.project), data=version.id, refit_of=None)
    trained = replace(
        examples.model_version(number, place.project, name=name),
        run=ran.id,
        refit_of=None,
        evaluations=(),
        composition=None,
        data=version.id,
        **rest,
    )
    with place.ports.transaction() as tx:
        if name not in {one.name for one in tx.models.find(place.project)}:
            tx.models.add(place.project, [examples.model(name, place.project)])
        tx.runs.add(place.project, [ran])
        tx.models.add_versions(place.project, [trained])
    return trained


def reasons(found: Vacuum) -> dict[int, tuple[str, ...]]:
    return {one.number: one.needs for one in found.versions if one.fate is Fate.HELD}


def test_what_a_model_under_an_alias_was_trained_on_is_held(place: Place, metadata_url: str) -> None:
    del metadata_url
    place.dataset()
    versions = dumps(place, 5)
    for number, one in enumerate(versions[:4], 1):
        model_on(place, one, number)
    with place.ports.transaction() as tx:
        champion = replace(examples.alias(of=place.project, version=3), previous=2)
        tx.models.save_aliases(place.project, [champion])
    found = swept(place)
    assert reasons(found) == {3: ("delay@3 is champion",), 2: ("delay@2 was champion before",)}
    assert fates(found)[4] is fates(found)[1] is Fate.DROPPED
    assert place.rows("flights@3").equals(flights(2, 12))


def test_routes_canaries_shadows_and_held_rollouts_hold(place: Place) -> None:
    place.dataset()
    versions = dumps(place, 7)
    for number, one in enumerate(versions[:6], 1):
        model_on(place, one, number)
    with place.ports.transaction() as tx:
        deployment = examples.deployment(of=place.project)
        tx.deployments.add(place.project, [deployment])
        routes = (Route(1, 90), Route(2, 10, RouteKind.CANARY), Route(3, 100, RouteKind.SHADOW))
        old = replace(examples.revision(1), routes=(Route(6, 100),))
        tx.deployments.add_revisions(place.project, [old, replace(examples.revision(2), routes=routes)])
        held = replace(examples.rollout(1, place.project), candidate=4, base=5, state=RolloutState.HELD)
        ended = replace(examples.rollout(2, place.project), candidate=6, base=6, state=RolloutState.ROLLED_BACK)
        tx.deployments.save_rollouts(place.project, [held, ended])
    found = swept(place)
    assert reasons(found) == {
        1: ("delay@1 is live in delay",),
        2: ("delay@2 is canary in delay",),
        3: ("delay@3 is shadow in delay",),
        4: ("delay@4 is held in a rollout on delay",),
        5: ("delay@5 is what a rollout on delay goes back to",),
    }
    assert fates(found)[6] is Fate.DROPPED


def test_what_the_parts_of_a_combined_version_stand_on_is_held_and_so_is_what_was_measured_on(place: Place) -> None:
    place.dataset()
    versions = dumps(place, 5)
    model_on(place, versions[0], 3, name="small", run=1)
    model_on(place, versions[1], 7, name="big", run=2)
    parts = (Part("small", 3, "small"), Part("big", 7, "big"))
    whole = replace(
        examples.model_version(1, place.project),
        run=None,
        refit_of=None,
        data=None,
        evaluations=(),
        composition=Composition(Combining.MEAN, parts),
    )
    with place.ports.transaction() as tx:
        tx.models.add(place.project, [examples.model(of=place.project)])
        tx.models.add_versions(place.project, [whole])
        [weigher] = examples.model_version(1).evaluations
        tx.runs.add(place.project, [replace(examples.run(9, place.project), data=versions[2].id)])
        measured = replace(whole, number=2, composition=None, evaluations=(replace(weigher, run=RunId("run_0009")),))
        refit = replace(measured, number=3, evaluations=(), refit_of=RunId("run_0009"))
        tx.models.add_versions(place.project, [measured, refit])
        tx.models.save_aliases(place.project, [examples.alias(of=place.project, version=1)])
    assert reasons(swept(place, dry_run=True)) == {
        1: ("delay@1 is champion, with small@3",),
        2: ("delay@1 is champion, with big@7",),
    }
    for number in (2, 3):
        with place.ports.transaction() as tx:
            tx.models.save_aliases(place.project, [examples.alias(of=place.project, version=number)])
        assert reasons(swept(place, dry_run=True)) == {3: (f"delay@{number} is champion",)}


def test_what_a_needed_version_was_made_from_is_held_through_all_parents(place: Place) -> None:
    place.dataset("raw")
    place.dataset("clean")
    place.dataset("ready")
    raw = dumps(place, 3, "raw")
    parent = Parent("dataset_version", raw[0].id, "raw v1")
    clean = made(place.append(flights(0, 5), "clean", parents=[parent], whole=True))
    after = made(place.append(flights(5, 6), "clean"))
    place.append(flights(50, 60), "clean", whole=True)
    ready = made(place.append(flights(0, 6), "ready", parents=[Parent("dataset_version", after.id)], whole=True))
    place.append(flights(70, 80), "ready", whole=True)
    model_on(place, ready, 1)
    with place.ports.transaction() as tx:
        tx.models.save_aliases(place.project, [examples.alias(of=place.project)])
    assert fates(swept(place, name="clean")) == {3: Fate.KEPT, 2: Fate.HELD, 1: Fate.SHARED}
    found = swept(place, name="raw")
    told = "clean@2 was made from it, and ready@1 was made from it, and delay@1 is champion"
    assert reasons(found) == {1: (told,)}
    assert fates(found)[2] is Fate.DROPPED
    assert place.rows("raw@1").equals(flights(0, 10))
    assert place.rows(clean.id).equals(flights(0, 5))


@pytest.mark.parametrize("state", [RunState.PENDING, RunState.RUNNING])
def test_what_is_under_way_holds_what_it_reads(place: Place, state: RunState) -> None:
    place.dataset()
    versions = dumps(place, 6)
    with place.ports.transaction() as tx:
        run = replace(examples.run(1, place.project), data=versions[0].id, state=state)
        ended = replace(examples.run(2, place.project), data=versions[4].id, state=RunState.FAILED)
        tx.runs.add(place.project, [run, ended])
        tx.runs.add_studies(place.project, [replace(examples.study(1, place.project), data=versions[1].id)])
        over = replace(examples.study(2, place.project), data=versions[4].id, state=StudyState.FINISHED)
        tx.runs.add_studies(place.project, [over])
        by_id = replace(examples.job(1, place.project), payload={"data": versions[2].id})
        by_name = replace(examples.job(2, place.project), payload={"source": [{"ref": "flights@4"}]})
        done = replace(examples.job(3, place.project), payload={"data": versions[4].id}, state=JobState.FINISHED)
        tx.jobs.add(place.project, [by_id, by_name, done])
    assert reasons(swept(place)) == {
        1: (f"run 1 is {state.value}",),
        2: ("a study of delay is running",),
        3: ("a job is queued: Train number 1",),
        4: ("a job is queued: Train number 2",),
    }


def test_a_run_that_starts_on_a_version_holds_it_or_is_refused(place: Place, metadata_url: str) -> None:
    del metadata_url
    place.dataset()
    versions = dumps(place, 13)
    place.ports.clock.advance(minutes=1)
    at = (place.ports, place.actor, place.project)
    code = Code("def train(run, fit, test): ...\n", "train")
    trainer = save_trainer(*at, Trainer("late", code, Pipeline(()), "delay", "mae", Direction.MINIMISE))

    def start(version: DatasetVersion) -> Run | str:
        try:
            return start_runs(*at, [NewRun(Recipe(trainer, {}), version.id)])[0]
        except Problem as problem:
            return problem.code

    with ThreadPoolExecutor(4) as threads:
        started = threads.map(start, versions[:12])
        swept_by = threads.submit(vacuum, *at, "flights", keep=1, older_than=NOTHING)
        outcomes = list(started)
        swept_by.result()
    swept(place)
    for version, outcome in zip(versions, outcomes, strict=False):
        if isinstance(outcome, Run):
            assert place.version(version.id).dropped_at is None
            assert place.rows(version.id).height == 10
        else:
            assert outcome == "dataset_version.dropped"
            assert place.version(version.id).dropped_at is not None
    assert start(place.version("flights")) != "dataset_version.dropped"


def test_only_who_may_approve_drops_and_who_may_read_sees_what_would_go(place: Place) -> None:
    place.dataset()
    dumps(place, 2)
    trainer = replace(place.actor, role=Role.TRAINER)
    assert fates(vacuum(place.ports, trainer, place.project, "flights", keep=1, dry_run=True))[2] is Fate.KEPT
    assert code_of(lambda: vacuum(place.ports, trainer, place.project, "flights", keep=1)) == "action.forbidden"
    assert code_of(lambda: swept(place, 0)) == "vacuum.invalid"
    assert code_of(lambda: swept(place, name="fligths")) == "dataset.missing"


def test_rows_of_stopped_batches_leave_the_quarantine_when_a_version_came_after_them(place: Place) -> None:
    place.dataset(stop_share=0.5)
    place.append(flights(0, 10))
    assert place.append(flights(2, 10)).version is None
    place.append(flights(8, 20))
    assert place.append(flights(0, 8)).version is None
    held = place.quarantine()
    assert held.height == 8 + 2 + 8
    assert swept(place, dry_run=True).batches == 1
    found = swept(place)
    assert found.batches == 1
    assert found.size_bytes > 0
    assert place.quarantine().equals(held.tail(10))
    assert swept(place).batches == 0
    assert place.append(flights(0, 8)).version is None
    assert place.quarantine().height == 10
    place.append(flights(20, 21))
    assert swept(place).batches == 1
    assert place.quarantine()["flight_id"].to_list() == ["UA8", "UA9"]


def test_a_dataset_without_versions_has_nothing_to_drop(place: Place) -> None:
    place.dataset()
    assert swept(place) == Vacuum("flights", dry_run=False, versions=(), batches=0, files=0, size_bytes=0)


def test_datasets_beside_it_and_other_projects_lose_nothing(place: Place) -> None:
    place.dataset()
    place.dataset("planes")
    dumps(place, 3)
    dumps(place, 3, "planes")
    swept(place)
    assert place.rows("planes@1").equals(flights(0, 10))
    with place.ports.transaction() as tx:
        page = tx.datasets.versions(place.project, PageRequest(), name="planes").items
    assert [one.dropped_at for one in page] == [None] * 3
