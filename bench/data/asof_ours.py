"""The last reading before each flight, by Modelyard: `python -m bench.data.asof_ours FLIGHTS READINGS`."""

import sys

import polars as pl

from bench.data.arrays import keep_array
from bench.data.side import take_turns
from modelyard.data.asof import last_before


def main() -> None:
    """Join as often as asked."""
    flights, readings = map(pl.read_parquet, sys.argv[1:])
    take_turns(
        lambda: last_before(flights, readings, on="at", by="airport"),
        lambda made, path: keep_array(made.select("flight", "wind", "gust").to_numpy(), path),
    )


if __name__ == "__main__":
    main()
