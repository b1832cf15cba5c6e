"""Rows prepared for a model, 15 raw columns into 33 features: one row for a request, and a frame of a million for a trainer.

Ours are declared steps, fitted; scikit-learn's is a fitted `ColumnTransformer`, on a pandas frame; Polars' is an eager `select`
written by hand for these very columns, with what was learned put in as numbers. The frames lie in memory before the clock
starts, that of the one row too; ours begins with the row as a dict.
"""

import json
import tempfile
from pathlib import Path

from bench.data.preparation import learned, nullable, sample
from bench.data.sides import OURS, PANDAS, POLARS, Side, compared, same_numbers
from bench.results import Result

ROWS = 1_000_000


def row(*, quick: bool) -> list[Result]:
    """Return the results of one row."""
    return _measure("one row, 15 → 33", "us", 1, 5 if quick else 31, calls=(2_000, 50, 200), floors=(50.0, 10.0))


def frame(*, quick: bool) -> list[Result]:
    """Return the results of a million rows."""
    return _measure(f"{ROWS:,} rows, 15 → 33", "ms", ROWS, 3 if quick else 9, calls=(1, 1, 1), floors=(5.0, 1 / 1.2))


def _measure(
    work: str, metric: str, rows: int, rounds: int, *, calls: tuple[int, int, int], floors: tuple[float, float]
) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        scratch = Path(folder)
        table = nullable(sample(ROWS))
        table.write_parquet(scratch / "rows.parquet")
        (scratch / "learned.json").write_text(json.dumps(learned(table)))
        given = (str(scratch / "rows.parquet"), str(rows))
        by_hand = (*given, str(scratch / "learned.json"))
        sides = [
            Side(OURS, "prepared_ours", given, repeat=calls[0]),
            Side(
                "scikit-learn",
                "peers.prepared_sklearn",
                given,
                PANDAS,
                repeat=calls[1],
                floor=floors[0],
                aim=2 * floors[0],
            ),
            Side(
                "Polars by hand",
                "peers.prepared_polars",
                by_hand,
                POLARS,
                repeat=calls[2],
                floor=floors[1],
                aim=max(1.0, 2 * floors[1]),
            ),
        ]
        return compared(work, metric, sides, scratch, rounds=rounds, agree=same_numbers)
