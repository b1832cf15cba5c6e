from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from modelyard.core import Problem
from modelyard.data import quality
from modelyard.data.findings import failing, find, joined
from modelyard.data.types import Check, Severity

NOW = datetime(2013, 4, 1, tzinfo=UTC)
NAN, INF = float("nan"), float("inf")


def failed(check: Check, **columns: Any) -> list[int]:
    found = find(pl.DataFrame(columns, strict=False), [check], now=NOW)
    return found.failed["row"].to_list()


@pytest.mark.parametrize(
    ("check", "values", "rows"),
    [
        (quality.not_null("x"), [1, None, 0], [1]),
        (quality.not_null("x"), [1.0, None, NAN, INF], [1, 2]),
        (quality.not_null("x"), ["", None], [1]),
        (quality.finite("x"), [1.0, None, NAN, INF, -INF], [2, 3, 4]),
        (quality.finite("x"), [1, None], []),
        (quality.unique("x"), [1, 2, 1, None, None, 1], [2, 5]),
        (quality.unique("x"), [NAN, NAN, 1.0], [1]),
        (quality.between("x", 0, 600), [-1, 0, 600, 601, None], [0, 3]),
        (quality.between("x", 0, None), [-1.0, INF, NAN], [0, 2]),
        (quality.between("x", None, 5), [-INF, 5.0, 5.1, NAN], [2, 3]),
        (
            quality.between("x", date(2013, 1, 1), datetime(2013, 12, 31, tzinfo=UTC)),
            [date(2012, 12, 31), date(2013, 12, 31)],
            [0],
        ),
        (quality.between("x", datetime(2013, 1, 1), None), [datetime(2012, 12, 31, 23), datetime(2013, 1, 1)], [0]),
        (quality.length_between("x", 2, 3), ["a", "ab", "äöü", "abcd", None], [0, 3]),
        (quality.length_between("x", None, 1), [[1, 2], [1], [], None], [0]),
        (quality.one_of("x", ["JFK", "LGA"]), ["JFK", "EWR", "jfk", None], [1, 2]),
        (quality.one_of("x", [1, 2]), [1, 3, None], [1]),
        (quality.one_of("x", [True]), [True, False, None], [1]),
        (quality.matches("x", r"N[0-9]+[A-Z]*"), ["N1A", "xN1", "N1A\n", "", None], [1, 2, 3]),
        (quality.matches("x", r"a|b"), ["a", "ab", "b"], [1]),
        (quality.not_after("x", "now"), [NOW, datetime(2013, 4, 1, 0, 0, 1, tzinfo=UTC), None], [1]),
        (quality.not_after("x", "now"), [datetime(2013, 4, 1), datetime(2013, 4, 1, 1)], [1]),
        (quality.not_after("x", "now"), [date(2013, 4, 1), date(2013, 4, 2)], [1]),
        (quality.not_after("x", 5), [5, 6, None], [1]),
        (quality.not_before("x", datetime(2013, 1, 1, 12, tzinfo=UTC)), [datetime(2013, 1, 1, 11, tzinfo=UTC), NOW], [0]),
        (quality.not_before("x", 0.5), [0.4, NAN, 0.5], [0, 1]),
        (quality.increasing("x"), [1, 1, None, 0, 2, 1], [3, 5]),
        (quality.increasing("x", strictly=True), [1, 1, 2], [1]),
    ],
)
def test_each_check_fails_the_rows_it_should(check: Check, values: list[Any], rows: list[int]) -> None:
    assert failed(check, x=values) == rows
    assert quality.verify(check) == check


def test_checks_of_several_columns_look_at_all_of_them() -> None:
    assert failed(quality.not_null("a", "b"), a=[1, None, 3], b=["x", "y", None]) == [1, 2]
    assert failed(quality.unique("a", "b"), a=[1, 1, 1, None, None], b=["x", "y", "x", "z", "z"]) == [2]
    assert failed(quality.not_after("a", "b"), a=[1, 2, None, 2], b=[1, 1, 1, None]) == [1]


def test_outcomes_count_and_show_a_few_rows_as_json() -> None:
    frame = pl.DataFrame(
        {"id": [f"f{n}" for n in range(9)], "at": [datetime(2013, 4, 1, 1, tzinfo=UTC)] * 9, "raw": [b"\x01"] * 9}
    )
    checks = [quality.not_after("at", "now"), quality.not_null("id"), quality.one_of("id", ["f0"])]
    late, known, listed = find(frame, checks, now=NOW).outcomes(frame, show=["id", "raw"])
    assert (late.rows_failed, known.rows_failed, listed.rows_failed) == (9, 0, 8)
    assert [example["_row"] for example in late.examples] == [0, 1, 2]
    assert late.examples[0] == {"_row": 0, "id": "f0", "raw": "01", "at": late.examples[0]["at"]}
    assert late.examples[0]["at"].startswith("2013-04-01")
    assert known.examples == ()


def test_reasons_are_those_of_errors_in_order_of_the_checks() -> None:
    checks = [quality.warning(quality.between("x", 0, 1)), quality.between("x", 0, 5), quality.one_of("x", [1, 2])]
    found = find(pl.DataFrame({"x": [1, 2, 3, 9]}), checks, now=NOW)
    assert checks[0].severity is Severity.WARNING
    assert found.reasons().to_dict(as_series=False) == {
        "row": [2, 3],
        "reasons": [["one_of(x, values=[1, 2])"], ["between(x, low=0, high=5)", "one_of(x, values=[1, 2])"]],
    }


def test_findings_of_several_evaluations_are_joined() -> None:
    frame = pl.DataFrame({"x": [1, None]})
    one = find(frame, [quality.not_null("x"), quality.one_of("x", [2])], now=NOW)
    two = failing(quality.unique("x"), pl.Series([True, True]))
    both = joined([one, two])
    assert [told.rows_failed for told in both.outcomes(frame)] == [1, 1, 2]
    assert (joined([]).checks, joined([]).failed.height) == ((), 0)


def test_no_rows_and_no_checks_find_nothing() -> None:
    assert find(pl.DataFrame({"x": []}, schema={"x": pl.Int64}), [quality.unique("x")], now=NOW).failed.height == 0
    assert find(pl.DataFrame({"x": [1]}), [], now=NOW).failed.height == 0


def test_a_missing_column_is_told_with_the_nearest() -> None:
    with pytest.raises(Problem, match="did you mean 'dep_time'") as told:
        find(pl.DataFrame({"dep_time": [1]}), [quality.not_null("dep_tme")], now=NOW)
    assert told.value.code == "column.missing"
    with pytest.raises(Problem, match="'y'"):
        find(pl.DataFrame({"x": [1]}), [quality.not_after("x", "y")], now=NOW)


@pytest.mark.parametrize(
    ("check", "values"),
    [
        (quality.between("x", 0, 1), ["a"]),
        (quality.between("x", date(2013, 1, 1), None), [1]),
        (quality.between("x", 0, 1), [date(2013, 1, 1)]),
        (quality.not_after("x", "now"), ["2013"]),
        (quality.one_of("x", [1]), ["a"]),
        (quality.one_of("x", ["a"]), [1]),
        (quality.matches("x", "a"), [1]),
        (quality.finite("x"), ["a"]),
        (quality.length_between("x", 0, 1), [1]),
    ],
)
def test_a_check_that_does_not_fit_the_columns_type_is_told(check: Check, values: list[Any]) -> None:
    with pytest.raises(Problem, match="cannot be evaluated") as told:
        find(pl.DataFrame({"x": values, "y": [1]}), [quality.not_null("y"), check], now=NOW)
    assert told.value.code == "check.invalid"
    assert check.kind in told.value.what


@pytest.mark.parametrize(
    "check",
    [
        Check("betwen", ("x",), {"low": 0, "high": 1}),
        Check("not_null", ()),
        Check("not_null", ("",)),
        Check("not_null", ("x",), {"low": 1}),
        Check("between", ("x", "y"), {"low": 0, "high": 1}),
        Check("between", ("x",), {"low": 0}),
        Check("between", ("x",), {"low": None, "high": None}),
        Check("between", ("x",), {"low": 2, "high": 1}),
        Check("between", ("x",), {"low": 0, "high": "2013-01-01"}),
        Check("between", ("x",), {"low": 0, "high": NAN}),
        Check("one_of", ("x",), {"values": []}),
        Check("one_of", ("x",), {"values": 3}),
        Check("one_of", ("x",), {"values": [NOW]}),
        Check("matches", ("x",), {"pattern": "("}),
        Check("matches", ("x",), {"pattern": "(?=x)"}),
        Check("not_after", ("x",), {}),
        Check("not_after", ("x",), {"limit": 1, "column": "y"}),
        Check("increasing", ("x",), {"strictly": "yes"}),
        Check("length_between", ("x",), {"low": -1, "high": None}),
        Check("length_between", ("x",), {"low": 0.5, "high": None}),
        Check("between", ("x",), {"low": True, "high": None}),
        Check("row_count", ("x",), {"low": 1, "high": None}, Severity.BLOCK),
        Check("row_count", (), {"low": "2013-01-01", "high": None}, Severity.BLOCK),
        Check("row_count_like_history", (), {"factor": 1}, Severity.BLOCK),
        Check("row_count_like_history", (), {"factor": "2"}, Severity.BLOCK),
        Check("fresh", ("x",), {"within": "soon"}, Severity.BLOCK),
        Check("fresh", ("x",), {}, Severity.BLOCK),
        Check("same_schema", (), {"low": 1}, Severity.BLOCK),
        Check("dtype", ("x",), {"dtype": "int64"}, Severity.BLOCK),
        Check("dtype", ("x",), {"dtype": "UInt8"}, Severity.BLOCK),
        Check("share_null", ("x",), {"most": 1}, Severity.BLOCK),
        Check("share_null", ("x",), {"most": NAN}, Severity.BLOCK),
        Check("mean_between", ("x",), {"low": "2013-01-01", "high": None}, Severity.BLOCK),
        Check("mean_between", (), {"low": 0, "high": None}, Severity.BLOCK),
        Check("distinct_between", ("x", "y"), {"low": 0, "high": None}, Severity.BLOCK),
    ],
)
def test_a_check_that_makes_no_sense_is_refused(check: Check) -> None:
    with pytest.raises(Problem) as told:
        quality.verify(check)
    assert told.value.code == "check.invalid"


def test_a_check_of_a_batch_blocks_or_warns_and_is_refused_otherwise() -> None:
    check = quality.row_count(1, None)
    assert check.severity is Severity.BLOCK
    assert quality.verify(quality.warning(check)).severity is Severity.WARNING
    with pytest.raises(Problem, match="it judges a batch as a whole, and so cannot quarantine single rows") as told:
        quality.verify(Check("row_count", (), {"low": 1, "high": None}))
    assert told.value.code == "check.invalid"


def test_a_blocking_check_of_rows_gives_reasons_as_others_do() -> None:
    found = find(pl.DataFrame({"x": [1, None]}), [quality.blocking(quality.not_null("x"))], now=NOW)
    assert found.block()
    assert found.reasons().to_dict(as_series=False) == {"row": [1], "reasons": [["not_null(x)"]]}
    others = [quality.not_null("x"), quality.warning(quality.not_null("x")), quality.blocking(quality.between("x", 0, 9))]
    assert not find(pl.DataFrame({"x": [1, None]}), others, now=NOW).block()


def test_an_unknown_kind_suggests_the_nearest() -> None:
    with pytest.raises(Problem, match="did you mean 'between'"):
        quality.verify(Check("betwen", ("x",)))
