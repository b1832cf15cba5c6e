from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.data.split import default_split, split_frame, stable_hash
from modelyard.data.types import Split, SplitKind

START = datetime(2013, 1, 1, tzinfo=UTC)
ROWS = pl.DataFrame({"id": [f"f{n}" for n in range(1000)], "at": [START + timedelta(hours=n * 37 % 1000) for n in range(1000)]})
HASH = Split(SplitKind.HASH, test_share=0.2)


def test_the_last_share_by_time_is_tested_on() -> None:
    fit, test = split_frame(ROWS, Split(), key=(), time="at")
    assert (fit.height, test.height) == (800, 200)
    assert fit["at"].max() < test["at"].min()  # type: ignore[operator] # Polars types the extremes of all columns as one
    assert fit.equals(ROWS.filter(pl.col("at") < test["at"].min()))


def test_a_boundary_parts_by_time_and_belongs_to_the_test() -> None:
    boundary = START + timedelta(hours=600)
    for rows in (
        ROWS,
        ROWS.with_columns(pl.col("at").dt.replace_time_zone(None)),
        ROWS.with_columns(pl.col("at").dt.convert_time_zone("Asia/Tokyo")),
    ):
        fit, test = split_frame(rows, Split(boundary=boundary), key=(), time="at")
        assert (fit.height, test.height) == (600, 400)


def test_rows_of_one_moment_stay_together() -> None:
    rows = pl.DataFrame({"at": [date(2013, 1, 1)] * 3 + [date(2013, 1, 2)] * 7})
    fit, test = split_frame(rows, Split(test_share=0.1), key=(), time="at")
    assert (fit.height, test.height) == (3, 7)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_a_hash_gives_about_the_share_and_says_nothing_of_the_key(share: float) -> None:
    rows = pl.DataFrame({"id": range(20_000)})
    _, test = split_frame(rows, Split(SplitKind.HASH, test_share=share), key=("id",), time=None)
    spread = 4 * (share * (1 - share) / 20_000) ** 0.5
    assert abs(test.height / 20_000 - share) < spread
    for part in (pl.col("id") % 2, pl.col("id") % 10, pl.col("id") // 5_000):
        shares = (
            rows.with_columns(part=part, test=pl.col("id").is_in(test["id"].implode()))
            .group_by("part")
            .agg(pl.col("test").mean())
        )
        assert abs(shares["test"] - share).max() < 2.5 * spread


def test_a_row_keeps_its_side_as_rows_are_added_and_reordered() -> None:
    _, before = split_frame(ROWS.head(500), HASH, key=("id",), time=None)
    _, after = split_frame(ROWS.reverse(), HASH, key=("id",), time=None)
    assert set(before["id"]) == set(after["id"]) & set(ROWS["id"].head(500))
    assert after["id"].to_list() == [one for one in ROWS["id"].reverse() if one in set(after["id"])]


GROUPS = pl.DataFrame({"id": range(9000), "tail": [f"N{n * 7919 % 500}" if n % 10 else None for n in range(9000)]})


@pytest.mark.parametrize("key", [(), ("id",)])
def test_at_random_about_the_share_is_tested_on_and_says_nothing_of_the_place(key: tuple[str, ...]) -> None:
    rows = pl.DataFrame({"id": range(20_000)})
    fit, test = split_frame(rows, Split(SplitKind.RANDOM, test_share=0.2), key=key, time=None)
    assert abs(test.height / 20_000 - 0.2) < 4 * (0.16 / 20_000) ** 0.5
    assert pl.concat([fit, test]).sort("id").equals(rows)
    for part in (pl.col("id") % 10, pl.col("id") // 2_000):
        assert test.group_by(part).len()["len"].min() > 320  # type: ignore[operator] # as above
        assert test.group_by(part).len()["len"].max() < 480  # type: ignore[operator] # as above


def test_at_random_a_row_keeps_its_side_as_rows_are_added_at_the_end() -> None:
    split = Split(SplitKind.RANDOM)
    before, after = (split_frame(rows, split, key=(), time=None)[1] for rows in (ROWS.head(500), ROWS))
    assert before.equals(after.filter(pl.col("id").is_in(ROWS["id"].head(500).implode())))


@pytest.mark.parametrize("kind", [SplitKind.HASH, SplitKind.RANDOM, SplitKind.GROUP, SplitKind.STRATIFIED])
def test_a_seed_repeats_itself_and_another_one_holds_out_other_rows(kind: SplitKind) -> None:
    frame = GROUPS.with_columns(label=pl.col("id") % 2)
    column = {SplitKind.GROUP: "tail", SplitKind.STRATIFIED: "label"}.get(kind)
    tests = [
        split_frame(frame, Split(kind, column=column, seed=seed), key=("id",), time=None)[1]["id"] for seed in (0, 0, 1, 2)
    ]
    assert tests[0].equals(tests[1])
    for one, other in ((0, 2), (0, 3), (2, 3)):
        both = len(set(tests[one]) & set(tests[other])) / len(tests[one])
        assert both < 0.4  # by chance a fifth; of the 500 groups give or take


def test_a_group_falls_on_one_side_whole_and_rows_without_one_are_a_group() -> None:
    split = Split(SplitKind.GROUP, column="tail")
    fit, test = split_frame(GROUPS, split, key=(), time=None)
    assert not set(fit["tail"]) & set(test["tail"])
    assert abs(test["tail"].n_unique() / GROUPS["tail"].n_unique() - 0.2) < 0.08
    _, fewer = split_frame(GROUPS.head(4000), split, key=(), time=None)
    assert set(fewer["tail"]) <= set(test["tail"])


@given(st.lists(st.sampled_from(["a", "b", None]), min_size=10, max_size=200), st.sampled_from([0.1, 0.2, 0.5]), st.booleans())
def test_the_share_holds_within_each_class(labels: list[str | None], share: float, keyed: bool) -> None:
    rows = pl.DataFrame({"id": range(len(labels)), "label": labels}, schema={"id": pl.Int64, "label": pl.String})
    split = Split(SplitKind.STRATIFIED, test_share=share, column="label")
    try:
        _, test = split_frame(rows, split, key=("id",) if keyed else (), time=None)
    except Problem as problem:
        assert problem.code == "split.invalid"
        assert all(labels.count(one) * share < 0.5 for one in set(labels))
        return
    for one in set(labels):
        found = test["label"].to_list().count(one)
        assert abs(found - share * labels.count(one)) <= 0.5


def test_within_a_class_rows_are_taken_by_their_key_in_whatever_order_they_stand() -> None:
    rows = GROUPS.with_columns(label=pl.col("id") % 3)
    split = Split(SplitKind.STRATIFIED, column="label")
    one, other = (split_frame(frame, split, key=("id",), time=None)[1] for frame in (rows, rows.reverse()))
    assert set(one["id"]) == set(other["id"])
    fits = split_frame(rows, replace(split, test_share=0.1), key=("id",), time=None)[1]
    assert set(fits["id"]) < set(one["id"])


def test_without_being_told_rows_are_split_by_time_else_by_key_else_at_random() -> None:
    assert default_split(("id",), "at") == Split()
    assert default_split(("id",), None) == Split(SplitKind.HASH)
    assert default_split((), None) == Split(SplitKind.RANDOM)


def test_the_hash_is_the_same_on_every_machine_and_in_every_release() -> None:
    rows = pl.DataFrame(
        {
            "text": ["a", "", None, "ä" * 40],
            "number": [1, -2, None, 3],
            "share": [1.0, 0.1, None, float("inf")],
            "at": [START, START, None, START],
            "day": [date(2013, 1, 1)] * 4,
            "on": [True, False, None, True],
            "raw": [b"\x00", b"", None, b"\xff"],
        }
    )
    assert [f"{one:016x}" for one in stable_hash(rows)] == [
        "511029e7c3a7093c",
        "6bc32cbf8fb13628",
        "75c35c8ebd56c0ef",
        "e870f5bdcc043f25",
    ]
    assert stable_hash(rows.head(0)).tolist() == []


def test_the_hash_of_a_text_is_fnv_and_murmurs_finaliser() -> None:
    def plain(text: str) -> int:
        state = 0xCBF29CE484222325
        for byte in text.encode():
            state = (state ^ byte) * 0x100000001B3 % 2**64
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            state = (state ^ state >> 33) * factor % 2**64
        return state ^ state >> 33

    texts = ["", "a", "b" * 100, "äöü", "a", "N14228"]
    assert stable_hash(pl.DataFrame({"x": texts})).tolist() == [plain(text + "\x1f") for text in texts]


def test_types_that_say_the_same_key_hash_alike() -> None:
    numbers = [pl.Series("id", [1, 2**31 - 1, 0], dtype=dtype) for dtype in (pl.Int32, pl.Int64, pl.UInt32, pl.Float64)]
    hashes = [stable_hash(pl.DataFrame([series])) for series in numbers]
    assert all(np.array_equal(hashes[0], other) for other in hashes)
    times = [ROWS.select(pl.col("at").dt.cast_time_unit(unit)) for unit in ("ms", "us", "ns")]
    assert all(np.array_equal(stable_hash(times[0]), stable_hash(other)) for other in times)
    assert stable_hash(pl.DataFrame({"a": ["x"], "b": ["y"]})) != stable_hash(pl.DataFrame({"a": ["xy"], "b": [""]}))
    assert stable_hash(pl.DataFrame({"a": [None]}, schema={"a": pl.String})) != stable_hash(pl.DataFrame({"a": [""]}))


def test_many_rows_hash_as_they_do_alone() -> None:
    rows = pl.DataFrame({"id": [f"{n:x}" * (n % 5) for n in range(70_000)]})
    together = stable_hash(rows)
    for n in (0, 1, 65_535, 65_536, 69_999):
        assert stable_hash(rows[n])[0] == together[n]


@pytest.mark.parametrize(
    ("frame", "split", "key", "time", "code"),
    [
        (ROWS, Split(), (), None, "split.invalid"),
        (ROWS, Split(), (), "when", "column.missing"),
        (ROWS, Split(), (), "id", "split.invalid"),
        (ROWS, HASH, (), "at", "split.invalid"),
        (ROWS, HASH, ("key",), None, "column.missing"),
        (ROWS, Split(SplitKind.GROUP), ("id",), None, "split.invalid"),
        (ROWS, Split(SplitKind.STRATIFIED), ("id",), None, "split.invalid"),
        (ROWS, Split(SplitKind.GROUP, column="carrier"), (), None, "column.missing"),
        (ROWS, Split(SplitKind.STRATIFIED, column="carrier"), (), None, "column.missing"),
        (ROWS, Split(SplitKind.STRATIFIED, column="id"), (), None, "split.invalid"),
        (ROWS.with_columns(one=1), Split(SplitKind.GROUP, column="one"), (), None, "split.invalid"),
        (ROWS, Split(SplitKind.RANDOM, test_share=1.0), (), None, "split.invalid"),
        (ROWS.head(0), Split(SplitKind.RANDOM), (), None, "split.invalid"),
        (ROWS, Split(test_share=0.0), (), "at", "split.invalid"),
        (ROWS, Split(test_share=1.0), (), "at", "split.invalid"),
        (ROWS, Split(boundary=START), (), "at", "split.invalid"),
        (ROWS, Split(boundary=START + timedelta(days=999)), (), "at", "split.invalid"),
        (ROWS.head(0), Split(), (), "at", "split.invalid"),
        (ROWS.head(0), HASH, ("id",), "at", "split.invalid"),
        (ROWS.head(1), Split(), (), "at", "split.invalid"),
        (ROWS.with_columns(at=pl.when(pl.col("id") != "f7").then("at")), Split(), (), "at", "split.invalid"),
    ],
)
def test_a_split_that_cannot_be_is_told(
    frame: pl.DataFrame, split: Split, key: tuple[str, ...], time: str | None, code: str
) -> None:
    with pytest.raises(Problem) as told:
        split_frame(frame, split, key=key, time=time)
    assert told.value.code == code
