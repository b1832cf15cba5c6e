"""A set prepared by Polars, in one process: `python -m bench.data.peers.engines_polars FOLDER LEARNED TARGET`."""

import json
import sys
from pathlib import Path

import polars as pl

from bench.data.peers.by_hand import features
from bench.data.side import take_turns


def main() -> None:
    """Prepare the set as often as asked."""
    folder, learned, target = sys.argv[1:]
    made = [pl.col("id", "at", *(f"n{number}" for number in range(8))), *features(json.loads(Path(learned).read_text()))]
    rows = pl.scan_parquet(f"{folder}/*.parquet").select(made)
    take_turns(lambda: rows.sink_parquet(f"{target}/prepared.parquet"), lambda made, path: None)


if __name__ == "__main__":
    main()
