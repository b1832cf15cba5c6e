"""Rows prepared by Modelyard: `python -m bench.data.prepared_ours FILE ROWS`."""

import sys

import polars as pl

from bench.data.arrays import keep_array
from bench.data.preparation import fitted
from bench.data.side import take_turns
from modelyard.prepare import Transform


def main() -> None:
    """Prepare one row as `rows` does, or a frame as `frame` does."""
    file, count = sys.argv[1], int(sys.argv[2])
    table = pl.read_parquet(file)
    transform = Transform(fitted(table))
    if count == 1:
        row = table.row(0, named=True)
        take_turns(lambda: transform.rows([row]), keep_array)
    else:
        rows = table.head(count)
        take_turns(lambda: transform.frame(rows), lambda made, path: keep_array(made.to_numpy(), path))


if __name__ == "__main__":
    main()
