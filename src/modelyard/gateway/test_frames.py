"""What the process of a version may say, and what the gateway makes of it."""

import pickle
from collections.abc import Iterator
from socket import socket, socketpair
from threading import Thread
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.gateway.frames import LARGEST, answers_frame, problem_frame, read_answers, receive, send

OUTPUTS = ("probability", "who")
ANSWERS = {"probability": np.array([0.25, np.nan]), "who": np.array([["a", "é"], ["", "🛫"]], dtype=object)}


@pytest.fixture
def pair() -> Iterator[tuple[socket, socket]]:
    ours, theirs = socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("size", [0, 1, 65_527, 65_528, 65_536, 3_000_000])
def test_a_frame_of_any_size_comes_whole(pair: tuple[socket, socket], size: int) -> None:
    ours, theirs = pair
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    sending = Thread(target=send, args=(theirs, content))
    sending.start()
    assert receive(ours, 10.0) == content
    sending.join()


def test_who_hangs_up_says_too_much_or_nothing_is_found_out(pair: tuple[socket, socket]) -> None:
    ours, theirs = pair
    with pytest.raises(TimeoutError):
        receive(ours, 0.01)
    theirs.sendall((5).to_bytes(8, "little") + b"hello and more")
    with pytest.raises(ValueError, match="5 bytes"):
        receive(ours, 10.0)
    theirs.sendall((LARGEST + 1).to_bytes(8, "little"))
    with pytest.raises(ValueError, match="a frame of"):
        receive(ours, 10.0)
    theirs.sendall((5).to_bytes(8, "little") + b"hel")
    theirs.close()
    with pytest.raises(EOFError):
        receive(ours, 10.0)


def test_answers_and_problems_come_as_they_went() -> None:
    told = read_answers(answers_frame(ANSWERS), 7, OUTPUTS, 2)
    assert np.array_equal(told["probability"], ANSWERS["probability"], equal_nan=True)
    assert told["who"].tolist() == ANSWERS["who"].tolist()
    problem = Problem("column.missing", "There is none", "why", "next", {"row": 3, "columns": ["a"]})
    with pytest.raises(Problem) as heard:
        read_answers(problem_frame(problem), 7, OUTPUTS, 2)
    assert (str(heard.value), heard.value.detail) == (str(problem), problem.detail)


NO_ANSWERS: list[Any] = [
    [{}],
    [{"probability": ["FP64", [2], b"1234567812345678"]}],  # one of two
    [{"probability": ["FP64", [2], b"12345678"], "who": ["BOOL", [2], b"ab"]}],
    [{"probability": ["FP64", [3], b"1" * 24], "who": ["BOOL", [2], b"ab"]}],
    [{"probability": ["FP64", [2, -1], b""], "who": ["BOOL", [2], b"ab"]}],
    [{"probability": ["FP64", [], b"12345678"], "who": ["BOOL", [2], b"ab"]}],
    [{"probability": ["object", [2], b"1" * 16], "who": ["BOOL", [2], b"ab"]}],
    [{"probability": ["BYTES", [2], b"\xff\xff\xff\xff"], "who": ["BOOL", [2], b"ab"]}],
    [{"probability": ["FP64", [2, 2**62], b"1" * 16], "who": ["BOOL", [2], b"ab"]}],
    [{}, ["no-kind", "what", "why", "next", {}]],
    [{}, ["version.unknown", "what", "why", "next", {}]],
    [{}, "version.failed"],
    {"outputs": {}},
    7,
]


@pytest.mark.parametrize("told", NO_ANSWERS)
def test_what_is_no_answer_to_what_was_asked_is_the_versions_failure(told: object) -> None:
    with pytest.raises(Problem) as heard:
        read_answers(msgspec.msgpack.encode(told), 7, OUTPUTS, 2)
    assert heard.value.code == "version.failed"


def test_a_pickle_is_not_opened() -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (pytest.fail, ("it was",))

    with pytest.raises(Problem):
        read_answers(pickle.dumps(Trap()), 7, OUTPUTS, 2)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_a_problem(content: bytes) -> None:
    with pytest.raises(Problem):
        read_answers(content, 7, OUTPUTS, 2)


def test_a_problem_that_goes_on_and_on_is_cut_short() -> None:
    problem = Problem("version.failed", "x" * 10_000, "y" * 10_000, "", {"traceback": "z" * 100_000})
    with pytest.raises(Problem) as heard:
        read_answers(problem_frame(problem), 7, OUTPUTS, 2)
    assert len(heard.value.what) + len(heard.value.why) == 4000
    assert heard.value.detail == {}
