"""Plans of fitted pipelines."""

import polars as pl
import pytest

from modelyard.core import Problem
from modelyard.prepare import prep
from modelyard.prepare.capture import capture
from modelyard.prepare.compile_polars import PORTION_ROWS
from modelyard.prepare.fit import fit
from modelyard.prepare.plan import plan
from modelyard.prepare.transform import Transform
from modelyard.prepare.types import FunctionStep, Pipeline, Step

ROWS = pl.DataFrame({"a": [1.0, 2.0, 4.0], "b": [3.0, 5.0, 9.0], "c": ["x", "y", "x"], "unused": [1.0, 2.0, 3.0]})


def shares(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(share=pl.col("a") / (pl.col("a") + pl.col("b")))


def raw_columns(*steps: Step) -> dict[str, set[str]]:
    found = plan(fit(Pipeline(steps), ROWS)).raw_columns()
    return {name: set(columns) for name, columns in found.items()}


def test_a_feature_comes_from_the_raw_columns_that_its_steps_read() -> None:
    found = raw_columns(prep.drop("unused"), prep.ratio("a", "b"), prep.one_hot("c"), prep.standardise("a"))
    ratio = next(name for name in found if {"a", "b"} == found[name])
    assert {name: found[name] for name in found if name != ratio} == {"a": {"a"}, "b": {"b"}, "c_x": {"c"}, "c_y": {"c"}}


def test_what_a_function_writes_may_come_from_all_that_it_reads() -> None:
    found = raw_columns(prep.drop("c", "unused"), FunctionStep("shares", capture(shares)), prep.drop("a"))
    assert found["share"] == {"a", "b"}
    assert {"b"} <= found["b"] <= {"a", "b"}


def test_a_frame_of_several_portions_is_prepared_as_its_parts_are() -> None:
    number = pl.int_range(PORTION_ROWS + 3, eager=True)
    frame = pl.DataFrame({"x": number.cast(pl.Float64), "kind": (number % 3).cast(pl.String)})
    transform = Transform(fit(Pipeline((prep.standardise("x"), prep.one_hot("kind"))), frame))
    parts = pl.concat([transform.frame(frame.head(1_000)), transform.frame(frame.slice(1_000))])
    assert transform.frame(frame).equals(parts)
    assert transform.frame(frame)["x"].is_sorted()
    whole = Transform(fit(Pipeline((prep.standardise("x"),)), frame.select(number.alias("x"))))
    wrong = frame.with_columns(pl.when(number == PORTION_ROWS + 1).then(1.5).otherwise("x").alias("x"))
    with pytest.raises(Problem, match=f"row {PORTION_ROWS + 1}") as told:
        whole.frame(wrong)
    assert told.value.detail["row"] == PORTION_ROWS + 1


def test_a_long_chain_of_steps_is_prepared_as_by_the_row() -> None:
    steps = tuple(prep.log1p("a") if number % 2 else prep.clip("a", 0.0, 3.0 - number / 1_000) for number in range(400))
    transform = Transform(fit(Pipeline((*steps, prep.keep("a"))), ROWS))
    assert transform.frame(ROWS).rows() == [tuple(row) for row in transform.rows(ROWS.to_dicts()).tolist()]
