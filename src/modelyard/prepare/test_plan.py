"""Plans of fitted pipelines."""

import polars as pl

from modelyard.prepare import prep
from modelyard.prepare.capture import capture
from modelyard.prepare.fit import fit
from modelyard.prepare.plan import plan
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
