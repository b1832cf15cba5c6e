"""Steps on text: what reads as a number, and what is refused where a reading would be a guess."""

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.prepare import Pipeline, Transform, fit, prep, preview


@pytest.mark.parametrize(
    ("text", "decimal", "number"),
    [
        ("$1,234.50", ".", 1234.5),
        ("1.234,50 €", ",", 1234.5),
        ("CHF 1'234.50", ".", 1234.5),
        ("12\u202f500 EUR", ".", 12500),
        ("1,23,456", ".", 123456),
        ("(12.5)", ".", -12.5),
        ("($1,234)", ".", -1234),
        ("-$5", ".", -5),
        ("€ \u22125", ".", -5),
        ("+.5", ".", 0.5),
        ("Rs.12", ".", 12),
        ("EUR12", ".", 12),
        ("US$ 12", ".", 12),
        ("N12", ".", None),
        ("No.12", ".", None),
        ("AB-12", ".", None),
        ("EUR-12", ".", -12),
        ("about -12", ".", -12),
        ("No. 12", ".", 12),
        ("12.", ".", 12),
        ("about 1e3", ".", 1000),
        ("1,234.50", ",", None),
        ("1,5", ".", None),
        ("1 2", ".", None),
        ("--5", ".", None),
        ("(12", ".", None),
        ("12-15", ".", None),
        ("2013-06-24", ".", None),
        ("\u0663", ".", None),
        ("", ".", None),
        ("nan", ".", None),
        ("inf", ".", None),
    ],
)
def test_a_text_reads_as_the_number_that_people_mean(text: str, decimal: Any, number: float | None) -> None:
    [found, _] = preview(prep.parse_number("x", decimal=decimal), x=[text, "7"])["x"]
    assert math.isnan(found) if number is None else found == number


@given(st.floats(-1e12, 1e12), st.sampled_from([("{:,.3f}", "."), ("{:_.3f}", ".")]), st.sampled_from(["{}", "$ {}", "{} EUR"]))
def test_every_printed_number_is_read_again(number: float, form: tuple[str, Any], dress: str) -> None:
    plain = f"{number:.3f}"
    written = form[0].format(number).replace("_", "\u00a0")
    found = preview(prep.parse_number("x"), prep.cast("y", "number"), x=[dress.format(written)], y=[plain])
    assert found["x"] == found["y"]
    european = written.replace(",", " ").replace(".", ",")
    assert preview(prep.parse_number("x", decimal=","), x=[european])["x"] == found["y"]


def test_units_are_told_or_are_one() -> None:
    sizes = ["5.2 k", "3 %", "900", "7 m²", "8 parsec"]
    found = preview(prep.parse_number("x", units={"k": 1000, "%": 0.01, "m²": 1}), x=sizes)["x"]
    assert found == pytest.approx([5200, 0.03, 900, 7, math.nan], nan_ok=True)
    assert preview(prep.parse_number("x"), x=["3 GB", "4GB", "?"])["x"][:2] == [3, 4]
    with pytest.raises(Problem) as caught:
        preview(prep.parse_number("x"), x=["5.2 k", "900"])
    assert caught.value.code == "column.invalid"
    assert "behind them stands nothing, 'k'" in str(caught.value)
    assert "units={'k': 1}" in caught.value.next_step


def test_another_word_than_that_of_the_training_rows_is_missing() -> None:
    transform = Transform(fit(Pipeline((prep.parse_number("x"),)), pl.DataFrame({"x": ["3 GB", None]})))
    assert transform.rows([{"x": "4 GB"}, {"x": "4 MB"}, {"x": "4"}, {"x": None}])[:, 0].tolist() == pytest.approx(
        [4, math.nan, math.nan, math.nan], nan_ok=True
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: prep.parse_number("x", decimal=";"), "'.', ','"),  # type: ignore[arg-type]
        (lambda: prep.parse_number("x", thousands="."), "one mark cannot part both"),
        (lambda: prep.parse_number("x", thousands="ab"), "one mark, or empty"),
        (lambda: prep.parse_number("x", units={"2x": 1}), "without digits"),
        (lambda: prep.parse_number("x", units={"k": math.inf}), "a finite number"),
    ],
)
def test_wrong_arguments_are_refused_when_the_step_is_written(make: Any, words: str) -> None:
    with pytest.raises(Problem) as caught:
        make()
    assert caught.value.code == "step.invalid"
    assert words in str(caught.value)


def test_a_column_without_a_number_is_refused() -> None:
    with pytest.raises(Problem, match=r"'1,5' is no number with '\.' before its fraction"):
        preview(prep.parse_number("x"), x=["1,5", None])


ONE_FORM = ["Stra\u00dfe  \ufb01x", "STRASSE FIX", " strasse\u00a0fix\n", "S\u0327TRASSE F\u0130X", "\uff33trasse fix"]


def test_texts_that_say_the_same_have_one_form() -> None:
    assert list(preview(prep.normalise_text("x"), prep.one_hot("x"), x=ONE_FORM)) == ["x_strasse fix"]


@pytest.mark.parametrize(
    ("what", "text", "form"),
    [
        ({}, "\ud55c \u1100\u1161", "\ud55c \uac00"),
        ({"accents": False, "spaces": False}, " \u00c5e\u0301 ", " \u00e5\u00e9 "),
        ({"case": False, "spaces": False}, " \u00c5e\u0301 ", " Ae "),
        ({"case": False, "accents": False}, "\u00a0\u00c5e\u0301 \t\u2460", "\u00c5\u00e9 1"),
    ],
)
def test_each_part_of_the_form_may_be_left_out(what: dict[str, bool], text: str, form: str) -> None:
    assert list(preview(prep.normalise_text("x", **what), prep.one_hot("x"), x=[text])) == [f"x_{form}"]


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8))
def test_a_form_is_its_own_form(text: str) -> None:
    once = prep.normalise_text("x"), prep.one_hot("x")
    assert list(preview(*once, x=[text])) == list(preview(prep.normalise_text("x"), *once, x=[text]))


def test_a_part_is_extracted_by_number_or_by_name() -> None:
    code = ["AB-12", "C-3", "-", None]
    steps = (prep.extract("code", r"^(?P<line>[A-Z]+)-(\d+)$", group="line"), prep.one_hot("code_line"), prep.drop("code"))
    assert preview(*steps, code=code) == {"code_line_AB": [1, 0, 0, 0], "code_line_C": [0, 1, 0, 0]}
    steps = (prep.extract("code", r"^([A-Z]+)-(\d+)$", "n", group=2), prep.cast("n", "number"), prep.keep("n"))
    assert preview(*steps, code=code)["n"] == pytest.approx([12, 3, math.nan, math.nan], nan_ok=True)


def test_a_group_that_took_no_part_is_missing() -> None:
    steps = (prep.extract("x", "(a)|b"), prep.is_null("x_extracted"), prep.keep("x_extracted_is_null"))
    assert preview(*steps, x=["a", "b"]) == {"x_extracted_is_null": [0, 1]}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: prep.extract("x", "(a"), "is no regular expression"),
        (lambda: prep.extract("x", "[[a]"), "is no regular expression (Possible nested set"),
        (lambda: prep.contains("x", "*"), "is no regular expression"),
        (lambda: prep.extract("x", "a+"), "has no group 1: put a part of it in"),
        (lambda: prep.extract("x", "(a)", group="a"), "has no group 'a'"),
        (lambda: prep.extract("x", "(a)", group=-1), "has no group -1"),
    ],
)
def test_patterns_that_mean_nothing_are_refused_when_the_step_is_written(make: Any, words: str) -> None:
    with pytest.raises(Problem) as caught:
        make()
    assert caught.value.code == "step.invalid"
    assert words in str(caught.value)
