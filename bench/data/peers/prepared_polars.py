"""Rows prepared by Polars, written by hand: `python -m bench.data.peers.prepared_polars FILE ROWS LEARNED`."""

import json
import sys
from pathlib import Path

import polars as pl

from bench.data.arrays import keep_array
from bench.data.peers.by_hand import features
from bench.data.side import take_turns


def main() -> None:
    """Prepare a frame of one row into an array, or a larger one into a frame."""
    file, count = sys.argv[1], int(sys.argv[2])
    rows = pl.read_parquet(file).head(count)
    known = json.loads(Path(sys.argv[3]).read_text())
    made = features(known)
    if count == 1:
        take_turns(lambda: rows.select(made).to_numpy(), keep_array)
    else:
        take_turns(lambda: rows.select(made), lambda found, path: keep_array(found.to_numpy(), path))


if __name__ == "__main__":
    main()
