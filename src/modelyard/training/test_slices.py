"""Slices: rows with something in common, found in the rows alone, by predicates that are kept as data."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest

from modelyard.data import Check, Severity
from modelyard.training.slices import (
    BATCH,
    Roles,
    RowSlice,
    SliceKind,
    Suspected,
    by_suspicion,
    find_slices,
    mask_of,
    suspicions,
)

NOW = datetime(2013, 6, 1, tzinfo=UTC)
ROWS = 1000
ROLES = Roles("late", ("id",), "at")


def rows(**columns: object) -> pl.DataFrame:
    """Return rows without a defect; `columns` replace or join them."""
    rng = np.random.default_rng(1)
    sound = {
        "id": list(range(ROWS)),
        "at": [NOW + timedelta(hours=hour) for hour in range(ROWS)],
        "wind": rng.normal(10, 2, ROWS),
        "place": np.array(["JFK", "LGA", "EWR"])[np.arange(ROWS) % 3],
        "late": rng.integers(0, 2, ROWS),
        BATCH: [1] * ROWS,
    }
    return pl.DataFrame({**sound, **columns}, strict=False)


def found(frame: pl.DataFrame, roles: Roles = ROLES, kind: SliceKind | None = None) -> dict[str, list[int]]:
    """Return the rows of each slice (of a kind), but for stretches of time where none is named."""
    told = find_slices(frame, roles, now=NOW)
    wanted = [(one, mask) for one, mask in told if (one.kind is kind if kind else one.kind is not SliceKind.STRETCH)]
    assert all(one.rows == mask.sum() for one, mask in told)
    return {one.name: mask.arg_true().to_list() for one, mask in wanted}


def test_sound_rows_have_stretches_of_time_only() -> None:
    assert found(rows()) == {}
    stretches = found(rows(), kind=SliceKind.STRETCH)
    assert list(stretches.values()) == [list(range(start, start + 100)) for start in range(0, ROWS, 100)]


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_rows_without_a_value_are_a_slice(missing: float | None) -> None:
    wind = [missing if row < 30 else float(row % 25) for row in range(ROWS)]
    assert found(rows(wind=wind)) == {"no wind": list(range(30))}


def test_outliers_on_either_side_are_a_slice_each() -> None:
    wind = rows()["wind"].to_list()
    wind[:40], wind[40:70] = [value * 1000 for value in wind[:40]], [-value * 1000 for value in wind[40:70]]
    told = found(rows(wind=wind))
    assert [(name.split()[:2], len(where)) for name, where in told.items()] == [(["wind", "under"], 30), (["wind", "over"], 40)]
    assert list(told.values()) == [list(range(40, 70)), list(range(40))]


def test_outliers_of_a_column_that_mostly_has_one_value_are_far_beyond_the_others() -> None:
    gain = [float(row) if row % 40 == 0 else 0.0 for row in range(ROWS)]
    gain[:20] = [1e6] * 20
    assert [where for name, where in found(rows(gain=gain)).items() if "over" in name] == [list(range(20))]


def test_outliers_of_a_numeric_label_are_a_slice_and_those_of_two_classes_are_not() -> None:
    delay = rows()["wind"].to_list()
    delay[:25] = [value * 100 for value in delay[:25]]
    assert list(found(rows(late=delay)).values()) == [list(range(25))]
    rare = [int(row < 30) for row in range(ROWS)]
    assert found(rows(late=rare)) == {}


def test_single_and_rare_values_are_slices() -> None:
    carrier = [f"rare {row}" if row < 30 else "AA" if row < 130 else "UA" for row in range(ROWS)]
    told = found(rows(carrier=carrier))
    assert told == {
        "carrier is AA": list(range(30, 130)),
        "carrier that fewer than 20 rows have": list(range(30)),
    }


def test_a_slice_has_enough_rows_and_is_not_the_rule() -> None:
    assert found(rows(wind=[None if row < 19 else row % 25 for row in range(ROWS)])) == {}
    assert found(rows(wind=[None if row < 251 else row % 25 for row in range(ROWS)])) == {}


def test_rows_alike_but_for_the_label_contradict_each_other() -> None:
    frame = rows(wind=[1.0 if row < 40 else float(row) for row in range(ROWS)], place=["JFK"] * ROWS)
    frame = frame.with_columns(late=pl.when(pl.col("id") < 40).then(pl.col("id") % 2).otherwise("late"))
    assert found(frame, kind=SliceKind.CONTRADICTION) == {"same rows, another late": list(range(40))}


def test_batches_are_slices_where_there_are_several() -> None:
    roles = replace(ROLES, batches={1: "", 2: "june.csv"})
    told = found(rows(**{BATCH: [2 if 500 <= row < 600 else 1 for row in range(ROWS)]}), roles)
    assert told == {"came with v2 (june.csv)": list(range(500, 600))}


def test_rows_that_a_warning_check_speaks_of_are_a_slice_and_those_of_others_are_not() -> None:
    warns = Check("between", ("wind",), {"low": 7.0, "high": None}, Severity.WARNING)
    frame = rows()
    low = frame["wind"].lt(7.0).arg_true().to_list()
    roles = replace(ROLES, checks=(warns, replace(warns, severity=Severity.ERROR), replace(warns, columns=("gone",))))
    assert found(frame, roles) == {"fails between(wind, low=7.0, high=None)": low}


def test_of_slices_of_the_same_rows_the_first_is_told() -> None:
    wind, temp = ([None if row < 30 else row % 25 for row in range(ROWS)] for _ in range(2))
    assert list(found(rows(wind=wind, temp=temp))) == ["no wind"]


def test_a_slice_read_back_from_json_holds_the_same_rows() -> None:
    wind = rows()["wind"].to_list()
    wind[:40] = [value * 1000 for value in wind[:40]]
    frame = rows(wind=wind, carrier=["AA" if row < 100 else f"c{row}" for row in range(ROWS)])
    told = find_slices(frame, ROLES, now=NOW)
    assert {one.kind for one, _ in told} >= {SliceKind.STRETCH, SliceKind.HIGH}
    for one, mask in told:
        again = msgspec.json.decode(msgspec.json.encode(one), type=RowSlice)
        assert mask_of(again, frame, ROLES, now=NOW).to_list() == mask.to_list()


@pytest.mark.parametrize("times", [pl.Date(), pl.Datetime("us"), pl.Datetime("ns", "America/New_York")])
def test_stretches_are_of_any_kind_of_time(times: pl.DataType) -> None:
    zone = times.time_zone if isinstance(times, pl.Datetime) else None
    at = pl.col("at").dt.convert_time_zone(zone) if zone else pl.col("at").dt.replace_time_zone(None)
    told = found(rows().with_columns(at.cast(times)), kind=SliceKind.STRETCH)
    assert sorted({row for where in told.values() for row in where}) == list(range(ROWS))


def test_the_rows_worth_least_are_the_most_suspicious_by_whatever_measure() -> None:
    worth = np.zeros(ROWS)
    worth[:50] = -1.0
    masks = [pl.Series(np.arange(ROWS) < 50), pl.Series(np.arange(ROWS) >= 900)]
    first, second = suspicions(masks, [worth, np.zeros(ROWS)])
    assert first > 10
    assert second == 0
    assert suspicions(masks, [worth])[1] < 0
    assert suspicions(masks, [np.zeros(ROWS)]) == [0.0, 0.0]


def test_sorts_of_slices_take_turns() -> None:
    def one(kind: SliceKind, suspicion: float) -> Suspected:
        return Suspected(RowSlice(kind, f"{kind.value} {suspicion}", 100), pl.Series([True]), suspicion)

    values = [one(SliceKind.VALUE, 90.0 - rank) for rank in range(5)]
    others = [one(SliceKind.BATCH, 3.0), one(SliceKind.STRETCH, 2.0), one(SliceKind.NULL, 1.0), one(SliceKind.HIGH, 0.5)]
    order = [each.slice.name for each in by_suspicion([*values, *others])]
    assert order[:5] == ["batch 3.0", "null 1.0", "value 90.0", "stretch 2.0", "high 0.5"]
    assert order[5:] == ["value 89.0", "value 88.0", "value 87.0", "value 86.0"]
