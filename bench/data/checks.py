"""A batch of a million rows judged by eleven checks, and its bad rows set aside with the checks that each failed.

Ours is what `append` does before it writes: the rows that may enter, and those of the quarantine as it keeps them, every value
as text. Of the others it is the bad rows with their checks, taken from the answer of one call, and the rows that are left. All
have to find the same bad rows. The batch lies in memory before the clock starts.
"""

import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from bench.data.sides import OURS, Peer, Side, compared, same, same_numbers
from bench.results import Result

ROWS = 1_000_000
PANDERA = Peer("pandera", ("pandera[polars]==0.35.0", *same("polars", "numpy")))
GREAT_EXPECTATIONS = Peer("great-expectations", ("great_expectations==1.24.1", "pyarrow==26.0.1"))


def batch(rows: int) -> pl.DataFrame:
    """Return flights of which about four in a thousand are bad."""
    generator = np.random.default_rng(2013)
    number = np.arange(rows)
    wrong = {name: generator.random(rows) < 0.0005 for name in ("origin", "tail", "delay", "distance", "seats", "at", "dest")}
    start = datetime(2013, 1, 1)
    frame = pl.DataFrame(
        {
            "id": number,
            "at": pl.Series(number * 30_000_000).cast(pl.Duration("us")) + pl.Series([start]),
            "origin": generator.choice(["JFK", "LGA", "EWR"], rows),
            "dest": generator.choice([f"D{n:02}" for n in range(100)], rows),
            "tail": generator.choice([f"N{n:05}" for n in range(4_000)], rows),
            "carrier": generator.choice(["AA", "B6", "DL", "UA"], rows),
            "delay": generator.normal(10, 30, rows),
            "distance": generator.integers(100, 3_000, rows),
            "seats": generator.integers(20, 400, rows),
            "fare": generator.uniform(40, 900, rows),
        }
    )
    bad = {name: pl.Series(flags) for name, flags in wrong.items()}
    return frame.with_columns(
        at=pl.when(bad["at"]).then(pl.lit(start + timedelta(days=90_000))).otherwise("at"),
        origin=pl.when(bad["origin"]).then(pl.lit("XXX")).otherwise("origin"),
        dest=pl.when(bad["dest"]).then(None).otherwise("dest"),
        tail=pl.when(bad["tail"]).then(pl.lit("n?")).otherwise("tail"),
        delay=pl.when(bad["delay"]).then(9_999.0).otherwise("delay"),
        distance=pl.when(bad["distance"]).then(-1).otherwise("distance"),
        seats=pl.when(bad["seats"]).then(5_000).otherwise("seats"),
    )


def measure(*, quick: bool) -> list[Result]:
    """Return the results."""
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        scratch = Path(folder)
        file = str(scratch / "batch.parquet")
        batch(ROWS).write_parquet(file)
        sides = [
            Side(OURS, "checks_ours", (file,)),
            Side("pandera", "peers.checks_pandera", (file,), PANDERA, floor=1 / 1.3, aim=1.0),
            Side("Great Expectations", "peers.checks_expectations", (file,), GREAT_EXPECTATIONS, floor=5.0, aim=10.0),
        ]
        work = f"{ROWS:,} rows, 11 checks, quarantine"
        return compared(work, "ms", sides, scratch, rounds=2 if quick else 7, agree=same_numbers)
