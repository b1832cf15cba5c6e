"""A pipeline's Python text makes the very same pipeline, and a JSON that is none is refused."""

from datetime import date
from typing import Any

import httpx
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.client.connection import Connection
from modelyard.client.steps import DeclaredPipeline, declare_pipeline
from modelyard.core import Problem
from modelyard.data import Check, quality
from modelyard.prepare import DeclaredStep, Pipeline, function_step, prep
from modelyard.prepare.pipeline_text import pipeline_text
from modelyard.prepare.rules import MOST_STEPS, read_pipeline
from modelyard.prepare.steps import STEPS, declared
from modelyard.prepare.steps.dates import DAY_PARTS, TIME_PARTS

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8) | st.sampled_from(
    ["a'b", 'a"b', "\\", "x\ny", "{"]
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**6), 10**6)
WORDS: dict[str, st.SearchStrategy[Any]] = {
    "from": st.sampled_from(["F", "mph", "ft"]),
    "zone": st.none() | st.sampled_from(["Europe/Berlin", "UTC"]),
    "parts": st.lists(st.sampled_from([*DAY_PARTS, *TIME_PARTS]), min_size=1, unique=True),
    "format": st.none()
    | st.sampled_from(["%d.%m.%Y", "%Y'%m"])
    | st.lists(st.sampled_from([None, "%Y"]), min_size=1, unique=True),
    "edges": st.none() | st.lists(NUMBERS.map(float), min_size=1, max_size=4, unique=True).map(sorted),
    "units": st.none() | st.dictionaries(st.sampled_from(["k", "%", "'"]), st.sampled_from([0.5, 1e3, 1e-300])),
    "pattern": st.sampled_from([r"(\w+)'", '(a)"', r"\\(x)", "(?P<g>y)\n"]),
    "group": st.sampled_from([0, 1]),
    "thousands": st.sampled_from([None, "", " ", "'"]),
}
TO: dict[str, st.SearchStrategy[Any]] = {
    "cast": st.sampled_from(["number", "integer", "boolean", "text", "date", "datetime"]),
    "convert": st.sampled_from(["C", "m/s", "m"]),
    "parse_date": st.sampled_from(["date", "datetime"]),
}


@st.composite
def steps(draw: st.DrawFn, kind: str) -> DeclaredStep | None:
    """Return a step of the kind with drawn columns and arguments; None where they do not go together."""
    defined = STEPS[kind]
    least, most = defined.columns
    columns = draw(st.lists(NAMES, min_size=least, max_size=min(most, 3), unique=True))
    params: dict[str, Any] = {}
    for parameter in defined.parameters:
        if kind == "rename":
            params["to"] = draw(st.lists(NAMES, min_size=len(columns), max_size=len(columns), unique=True))
        elif parameter.name == "to":
            params["to"] = draw(TO[kind])
        elif parameter.name in WORDS:
            params[parameter.name] = draw(WORDS[parameter.name])
        elif draw(st.booleans()):
            params[parameter.name] = draw(st.from_type(draw(st.sampled_from(parameter.types))))
    try:
        return declared(kind, columns, **params)
    except Problem:
        return None


NOWHERE = Connection(httpx.Client(base_url="http://127.0.0.1:1"))


class Project:
    """Stands for what `yard.project` gives: `pipeline` is the very function that it calls."""

    def pipeline(self, *written: Any, checks: Any = ()) -> DeclaredPipeline:
        return declare_pipeline(NOWHERE, "/v1/projects/p", written, checks)


def made_by(text: str) -> DeclaredPipeline:
    names: dict[str, Any] = {"project": Project()}
    exec(text, names)  # noqa: S102 - our own text
    found = names["features"]
    assert isinstance(found, DeclaredPipeline)
    return found


@pytest.mark.parametrize("kind", STEPS)
@given(st.data())
def test_the_text_of_a_step_of_any_kind_makes_the_same_step(kind: str, data: st.DataObject) -> None:
    step = data.draw(steps(kind).filter(lambda found: found is not None))
    assert step is not None
    pipeline = Pipeline((step,))
    assert made_by(pipeline_text(pipeline)).build().digest == pipeline.digest
    assert read_pipeline(pipeline.to_json()) == pipeline


RATE = 1.5


def scaled(rows: pl.DataFrame) -> pl.DataFrame:
    r"""Scale by the rate; a text with 'quotes' and \\ in it stays."""
    return rows.with_columns(pl.col("x") * RATE, note=pl.lit("a\tb"))


def plain(rows: pl.DataFrame) -> pl.DataFrame:
    """Pass on."""
    return rows


def test_steps_over_sets_are_in_the_text() -> None:
    query = """SELECT *, 'x' AS "y"
FROM rows JOIN weather USING (origin)"""
    sets = (prep.sql(query, weather="weather@3"), prep.over_set(plain), prep.over_set(plain, other="a@1"))
    pipeline = Pipeline((prep.drop("id"),), sets)
    made = made_by(pipeline_text(pipeline))
    assert made.build().digest == pipeline.digest
    assert made_by(pipeline_text(Pipeline((), sets[:1]))).build().sets == sets[:1]
    assert read_pipeline(pipeline.to_json()) == pipeline


def test_functions_and_promises_are_in_the_text() -> None:
    checks = (quality.not_null("x"), quality.warning(quality.between("at", date(2020, 1, 1), None)))
    pipeline = Pipeline((function_step(scaled), prep.drop("id"), function_step(plain)))
    text = pipeline_text(pipeline, checks)
    made = made_by(text)
    assert (made.build().digest, made.checks) == (pipeline.digest, checks)
    assert '\n    """Pass on."""\n' in text  # a function is readable
    assert text.startswith(
        "from datetime import date\n\nfrom modelyard import prep, quality\nfrom modelyard.prepare import Code"
    )


def test_an_empty_pipeline_is_a_text_too() -> None:
    assert pipeline_text(Pipeline(())) == "features = project.pipeline(\n)"
    assert made_by(pipeline_text(Pipeline(()))).build() == Pipeline(())


def test_what_a_person_wrote_gets_its_defaults_and_forgets_what_it_learned() -> None:
    written = {"kind": "standardise", "columns": ["x"], "params": {}, "fitted": {"x": {"centre": 0.0, "factor": 1.0}}}
    sparse = {"kind": "one_hot", "columns": ["deck"], "params": {"limit": 9}}
    assert read_pipeline({"format": 1, "steps": [written, sparse]}) == Pipeline(
        (prep.standardise("x"), prep.one_hot("deck", limit=9))
    )


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ({"kind": "one_hott", "columns": ["x"], "params": {}}, "step.missing"),
        ({"kind": "one_hot", "columns": ["x"], "params": {"limit": 0}}, "step.invalid"),
        ({"kind": "one_hot", "columns": [3], "params": {}}, "step.invalid"),
        ({"kind": "function", "name": "f", "code": {"source": 3, "entry": "f", "modules": {}}}, "step.invalid"),
        ({"kind": ["one_hot"], "columns": ["x"], "params": {}}, "pipeline.invalid"),
        ({"kind": "one_hot", "columns": ["x"], "params": "ab"}, "pipeline.invalid"),
        ({"kind": "fill_null", "columns": ["\ud800"], "params": {"value": 1}}, "pipeline.invalid"),
        ({"kind": "bucket", "columns": ["x"], "params": {"edges": [float("nan")]}}, "step.invalid"),
    ],
)
def test_a_step_that_is_none_is_refused_by_its_number(step: Any, code: str) -> None:
    good = {"kind": "strip", "columns": ["city"], "params": {}}
    with pytest.raises(Problem) as caught:
        read_pipeline({"format": 1, "steps": [good, step]})
    assert caught.value.code == code
    assert caught.value.detail.get("step", 2) == 2


def test_a_pipeline_without_end_is_refused() -> None:
    step = {"kind": "strip", "columns": ["city"], "params": {}}
    with pytest.raises(Problem, match="the most is"):
        read_pipeline({"format": 1, "steps": [step] * (MOST_STEPS + 1)})


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(["hour", "C", "F"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(kind=st.sampled_from(sorted(STEPS)), columns=st.lists(NAMES, min_size=1, max_size=2) | ANYTHING, data=st.data())
def test_whatever_stands_in_a_step_is_taken_or_refused(kind: str, columns: Any, data: st.DataObject) -> None:
    params = {one.name: data.draw(ANYTHING, one.name) for one in STEPS[kind].parameters if data.draw(st.booleans())}
    try:
        read = read_pipeline({"format": 1, "steps": [{"kind": kind, "columns": columns, "params": params}]})
    except Problem as problem:
        assert problem.code in {"step.invalid", "pipeline.invalid", "unit.invalid", "zone.invalid"}
    else:
        assert made_by(pipeline_text(read)).build() == read


def test_checks_of_a_kind_stand_as_they_were_written() -> None:
    check = Check("between", ("temp",), {"low": -60, "high": 60.5})
    assert made_by(pipeline_text(Pipeline((prep.drop("x"),)), [check])).checks == (check,)
