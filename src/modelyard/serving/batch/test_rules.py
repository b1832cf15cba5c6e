"""How rows are cut into parts, and when a plan may be gone on with."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Digest, Problem
from modelyard.serving.batch.rules import key_of, parts_of, plan_from_json, require_same, rows_of_part, to_json
from modelyard.serving.batch.types import Input, PartForm, Plan, SourceKind, SourceRef

SOURCE = SourceRef(SourceKind.URL, "s3://lake/in/")
PLAN = Plan(
    job="job_1",
    model="churn",
    version=7,
    form="onnx",
    content=Digest("sha256:aa"),
    source=SOURCE,
    inputs=(Input("in/january.csv", "e1", 5), Input("in/february.csv", "e2", 0), Input("in/march 1.csv", "e3", 4)),
    part_rows=2,
    part_form=PartForm.PARQUET,
)


def test_parts_are_named_by_place_and_file_and_span_no_two() -> None:
    found = [(part.name, part.input, part.first_row, part.rows) for part in parts_of(PLAN)]
    assert found == [
        ("part-000000-january.parquet", 0, 0, 2),
        ("part-000001-january.parquet", 0, 2, 2),
        ("part-000002-january.parquet", 0, 4, 1),
        ("part-000003-march_1.parquet", 2, 0, 2),
        ("part-000004-march_1.parquet", 2, 2, 2),
    ]
    alone = replace(PLAN, inputs=PLAN.inputs[:1], part_form=PartForm.ARROW)
    assert [part.name for part in parts_of(alone)] == ["part-000000.arrow", "part-000001.arrow", "part-000002.arrow"]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(1, 12))
def test_parts_in_order_of_their_names_are_all_rows_in_order(rows: list[int], part_rows: int) -> None:
    inputs = tuple(Input(f"{number % 3}.csv", "", count) for number, count in enumerate(rows))
    parts = parts_of(replace(PLAN, inputs=inputs, part_rows=part_rows))
    assert [part.name for part in parts] == sorted({part.name for part in parts})
    found = [(part.input, row) for part in parts for row in range(part.first_row, part.first_row + part.rows)]
    assert found == [(number, row) for number, count in enumerate(rows) for row in range(count)]


def test_no_rows_are_one_empty_part() -> None:
    [part] = parts_of(replace(PLAN, inputs=(Input("none.csv", "e", 0),)))
    assert (part.rows, part.name) == (0, "part-000000.parquet")


def test_a_part_has_few_rows_where_they_are_large() -> None:
    assert rows_of_part(0) == rows_of_part(1) == 250_000
    assert rows_of_part(1 << 30) == 1


def test_a_plan_comes_back_from_json() -> None:
    assert plan_from_json(to_json(PLAN), "out") == PLAN
    with pytest.raises(Problem) as told:
        plan_from_json(b'{"job": 1}', "out")
    assert told.value.code == "target.invalid"


def test_another_job_may_go_on_with_the_same() -> None:
    again = replace(PLAN, job="job_2", part_rows=9, source=SourceRef(SourceKind.UPLOAD, "sha256:bb"))
    require_same(PLAN, again, "out")
    assert key_of(again) == key_of(PLAN)


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        (lambda plan: replace(plan, version=8), "target.conflict", "holds answers by churn@7: churn@8 was asked for"),
        (lambda plan: replace(plan, form="native"), "target.conflict", "onnx in parquet, now native in parquet"),
        (lambda plan: replace(plan, content=Digest("sha256:cc")), "target.conflict", "another form"),
        (
            lambda plan: replace(plan, inputs=(replace(plan.inputs[0], mark="e9"), *plan.inputs[1:])),
            "source.conflict",
            "in/january.csv has changed",
        ),
        (lambda plan: replace(plan, inputs=plan.inputs[1:]), "source.conflict", "in/january.csv is not there any more"),
        (lambda plan: replace(plan, inputs=(*plan.inputs, Input("new.csv", "e", 1))), "source.conflict", "new.csv is new"),
        (lambda plan: replace(plan, inputs=plan.inputs[::-1]), "source.conflict", "in another order"),
    ],
)
def test_what_is_not_the_same_is_told(change: Callable[[Plan], Plan], code: str, told: str) -> None:
    with pytest.raises(Problem, match=told) as problem:
        require_same(PLAN, change(PLAN), "out")
    assert problem.value.code == code
    assert "--anew" in problem.value.next_step
    assert key_of(change(PLAN)) != key_of(PLAN)
