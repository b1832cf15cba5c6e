"""What differs between two states of a dataset: its columns and its rows.

Rows are compared part by part, each of the keys (without a key: of the contents) that hash into it, so that what is held in
memory is bounded however many rows there are. Two cells are equal as content: null is null, NaN is NaN, 0.0 is -0.0.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from math import isfinite
from typing import Any

import polars as pl

from modelyard.core import Json, Problem
from modelyard.data.shift import ColumnShift
from modelyard.data.types import Column, Schema

EXAMPLES = 3
PART_ROWS = 1_000_000  # compared at once

_PLACE, _BEFORE, _TIMES = "_row", "_batch", "_at"  # names that no column of a dataset may have


@dataclass(frozen=True)
class Retyped:
    """A column that both states have, with another type in each; its cells are not compared."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class SchemaDiff:
    """What became of the columns."""

    added: tuple[Column, ...] = ()
    removed: tuple[Column, ...] = ()
    retyped: tuple[Retyped, ...] = ()


@dataclass(frozen=True)
class RowExample:
    """A row of one state alone, as JSON."""

    row: Mapping[str, Any]
    times: int = 1  # how many more of it that state has; more than one only without a key


@dataclass(frozen=True)
class ChangedRow:
    """A row of both states: its key and those cells that differ, as JSON."""

    key: Mapping[str, Any]
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True)
class RowDiff:
    """What became of the rows: by key, or without one as a multiset, where nothing is changed but only added and removed."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    cells: Mapping[str, int] = field(default_factory=dict)  # column → in how many rows it differs; the others are left out
    added_examples: tuple[RowExample, ...] = ()
    removed_examples: tuple[RowExample, ...] = ()
    changed_examples: tuple[ChangedRow, ...] = ()


@dataclass(frozen=True)
class VersionDiff:
    """What differs between two versions of a dataset."""

    name: str
    before: int
    after: int
    key: tuple[str, ...]
    rows_before: int
    rows_after: int
    schema: SchemaDiff
    rows: RowDiff
    columns: tuple[ColumnShift, ...]  # of the columns that both have, in the order of the schema


def compare_schemas(before: Schema, after: Schema) -> SchemaDiff:
    """Return the columns that were added, removed and retyped, in their order."""
    old, new = ({column.name: column.dtype for column in schema.columns} for schema in (before, after))
    return SchemaDiff(
        added=tuple(column for column in after.columns if column.name not in old),
        removed=tuple(column for column in before.columns if column.name not in new),
        retyped=tuple(Retyped(name, dtype, new[name]) for name, dtype in old.items() if name in new and new[name] != dtype),
    )


def compare_rows(
    before: pl.LazyFrame, after: pl.LazyFrame, key: Sequence[str], *, examples: int = EXAMPLES, part_rows: int = PART_ROWS
) -> RowDiff:
    """Return what became of the rows of `before` in `after`, by the columns that both have with the same type.

    With a key the last row of each counts; without one each distinct row counts as often as it is there. The examples are the
    first ones in the order of the rows.

    Raises
    ------
    Problem
        `diff.invalid` when they share no column to know rows by, or one lacks the key or has it with another type.
    """
    return _compare(before, after, key, examples, part_rows, grown=False)


def compare_batches(
    before: pl.LazyFrame, batches: pl.LazyFrame, key: Sequence[str], *, examples: int = EXAMPLES, part_rows: int = PART_ROWS
) -> RowDiff:
    """Return what the rows that came after `before` made of it: each is new, or stands in for the one of its key.

    As `compare_rows`, for a dataset with a key; what is held in memory goes by the rows that came.
    """
    return _compare(before, batches, key, examples, part_rows, grown=True)


def all_added(rows: pl.LazyFrame, count: int, key: Sequence[str], *, examples: int = EXAMPLES) -> RowDiff:
    """Return the difference where all of `rows`, of which there are `count`, were added and nothing else was done."""
    first = rows.head(examples).collect()
    if key or not first.height:
        return RowDiff(added=count, added_examples=tuple(RowExample(row) for row in _told_rows(first)))
    distinct = first.unique(maintain_order=True)
    met = rows.join(distinct.lazy(), on=first.columns, how="semi", nulls_equal=True)
    counted = met.group_by(first.columns).agg(pl.len().alias(_TIMES)).collect(engine="streaming")
    shown = distinct.join(counted, on=first.columns, how="left", nulls_equal=True, maintain_order="left")
    return RowDiff(added=count, added_examples=_examples(shown, first.columns))


def turned(diff: RowDiff) -> RowDiff:
    """Return the difference as seen from the other side."""
    return replace(
        diff,
        added=diff.removed,
        removed=diff.added,
        added_examples=diff.removed_examples,
        removed_examples=diff.added_examples,
        changed_examples=tuple(ChangedRow(one.key, one.after, one.before) for one in diff.changed_examples),
    )


# Rows


@dataclass(frozen=True, eq=False)
class _Part:
    """What differs in one part of the rows: how many rows, and the first of them."""

    added: int
    removed: int
    changed: int
    cells: Mapping[str, int]
    added_rows: pl.DataFrame
    removed_rows: pl.DataFrame
    changed_rows: pl.DataFrame


def _compare(
    before: pl.LazyFrame, after: pl.LazyFrame, key: Sequence[str], examples: int, part_rows: int, *, grown: bool
) -> RowDiff:
    old, new = before.collect_schema(), after.collect_schema()
    shared = [name for name, dtype in new.items() if old.get(name) == dtype]
    for name in key:
        if name not in shared:
            raise _invalid(f"one of them lacks the column '{name}' of the key, or has it with another type")
    if not shared:
        raise _invalid("no column is in both with the same type")
    by, values = list(key), [name for name in shared if name not in key] if key else []
    frames = [one if by else one.select(shared) for one in (before, after)]
    counted = pl.collect_all([one.select(pl.len()) for one in (frames[1:] if grown else frames)])
    count = max(1, -(-max(int(one.item()) for one in counted) // part_rows))
    sides = [one.with_row_index(_PLACE) for one in frames]
    parts = []
    for number in range(count):
        old_part, new_part = (_within(one, by or shared, number, count) for one in sides)
        parts.append(_part(old_part, new_part, by, shared, examples, grown=grown))
    added, removed, changed = (
        pl.concat([getattr(part, name) for part in parts]).bottom_k(examples, by=_PLACE).sort(_PLACE)
        for name in ("added_rows", "removed_rows", "changed_rows")
    )
    cells = {name: sum(part.cells.get(name, 0) for part in parts) for name in values}
    return RowDiff(
        added=sum(part.added for part in parts),
        removed=sum(part.removed for part in parts),
        changed=sum(part.changed for part in parts),
        cells={name: count for name, count in cells.items() if count},
        added_examples=_examples(added, new.names() if by else shared),
        removed_examples=_examples(removed, old.names() if by else shared),
        changed_examples=tuple(_changed_rows(changed, by, values)),
    )


def _within(side: pl.LazyFrame, by: list[str], number: int, count: int) -> pl.LazyFrame:
    return side.filter(pl.struct(by).hash() % count == number) if count > 1 else side


def _part(before: pl.LazyFrame, after: pl.LazyFrame, by: list[str], shared: list[str], examples: int, *, grown: bool) -> _Part:
    rows = _last(after.collect(engine="streaming"), by)
    if grown:
        before = before.join(rows.lazy().select(by), on=by, how="semi", nulls_equal=True)
    held = _last(before.collect(engine="streaming"), by)
    return _by_key(held, rows, by, shared, examples) if by else _by_content(held, rows, shared, examples)


def _last(rows: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Return the last row of each key."""
    return rows.sort(_PLACE).unique(by, keep="last") if by else rows


def _by_key(before: pl.DataFrame, after: pl.DataFrame, by: list[str], shared: list[str], examples: int) -> _Part:
    values = [name for name in shared if name not in by]
    added = after.join(before.select(by), on=by, how="anti", nulls_equal=True)
    removed = before.join(after.select(by), on=by, how="anti", nulls_equal=True)
    held = before.select(*by, pl.struct(values).alias(_BEFORE)) if values else before.select(by)
    both = after.select(_PLACE, *shared).join(held, on=by, how="inner", nulls_equal=True)
    differ = both.select(_differing(values))
    changed = both.filter(differ.select(pl.any_horizontal(values)).to_series()) if values else both.clear()
    return _Part(
        added=added.height,
        removed=removed.height,
        changed=changed.height,
        cells={name: int(differ[name].sum()) for name in values},
        added_rows=_first(added.with_columns(pl.lit(1, pl.UInt32).alias(_TIMES)), examples),
        removed_rows=_first(removed.with_columns(pl.lit(1, pl.UInt32).alias(_TIMES)), examples),
        changed_rows=_first(changed, examples),
    )


def _by_content(before: pl.DataFrame, after: pl.DataFrame, shared: list[str], examples: int) -> _Part:
    counted = [one.group_by(shared).agg(pl.len().alias(_TIMES), pl.col(_PLACE).min()) for one in (before, after)]
    removed, added = (_surplus(one, other, shared) for one, other in (counted, counted[::-1]))
    return _Part(
        added=int(added[_TIMES].sum()),
        removed=int(removed[_TIMES].sum()),
        changed=0,
        cells={},
        added_rows=_first(added, examples),
        removed_rows=_first(removed, examples),
        changed_rows=pl.DataFrame(schema={_PLACE: pl.UInt32}),
    )


def _surplus(one: pl.DataFrame, other: pl.DataFrame, shared: list[str]) -> pl.DataFrame:
    """Return the rows that `one` has more often than `other`, and how many more of each."""
    held = other.select(*shared, pl.col(_TIMES).alias(_BEFORE))
    met = one.join(held, on=shared, how="left", nulls_equal=True)
    more = met.filter(pl.col(_TIMES) > pl.col(_BEFORE).fill_null(0))
    return more.with_columns(pl.col(_TIMES) - pl.col(_BEFORE).fill_null(0)).drop(_BEFORE)


def _differing(values: list[str]) -> list[pl.Expr]:
    """Return for each column whether a row's cell is another than the one held."""
    return [pl.col(name).ne_missing(pl.col(_BEFORE).struct.field(name)) for name in values]


def _first(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    return rows.bottom_k(most, by=_PLACE)


# Examples, as JSON


def _examples(rows: pl.DataFrame, names: Sequence[str]) -> tuple[RowExample, ...]:
    return tuple(RowExample(row, times) for row, times in zip(_told_rows(rows.select(names)), rows[_TIMES], strict=True))


def _changed_rows(rows: pl.DataFrame, by: list[str], values: list[str]) -> Iterator[ChangedRow]:
    for row, differs in zip(rows.iter_rows(named=True), rows.select(_differing(values)).iter_rows(named=True), strict=True):
        names = [name for name in values if differs[name]]
        yield ChangedRow(
            key={name: _told(row[name]) for name in by},
            before={name: _told(row[_BEFORE][name]) for name in names},
            after={name: _told(row[name]) for name in names},
        )


def _told_rows(rows: pl.DataFrame) -> list[dict[str, Json]]:
    return [{name: _told(value) for name, value in row.items()} for row in rows.iter_rows(named=True)]


def _told(value: object) -> Json:
    """Return a cell as JSON: times in ISO 8601, bytes in hexadecimal, numbers that JSON lacks and exact decimals as text."""
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(name): _told(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_told(one) for one in value]
    return value.isoformat() if isinstance(value, datetime | date | time) else str(value)


def _invalid(why: str) -> Problem:
    return Problem("diff.invalid", "The rows cannot be compared", why, "compare states of one dataset")
