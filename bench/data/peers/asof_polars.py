"""The last reading before each flight, by Polars alone: `python -m bench.data.peers.asof_polars FLIGHTS READINGS`."""

import sys

import polars as pl

from bench.data.arrays import keep_array
from bench.data.side import take_turns


def main() -> None:
    """Join as often as asked."""
    flights, readings = map(pl.read_parquet, sys.argv[1:])

    def joined() -> pl.DataFrame:
        numbered = flights.with_row_index("place").sort("at")
        known = readings.sort("at")
        found = numbered.join_asof(
            known, on="at", by="airport", strategy="backward", allow_exact_matches=False, coalesce=False, check_sortedness=False
        )
        return found.sort("place").drop("place")

    take_turns(joined, lambda made, path: keep_array(made.select("flight", "wind", "gust").to_numpy(), path))


if __name__ == "__main__":
    main()
