"""Batches appended by Modelyard: `python -m bench.data.append_ours HOME FILE COMMITS`."""

import os
import sys

import polars as pl

import modelyard as yard
from bench.data.arrays import keep_array
from bench.data.side import take_turns


def main() -> None:
    """Append the same rows so many times, as often as asked; keep the count of all rows and the sums of two columns."""
    home, file, commits = sys.argv[1:]
    os.environ["MODELYARD_HOME"] = home
    batch = pl.read_parquet(file)
    dataset = yard.project("bench").dataset("events")

    def appended() -> None:
        for _ in range(int(commits)):
            dataset.append(batch)

    def keep(_: None, path: str) -> None:
        rows = dataset.frame()
        keep_array(rows.select(pl.len(), pl.col("id").sum(), pl.col("x0").sum().alias("x")).to_numpy(), path)

    take_turns(appended, keep)


if __name__ == "__main__":
    main()
