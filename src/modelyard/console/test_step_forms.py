"""A step goes into its form and comes back the same, and what does not read is told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.console.editor import Draft, changed
from modelyard.console.step_forms import (
    COLUMN,
    PARAMETER,
    PLACE,
    empty_fields,
    fields_of_step,
    form_of,
    kinds_by_group,
    read_step,
)
from modelyard.core import Problem
from modelyard.prepare import Pipeline, prep
from modelyard.prepare.steps import STEPS
from modelyard.prepare.test_pipeline_text import steps
from modelyard.prepare.types import kind_of


@pytest.mark.parametrize("kind", STEPS)
@given(st.data())
def test_a_step_of_any_kind_comes_back_from_its_form(kind: str, data: st.DataObject) -> None:
    step = data.draw(steps(kind).filter(lambda found: found is not None))
    assert step is not None
    back = read_step(kind, fields_of_step(step), step.columns)
    assert Pipeline((back,)).digest == Pipeline((step,)).digest


@pytest.mark.parametrize("kind", STEPS)
def test_the_form_of_any_kind_offers_the_columns_that_are_there_and_its_arguments(kind: str) -> None:
    form = form_of(kind, [("fare", "number"), ("deck", "text")], empty_fields(kind))
    assert [one.name for one in form.columns] == ["fare", "deck"]
    assert [one.name for one in form.fields] == [one.name for one in STEPS[kind].parameters]
    assert len(form.places) in (0, STEPS[kind].columns[1])
    assert form.meaning.endswith((".", ".)"))


def test_every_kind_stands_in_one_group() -> None:
    assert [kind for _, kinds in kinds_by_group() for kind, _ in kinds] == list(STEPS)


def test_an_empty_field_is_the_default() -> None:
    assert read_step("one_hot", {f"{COLUMN}deck": "on", f"{PARAMETER}limit": ""}) == prep.one_hot("deck")
    assert read_step("ratio", {f"{PLACE}0": "a", f"{PLACE}1": "b"}) == prep.ratio("a", "b")
    assert read_step("one_hot", {f"{COLUMN}deck": "on"} | empty_fields("one_hot")) == prep.one_hot("deck")
    assert read_step(
        "cyclical", {f"{COLUMN}hour": "on", f"{PARAMETER}period": "24"} | empty_fields("cyclical")
    ) == prep.cyclical("hour", 24)


def test_lists_are_written_with_commas() -> None:
    edges = {f"{COLUMN}hour": "on", f"{PARAMETER}edges": "6, 12,18"}
    assert Pipeline((read_step("bucket", edges),)).digest == Pipeline((prep.bucket("hour", [6, 12, 18]),)).digest
    parts = {f"{COLUMN}at": "on", f"{PARAMETER}parts": "hour, weekday", f"{PARAMETER}drop": "on"}
    assert read_step("date_parts", parts) == prep.date_parts("at", "hour", "weekday")


def test_a_changed_step_keeps_the_order_of_its_columns() -> None:
    chosen = {f"{COLUMN}{name}": "on" for name in ("a", "b", "c")}
    assert read_step("keep", chosen, ("c", "a")).columns == ("c", "a", "b")


def test_a_column_that_is_not_there_is_offered_as_such() -> None:
    [there, gone] = form_of("drop", [("fare", "number")], fields_of_step(prep.drop("fair"))).columns
    assert (there.chosen, gone.name, gone.kind, gone.chosen) == (False, "fair", "not there", True)


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("clip", {f"{COLUMN}x": "on", f"{PARAMETER}lower": "1,5"}, "it says '1,5'"),
        ("clip", {f"{COLUMN}x": "on", f"{PARAMETER}lower": "NaN"}, "lower is nan"),
        ("one_hot", {f"{COLUMN}x": "on", f"{PARAMETER}limit": "2.5"}, "it says '2.5'"),
        ("bucket", {f"{COLUMN}x": "on", f"{PARAMETER}edges": "6, noon"}, "it says '6, noon'"),
        ("clip", {f"{PARAMETER}lower": "1"}, "it takes 1 or more column names"),
        ("ratio", {f"{PLACE}0": "a", f"{PLACE}1": ""}, "it takes 2 column names"),
        ("cast", {f"{COLUMN}x": "on", f"{PARAMETER}to": "float"}, "is to be one of"),
        ("drop_all", {}, "did you mean"),
    ],
)
def test_what_cannot_be_is_told(kind: str, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(Problem) as caught:
        read_step(kind, fields)
    assert words in caught.value.why


DRAFT = Draft(Pipeline((prep.drop("a"), prep.strip("b"), prep.log1p("c"))), "rows@1")


@pytest.mark.parametrize(
    ("deed", "kinds"),
    [
        ("up:3", ["drop", "log1p", "strip"]),
        ("up:1", ["drop", "strip", "log1p"]),
        ("down:1", ["strip", "drop", "log1p"]),
        ("down:3", ["drop", "strip", "log1p"]),
        ("remove:2", ["drop", "log1p"]),
        ("try", ["drop", "strip", "log1p"]),
    ],
)
def test_steps_are_moved_and_removed(deed: str, kinds: list[str]) -> None:
    draft, trouble = changed(DRAFT, deed, {})
    assert [kind_of(step) for step in draft.pipeline.steps] == kinds
    assert trouble is None


@pytest.mark.parametrize(("after", "place"), [("0", 0), ("2", 2), ("9", 3), ("", 3), ("x", 3)])
def test_a_step_is_added_behind_the_one_that_was_named_else_at_the_end(after: str, place: int) -> None:
    draft, trouble = changed(DRAFT, "add", {"kind": "sqrt", f"{COLUMN}d": "on", "after": after})
    assert draft.pipeline.steps[place] == prep.sqrt("d")
    assert len(draft.pipeline.steps) == 4
    assert trouble is None


def test_a_value_that_is_nested_too_deep_is_no_value() -> None:
    with pytest.raises(Problem) as told:
        read_step("clip", {f"{COLUMN}hour": "on", f"{PARAMETER}lower": "[" * 100_000})
    assert told.value.code == "step.invalid"


@pytest.mark.parametrize("number", ["9" * 5_000, "²", "-1"])
def test_a_form_that_names_no_step_is_told(number: str) -> None:
    draft = Draft(Pipeline((prep.sqrt("wind"),)), "flights")
    with pytest.raises(Problem) as told:
        changed(draft, f"up:{number}", {})
    assert told.value.code == "form.invalid"
    grown, trouble = changed(draft, "add", {"kind": "sqrt", "after": number, f"{COLUMN}hour": "on"})
    assert (trouble, [kind_of(step) for step in grown.pipeline.steps]) == (None, ["sqrt", "sqrt"])
