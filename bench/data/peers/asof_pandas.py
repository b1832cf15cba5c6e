"""The last reading before each flight, by pandas: `python -m bench.data.peers.asof_pandas FLIGHTS READINGS`."""

import sys

import pandas as pd

from bench.data.arrays import keep_array
from bench.data.side import take_turns


def main() -> None:
    """Join as often as asked."""
    flights, readings = map(pd.read_parquet, sys.argv[1:])
    known = readings.rename(columns={"at": "known_at"})

    def joined() -> pd.DataFrame:
        found = pd.merge_asof(
            flights.assign(place=range(len(flights))).sort_values("at"),
            known.sort_values("known_at"),
            left_on="at",
            right_on="known_at",
            by="airport",
            allow_exact_matches=False,
        )
        return found.sort_values("place").drop(columns="place")

    take_turns(joined, lambda made, path: keep_array(made[["flight", "wind", "gust"]].to_numpy(), path))


if __name__ == "__main__":
    main()
