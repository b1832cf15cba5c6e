"""Commits to an Iceberg table in an SQLite catalogue: `python -m bench.data.peers.append_iceberg WAREHOUSE FILE COMMITS`."""

# mypy: disable-error-code="import-not-found"

import sys
from pathlib import Path

import numpy as np
import polars as pl
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from sqlalchemy.exc import OperationalError

from bench.data.arrays import keep_array
from bench.data.side import take_turns


def main() -> None:
    """Append the same rows so many times, as often as asked; keep the count of all rows."""
    warehouse, file, commits = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    warehouse.mkdir(exist_ok=True)
    catalogue = SqlCatalog("bench", uri=f"sqlite:///{warehouse}/catalogue.db", warehouse=f"file://{warehouse}")
    batch = pl.read_parquet(file).to_arrow()
    catalogue.create_namespace_if_not_exists("bench")
    table = catalogue.create_table_if_not_exists("bench.events", schema=batch.schema)

    def appended() -> None:
        for _ in range(commits):
            while True:
                try:
                    table.append(batch)
                    break
                except (CommitFailedException, OperationalError):  # another was quicker, or holds the catalogue
                    table.refresh()

    def keep(_: None, path: str) -> None:
        table.refresh()
        keep_array(np.array([[len(table.scan(selected_fields=("id",)).to_arrow())]]), path)

    take_turns(appended, keep)


if __name__ == "__main__":
    main()
