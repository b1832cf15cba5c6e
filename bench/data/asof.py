"""What was known before: to a million flights the last of a million readings at their airport, by `last_before` and by others.

Both frames lie in memory, in no order of time, as rows of several files do; the result has the flights in the order that they
had. So the peers sort, join and put back what ours does.
"""

import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from bench.data.sides import OURS, PANDAS, POLARS, Side, compared, same_numbers
from bench.results import Result

ROWS, AIRPORTS, SECONDS = 1_000_000, 200, 30_000_000


def moments(rows: int, seed: int) -> pl.DataFrame:
    """Return an airport and a time a row, at random."""
    generator = np.random.default_rng(seed)
    at = pl.Series("at", generator.integers(0, SECONDS, rows) * 1_000_000).cast(pl.Datetime("us"))
    return pl.DataFrame({"airport": generator.choice([f"K{n:03}" for n in range(AIRPORTS)], rows), "at": at})


def measure(*, quick: bool) -> list[Result]:
    """Return the results."""
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        scratch = Path(folder)
        generator = np.random.default_rng(2013)
        flights = moments(ROWS, 1).with_columns(flight=pl.int_range(ROWS))
        # No two readings of an airport at one moment, of which sides could take either.
        readings = moments(ROWS, 2).unique(["airport", "at"], maintain_order=True)
        readings = readings.with_columns(
            wind=generator.normal(10, 3, readings.height), gust=generator.normal(20, 5, readings.height)
        )
        files = (str(scratch / "flights.parquet"), str(scratch / "readings.parquet"))
        flights.write_parquet(files[0])
        readings.write_parquet(files[1])
        sides = [
            Side(OURS, "asof_ours", files),
            Side("pandas merge_asof", "peers.asof_pandas", files, PANDAS, floor=2.0, aim=4.0),
            Side("Polars join_asof", "peers.asof_polars", files, POLARS, floor=1 / 1.2, aim=1.0),
        ]
        work = f"as of, {ROWS:,} x {ROWS:,}"
        return compared(work, "ms", sides, scratch, rounds=3 if quick else 9, agree=same_numbers)
