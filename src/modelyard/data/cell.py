"""What one cell of a column holds when a model takes raw tensors: a value of some element type, or an array of them.

The notation is that of a column's dtype: `Float32` for one value, `Array[Float32, 4]` and `Array[Float32, 3x224x224]` for an
array, with `?` for a length that may differ from request to request: `Array[Int64, ?]`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.core import Problem

ELEMENTS: Final[Mapping[str, np.dtype[Any]]] = MappingProxyType(
    {
        "Float16": np.dtype(np.float16),
        "Float32": np.dtype(np.float32),
        "Float64": np.dtype(np.float64),
        "Int8": np.dtype(np.int8),
        "Int16": np.dtype(np.int16),
        "Int32": np.dtype(np.int32),
        "Int64": np.dtype(np.int64),
        "UInt8": np.dtype(np.uint8),
        "UInt16": np.dtype(np.uint16),
        "UInt32": np.dtype(np.uint32),
        "UInt64": np.dtype(np.uint64),
        "Boolean": np.dtype(np.bool_),
        "String": np.dtype(object),  # of `str`
    }
)
_FORM = re.compile(r"(?P<plain>\w+)|Array\[(?P<element>\w+), ?(?P<shape>(\d+|\?)(x(\d+|\?))*)\]", re.ASCII)


@dataclass(frozen=True)
class Cell:
    """The type of a cell.

    Parameters
    ----------
    element
        One of `ELEMENTS`.
    shape
        Of one cell; empty for a plain value, None for a length that is not fixed.

    >>> str(Cell("Float32", (3, None))), Cell.parse("Array[Float32, 3x?]").shape
    ('Array[Float32, 3x?]', (3, None))
    """

    element: str
    shape: tuple[int | None, ...] = ()

    @staticmethod
    def parse(dtype: str) -> "Cell":
        """Return the cell that a dtype names. Problem `dtype.invalid` for one that names none."""
        found = _FORM.fullmatch(dtype)
        element = (found["plain"] or found["element"]) if found else ""
        if not found or element not in ELEMENTS:
            known = ", ".join(ELEMENTS)
            raise Problem(
                "dtype.invalid",
                f"'{dtype[:100]}' is no type of a tensor's cell",
                f"it is one of {known}, or an array of one",
                "write it as Float32, Array[Float32, 4] or Array[Float32, 3x224x224]; ? stands for any length",
            )
        sizes = found["shape"].split("x") if found["shape"] else ()
        return Cell(element, tuple(None if size == "?" else int(size) for size in sizes))

    def __str__(self) -> str:
        """Return the notation."""
        if not self.shape:
            return self.element
        return f"Array[{self.element}, {'x'.join('?' if size is None else str(size) for size in self.shape)}]"

    @property
    def numpy(self) -> np.dtype[Any]:
        """The type of the elements in NumPy; of texts: object."""
        return ELEMENTS[self.element]

    @property
    def kept(self) -> pl.DataType:
        """The type in which a table keeps such cells: lists, one in another; numbers as wide as they were or wider."""
        kind = self.numpy.kind
        dtype: pl.DataType = pl.Decimal(20, 0) if self.element == "UInt64" else pl.Int64()
        if kind == "f":
            dtype = pl.Float64() if self.element == "Float64" else pl.Float32()
        elif kind not in {"i", "u"}:
            dtype = pl.Boolean() if kind == "b" else pl.String()
        for _ in self.shape:
            dtype = pl.List(dtype)
        return dtype

    def series(self, name: str, values: Sequence[Any] | NDArray[Any]) -> pl.Series:
        """Return cells as a column of a table; None is a missing one.

        >>> Cell.parse("Array[Float32, 2]").series("x", [[1, None], [2.5, 3]]).dtype
        List(Float32)
        """
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub" or self.element == "UInt64":
            return pl.Series(name, values.tolist() if isinstance(values, np.ndarray) else values, dtype=self.kept)
        whole = values.astype(np.float32) if values.dtype == np.float16 else np.ascontiguousarray(values)
        return pl.Series(name, whole).cast(self.kept)

    def admits(self, shape: tuple[int, ...]) -> bool:
        """Return whether a cell may have this shape."""
        pairs = zip(self.shape, shape, strict=False)
        return len(shape) == len(self.shape) and all(want is None or want == size for want, size in pairs)
