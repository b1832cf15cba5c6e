"""What the gateway and the process of a version say to each other: one frame there, one back, each a length and its bytes.

Down go the gateway's own objects, pickled. Up comes what somebody else's code may have written, so it is read as data: names,
types and shapes by a schema, values as bytes, all checked against what was asked. Nothing of it is unpickled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from socket import socket
from struct import Struct
from time import monotonic
from typing import Any

import msgspec
import numpy as np

from modelyard.core import Json, Problem, ProblemKind
from modelyard.gateway.tensors import datatype_of, from_bytes, to_bytes
from modelyard.serving.program import Answers
from modelyard.serving.types import ServedForm

LARGEST = 256 << 20  # bytes of a frame that is taken
LARGEST_DETAIL = 1 << 16  # bytes of a frame whose problem keeps its detail
LONGEST_TEXT = 2000  # characters of each part of a problem
AT_ONCE = 1 << 16  # bytes; most frames come by one read
_LENGTH = Struct("<Q")
_KINDS = frozenset(kind.value for kind in ProblemKind)


@dataclass(frozen=True)
class Order:
    """The first frame down: which version the process is for."""

    served: ServedForm
    folder: Path  # holds its contents
    memory_bytes: int  # what it may take beyond what it has when it is loaded


class Output(msgspec.Struct, array_like=True):
    """One output: the Open Inference Protocol's datatype, the shape, and the values as its bytes."""

    datatype: str
    shape: tuple[int, ...]
    content: bytes


class Told(msgspec.Struct, array_like=True):
    """A `Problem`."""

    code: str
    what: str
    why: str
    next_step: str
    detail: dict[str, Any]


class Reply(msgspec.Struct, array_like=True):
    """Every frame up: answers, or a problem. The first one tells without outputs that the version is loaded."""

    outputs: dict[str, Output]
    problem: Told | None = None


_ENCODER = msgspec.msgpack.Encoder(enc_hook=str)
_DECODER = msgspec.msgpack.Decoder(Reply)


def send(connection: socket, content: bytes) -> None:
    """Send one frame, within the timeout of the connection. Raises `OSError`."""
    head = _LENGTH.pack(len(content))
    if len(content) <= AT_ONCE:
        connection.sendall(head + content)
    else:
        connection.sendall(head)
        connection.sendall(content)


def receive(connection: socket, timeout_s: float | None = None) -> bytes | bytearray:
    """Return the content of the next frame. Nothing may follow it: who sends waits for an answer.

    Raises
    ------
    EOFError
        The other side has ended.
    ValueError
        The frame is longer than `LARGEST`, or is followed by anything.
    OSError
        As of any socket; `TimeoutError` when it has not come whole within the timeout.
    """
    until = None if timeout_s is None else monotonic() + timeout_s
    first = b""
    while len(first) < _LENGTH.size:
        first += _read(connection, until)
    [length] = _LENGTH.unpack_from(first)
    came = len(first) - _LENGTH.size
    if length > LARGEST or came > length:
        raise ValueError(f"a frame of {length:,} bytes")
    if came == length:
        return first[_LENGTH.size :]
    content = bytearray(length)
    content[:came] = first[_LENGTH.size :]
    view = memoryview(content)
    while came < length:
        connection.settimeout(_left(until))
        count = connection.recv_into(view[came:])
        if not count:
            raise EOFError
        came += count
    return content


def _read(connection: socket, until: float | None) -> bytes:
    connection.settimeout(_left(until))
    read = connection.recv(AT_ONCE)
    if not read:
        raise EOFError
    return read


def _left(until: float | None) -> float | None:
    return None if until is None else max(0.001, until - monotonic())


def answers_frame(answers: Answers) -> bytes:
    """Return answers as the content of a frame."""
    outputs = {name: Output(datatype_of(values), values.shape, to_bytes(values)) for name, values in answers.items()}
    return _ENCODER.encode(Reply(outputs))


def problem_frame(problem: Problem) -> bytes:
    """Return a problem as the content of a frame."""
    told = Told(problem.code, problem.what, problem.why, problem.next_step, problem.detail)
    return _ENCODER.encode(Reply({}, told))


def read_answers(content: bytes | bytearray, version: int, outputs: Sequence[str], count: int) -> Answers:
    """Return what a frame tells: arrays by output, with `count` rows each.

    Raises
    ------
    Problem
        The one that it tells; `version.failed` for anything that is no answer to what was asked.
    """
    try:
        reply = _DECODER.decode(content)
        if reply.problem is not None:
            raise _problem(reply.problem, kept=len(content) <= LARGEST_DETAIL)
        return {name: _array(name, reply.outputs[name], count) for name in outputs}
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        what = f"The process of version {version} gave no answer that can be read"
        raise Problem("version.failed", what, str(error)[:LONGEST_TEXT], "look at its code, and roll it back") from error


def _array(name: str, output: Output, count: int) -> np.ndarray[Any, Any]:
    shape = output.shape
    if shape[:1] != (count,) or min(shape) < 0:
        raise ValueError(f"'{name}' has the shape {shape[:8]} for {count} rows")
    try:
        values = from_bytes(name, output.datatype, output.content)
    except Problem as problem:
        raise ValueError(str(problem)) from problem
    if len(values) != prod(shape):
        raise ValueError(f"'{name}' has {len(values)} values for the shape {shape[:8]}")
    flat = values if isinstance(values, np.ndarray) else np.array(values, dtype=object)
    return flat.reshape(shape)


def _problem(told: Told, *, kept: bool) -> Problem:
    if told.code.rpartition(".")[2] not in _KINDS:
        raise ValueError(f"it tells of {told.code[:100]!r}")
    detail: dict[str, Json] = told.detail if kept else {}
    what, why, next_step = (text[:LONGEST_TEXT] for text in (told.what, told.why, told.next_step))
    return Problem(told.code[:100], what, why, next_step, detail)
