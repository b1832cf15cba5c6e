"""Batches appended by delta-rs alone: `python -m bench.data.peers.append_delta TABLE FILE`."""

import sys

import polars as pl
from deltalake import write_deltalake

from bench.data.arrays import keep_array
from bench.data.side import take_turns


def main() -> None:
    """Append the same rows, as often as asked; keep the count of all rows and the sums of two columns."""
    table, file = sys.argv[1:]
    batch = pl.read_parquet(file)

    def keep(_: None, path: str) -> None:
        rows = pl.read_delta(table)
        keep_array(rows.select(pl.len(), pl.col("id").sum(), pl.col("x0").sum().alias("x")).to_numpy(), path)

    take_turns(lambda: write_deltalake(table, batch, mode="append"), keep)


if __name__ == "__main__":
    main()
