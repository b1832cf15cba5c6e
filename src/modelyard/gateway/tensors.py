"""Tensors as bytes, as the Open Inference Protocol's binary extension and its gRPC door have them: little-endian, row-major.

A text is four bytes of its length and its UTF-8; a boolean one byte.
"""

from collections.abc import Mapping, Sequence
from struct import Struct
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard.core import Problem

DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "BOOL": np.dtype("?"),
        "INT8": np.dtype("i1"),
        "INT16": np.dtype("<i2"),
        "INT32": np.dtype("<i4"),
        "INT64": np.dtype("<i8"),
        "UINT8": np.dtype("u1"),
        "UINT16": np.dtype("<u2"),
        "UINT32": np.dtype("<u4"),
        "UINT64": np.dtype("<u8"),
        "FP16": np.dtype("<f2"),
        "FP32": np.dtype("<f4"),
        "FP64": np.dtype("<f8"),
    }
)
TEXT = "BYTES"
DATATYPES = frozenset({*DTYPES, TEXT})
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_LENGTH = Struct("<I")


def datatype_of(values: NDArray[Any]) -> str:
    """Return the protocol's name of an array's type; texts and objects are `BYTES`."""
    return name_of(values.dtype)


def name_of(dtype: np.dtype[Any]) -> str:
    """Return the protocol's name of a type."""
    return _NAMES.get(dtype, TEXT)


def from_bytes(name: str, datatype: str, raw: bytes | memoryview) -> NDArray[Any] | list[str]:
    """Return the values of a tensor that came as bytes, flat: an array (over these very bytes), or texts.

    Raises
    ------
    Problem
        `tensor.invalid` for an unknown datatype, and bytes that do not come out even or are no UTF-8.
    """
    dtype = DTYPES.get(datatype)
    if dtype is not None:
        if len(raw) % dtype.itemsize:
            raise _wrong(name, f"has {len(raw)} bytes", f"a value of {datatype} takes {dtype.itemsize}")
        return np.frombuffer(raw, dtype)
    if datatype != TEXT:
        raise _wrong(name, f"has the datatype {datatype[:40]!r}", f"known are {', '.join(sorted(DATATYPES))}")
    return _texts(name, memoryview(raw))


def to_bytes(values: NDArray[Any]) -> bytes:
    """Return an array's values as bytes."""
    if values.dtype in _NAMES:
        return np.ascontiguousarray(values).tobytes()
    texts = [str(value).encode() for value in values.ravel().tolist()]
    return b"".join(_LENGTH.pack(len(text)) + text for text in texts)


def read_texts(name: str, contents: Sequence[bytes]) -> list[str]:
    """Return texts that came as one bytes object each. Problem `tensor.invalid` for what is no UTF-8."""
    try:
        return [text.decode() for text in contents]
    except UnicodeDecodeError as error:
        raise _wrong(name, "is no UTF-8", str(error)) from error


def _texts(name: str, raw: memoryview) -> list[str]:
    texts, place = [], 0
    while place < len(raw):
        start = place + _LENGTH.size
        if start > len(raw):
            raise _wrong(name, "ends within a length", "each text has its length before it, in four bytes")
        place = start + _LENGTH.unpack_from(raw, place)[0]
        if place > len(raw):
            raise _wrong(name, "ends within a text", f"its length says {place - start} bytes")
        texts.append(bytes(raw[start:place]))
    return read_texts(name, texts)


def _wrong(name: str, what: str, why: str) -> Problem:
    step = "see the inputs: GET /v2/models/NAME"
    return Problem("tensor.invalid", f"The input '{name[:100]}' {what}", why, step, {"column": name[:100]})
