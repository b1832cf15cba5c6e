"""What differs between two versions on a real metadata database, lake and object store."""

import polars as pl
import pytest

from modelyard.core import Problem
from modelyard.data.comparing import compare_versions
from modelyard.data.diff import ChangedRow, RowDiff, VersionDiff, compare_rows, turned
from modelyard.data.sample import sample_places, sample_version
from modelyard.data.types import Column
from tests.data.place import Place, flights


def compared(place: Place, before: int | str, after: int | str, examples: int = 3, name: str = "flights") -> VersionDiff:
    return compare_versions(place.ports, place.actor, place.project, name, before, after, examples=examples)


@pytest.fixture
def grown(place: Place) -> Place:
    """Return a place whose flights were appended to, mended twice, widened and mended again."""
    place.dataset()
    place.append(flights(0, 100))
    place.append(flights(100, 130))
    mended = flights(90, 110).with_columns(delay=pl.when(pl.col("flight_id") != "UA95").then(pl.col("delay") + 1))
    place.append(pl.concat([mended, flights(130, 135)]), replacing=True)
    place.append(flights(90, 95).with_columns(origin=pl.lit("BOS")), replacing=True)
    place.append(flights(135, 140).with_columns(gate=pl.lit("B7")))
    place.append(flights(0, 3).with_columns(gate=pl.lit("A1")), replacing=True)
    return place


def test_a_version_that_was_only_appended_to_has_more_rows_and_no_others(grown: Place) -> None:
    found = compared(grown, 1, 2, examples=2)
    assert (found.rows.added, found.rows.removed, found.rows.changed, found.rows.cells) == (30, 0, 0, {})
    assert [one.row["flight_id"] for one in found.rows.added_examples] == ["UA100", "UA101"]
    assert (found.rows_before, found.rows_after, found.key) == (100, 130, ("flight_id",))
    assert found.schema.added == ()
    assert [one.name for one in found.columns] == ["flight_id", "departs_at", "origin", "delay"]


def test_rows_that_stand_in_for_others_are_told_cell_by_cell(grown: Place) -> None:
    found = compared(grown, 2, 3).rows
    assert (found.added, found.changed, found.cells) == (5, 20, {"delay": 20})
    assert found.changed_examples[0] == ChangedRow({"flight_id": "UA90"}, {"delay": 45.0}, {"delay": 46.0})
    assert compared(grown, 2, 3, examples=9).rows.changed_examples[5].after == {"delay": None}
    assert compared(grown, 2, 4).rows.cells == {"delay": 15 + 1 - 1, "origin": 5}


def test_a_new_column_is_told_and_is_no_change_of_the_rows_before_it(grown: Place) -> None:
    found = compared(grown, 4, 5)
    assert found.schema.added == (Column("gate", "String"),)
    assert (found.rows.added, found.rows.changed) == (5, 0)
    assert compared(grown, 5, "latest").rows.cells == {"gate": 3}


@pytest.mark.parametrize("before", range(1, 7))
@pytest.mark.parametrize("after", range(1, 7))
def test_what_the_batches_tell_is_what_all_rows_tell(grown: Place, before: int, after: int) -> None:
    found = compared(grown, before, after, examples=100).rows
    old, new = (grown.rows(f"flights@{number}").lazy() for number in (before, after))
    whole = compare_rows(old, new, ["flight_id"], examples=100)
    assert (found.added, found.removed, found.changed, found.cells) == (whole.added, whole.removed, whole.changed, whole.cells)
    assert {str(one) for one in found.changed_examples} == {str(one) for one in whole.changed_examples}
    assert {str(one) for one in found.added_examples} == {str(one) for one in whole.added_examples}
    assert found == turned(compared(grown, after, before, examples=100).rows)


def test_without_a_key_rows_are_told_as_often_as_they_came(place: Place) -> None:
    place.dataset(key=(), time=None)
    place.append(flights(0, 10))
    place.append(pl.concat([flights(0, 2), flights(0, 1)]))
    found = compared(place, 1, 2).rows
    assert (found.added, found.removed, found.changed) == (3, 0, 0)
    assert [(one.row["flight_id"], one.times) for one in found.added_examples] == [("UA0", 2), ("UA1", 1)]
    assert compared(place, 2, 1).rows.removed == 3


@pytest.mark.parametrize("number", range(1, 7))
def test_a_sample_holds_rows_of_its_version_alone(grown: Place, number: int) -> None:
    version = grown.version(f"flights@{number}")
    drawn = sample_version(grown.ports, grown.actor, grown.project, version, 40)
    rows = grown.rows(f"flights@{number}")
    assert drawn.equals(rows[sample_places(rows.height, 40).tolist()])


def test_a_version_differs_from_itself_in_nothing(grown: Place) -> None:
    found = compared(grown, 3, 3)
    assert found.rows == RowDiff()
    assert {one.distance for one in found.columns} == {0.0}


@pytest.mark.parametrize(
    ("name", "before", "examples", "code"),
    [
        ("fligths", 1, 3, "dataset.missing"),
        ("flights", 9, 3, "dataset_version.missing"),
        ("flights", "x", 3, "dataset_version.invalid"),
        ("flights", 1, 101, "diff.invalid"),
    ],
)
def test_what_cannot_be_compared_is_told(grown: Place, name: str, before: int | str, examples: int, code: str) -> None:
    with pytest.raises(Problem) as refused:
        compared(grown, before, 2, examples, name)
    assert refused.value.code == code


def test_a_whole_version_is_compared_in_full(grown: Place) -> None:
    rest = grown.rows("flights@6").filter(pl.col("flight_id") != "UA5").drop("gate")
    grown.append(pl.concat([rest, flights(140, 142)]), whole=True)
    grown.append(flights(142, 143))
    found = compared(grown, 6, 7)
    assert (found.rows.added, found.rows.removed, found.rows.changed) == (2, 1, 0)
    assert [one.name for one in found.schema.removed] == ["gate"]
    assert compared(grown, 7, 8).rows.added == 1
    assert compared(grown, 8, 6).rows.removed == 3
