"""Use cases of data on a real metadata database, lake and object store."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import polars as pl
import pytest

from modelyard.core import PageRequest, Problem
from modelyard.data import Check, Dataset, Parent, quality
from modelyard.data.content import batch_digest, chain
from modelyard.data.profile import profile
from modelyard.data.service import (
    add_checks,
    append,
    change_checks,
    create_dataset,
    find_datasets,
    get_dataset,
    get_version,
    profile_of,
    quarantined,
    read,
    stopped_batches,
    suggest_checks,
    versions,
)
from modelyard.data.snapshots import snapshot
from modelyard.tenancy import Role
from modelyard.tenancy.service import create_project
from tests.data.place import START, Place, flights, made


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(Problem) as told:
        action()
    return told.value.code


def codes(action: Callable[[str], object], arguments: Iterable[str]) -> dict[str, str]:
    return {argument: code_of(partial(action, argument)) for argument in arguments}


# Datasets


def test_a_dataset_is_found_by_its_name(place: Place) -> None:
    made_first = place.dataset(checks=[quality.between("delay", -60, None)], source="file:///x.csv", stop_share=0.1)
    place.dataset("airports", key=("code",), time=None)
    assert get_dataset(place.ports, place.actor, place.project, "flights") == made_first
    assert [one.name for one in find_datasets(place.ports, place.actor, place.project)] == ["airports", "flights"]
    assert [event.subject for event in place.events("dataset.created")] == ["flights", "airports"]
    with pytest.raises(Problem, match="did you mean 'flights'") as told:
        get_dataset(place.ports, place.actor, place.project, "fligths")
    assert told.value.code == "dataset.missing"


HOSTILE_NAMES = [
    "", "Flights", "1st", "../x", "a/b", "a b", "a\0", "flights\n", "x" * 64, "a@1", "dsv_1", "flüge", "'; drop table",
]  # fmt: skip


def test_a_hostile_name_is_refused(place: Place) -> None:
    assert codes(place.dataset, HOSTILE_NAMES) == dict.fromkeys(HOSTILE_NAMES, "dataset.invalid")


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        ({"key": ("a", "a")}, "dataset.invalid"),
        ({"key": ("",)}, "dataset.invalid"),
        ({"time": ""}, "dataset.invalid"),
        ({"stop_share": 1.5}, "dataset.invalid"),
        ({"stop_share": float("nan")}, "dataset.invalid"),
        ({"checks": [Check("betwen", ("x",))]}, "check.invalid"),
    ],
)
def test_a_dataset_that_makes_no_sense_is_refused(place: Place, rest: dict[str, Any], code: str) -> None:
    assert code_of(lambda: place.dataset(**rest)) == code


def test_a_name_is_taken_once(place: Place) -> None:
    place.dataset()
    assert code_of(place.dataset) == "dataset.exists"


# Versions


@pytest.mark.usefixtures("metadata_url")
def test_each_batch_makes_a_version_that_stays_as_it_was(place: Place) -> None:
    dataset = place.dataset()
    first = made(place.append(flights(0, 10), note="January"))
    place.ports.clock.advance(days=1)
    second = made(place.append(flights(10, 15)))
    assert (first.number, first.rows, first.note, first.dataset) == (1, 10, "January", dataset.id)
    assert (second.number, second.rows) == (2, 15)
    assert second.created_at - first.created_at == timedelta(days=1)
    assert (second.event_from, second.event_until) == (START, START + timedelta(hours=14))
    assert [column.name for column in second.schema.columns] == flights(0, 0).columns
    for ref, stop in (("flights@1", 10), ("flights@2", 15), ("flights", 15), ("flights@latest", 15), (first.id, 10)):
        assert place.rows(ref).equals(flights(0, stop))
    assert [event.data["number"] for event in place.events("dataset_version.created")] == [1, 2]


def test_a_digest_says_the_content_and_nothing_else(place: Place) -> None:
    for name in ("one", "two", "three", "other"):
        place.dataset(name)
    for name in ("one", "two"):
        for start in (0, 10):
            place.append(flights(start, start + 10), name)
        place.ports.clock.advance(hours=1)
    place.append(flights(10, 20), "three")
    place.append(flights(0, 10), "three")
    place.append(flights(0, 10).with_columns(delay=pl.col("delay") + 1), "other")
    digests = {name: [version.digest for version in place.versions(name)] for name in ("one", "two", "three", "other")}
    assert digests["one"] == digests["two"]
    assert len({digest for found in digests.values() for digest in found}) == 2 + 2 + 1
    parts = [place.rows("one@1"), place.rows("one@2")[10:]]
    assert digests["one"][1] == chain(chain(None, batch_digest(parts[0])), batch_digest(parts[1]))


def test_profiles_are_of_the_whole_content(place: Place) -> None:
    place.dataset()
    stops = (10, 12, 15, 30, 31)
    for start, stop in zip((0, *stops), stops, strict=False):
        version = made(place.append(flights(start, stop)))
        found = profile_of(place.ports, place.actor, place.project, version)
        whole = profile(place.rows(version.id), found)
        assert found.rows == stop
        for name, column in whole.columns.items():
            assert (found.columns[name].slots, found.columns[name].null) == (column.slots, column.null)


def test_new_columns_widen_a_dataset_and_older_versions_keep_theirs(place: Place) -> None:
    place.dataset()
    place.append(flights(0, 4))
    place.append(flights(4, 6).with_columns(seats=pl.lit(100)))
    assert place.rows("flights@1").equals(flights(0, 4))
    wide = place.rows("flights@2")
    assert wide["seats"].to_list() == [None] * 4 + [100] * 2
    assert wide.drop("seats").equals(flights(0, 6))
    assert "seats" in profile_of(place.ports, place.actor, place.project, place.version("flights@2")).columns
    assert code_of(lambda: place.append(flights(6, 8))) == "column.missing"


def test_an_unknown_version_is_told(place: Place) -> None:
    place.dataset()
    place.dataset("empty")
    place.append(flights(0, 2))
    expected = {
        "fligths@1": "dataset.missing",
        "flights@3": "dataset_version.missing",
        "empty": "dataset_version.missing",
        "flights@0": "dataset_version.invalid",
        "flights@-1": "dataset_version.invalid",
        "flights@newest": "dataset_version.invalid",
        "flights@²": "dataset_version.invalid",
        "": "dataset.missing",
        "dsv_00000000000000000000000000": "dataset.missing",
    }
    assert codes(place.version, expected) == expected


@pytest.mark.usefixtures("metadata_url")
def test_versions_are_paged_newest_first(place: Place) -> None:
    place.dataset()
    place.dataset("other")
    for start in range(5):
        place.append(flights(start, start + 1))
        place.append(flights(start, start + 1), "other")
        place.ports.clock.advance(seconds=1)
    page = versions(place.ports, place.actor, place.project, PageRequest(limit=3), "flights")
    rest = versions(place.ports, place.actor, place.project, PageRequest(page.next_key), "flights")
    assert [one.number for one in (*page.items, *rest.items)] == [5, 4, 3, 2, 1]
    assert len(versions(place.ports, place.actor, place.project, PageRequest()).items) == 10


# Admission


@pytest.mark.usefixtures("metadata_url")
def test_bad_rows_are_quarantined_with_their_reasons_and_the_others_enter(place: Place) -> None:
    place.dataset(stop_share=0.5, checks=[quality.between("delay", 0, 100), quality.warning(quality.one_of("origin", ["JFK"]))])
    place.append(flights(0, 10))
    batch = flights(8, 20).with_columns(
        flight_id=pl.when(pl.col("flight_id") != "UA12").then("flight_id"),
        departs_at=pl.when(pl.col("flight_id") != "UA13").then("departs_at"),
        delay=pl.when(pl.col("flight_id") == "UA12").then(-1.0).otherwise("delay"),
    )
    batch = pl.concat([batch, batch.tail(1)])
    admission = place.append(batch)
    assert (admission.rows, admission.admitted, admission.quarantined) == (13, 8, 5)
    assert place.rows("flights").equals(pl.concat([flights(0, 12), flights(14, 20)]))
    held = place.quarantine()
    assert admission.quarantine == "quarantine/flights"
    assert held["_row"].to_list() == [0, 1, 4, 5, 12]
    assert held["_reasons"].to_list() == [
        ["new(flight_id)"],
        ["new(flight_id)"],
        ["not_null(flight_id, departs_at)", "between(delay, low=0, high=100)"],
        ["not_null(flight_id, departs_at)"],
        ["unique(flight_id)"],
    ]
    assert held["delay"].to_list() == ["4.0", "4.5", "-1.0", "6.5", "9.5"]
    assert held["departs_at"].to_list()[3] is None
    assert held["_at"].to_list() == [place.ports.clock()] * 5
    assert held["_batch"].n_unique() == 1
    failed = {outcome.check.kind: outcome.rows_failed for outcome in admission.outcomes}
    assert failed == {"not_null": 2, "unique": 1, "new": 2, "between": 1, "one_of": 9}
    assert made(admission).outcomes == admission.outcomes
    [event] = place.events("batch.quarantined")
    assert (event.subject, event.data["quarantined"], event.data["admitted"]) == ("flights", 5, 8)


def test_a_batch_of_too_many_bad_rows_is_stopped_and_nothing_is_lost(place: Place) -> None:
    place.dataset(stop_share=0.2)
    before = made(place.append(flights(0, 10)))
    broken = flights(10, 20).with_columns(flight_id=pl.when(pl.col("delay") > 6.5).then("flight_id"))
    admission = place.append(broken)
    assert (admission.version, admission.rows, admission.admitted, admission.quarantined) == (None, 10, 0, 10)
    assert place.version("flights") == before
    held = place.quarantine()
    assert held["_reasons"].to_list() == [["not_null(flight_id, departs_at)", "batch stopped"]] * 4 + [["batch stopped"]] * 6
    assert held["delay"].cast(pl.Float64).to_list() == broken["delay"].to_list()
    [event] = place.events("batch.stopped")
    failed = {"check": "not_null(flight_id, departs_at)", "severity": "error", "rows": 4, "found": ""}
    assert event.data == {"batch": held["_batch"][0], "quarantined": 10, "admitted": 0, "failed": [failed]}
    assert made(place.append(flights(10, 20))).number == 2


def test_a_stopped_batch_sent_again_is_quarantined_once(place: Place) -> None:
    place.dataset()
    broken = flights(0, 4).with_columns(flight_id=None)
    for _ in range(2):
        assert place.append(broken).quarantined == 4
        place.ports.clock.advance(hours=1)
    assert place.quarantine().height == 4


def test_a_first_batch_that_is_stopped_pins_no_types(place: Place) -> None:
    place.dataset()
    broken = flights(0, 4).with_columns(delay=pl.lit("?"), flight_id=None)
    assert place.append(broken).version is None
    assert made(place.append(flights(0, 4))).number == 1
    other = flights(4, 8).with_columns(flight_id=None, delay=pl.Series([1, 2, 3, 4]))
    assert place.append(other).quarantined == 4
    assert place.quarantine()["delay"].to_list() == ["?"] * 4 + ["1.0", "2.0", "3.0", "4.0"]


def test_every_kind_of_value_can_be_quarantined(place: Place) -> None:
    place.dataset(key=("id",), time=None)
    odd = pl.DataFrame(
        {
            "id": [None, None],
            "day": [date(2013, 1, 1), None],
            "at": [datetime(2013, 1, 1), None],
            "raw": [b"\xff", None],
            "list": [[1, None], None],
            "struct": [{"a": 1}, None],
            "share": [float("nan"), None],
            "on": [True, None],
        },
        schema_overrides={"id": pl.Int64},
    )
    assert place.append(odd).quarantined == 2
    first, second = place.quarantine().drop("_reasons", "_batch", "_at", "_row").to_dicts()
    assert first == {
        "id": None,
        "day": "2013-01-01",
        "at": "2013-01-01T00:00:00.000000",
        "raw": "ff",
        "list": '{"list":[1,null]}',
        "struct": '{"struct":{"a":1}}',
        "share": "NaN",
        "on": "true",
    }
    assert set(second.values()) == {None}


def test_a_batch_without_rows_changes_nothing(place: Place) -> None:
    place.dataset()
    assert code_of(lambda: place.append(flights(0, 0))) == "batch.invalid"
    before = made(place.append(flights(0, 3)))
    admission = place.append(flights(0, 0))
    assert (admission.version, admission.rows, admission.quarantine) == (before, 0, None)


def test_all_rows_bad_within_the_share_leave_the_version(place: Place) -> None:
    place.dataset(stop_share=1.0)
    before = made(place.append(flights(0, 3)))
    admission = place.append(flights(0, 2))
    assert (admission.version, admission.admitted, admission.quarantined) == (before, 0, 2)


def test_the_same_batch_sent_again_is_told_what_became_of_it(place: Place) -> None:
    place.dataset(stop_share=0.2)
    place.append(flights(0, 10))
    batch = flights(9, 20)
    heard = place.append(batch)
    again = place.append(batch)
    assert (again.version, again.rows, again.admitted, again.quarantined) == (heard.version, 11, 10, 1)
    assert len(place.versions()) == 2
    assert place.quarantine().height == 1


def test_a_row_may_stand_in_for_the_one_of_its_key_from_a_version_on(place: Place) -> None:
    place.dataset()
    first = made(place.append(flights(0, 10)))
    late = flights(3, 5).with_columns(delay=pl.lit(90.0), departs_at=pl.col("departs_at") + timedelta(days=9))
    batch = pl.concat([late, flights(6, 8), flights(10, 12)])
    second = made(place.append(batch, replacing=True))
    assert (second.rows, second.replaced) == (12, 2), "what is the same is left where it is"
    assert place.rows("flights").equals(pl.concat([flights(0, 3), flights(5, 10), late, flights(10, 12)]))
    assert place.rows("flights@1").equals(flights(0, 10))
    assert second.event_until == late["departs_at"].max()
    found = profile_of(place.ports, place.actor, place.project, second)
    assert found.rows == 12
    again = place.append(batch, replacing=True)
    assert (again.version, again.rows) == (second, 0), "sent again it changes nothing"
    third = made(place.append(flights(3, 5), replacing=True))
    assert (third.rows, third.replaced, third.event_until) == (12, 2, flights(0, 12)["departs_at"].max())
    assert place.rows("flights").sort("departs_at").equals(flights(0, 12))
    fourth = made(place.append(flights(12, 13)))
    assert (fourth.rows, fourth.replaced) == (13, 0)
    assert place.rows("flights").sort("departs_at").equals(flights(0, 13))
    assert len({one.digest for one in (first, second, third, fourth)}) == 4
    assert [event.data.get("replaced") for event in place.events("dataset_version.created")] == [None, 2, 2, None]


def test_a_bad_row_replaces_nothing(place: Place) -> None:
    place.dataset(checks=[quality.between("delay", 0, 50)], stop_share=0.5)
    place.append(flights(0, 10))
    batch = flights(2, 5).with_columns(delay=pl.Series([7.0, 99.0, 8.0]))
    admission = place.append(batch, replacing=True)
    assert (admission.admitted, admission.quarantined) == (2, 1)
    assert place.rows("flights").sort("departs_at")["delay"].to_list()[:5] == [0.0, 0.5, 7.0, 1.5, 8.0]
    assert place.version("flights").rows == 10
    again = place.append(batch, replacing=True)
    assert (again.version, again.rows, place.quarantine().height) == (admission.version, 0, 1)
    place.dataset("keyless", key=())
    assert code_of(lambda: place.append(flights(0, 2), "keyless", replacing=True)) == "dataset.invalid"


def test_a_whole_batch_is_all_that_its_version_holds(place: Place) -> None:
    place.dataset(key=(), time=None)
    first = place.append(flights(0, 10)).version
    dump = flights(5, 12).drop("origin")
    made = place.append(dump, whole=True).version
    assert first is not None and made is not None
    assert (made.number, made.rows, made.whole) == (2, 7, True)
    assert place.rows("flights@2").equals(dump)
    assert place.rows("flights@1").equals(flights(0, 10))
    assert profile_of(place.ports, place.actor, place.project, made).rows == 7
    grown = place.append(flights(12, 14)).version
    assert grown is not None and (grown.rows, grown.whole) == (9, False)
    assert place.rows("flights")["flight_id"].to_list() == [f"UA{n}" for n in range(5, 14)]


@pytest.mark.parametrize("seats", [pl.Series([100, 3], dtype=pl.Int8), pl.Series([100.0, 3.0]), pl.Series(["100", "3"])])
def test_a_whole_version_has_the_types_that_its_table_has(place: Place, seats: pl.Series) -> None:
    place.dataset()
    place.append(flights(0, 2).with_columns(seats=pl.Series([4, 5])))
    made = place.append(flights(2, 4).with_columns(seats=seats), whole=True).version
    read = place.rows("flights")
    assert made is not None
    assert [(one.name, one.dtype) for one in made.schema.columns] == [(name, str(read.schema[name])) for name in read.columns]
    assert (read["seats"].to_list(), made.digest) == ([100, 3], chain(None, batch_digest(read)))
    assert code_of(lambda: place.append(flights(0, 2).with_columns(seats=0.5), whole=True)) == "column.invalid"


def test_the_same_whole_content_is_the_same_version_and_an_older_one_comes_back(place: Place) -> None:
    place.dataset()
    first = place.append(flights(0, 10)).version
    assert first is not None and place.append(flights(0, 10), whole=True).version == first
    place.append(flights(5, 12), whole=True)
    again = place.append(flights(0, 10), whole=True).version
    assert again is not None and (again.number, again.digest) == (3, first.digest)
    assert place.rows("flights").equals(flights(0, 10))


def test_a_whole_batch_replaces_no_row_by_its_key(place: Place) -> None:
    place.dataset()
    with pytest.raises(Problem, match="one by one") as told:
        place.append(flights(0, 1), whole=True, replacing=True)
    assert told.value.code == "dataset.invalid"


def test_replacing_writers_that_race_lose_nothing(place: Place) -> None:
    place.dataset()
    place.append(flights(0, 20))
    parts = [flights(n * 5, n * 5 + 5).with_columns(delay=pl.lit(float(n))) for n in range(1, 4)]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda part: place.append(part, replacing=True), parts))
    assert place.version("flights").rows == 20
    assert place.rows("flights").sort("departs_at").equals(pl.concat([flights(0, 5), *parts]))


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        (lambda rows: rows.drop("origin"), "column.missing", "'origin'"),
        (lambda rows: rows.rename({"delay": "dealy"}), "column.missing", "did you mean 'dealy'"),
        (lambda rows: rows.with_columns(delay=pl.Series(["1", "2", "late"])), "column.invalid", "row 2"),
        (lambda rows: rows.with_columns(pl.col("departs_at").dt.replace_time_zone(None)), "column.invalid", "departs_at"),
        (lambda rows: rows.with_columns(_reasons=pl.lit("x")), "column.invalid", "_reasons"),
        (lambda rows: rows.with_columns(x=pl.lit(timedelta(1))), "column.invalid", "'x'"),
        (lambda rows: rows.with_columns(ORIGIN=pl.lit("x")), "column.invalid", "(?i)origin"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_whole(
    place: Place, change: Callable[[pl.DataFrame], pl.DataFrame], code: str, told: str
) -> None:
    place.dataset()
    before = made(place.append(flights(0, 3)))
    with pytest.raises(Problem, match=told) as problem:
        place.append(change(flights(3, 6)))
    assert problem.value.code == code
    assert place.version("flights") == before
    assert place.quarantine().height == 0


def test_a_first_frame_needs_key_time_and_the_columns_of_checks(place: Place) -> None:
    place.dataset(checks=[quality.finite("share")])
    for frame in (flights(0, 2), flights(0, 2).drop("flight_id"), flights(0, 2).drop("departs_at")):
        assert code_of(partial(place.append, frame)) == "column.missing"
    place.dataset("other", time="origin")
    assert code_of(lambda: place.append(flights(0, 2), "other")) == "column.invalid"


def test_checks_can_be_changed_for_the_batches_to_come(place: Place) -> None:
    place.dataset(checks=[quality.between("delay", 0, 1)])
    assert place.append(flights(0, 9)).version is None
    changed = change_checks(place.ports, place.actor, place.project, "flights", checks=[], stop_share=0.5)
    assert (changed.checks, changed.stop_share) == ((), 0.5)
    assert made(place.append(flights(0, 9))).rows == 9


def test_checks_are_added_once_and_only_those_that_fit_the_rows_held(place: Place) -> None:
    place.dataset(checks=[quality.not_null("delay")])
    place.append(flights(0, 9))
    add = partial(add_checks, place.ports, place.actor, place.project, "flights")
    low = quality.between("delay", 0, None)
    assert add([low, low, quality.not_null("delay")]).checks == (quality.not_null("delay"), low)
    refused: list[list[Check]] = [
        [quality.between("dealy", 0, 1)],
        [quality.matches("delay", "x")],
        [quality.one_of("origin", ["JFK"]), quality.fresh("origin")],
        [Check("betwen", ("delay",))],
    ]
    expected = ["column.missing", "check.invalid", "check.invalid", "check.invalid"]
    assert [code_of(partial(add, checks)) for checks in refused] == expected
    assert get_dataset(place.ports, place.actor, place.project, "flights").checks == (quality.not_null("delay"), low)
    assert [event.data for event in place.events("dataset.changed")] == [{"added": ["between(delay, low=0, high=None)"]}]


def test_what_is_suggested_is_not_asked_for_already_and_the_next_rows_keep_it(place: Place) -> None:
    place.dataset(checks=[quality.between("delay", 0, 1000)])
    assert code_of(lambda: suggest_checks(place.ports, place.actor, place.project, "flights")) == "dataset_version.missing"
    place.append(flights(0, 120))
    place.append(flights(120, 200))
    place.ports.clock.set(START + timedelta(hours=300))
    found = [one.check for one in suggest_checks(place.ports, place.actor, place.project, "flights")]
    assert found == [
        quality.matches("flight_id", r"UA\d+"),
        quality.not_after("departs_at", "now"),
        quality.not_null("origin"),
        quality.one_of("origin", ["EWR", "JFK", "LGA"]),
        quality.not_null("delay"),
    ]
    add_checks(place.ports, place.actor, place.project, "flights", found)
    assert suggest_checks(place.ports, place.actor, place.project, "flights") == []
    assert place.append(flights(200, 260)).quarantined == 0
    assert place.append(flights(260, 280).with_columns(origin=pl.lit("SFO"))).version is None


def test_now_is_the_platforms_clock(place: Place) -> None:
    place.dataset(checks=[quality.not_after("departs_at", "now")])
    place.ports.clock.set(START + timedelta(hours=5))
    assert place.append(flights(0, 9)).version is None
    place.ports.clock.advance(hours=5)
    assert made(place.append(flights(0, 9))).rows == 9


@pytest.mark.usefixtures("metadata_url")
def test_writers_that_race_each_make_a_version(place: Place) -> None:
    place.dataset()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda n: place.append(flights(10 * n, 10 * n + 10)), range(6)))
    assert sorted(made(one).number for one in found) == [1, 2, 3, 4, 5, 6]
    for version in place.versions():
        rows = place.rows(version.id)
        assert rows.height == version.rows == 10 * version.number
        assert rows["flight_id"].n_unique() == rows.height
    digest = None
    for version in place.versions():
        digest = chain(digest, batch_digest(place.rows(version.id)[10 * (version.number - 1) :]))
        assert version.digest == digest


@pytest.mark.usefixtures("metadata_url")
def test_writers_that_race_with_one_batch_make_one_version(place: Place) -> None:
    place.dataset()
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda _: place.append(flights(0, 10)), range(3)))
    assert [made(one).number for one in found] == [1, 1, 1]
    assert place.rows("flights").equals(flights(0, 10))
    assert place.quarantine().height == 0


# Snapshots


@pytest.fixture
def fed(place: Place) -> Place:
    flights(0, 20).write_parquet(place.folder / "part1.parquet")
    place.dataset(source=f"{place.folder.as_uri()}/part*.parquet")
    return place


def test_a_snapshot_takes_a_stretch_and_the_next_one_what_is_new(fed: Place) -> None:
    first = made(fed.snapshot(until=START + timedelta(hours=10), note="spring"))
    assert fed.rows("flights").equals(flights(0, 10))
    assert (first.note, first.parents[0].kind, first.parents[0].told) == ("spring", "source", "part*.parquet")
    second = made(fed.snapshot(since=START + timedelta(hours=12), until=START + timedelta(hours=15)))
    assert (second.number, fed.rows("flights")["flight_id"].to_list()[10:]) == (2, ["UA12", "UA13", "UA14"])
    third = made(fed.snapshot())
    assert third.rows == 20
    assert set(fed.rows("flights")["flight_id"]) == set(flights(0, 20)["flight_id"])


def test_a_snapshot_without_new_rows_returns_the_latest_version(fed: Place) -> None:
    first = made(fed.snapshot())
    again = fed.snapshot()
    assert (again.version, again.rows) == (first, 0)
    flights(20, 22).write_parquet(fed.folder / "part2.parquet")
    assert made(fed.snapshot()).rows == 22


def test_a_late_row_is_new_by_its_key(fed: Place) -> None:
    fed.snapshot(since=START + timedelta(hours=5))
    assert made(fed.snapshot()).rows == 20


def test_rows_that_were_quarantined_are_not_looked_at_again(place: Place) -> None:
    broken = flights(0, 20).with_columns(
        flight_id=pl.when(pl.col("flight_id") != "UA3").then("flight_id"),
        departs_at=pl.when(pl.col("flight_id") != "UA4").then("departs_at"),
    )
    broken.write_parquet(place.folder / "part1.parquet")
    place.dataset(source=f"{place.folder.as_uri()}/*.parquet", stop_share=0.1, checks=[quality.between("delay", 0, 20)])
    assert place.snapshot(until=START + timedelta(hours=10)).version is None
    change_checks(place.ports, place.actor, place.project, "flights", checks=[quality.between("delay", 0, 20)], stop_share=0.2)
    first = place.snapshot(until=START + timedelta(hours=10))
    assert (first.admitted, first.quarantined) == (8, 2)
    rest = place.snapshot()
    assert (rest.admitted, rest.quarantined) == (10, 0)
    assert place.snapshot().rows == 0
    flights(3, 5).write_parquet(place.folder / "part2.parquet")
    assert made(place.snapshot()).rows == 20


def test_sources_with_times_of_any_kind_are_cut(place: Place) -> None:
    rows = flights(0, 48)
    kinds = {
        "naive": pl.col("departs_at").dt.replace_time_zone(None),
        "tokyo": pl.col("departs_at").dt.convert_time_zone("Asia/Tokyo"),
        "days": pl.col("departs_at").dt.date(),
    }
    for name, time in kinds.items():
        rows.with_columns(departs_at=time).write_parquet(place.folder / f"{name}.parquet")
        place.dataset(name, source=str(place.folder / f"{name}.parquet"))
        version = made(place.snapshot(name, until=datetime(2013, 1, 2, tzinfo=UTC)))
        assert (name, version.rows) == (name, 19)
        assert made(place.snapshot(name)).rows == 48


def test_without_a_key_time_tells_what_is_new(place: Place) -> None:
    path = place.folder / "rows.csv"
    flights(0, 10).write_csv(path)
    place.dataset(source=str(path), key=())
    assert made(place.snapshot()).rows == 10
    flights(0, 12).write_csv(path)
    assert made(place.snapshot()).rows == 12
    assert place.rows("flights")["flight_id"].to_list() == flights(0, 12)["flight_id"].to_list()


def test_without_key_and_time_one_snapshot_can_be_taken(place: Place) -> None:
    path = place.folder / "rows.parquet"
    flights(0, 10).write_parquet(path)
    place.dataset(source=str(path), key=(), time=None)
    first = made(place.snapshot())
    assert place.snapshot().version == first
    flights(0, 11).write_parquet(path)
    assert code_of(place.snapshot) == "dataset.conflict"


def test_a_snapshot_that_cannot_be_is_told(place: Place) -> None:
    flights(0, 4).write_parquet(place.folder / "x.parquet")
    source = str(place.folder / "x.parquet")
    place.dataset("bare")
    place.dataset("timeless", source=source, time=None)
    place.dataset("elsewhere", source=source, key=("flightid",))
    place.dataset("lost", source=source + "x")
    place.dataset("odd", source=source, time="origin")
    assert code_of(lambda: place.snapshot("bare")) == "source.missing"
    assert code_of(lambda: place.snapshot("timeless", until=START)) == "dataset.invalid"
    assert code_of(lambda: place.snapshot("elsewhere")) == "column.missing"
    assert code_of(lambda: place.snapshot("lost")) == "source.missing"
    assert code_of(lambda: place.snapshot("odd", until=START)) == "column.invalid"


# Who may, and in which project


def test_a_viewer_reads_and_does_not_write(place: Place) -> None:
    place.dataset()
    version = made(place.append(flights(0, 3)))
    viewer = replace(place.actor, role=Role.VIEWER, projects={})
    ports, project = place.ports, place.project
    writes: list[Callable[[], object]] = [
        lambda: create_dataset(ports, viewer, project, "other"),
        lambda: change_checks(ports, viewer, project, "flights", checks=[], stop_share=0),
        lambda: add_checks(ports, viewer, project, "flights", []),
        lambda: snapshot(ports, viewer, project, "flights"),
        lambda: append(ports, viewer, project, "flights", flights(3, 4)),
    ]
    assert [code_of(write) for write in writes] == ["action.forbidden"] * len(writes)
    assert read(ports, viewer, project, version).collect().height == 3
    assert suggest_checks(ports, viewer, project, "flights") == []
    assert stopped_batches(ports, viewer, project, "flights") == []


@pytest.mark.usefixtures("metadata_url")
def test_projects_do_not_see_each_other(place: Place) -> None:
    dataset: Dataset = place.dataset()
    version = made(place.append(flights(0, 3)))
    other = create_project(place.ports, place.actor, "churn").id
    ports, actor = place.ports, place.actor
    attempts: list[Callable[[], object]] = [
        lambda: get_dataset(ports, actor, other, dataset.name),
        lambda: get_version(ports, actor, other, version.id),
        lambda: get_version(ports, actor, other, "flights"),
        lambda: append(ports, actor, other, "flights", flights(3, 4)),
        lambda: snapshot(ports, actor, other, "flights"),
        lambda: quarantined(ports, actor, other, "flights"),
        lambda: change_checks(ports, actor, other, "flights", checks=[], stop_share=0),
        lambda: add_checks(ports, actor, other, "flights", []),
        lambda: suggest_checks(ports, actor, other, "flights"),
        lambda: stopped_batches(ports, actor, other, "flights"),
    ]
    assert [code_of(attempt) for attempt in attempts] == ["dataset.missing"] * len(attempts)
    assert find_datasets(ports, actor, other) == []
    assert versions(ports, actor, other, PageRequest()).items == ()
    stranger = replace(actor, role=None, projects={other: Role.ADMIN})
    assert code_of(lambda: read(ports, stranger, place.project, version)) == "project.missing"
    create_dataset(ports, actor, other, "flights", key=["flight_id"])
    append(ports, actor, other, "flights", flights(0, 5))
    assert place.rows("flights").height == 3


def test_parents_are_found_and_kept_by_their_ids(place: Place) -> None:
    place.dataset("weather", key=(), time=None)
    place.dataset()
    weather = made(place.append(flights(0, 3), "weather"))
    child = made(place.append(flights(0, 3), parents=[Parent("dataset_version", "weather@1"), Parent("source", "s3://x", "x")]))
    assert child.parents == (Parent("dataset_version", weather.id, "weather v1"), Parent("source", "s3://x", "x"))
    unknown = [Parent("dataset_version", "weather@9")]
    assert code_of(lambda: place.append(flights(3, 4), parents=unknown)) == "dataset_version.missing"
