"""Rows in files of one form, by their ending: their columns, how many there are, and each file lazily.

What is looked at before any row is given: that the files can be read, and that they have the same columns. Texts of a CSV file
are typed from the values of all files, NDJSON takes the types that hold all of them; nothing is kept in memory but a stretch.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import polars as pl

from modelyard.core import Problem, first_line
from modelyard.data.csv_types import TEXT, TextType, find_types, joined

_PACKED = (".gz", ".zst")
_PLAIN = (".csv", ".ndjson", ".jsonl")  # forms that others compress as whole files
ENDINGS = (
    *_PLAIN, *(plain + packed for plain in _PLAIN for packed in _PACKED), ".csv.zip", ".parquet", ".arrow", ".ipc", ".avro"
)  # fmt: skip
STRETCH_ROWS = 50_000
SAMPLE_ROWS = 1_000


@dataclass(frozen=True)
class Look:
    """What one file holds."""

    rows: int
    schema: pl.Schema
    row_bytes: float  # of a row in memory, about
    texts: Mapping[str, TextType | None] = field(default_factory=dict)  # of a CSV file


@dataclass(frozen=True)
class Tables:
    """What several files hold together."""

    schema: pl.Schema
    rows: tuple[int, ...]
    row_bytes: float
    texts: Mapping[str, TextType]
    nulls: tuple[str, ...]

    def with_texts(self, columns: Collection[str]) -> "Tables":
        """Return the same with those columns of a CSV file left as text, whatever was found in them."""
        known = {name: TEXT for name in columns if name in self.texts}
        if not known:
            return self
        schema = pl.Schema({name: TEXT.dtype if name in known else dtype for name, dtype in self.schema.items()})
        return replace(self, schema=schema, texts={**self.texts, **known})

    def scan(self, path: Path) -> pl.LazyFrame:
        """Return the rows of one of the files, lazily, in the columns and types of all."""
        rows = _scan(path, self.nulls, self.schema)
        return rows.select(self.texts[name].values(name) if name in self.texts else name for name in self.schema)


def ending_of(name: str) -> str:
    """Return which of `ENDINGS` a file's name ends in. Problem `source.invalid`."""
    for ending in ENDINGS:
        if name.lower().endswith(ending):
            return ending
    raise _invalid(name, f"its ending is none of {' '.join(ENDINGS)}")


def look(path: Path, nulls: Sequence[str] = ()) -> Look:
    """Return what a file holds. `nulls` are texts that mean null in a CSV file.

    Raises
    ------
    Problem
        `source.invalid`, naming the file, for another ending and for content that cannot be read.
    """
    with readable(path):
        rows = _scan(path, nulls)
        schema = rows.collect_schema()
        row_bytes = bytes_of_row(rows)
        if not ending_of(path.name).startswith(".csv"):
            return Look(int(rows.select(pl.len()).collect(engine="streaming").item()), schema, row_bytes)
        found, count = find_types(rows.collect_batches(chunk_size=STRETCH_ROWS), schema.names())
        return Look(count, schema, row_bytes, found)


def bytes_of_row(rows: pl.LazyFrame) -> float:
    """Return about how many bytes a row takes in memory, by the first ones."""
    first = rows.head(SAMPLE_ROWS).collect(engine="streaming")
    return first.estimated_size() / max(first.height, 1)


def together(names: Sequence[str], looks: Sequence[Look], nulls: Sequence[str] = ()) -> Tables:
    """Return what files hold together, which are named for people.

    Raises
    ------
    Problem
        `source.invalid` when their forms or columns differ, naming file and column.
    """
    forms = {_form(name) for name in names}
    if len(forms) > 1:
        raise _invalid(names[0], f"its files have different forms: {', '.join(sorted(forms))}")
    rows, row_bytes = tuple(one.rows for one in looks), max((one.row_bytes for one in looks), default=0.0)
    if forms == {"ndjson"}:
        return Tables(_widest(names, looks), rows, row_bytes, {}, tuple(nulls))
    for name, one in zip(names, looks, strict=True):
        _check_columns(names[0], looks[0].schema, name, one.schema)
    texts = {
        column: reduce(joined, (one.texts.get(column) for one in looks)) or TEXT for column in looks[0].schema if looks[0].texts
    }
    schema = pl.Schema({name: texts[name].dtype if name in texts else dtype for name, dtype in looks[0].schema.items()})
    return Tables(schema, rows, row_bytes, texts, tuple(nulls))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Tell what Polars says of a file's content as `source.invalid`, with its name."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError, BadZipFile, EOFError) as error:
        raise _invalid(path.name, first_line(error), "mend the file; nothing of it was taken in") from error


def _form(name: str) -> str:
    """Return what a file holds, packed or not.

    >>> _form("a.csv.gz"), _form("a.jsonl"), _form("a.ipc")
    ('csv', 'ndjson', 'arrow')
    """
    form = ending_of(name).split(".")[1]
    return {"jsonl": "ndjson", "ipc": "arrow"}.get(form, form)


def _check_columns(first: str, known: pl.Schema, name: str, found: pl.Schema) -> None:
    if set(known) != set(found):
        lacking, more = sorted(set(known) - set(found)), sorted(set(found) - set(known))
        told = [*(f"has no {one}" for one in lacking), *(f"has also {one}" for one in more)]
        raise _invalid(name, f"beside {first} it {', '.join(told[:5])}", "give it the columns of the others, or read it alone")
    for column, dtype in known.items():
        if found[column] != dtype:
            why = f"its {column} is {found[column]}, and that of {first} is {dtype}"
            raise _invalid(name, why, "give it the types of the others, or read it alone")


def _widest(names: Sequence[str], looks: Sequence[Look]) -> pl.Schema:
    try:
        return pl.concat([one.schema.to_frame() for one in looks], how="diagonal_relaxed").schema
    except pl.exceptions.PolarsError as error:
        raise _invalid(names[0], f"its files have no common types: {first_line(error)}") from error


def _scan(path: Path, nulls: Sequence[str], schema: pl.Schema | None = None) -> pl.LazyFrame:
    scan = _zipped_csv if ending_of(path.name) == ".csv.zip" else _SCANS[_form(path.name)]
    return scan(path, nulls, schema)


def _csv(path: Path, nulls: Sequence[str], schema: pl.Schema | None) -> pl.LazyFrame:
    return pl.scan_csv(path, infer_schema=False, null_values=list(nulls), glob=False)


def _zipped_csv(path: Path, nulls: Sequence[str], schema: pl.Schema | None) -> pl.LazyFrame:
    with ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        if len(names) != 1:
            raise _invalid(path.name, f"it holds {len(names)} files, not one")
        content = BytesIO(archive.read(names[0]))
    return pl.scan_csv(content, infer_schema=False, null_values=list(nulls))


def _json_lines(path: Path, nulls: Sequence[str], schema: pl.Schema | None) -> pl.LazyFrame:
    return pl.scan_ndjson(path, schema=schema, infer_schema_length=None)


def _parquet(path: Path, nulls: Sequence[str], schema: pl.Schema | None) -> pl.LazyFrame:
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


def _arrow(path: Path, nulls: Sequence[str], schema: pl.Schema | None) -> pl.LazyFrame:
    return pl.scan_ipc(path, glob=False, hive_partitioning=False)


def _avro(path: Path, nulls: Sequence[str], schema: pl.Schema | None) -> pl.LazyFrame:
    return pl.read_avro(path).lazy()  # Polars reads it as a whole


def _invalid(name: str, why: str, step: str = "") -> Problem:
    known = f"name files that end in one of {' '.join(ENDINGS)}"
    return Problem("source.invalid", f"{name} cannot be read", why, step or known)


_SCANS: Mapping[str, Callable[[Path, Sequence[str], Any], pl.LazyFrame]] = {
    "csv": _csv,
    "ndjson": _json_lines,
    "parquet": _parquet,
    "arrow": _arrow,
    "avro": _avro,
}
