"""The lake's rows as the files that hold them, for engines whose processes have no lake of their own."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl


@dataclass(frozen=True)
class LakeFile:
    """A Parquet file of a table."""

    path: str  # a path, or s3://…; of one that is adopted: its name in its folder
    rows: int
    size_bytes: int


@dataclass(frozen=True)
class LakeFiles:
    """Rows of a table as the files that hold them, in the order of the rows, for processes that have no lake of their own.

    A file may lack columns, which are null in its rows. `options` are those of the store, for Polars; they hold no secret.
    """

    files: tuple[LakeFile, ...]
    schema: pl.Schema
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LakeFolder:
    """Where other processes write files that the lake is to adopt."""

    path: str  # of a folder that is there, or s3://…
    options: Mapping[str, str] = field(default_factory=dict)


def scan_files(files: LakeFiles) -> pl.LazyFrame:
    """Return the rows of files lazily, in their order."""
    if not files.files:
        return pl.LazyFrame(schema=files.schema)
    return pl.scan_parquet(
        [one.path for one in files.files],
        schema=files.schema,
        missing_columns="insert",
        extra_columns="ignore",
        hive_partitioning=False,
        glob=False,
        storage_options=dict(files.options),
    )
