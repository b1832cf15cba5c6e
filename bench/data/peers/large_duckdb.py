"""A large set prepared by DuckDB: `python -m bench.data.peers.large_duckdb FOLDER LEARNED`."""

import json
import sys
from pathlib import Path

import duckdb

from bench.data.side import take_turns


def main() -> None:
    """Prepare the set into the folder that is named."""
    folder, known = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    numbers = [
        f"CAST((coalesce({name}, {median!r}) - {mean!r}) / {deviation!r} AS FLOAT) AS {name}"
        for name, (median, mean, deviation) in known["numbers"].items()
    ]
    categories = [
        f"CAST({name} = '{value}' AS FLOAT) AS \"{name}_{value}\""
        for name, values in known["categories"].items()
        for value in values
    ]
    kept = ["id", '"at"', *(f"n{number}" for number in range(8))]
    columns = ", ".join([*kept, *numbers, *categories])

    def prepare(_: None, target: str) -> None:
        rows = f"SELECT {columns} FROM read_parquet('{folder}/*.parquet')"  # noqa: S608 - the benchmark's own names
        duckdb.sql(f"COPY ({rows}) TO '{target}/prepared.parquet' (FORMAT parquet, COMPRESSION zstd)")

    take_turns(lambda: None, prepare)


if __name__ == "__main__":
    main()
