"""What comes of members' answers, held against NumPy by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from modelyard.core import Problem, digest_bytes
from modelyard.data import Column
from modelyard.data.cell import Cell
from modelyard.prepare.values import InputColumn, ValueKind
from modelyard.registry import Combining, Composition, Part, Signature
from modelyard.serving import ServedForm
from modelyard.serving.combined import Combined, combine
from modelyard.serving.direct import TensorInputs
from modelyard.serving.infer import inputs_of
from modelyard.serving.prepared import RowInputs
from modelyard.serving.program import Answers, Batch, Inputs

X = Signature((Column("x", "Float64"),), (Column("probability", "Float64"),))
ROWS: list[dict[str, Any]] = [{"x": value, "more": "passed over"} for value in (0.1, 0.5, 0.9, 0.4)]
VALUES = np.array([row["x"] for row in ROWS])


@dataclass(frozen=True, eq=False)
class Affine(RowInputs):
    """Answers `a + b·x + c·(the other column)`, refuses an x above `most`, and keeps which rows it was asked."""

    a: float
    b: float
    other: str | None = None
    most: float = np.inf
    asked: list[int] = field(default_factory=list)
    outputs: tuple[str, ...] = ("probability",)
    runs_code: bool = False
    is_apart: bool = False

    def infer(self, batch: Batch) -> Answers:
        """Return the answers."""
        rows: Sequence[Mapping[str, Any]] = batch.to_dicts() if isinstance(batch, pl.DataFrame) else batch  # type: ignore[assignment]
        self.asked.append(len(rows))
        for place, row in enumerate(rows):
            if row["x"] > self.most:
                raise Problem("row.invalid", f"Row {place} is too much", "x is too high", "send less", {"row": place})
        found = [self.a + self.b * row["x"] + (row[self.other] if self.other else 0.0) for row in rows]
        return {"probability": np.array(found, dtype=np.float64)}

    def warm(self) -> None:
        """Be warm."""
        self.asked.append(-1)


@dataclass(frozen=True, eq=False)
class Classes(TensorInputs):
    """Answers with shares of three classes, and a label; of a tensor."""

    shares: NDArray[np.float32]
    outputs: tuple[str, ...] = ("label", "shares")
    runs_code: bool = True
    is_apart: bool = False

    def infer(self, batch: Batch) -> Answers:
        """Return the answers."""
        assert isinstance(batch, Mapping)
        assert batch["image"].dtype == np.float32
        return {"label": self.shares.argmax(axis=1), "shares": self.shares}

    def warm(self) -> None:
        """Be warm."""


def affine(a: float, b: float, **rest: Any) -> Affine:
    names = ["x", rest["other"]] if rest.get("other") else ["x"]
    columns = {name: InputColumn(name, "Float64") for name in names}
    return Affine(columns, dict.fromkeys(names, ValueKind.NUMBER), a, b, **rest)


def members(count: int) -> tuple[Part, ...]:
    return tuple(Part("m", number, f"m{number}") for number in range(1, count + 1))


def combined(
    rule: Combining, *programs: Affine, head: Affine | None = None, signatures: Sequence[Signature] = (), **rest: Any
) -> Combined:
    parts = [*programs, *([head] if head else [])]
    composition = Composition(rule, members(len(programs)), Part("h", 9, "head") if head else None, **rest)
    found = signatures or [X] * len(parts)
    inputs: Inputs = RowInputs({"x": InputColumn("x", "Float64")}, {"x": ValueKind.NUMBER})
    return combine(7, composition, X, inputs, list(zip(parts, found, strict=True)))


def numbers(program: Combined, batch: Batch | None = None) -> list[float]:
    found: list[float] = program.infer(ROWS if batch is None else batch)["probability"].tolist()
    return found


def test_a_mean_and_its_weights() -> None:
    parts = affine(0.0, 1.0), affine(0.2, 0.5), affine(0.9, -0.3)
    by_hand = [VALUES, 0.2 + 0.5 * VALUES, 0.9 - 0.3 * VALUES]
    np.testing.assert_allclose(numbers(combined(Combining.MEAN, *parts)), np.mean(by_hand, axis=0), rtol=1e-15)
    weights = (1.0, 3.0, 0.0)
    weighted = combined(Combining.WEIGHTED, *parts, weights=weights)
    np.testing.assert_allclose(numbers(weighted), np.average(by_hand, axis=0, weights=weights), rtol=1e-15)


def test_a_row_is_answered_alike_alone_and_among_others_and_in_a_frame() -> None:
    route: dict[str, Any] = {"limits": (0.45,), "head": affine(0, 1)}
    for rule, rest in ((Combining.MEAN, {}), (Combining.VOTE, {}), (Combining.ROUTE, route)):
        program = combined(rule, affine(0.3, 0.1), affine(0.05, 1 / 3), **rest)
        together = numbers(program)
        assert [numbers(program, [row])[0] for row in ROWS] == together
        assert numbers(program, pl.DataFrame(ROWS)) == together
        assert numbers(program, program.joined([ROWS[:1], ROWS[1:]])) == together
        assert numbers(program, []) == []


def test_a_vote_is_the_share_of_those_at_or_above_the_threshold() -> None:
    parts = affine(0.0, 1.0), affine(0.1, 1.0), affine(0.5, 0.0)
    assert numbers(combined(Combining.VOTE, *parts)) == [1 / 3, 1.0, 1.0, 2 / 3]
    assert numbers(combined(Combining.VOTE, *parts, threshold=0.9)) == [0.0, 0.0, 2 / 3, 0.0]


def test_of_ten_who_agree_the_share_is_one() -> None:
    assert numbers(combined(Combining.VOTE, *(affine(0.7, 0.0) for _ in range(10)))) == [1.0] * 4


IMAGES = Signature((Column("image", "Array[Float32, 2]"),), (Column("label", "Int64"), Column("shares", "Array[Float32, 3]")))


def test_votes_among_classes_leave_the_label_out() -> None:
    tensors = TensorInputs({"image": Cell("Float32", (2,))})
    first = Classes(tensors.cells, np.array([[0.2, 0.5, 0.3], [0.5, 0.5, 0.0]], dtype=np.float32))
    second = Classes(tensors.cells, np.array([[0.6, 0.1, 0.3], [np.nan, 0.1, 0.9]], dtype=np.float32))
    signature = Signature(IMAGES.inputs, (Column("shares", "Array[Float64, 3]"),))
    composition = Composition(Combining.VOTE, members(2), tensors=True)
    program = combine(7, composition, signature, tensors, [(first, IMAGES), (second, IMAGES)])
    answers = program.infer(program.batch({"image": [[1, 2], [3, 4]]}, {}))
    assert list(answers) == ["shares"]
    assert answers["shares"].tolist() == [[0.5, 0.5, 0.0], [0.5, 0.0, 0.5]]
    assert program.runs_code
    mean = combine(7, Composition(Combining.MEAN, members(2), tensors=True), signature, tensors, [(first, IMAGES)] * 2)
    np.testing.assert_array_equal(mean.infer([{"image": [1, 2]}] * 2)["shares"], first.shares.astype(np.float64))


def test_a_stack_hands_the_members_answers_and_the_raw_columns_to_the_last() -> None:
    head = affine(1.0, 10.0, other="m1")
    taken = Signature((Column("x", "Float64"), Column("m1", "Float64")), X.outputs)
    program = combined(Combining.STACK, affine(0.2, 0.5), head=head, signatures=(X, taken))
    by_hand = 1.0 + 10.0 * VALUES + (0.2 + 0.5 * VALUES)
    assert numbers(program) == by_hand.tolist()
    assert numbers(program, pl.DataFrame(ROWS)) == by_hand.tolist()
    assert list(program.columns) == ["x"]


def test_a_route_asks_each_member_about_its_own_rows_only() -> None:
    low, middle, high, router = affine(1.0, 0.0), affine(2.0, 0.0), affine(3.0, 0.0), affine(0.0, 1.0)
    program = combined(Combining.ROUTE, low, middle, high, head=router, limits=(0.4, 0.9))
    assert numbers(program) == [1.0, 2.0, 3.0, 2.0], "a limit belongs to what is above it"
    assert (low.asked, middle.asked, high.asked, router.asked) == ([1], [2], [1], [4])


def test_what_is_no_number_goes_to_the_last_member() -> None:
    program = combined(Combining.ROUTE, affine(1.0, 0.0), affine(2.0, 0.0), head=affine(np.nan, 0.0), limits=(0.5,))
    assert numbers(program) == [2.0] * 4


def test_a_cascade_is_asked_once() -> None:
    small, big = affine(0.0, 1.0), affine(5.0, 0.0)
    composition = Composition(Combining.ROUTE, (members(1)[0], Part("b", 1, "b")), members(1)[0], limits=(0.45,))
    inputs = RowInputs(small.columns, small.kinds)
    program = combine(7, composition, X, inputs, [(small, X), (big, X), (small, X)])
    assert numbers(program) == [0.1, 5.0, 5.0, 0.4]
    assert (small.asked, big.asked) == ([4], [2])


def test_a_member_s_problem_says_whose_it_is_and_its_row_in_the_whole() -> None:
    program = combined(Combining.ROUTE, affine(1.0, 0.0), affine(2.0, 0.0, most=0.8), head=affine(0.0, 1.0), limits=(0.45,))
    with pytest.raises(Problem) as told:
        numbers(program)
    assert told.value.detail == {"member": "m@2", "row": 2}
    assert "(member m@2); counted over all rows it is row 2" in told.value.why


def test_a_row_that_lacks_a_column_is_refused_also_where_its_member_is_not_asked() -> None:
    program = combined(Combining.ROUTE, affine(1.0, 0.0), affine(2.0, 0.0), head=affine(0.0, 1.0), limits=(0.45,))
    for batch in ([{"x": 1.0}, {"y": 1.0}], pl.DataFrame({"y": [1.0]})):
        with pytest.raises(Problem) as told:
            program.infer(batch)
        assert told.value.code == "column.missing"


def test_it_is_warm_when_all_its_parts_are() -> None:
    parts = affine(0.0, 1.0), affine(1.0, 0.0)
    combined(Combining.MEAN, *parts).warm()
    assert [part.asked for part in parts] == [[-1], [-1]]


def test_members_that_do_not_fit_together_are_the_version_s_fault() -> None:
    short = Classes({"image": Cell("Float32", (2,))}, np.zeros((1, 3), dtype=np.float32))
    whole = Classes(short.cells, np.zeros((2, 3), dtype=np.float32))
    signature = Signature(IMAGES.inputs, (Column("shares", "Array[Float64, 3]"),))
    composition = Composition(Combining.MEAN, members(2), tensors=True)
    program = combine(7, composition, signature, TensorInputs(short.cells), [(whole, IMAGES), (short, IMAGES)])
    with pytest.raises(Problem) as told:
        program.infer([{"image": [1, 2]}, {"image": [1, 2]}])
    assert told.value.code == "version.failed"
    assert "m@2 gave the shape (1, 3)" in told.value.why


def test_what_has_to_be_fetched_is_the_members_and_their_inputs_are_taken_by_the_composition() -> None:
    one, two = digest_bytes(b"1"), digest_bytes(b"2")
    plain = ServedForm(1, X, one, "onnx", two, "onnxruntime")
    form = ServedForm(
        3, X, None, "combined", digest_bytes(b"3"), "modelyard", Composition(Combining.MEAN, members(2)), (plain,) * 2
    )
    assert set(form.contents) == {one, two}
    assert isinstance(inputs_of(form), RowInputs)
