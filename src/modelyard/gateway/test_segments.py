"""What is written of answers is read again as the ledger's rows, whatever arrays they hold."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from math import inf, nan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.core import ProjectId, digest_bytes
from modelyard.data import Column
from modelyard.data.cell import Cell
from modelyard.gateway.calls import Ask, Call
from modelyard.gateway.segments import SegmentWriter
from modelyard.gateway.shipping import read_segment
from modelyard.registry import Signature
from modelyard.serving import ServedForm
from modelyard.serving.ledger import META, ledger_table

NOW = datetime(2026, 11, 21, 20, 0, 0, 123456, tzinfo=UTC)
PLACE = ProjectId("prj_x"), ledger_table("d")


def asked(inputs: Mapping[str, str], outputs: Mapping[str, str], *, direct: bool) -> SimpleNamespace:
    """Return a version with these columns, as far as the writer looks at it."""
    signature = Signature(
        tuple(Column(name, dtype) for name, dtype in inputs.items()),
        tuple(Column(name, dtype) for name, dtype in outputs.items()),
    )
    served = ServedForm(7, signature, None, "onnx", digest_bytes(b"model"), "onnxruntime")
    return SimpleNamespace(served=served, columns=dict(inputs), is_direct=direct)


def call(loaded: Any, number: int, taken: Mapping[str, Any], answers: Mapping[str, NDArray[Any]], route: str = "live") -> Call:
    revision = SimpleNamespace(number=3)
    served: Any = SimpleNamespace(project=PLACE[0], name="d", model="m", revision=revision, time=None)
    target: Any = SimpleNamespace(served=served)
    rows = len(next(iter(answers.values())))
    return Call(
        ask=Ask(target, None, "c" * 64, "", 0.0),
        loaded=loaded,
        route=route,
        request=f"r{number}",
        ids=[f"r{number}-{row}" for row in range(rows)],
        columns=taken,
        rows=taken if loaded.is_direct else [{}] * rows,
        answers=answers,
        answered_at=NOW,
        seconds=0.25,
        times=[NOW.replace(hour=row) for row in range(rows)],
    )


def read(folder: Path, *batches: Sequence[Call]) -> dict[tuple[ProjectId, str], pl.DataFrame]:
    """Return what comes of batches that are written and read again."""
    numbers = count()
    writer = SegmentWriter(folder, lambda prefix: f"{prefix}{next(numbers)}")
    for batch in batches:
        writer.write(batch)
    assert writer.last_loss is None
    path = writer.rotate()
    assert path is not None
    frames, unreadable = read_segment(path)
    assert not unreadable
    return frames


def test_requests_of_several_rows_are_told_row_by_row(tmp_path: Path) -> None:
    loaded = asked({"a": "Float64", "k": "String"}, {"p": "Float64"}, direct=False)
    first = call(loaded, 1, {"a": [1.5, None], "k": ["x", "é"]}, {"p": np.array([0.1, 0.2])})
    second = call(loaded, 2, {"more": [0], "k": ["y"], "a": np.array([2.5])}, {"p": np.array([0.3])})
    [(place, kept)] = read(
        tmp_path, [first, second], [call(loaded, 3, {"a": [4.0], "k": [None]}, {"p": np.array([0.4])})]
    ).items()
    assert place == PLACE
    assert kept.columns == [*META, "input.a", "input.k"]
    assert kept["id"].to_list() == ["r1-0", "r1-1", "r2-0", "r3-0"]
    assert kept["request"].to_list() == ["r1", "r1", "r2", "r3"]
    assert kept["time"].dt.hour().to_list() == [0, 1, 0, 0]
    assert kept["answer"].to_list() == [0.1, 0.2, 0.3, 0.4]
    assert kept["input.a"].to_list() == [1.5, None, 2.5, 4.0]
    assert kept["input.k"].to_list() == ["x", "é", "y", None]
    same = kept.select(
        "deployment", "revision", "model", "version", "form", "route", "answered_at", "latency_us", "caller", "trace"
    )
    assert same.unique().rows() == [("d", 3, "m", 7, "onnx", "live", NOW, 250_000, "token:" + "c" * 12, None)]


def test_a_row_without_a_time_of_its_own_has_that_of_its_answer(tmp_path: Path) -> None:
    loaded = asked({"a": "Float64"}, {"p": "Float64"}, direct=False)
    own, plain = (call(loaded, number, {"a": [1.0, 2.0]}, {"p": np.array([0.1, 0.2])}) for number in (1, 2))
    plain.times = None
    kept = read(tmp_path / "both", [own, plain])[PLACE]
    assert kept["time"].to_list() == [NOW.replace(hour=0), NOW.replace(hour=1), NOW, NOW]
    assert read(tmp_path / "none", [plain])[PLACE]["time"].to_list() == [NOW, NOW]


def test_arrays_come_back_to_the_last_bit_and_their_gaps_as_nulls(tmp_path: Path) -> None:
    inputs = {name: f"Array[{name}, 2x3]" for name in ("Float16", "Float32", "Float64", "Int8", "UInt32", "UInt64", "Boolean")}
    inputs |= {"plain": "Float32", "words": "Array[String, 2]", "single": "Array[Float32, 1]"}
    loaded = asked(inputs, {"p": "Float32", "q": "Array[Float64, 2]"}, direct=True)
    generator = np.random.default_rng(5)

    def made(rows: int) -> dict[str, NDArray[Any]]:
        found = {name: (generator.random((rows, 2, 3)) * 99).astype(Cell.parse(dtype).numpy) for name, dtype in inputs.items()}
        found["plain"] = generator.random(rows).astype(np.float32)
        found["words"] = np.array([["é", ""]] * rows, dtype=object)
        found["single"] = np.array([[nan]] * rows, dtype=np.float32)
        return found

    taken = [made(1), made(2)]
    taken[0]["plain"][0] = -inf
    taken[1]["Float64"][1, 1, 2] = nan
    answers = [{"p": np.array([nan], np.float32), "q": np.array([[1.0, inf]])}]
    answers += [{"p": np.array([inf, 0.1], np.float32), "q": np.array([[nan, 2.0], [3.0, 1 / 3]]).T.copy().T}]  # not in C order
    calls = [call(loaded, number, *one) for number, one in enumerate(zip(taken, answers, strict=True))]
    kept = read(tmp_path, calls)[PLACE]
    for name in inputs:
        whole = [row for one in taken for row in one[name].tolist()]
        if name == "Float64":
            whole[2][1][2] = None
        assert kept[f"input.{name}"].to_list() == ([[None]] * 3 if name == "single" else whole), name
    assert kept["output.p"].to_list() == [None, inf, np.float32(0.1)]
    assert kept["output.q"].to_list() == [[1.0, inf], [None, 2.0], [3.0, 1 / 3]]


def test_arrays_of_free_lengths_stand_together(tmp_path: Path) -> None:
    loaded = asked({"x": "Array[Float32, ?]"}, {"p": "Float32"}, direct=True)
    short = call(loaded, 1, {"x": np.array([[1.0, nan]], np.float32)}, {"p": np.array([0.5], np.float32)})
    long = call(loaded, 2, {"x": np.array([[1.0, 2.0, 3.0]], np.float32)}, {"p": np.array([inf], np.float32)})
    kept = read(tmp_path, [short, long])[PLACE]
    assert kept["input.x"].to_list() == [[1.0, None], [1.0, 2.0, 3.0]]
    assert kept["answer"].to_list() == [0.5, None]  # what is no finite number is no answer to count with


def test_shadows_go_to_their_own_table(tmp_path: Path) -> None:
    loaded = asked({"a": "Float64"}, {"p": "Float64"}, direct=False)
    live, shadow = (call(loaded, 1, {"a": [1.0]}, {"p": np.array([0.1])}, route) for route in ("live", "shadow"))
    found = read(tmp_path, [live], [shadow])
    assert {table: frame["route"].to_list() for (_, table), frame in found.items()} == {
        PLACE[1]: ["live"],
        "shadow/d": ["shadow"],
    }


def test_lines_that_cannot_be_read_are_given_back_and_the_others_are_read(tmp_path: Path) -> None:
    loaded = asked({"x": "Float32"}, {"p": "Float32"}, direct=True)
    values = {"p": np.array([0.5], np.float32)}
    numbers = count()
    writer = SegmentWriter(tmp_path, lambda prefix: f"{prefix}{next(numbers)}")
    for number in range(3):
        writer.write([call(loaded, number, {"x": np.array([number], np.float32)}, values)])
    path = writer.rotate()
    assert path is not None
    types, *lines = path.read_bytes().splitlines(keepends=True)
    bad = [b"no line\n", lines[1].replace(b'"requests"', b'"request"')]
    path.write_bytes(b"".join([types, lines[0], *bad, lines[2], b'{"p":"cut off by a ki']))
    frames, unreadable = read_segment(path)
    assert unreadable == bad
    assert frames[PLACE]["request"].to_list() == ["r0", "r2"]
