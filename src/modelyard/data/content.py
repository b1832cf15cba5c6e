"""Digests of rows: the same rows in the same order give the same digest, on every machine and however they are chunked.

A batch's digest is SHA-256 over the names, types and values of its columns, read from the values' own bytes in blocks of rows:
little-endian numbers, UTF-8 text, nulls apart; every NaN is one NaN, 0.0 and -0.0 are two. A version's digest chains the one
before it with its batch's, so it says the rows, their order and the batches they came in; it costs one pass over the batch, not
over all rows.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from modelyard.core import Digest, canonical_json, digest_json
from modelyard.core.digests import PREFIX
from modelyard.data.columns import each_column
from modelyard.data.schema import schema_of
from modelyard.data.types import Column

BLOCK_ROWS = 1 << 16


def batch_digest(frame: pl.DataFrame) -> Digest:
    """Return the digest of the rows of `frame`, in their order."""
    return joined_digest(frame.height, schema_of(frame).columns, block_digests(frame))


def block_digests(frame: pl.DataFrame) -> tuple[tuple[str, ...], ...]:
    """Return for each column the digests (64 hex digits) of its blocks of `BLOCK_ROWS` rows.

    So several processes can digest parts of one batch: those of parts that begin at multiples of `BLOCK_ROWS`, one after the
    other, are those of the whole.
    """
    return tuple(each_column(lambda column: tuple(part.hex() for part in _blocks(column)), frame))


def joined_digest(rows: int, columns: Sequence[Column], blocks: Sequence[Sequence[str]]) -> Digest:
    """Return the digest of a batch from those of its blocks, one sequence a column."""
    state = hashlib.sha256()
    state.update(canonical_json([rows, *([column.name, column.dtype] for column in columns)]).encode())
    for column in blocks:
        state.update(_together([bytes.fromhex(part) for part in column]))
    return Digest(PREFIX + state.hexdigest())


def chain(previous: Digest | None, batch: Digest) -> Digest:
    """Return the digest of a version that adds `batch` to the content `previous` (None: to nothing)."""
    return digest_json([previous, batch])


def _blocks(column: pl.Series) -> Iterator[bytes]:
    # Blocks at fixed places: bounded memory, and no trace of the chunks that the frame happens to have.
    for start in range(0, column.len(), BLOCK_ROWS):
        state = hashlib.sha256()
        for part in _bytes(column.slice(start, BLOCK_ROWS).rechunk()):
            state.update(part)
        yield state.digest()


def _together(blocks: Sequence[bytes]) -> bytes:
    return blocks[0] if len(blocks) == 1 else hashlib.sha256(b"".join(blocks)).digest()


def _bytes(column: pl.Series) -> Iterator[bytes | memoryview]:
    dtype = column.dtype
    yield np.packbits(column.is_null().to_numpy()).data if column.null_count() else bytes(-(-column.len() // 8))
    if isinstance(dtype, pl.Struct):
        for field in column.struct.fields:
            yield from _bytes(column.struct.field(field))
    elif isinstance(dtype, pl.List):
        yield _plain(column.list.len().fill_null(0), "<u8")
        yield _together(list(_blocks(column.drop_nulls().explode(empty_as_null=False))))
    elif dtype == pl.String:
        texts = column.fill_null("")
        yield _plain(texts.str.len_bytes(), "<u8")
        yield str(texts.str.join("").item()).encode()
    elif dtype == pl.Binary:
        values = column.fill_null(b"")
        yield _plain(values.bin.size(), "<u8")
        yield b"".join(values.to_list())
    elif isinstance(dtype, pl.Decimal):
        yield from _bytes(column.cast(pl.String))
    elif dtype.is_float():
        filled = _filled(column)
        missing = np.isnan(filled)
        plain = np.where(missing, np.nan, filled) if missing.any() else filled
        yield np.ascontiguousarray(plain, dtype="<f8" if dtype == pl.Float64 else "<f4").data
    else:
        yield _plain(column.cast(pl.Int8) if dtype == pl.Boolean else column, "<i8")


def _plain(column: pl.Series, kind: str) -> memoryview:
    whole = column if column.dtype.is_integer() else column.to_physical()
    return np.ascontiguousarray(_filled(whole), dtype=kind).data


def _filled(column: pl.Series) -> npt.NDArray[Any]:
    return (column.fill_null(0) if column.null_count() else column).to_numpy()
