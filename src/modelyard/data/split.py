"""Splits of rows into those to fit on and those to test on: the same rows always fall the same way."""

from collections.abc import Sequence
from datetime import UTC

import numpy as np
import numpy.typing as npt
import polars as pl

from modelyard.core import Problem
from modelyard.data.schema import column_missing
from modelyard.data.types import Split, SplitKind

Hashes = npt.NDArray[np.uint64]

_OFFSET = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_ROWS = 1 << 16
_NULL = "\x00"
_END = "\x1f"
_SALT = "_batch"  # one of the names that no column of a dataset may have


def default_split(key: Sequence[str], time: str | None) -> Split:
    """Return how rows are split where nobody said so: by time where there is one, else by the key, else at random.

    >>> default_split(["id"], None).kind, default_split([], None).kind
    (<SplitKind.HASH: 'hash'>, <SplitKind.RANDOM: 'random'>)
    """
    return Split(SplitKind.TIME if time is not None else SplitKind.HASH if key else SplitKind.RANDOM)


def split_frame(
    frame: pl.DataFrame, split: Split, *, key: Sequence[str], time: str | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows to fit on and those to test on, each in the frame's order.

    - TIME: test rows are those from `split.boundary` on, or else the last `split.test_share` by the column `time`; rows of one
      moment stay together, on the side of the test.
    - HASH: a row's side hangs on its `key` alone, so it stays as rows are added.
    - RANDOM: it hangs on the row's place in the frame, so it stays as rows are added at the end.
    - GROUP: it hangs on the value of `split.column` alone; rows without one are a group too. The share is of the groups, so
      that of the rows may be another.
    - STRATIFIED: of each value of `split.column` the share of rows that hash lowest, to the nearest whole number; rows without
      one are a class too. A row's side may change as rows are added.

    Raises
    ------
    Problem
        `split.invalid` for a split that needs a time, key or column that is not named, a share outside 0 to 1, times that are
        null, or when one side would be empty; `column.missing` when the frame lacks one.
    """
    if split.boundary is None and not 0 < split.test_share < 1:
        raise _invalid(f"its test share is {split.test_share}", "choose one between 0 and 1")
    test = _by_time(frame, split, time) if split.kind is SplitKind.TIME else _by_hash(frame, split, key)
    parts = frame.filter(~test), frame.filter(test)
    for part, purpose in zip(parts, ("fit", "test"), strict=True):
        if not part.height:
            raise _invalid(
                f"of {frame.height} rows none is left to {purpose} on", "choose another boundary, share or more rows"
            )
    return parts


def stable_hash(keys: pl.DataFrame) -> Hashes:
    """Return 64 bits for each row: FNV-1a over the bytes of its values' canonical text, mixed by Murmur 3's finaliser.

    The same on every machine and in every release, unlike `polars.hash`. Whole numbers count as their decimal text, whatever
    their width; times as microseconds since 1970; other floats as their bits.
    """
    texts = keys.select(pl.concat_str([_canonical(name, dtype) for name, dtype in keys.schema.items()])).to_series()
    parts = [_fnv(texts.slice(start, _ROWS)) for start in range(0, texts.len(), _ROWS)]
    return _mixed(np.concatenate(parts)) if parts else np.empty(0, dtype=np.uint64)


def _by_time(frame: pl.DataFrame, split: Split, time: str | None) -> pl.Series:
    if time is None:
        raise _invalid("the dataset has no time column", "split by HASH of the key, or by RANDOM")
    if time not in frame.columns:
        raise column_missing(time, frame.columns)
    times = _moments(frame[time])
    if times.null_count():
        raise _invalid(f"'{time}' is null in {times.null_count()} rows", "leave those rows out")
    if split.boundary is not None:
        return times >= split.boundary.astimezone(UTC).replace(tzinfo=None)
    if not times.len():
        return times.is_null()
    first = min(times.len() - round(split.test_share * times.len()), times.len() - 1)
    later: pl.Series = times >= times.sort()[first]
    return later


def _moments(column: pl.Series) -> pl.Series:
    """Return times as naive ones in UTC."""
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if not isinstance(column.dtype, pl.Date | pl.Datetime):
        raise _invalid(f"'{column.name}' holds {column.dtype}, no times", "split by HASH of the key, or by RANDOM")
    return column.cast(pl.Datetime("us"))


def _by_hash(frame: pl.DataFrame, split: Split, key: Sequence[str]) -> pl.Series:
    if split.kind is SplitKind.STRATIFIED:
        column = _column(frame, split)
        hashes = pl.Series(salted_hash(_named(frame, key) if key else places(frame.height), split.seed))
        return _lowest_of_each(frame[column], hashes, split.test_share)
    if split.kind is SplitKind.RANDOM:
        keys = places(frame.height)
    elif split.kind is SplitKind.GROUP:
        keys = _named(frame, [_column(frame, split)])
    elif key:
        keys = _named(frame, key)
    else:
        raise _invalid("the dataset has no key", "split by TIME or RANDOM")
    return pl.Series(salted_hash(keys, split.seed) < np.uint64(split.test_share * 2.0**64))


def salted_hash(keys: pl.DataFrame, salt: int | str) -> Hashes:
    """Return 64 bits for each row, as `stable_hash` of the keys, others for each salt; 0 is none."""
    return stable_hash(keys.select(pl.lit(salt).alias(_SALT), pl.all()) if salt else keys)


def places(stop: int, start: int = 0) -> pl.DataFrame:
    """Return the places of rows as keys, for rows that have no other."""
    return pl.DataFrame({"place": pl.int_range(start, stop, dtype=pl.Int64, eager=True)})


def _named(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    for name in names:
        if name not in frame.columns:
            raise column_missing(name, frame.columns)
    return frame.select(names)


def _column(frame: pl.DataFrame, split: Split) -> str:
    if split.column is None:
        raise _invalid(f"a split by {split.kind.name} needs a column", "name it: Split(…, column=…)")
    return _named(frame, [split.column]).columns[0]


def _lowest_of_each(classes: pl.Series, hashes: pl.Series, share: float) -> pl.Series:
    ranked = pl.DataFrame({"class": classes, "hash": hashes})
    rank, most = pl.col("hash").rank("ordinal"), (pl.len() * share + 0.5).floor()
    return ranked.select((rank <= most).over("class")).to_series()


def _canonical(name: str, dtype: pl.DataType) -> pl.Expr:
    value = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        value = value.cast(pl.Datetime("us", dtype.time_zone)).to_physical()
    elif dtype.is_temporal():
        value = value.to_physical()
    elif dtype.is_float():
        whole = value.cast(pl.Int64, strict=False)
        bits = value.cast(pl.Float64).reinterpret(signed=True)
        value = pl.when(whole.cast(pl.Float64) == value).then(whole.cast(pl.String)).otherwise("f" + bits.cast(pl.String))
    elif dtype == pl.Binary:
        value = value.bin.encode("hex")
    return pl.concat_str(value.cast(pl.String).fill_null(_NULL), pl.lit(_END))


def _fnv(texts: pl.Series) -> Hashes:
    """Hash texts byte by byte, all of them at once: longest first, so that those that go on are a stretch at the front."""
    lengths = texts.str.len_bytes().to_numpy().astype(np.int64)
    content = np.frombuffer("".join(texts.to_list()).encode(), dtype=np.uint8)
    order = np.argsort(-lengths, kind="stable")
    starts = (np.cumsum(lengths) - lengths)[order]
    longer_than = np.searchsorted(-lengths[order], -np.arange(int(lengths.max())), side="left")
    state = np.full(lengths.size, _OFFSET)
    for place, count in enumerate(longer_than):
        state[:count] = (state[:count] ^ content[starts[:count] + place]) * _PRIME
    hashes = np.empty_like(state)
    hashes[order] = state
    return hashes


def _mixed(hashes: Hashes) -> Hashes:
    for factor in (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)):
        hashes = (hashes ^ (hashes >> np.uint64(33))) * factor
    return hashes ^ (hashes >> np.uint64(33))


def _invalid(why: str, step: str) -> Problem:
    return Problem("split.invalid", "The rows cannot be split so", why, step)
