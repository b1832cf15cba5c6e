"""Rows prepared by Polars, written by hand: `python -m bench.data.peers.prepared_polars FILE ROWS LEARNED`."""

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl

from bench.data.side import take_turns


def main() -> None:
    """Prepare a frame of one row into an array, or a larger one into a frame."""
    file, count = sys.argv[1], int(sys.argv[2])
    rows = pl.read_parquet(file).head(count)
    known = json.loads(Path(sys.argv[3]).read_text())
    features = [
        *(
            ((pl.col(name).fill_null(median) - mean) / deviation).cast(pl.Float32)
            for name, (median, mean, deviation) in known["numbers"].items()
        ),
        *(
            (pl.col(name) == value).cast(pl.Float32).alias(f"{name}={value}")
            for name, values in known["categories"].items()
            for value in values
        ),
    ]
    if count == 1:
        take_turns(lambda: rows.select(features).to_numpy(), keep)
    else:
        take_turns(lambda: rows.select(features), lambda made, path: keep(made.to_numpy(), path))


def keep(made: "np.ndarray[tuple[int, int], np.dtype[np.float32]]", path: str) -> None:
    """Write an array."""
    with Path(path).open("wb") as file:
        np.save(file, made)


if __name__ == "__main__":
    main()
