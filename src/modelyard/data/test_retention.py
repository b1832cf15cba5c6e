from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Digest, Problem, ProjectId
from modelyard.data.retention import age_of, check_keep, decide, outlived, unread
from modelyard.data.rules import commit_of
from modelyard.data.types import DatasetVersion, Fate
from modelyard.events import Event
from modelyard.testing import examples

NOON = examples.NOON
DAY = timedelta(days=1)


def version(number: int, *, whole: bool = False, dropped: bool = False) -> DatasetVersion:
    """Return a version that was made on the day of its number."""
    at = NOON + number * DAY
    commit = commit_of(number, Digest(f"sha256:{number}"))
    made = replace(examples.dataset_version(number), created_at=at, commit=commit, whole=whole)
    return replace(made, dropped_at=at) if dropped else made


def read_by(versions: list[DatasetVersion], number: int) -> set[str]:
    """Return the commits that a version is read from; `versions` are all, newest first."""
    found = set()
    for one in versions:
        if one.number <= number:
            found.add(one.commit)
            if one.whole:
                break
    return found


@st.composite
def histories(draw: st.DrawFn) -> list[DatasetVersion]:
    count = draw(st.integers(1, 12))
    flags = draw(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=count, max_size=count))
    # The newest is there; an older one is dropped only where no version that stays would read its batch.
    made = [version(n, whole=whole) for n, (whole, _) in enumerate(flags, 1)][::-1]
    kept: list[DatasetVersion] = []
    reading = False
    for one in made:
        dropped = one.number < count and flags[one.number - 1][1] and not reading
        kept.append(replace(one, dropped_at=NOON) if dropped else one)
        reading = (reading or not dropped) and not one.whole
    return kept


@given(histories(), st.integers(1, 6), st.integers(0, 13), st.sets(st.integers(1, 12)))
def test_what_stays_keeps_all_its_batches_and_what_goes_frees_one(
    versions: list[DatasetVersion], keep: int, day: int, needed: set[int]
) -> None:
    needs = {one.id: ["delay@7 is champion"] for one in versions if one.number in needed}
    before = NOON + day * DAY
    fates = {one.number: one for one in decide(versions, needs, keep=keep, before=before)}
    there = [one for one in versions if one.dropped_at is None]
    assert list(fates) == [one.number for one in there]
    after = [
        replace(one, dropped_at=NOON) if one in there and fates[one.number].fate is Fate.DROPPED else one for one in versions
    ]
    commits = [one.commit for one in versions]
    going = set(unread(after, commits))
    for place, one in enumerate(there):
        fate = fates[one.number]
        if fate.fate is Fate.DROPPED:
            assert place >= keep
            assert one.created_at < before
            assert one.number not in needed
            assert one.commit in going
        else:
            assert not read_by(versions, one.number) & going
        assert bool(fate.needs) == (fate.fate is Fate.HELD)
    stays = set().union(*(read_by(after, one.number) for one in after if one.dropped_at is None))
    assert going == set(commits) - stays


def test_a_version_whose_rows_a_later_one_holds_too_stays_since_nothing_would_be_freed() -> None:
    versions = [version(4), version(3, whole=True), version(2), version(1)]
    found = {one.number: one.fate for one in decide(versions, {}, keep=1, before=NOON + 9 * DAY)}
    assert found == {4: Fate.KEPT, 3: Fate.SHARED, 2: Fate.DROPPED, 1: Fate.DROPPED}
    held = {one.number: one.fate for one in decide(versions, {versions[2].id: ["x"]}, keep=1, before=NOON + 9 * DAY)}
    assert held == {4: Fate.KEPT, 3: Fate.SHARED, 2: Fate.HELD, 1: Fate.SHARED}


def test_what_a_killed_writer_committed_goes_once_its_number_is_another_s() -> None:
    versions = [version(2), version(1)]
    left = ["2-sha256:other", "3-sha256:other", "sha256:old", "0-sha256:none", "batch_x"]
    assert unread(versions, [one.commit for one in versions] + left) == ["2-sha256:other"]
    assert unread([], ["1-sha256:other"]) == []


def fact(kind: str, day: int, **data: object) -> Event:
    return Event(day, ProjectId("p"), kind, "weather", "ann", NOON + day * DAY, data)


def test_a_stopped_batch_outlives_the_version_it_was_judged_upon_by_one() -> None:
    facts = [
        fact("batch.stopped", 1, batch="a"),
        fact("dataset_version.created", 2),
        fact("batch.stopped", 3, batch="b"),
        fact("dataset_version.created", 4),
        fact("batch.stopped", 5, batch="c"),
    ]
    assert outlived(facts, NOON + 9 * DAY) == ["a", "b"]
    assert outlived(facts, NOON + 2 * DAY) == ["a"]
    assert outlived([*facts, fact("dataset.vacuumed", 6, batches=["a"])], NOON + 9 * DAY) == ["b"]
    assert outlived([*facts, fact("batch.stopped", 6, batch="b")], NOON + 9 * DAY) == ["a"]


@pytest.mark.parametrize("keep", [0, -1])
def test_a_dataset_keeps_at_least_one_version(keep: int) -> None:
    with pytest.raises(Problem) as told:
        check_keep(keep)
    assert told.value.code == "vacuum.invalid"


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e10])
def test_what_is_no_age_is_refused(seconds: float) -> None:
    with pytest.raises(Problem) as told:
        age_of(seconds)
    assert told.value.code == "vacuum.invalid"
