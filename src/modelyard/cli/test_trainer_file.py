from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelyard.cli.trainer_file import load_trainer, read_params, read_space, read_split
from modelyard.core import Problem
from modelyard.data import Split, SplitKind
from modelyard.training import Choice, Float, Int, Space


def test_parameters_are_json_where_they_read_as_such() -> None:
    assert read_params(["depth=6", "rate=0.05", "family=linear", "deep=true", 'name="6"', "text=a=b"]) == {
        "depth": 6, "rate": 0.05, "family": "linear", "deep": True, "name": "6", "text": "a=b",
    }  # fmt: skip


def test_ranges_are_read() -> None:
    assert read_space(["depth=3..8", "rate=0.01..0.3:log", "width=8..64:log", "family=a,b", "kind=1,2"]).space == Space(
        floats={"rate": Float(0.01, 0.3, log=True)},
        ints={"depth": Int(3, 8), "width": Int(8, 64, log=True)},
        choices={"family": Choice(("a", "b")), "kind": Choice((1, 2))},
    )


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("random", Split(SplitKind.RANDOM, 0.3, seed=7)),
        ("hash", Split(SplitKind.HASH, 0.3, seed=7)),
        ("group:carrier", Split(SplitKind.GROUP, 0.3, column="carrier", seed=7)),
        ("stratified:a:b", Split(SplitKind.STRATIFIED, 0.3, column="a:b", seed=7)),
        ("time", Split(SplitKind.TIME, 0.3, seed=7)),
        ("time:2013-06-01", Split(SplitKind.TIME, 0.3, datetime(2013, 6, 1, tzinfo=UTC), seed=7)),
    ],
)
def test_splits_are_read(text: str, split: Split) -> None:
    assert read_split(text, 0.3, 7) == split


@pytest.mark.parametrize("text", ["", "groups:carrier", "group", "group:", "random:x", "time:yesterday", "RANDOM"])
def test_what_is_no_split_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        read_split(text, 0.2, 0)
    assert caught.value.code == "split.invalid"


@pytest.mark.parametrize("text", ["depth", "=3", "a b=3"])
def test_what_is_no_parameter_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        read_params([text])
    assert caught.value.code == "params.invalid"


@pytest.mark.parametrize("text", ["depth=3..", "depth=a..b", "depth=8..3", "rate=0..1:log", "rate=0.1..1:exp"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        read_space([text])
    assert caught.value.code == "search.invalid"


def test_a_trainer_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "train_of_test.py").write_text("def plain(): ...\n")
    with pytest.raises(Problem, match=r"FILE:FUNCTION") as caught:
        load_trainer("train.py")
    assert caught.value.code == "trainer.invalid"
    with pytest.raises(Problem, match=r"did you mean 'train_of_test.py'"):
        load_trainer(f"{tmp_path}/train_of_tests.py:train")
    with pytest.raises(Problem, match="is no trainer"):
        load_trainer(f"{tmp_path}/train_of_test.py:plain")
    with pytest.raises(Problem, match="There is no trainer 'train'"):
        load_trainer(f"{tmp_path}/train_of_test.py:train")
