"""Queries over sets by DuckDB, in bounded memory: what does not fit spills to the scratch folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import psutil

from modelyard.adapters.engines import need
from modelyard.core import Problem
from modelyard.data.lake_files import LakeFiles, LakeFolder, scan_files
from modelyard.prepare.engine import ROWS, Tables

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MEMORY_SHARE = 0.5


def answer(sql: str, tables: Tables, folder: LakeFolder, scratch: Path) -> None:
    """Write the answer of a query to `part-000000.parquet` in a folder, in the order of `tables`.

    The query sees the tables and nothing else: no file, no network, no extension.

    Raises
    ------
    Problem
        `adapter.unavailable` where DuckDB is not installed; `query.invalid` with what it says of the query.
    """
    need("duckdb", "duckdb", "A step in SQL")
    import duckdb

    remote = folder.path.startswith("s3://")
    target = scratch / "answer.parquet" if remote else Path(folder.path) / "part-000000.parquet"
    named = {ROWS: tables.rows, **tables.others}
    files = {name: _here(one, scratch / f"set-{place}.parquet") for place, (name, one) in enumerate(named.items())}
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{int(psutil.virtual_memory().available * _MEMORY_SHARE) >> 20}MiB",
        "temp_directory": str(scratch / "spilled"),
    }
    with duckdb.connect(config=settings) as connection:
        try:
            connection.execute("SET TimeZone='UTC'")
            for name, (paths, columns) in files.items():
                listed, selected = ", ".join(map(_text, paths)), ", ".join(map(_name, columns))
                read = f"read_parquet([{listed}], union_by_name=true, hive_partitioning=false)"
                connection.execute(f"CREATE VIEW {_name(name)} AS SELECT {selected} FROM {read}")  # noqa: S608 - all quoted
            allowed = ", ".join(_text(path) for paths, _ in files.values() for path in paths)
            connection.execute(f"SET allowed_paths=[{allowed}, {_text(str(target))}]")
            connection.execute("SET enable_external_access=false")
            connection.execute("SET lock_configuration=true")
            asked = _question(connection, sql)
            known = [column[0] for column in connection.sql(asked).description]
            order = ", ".join(f"{_name(name)} NULLS LAST" for name in tables.order(known))
            connection.execute(f"COPY ({asked} ORDER BY {order}) TO {_text(str(target))} (FORMAT parquet)")
        except duckdb.Error as error:
            step = "mend the query; it may name rows, and the inputs of the step"
            raise Problem("query.invalid", "A step in SQL failed", str(error).strip()[:1000], step) from error
    if remote:
        sent = f"{folder.path}/part-000000.parquet"
        pl.scan_parquet(target, hive_partitioning=False, glob=False).sink_parquet(sent, storage_options=dict(folder.options))


def _question(connection: "DuckDBPyConnection", sql: str) -> str:
    """Return the one query that a text is: a further statement could write to the files that it may read."""
    asked = f"SELECT * FROM ({sql.strip().rstrip(';')}\n)"  # noqa: S608 - the user's query, which may end in a comment
    if len(connection.extract_statements(asked)) != 1:
        why, step = "it holds several statements", "write one query; it may name rows, and the inputs of the step"
        raise Problem("query.invalid", "A step in SQL failed", why, step)
    return asked


def _here(files: LakeFiles, copy: Path) -> tuple[Sequence[str], Sequence[str]]:
    """Return paths of this machine with the rows of the files, and their columns."""
    if files.files and not files.files[0].path.startswith("s3://"):
        return [one.path for one in files.files], files.schema.names()
    scan_files(files).sink_parquet(copy)
    return [str(copy)], files.schema.names()


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
