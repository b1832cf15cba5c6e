"""Ten million rows of 25 columns in Parquet made into a prepared set in Parquet: by the local engine, and by DuckDB in SQL.

Fifteen columns become 33 features, ten stand before them as they are. Ours goes through the pieces of `engine.prepare_piece`,
which also digests and profiles what it writes, so that it can become a version; DuckDB's query writes the rows and no more.
Each round is a process of its own: its CPU seconds and the most memory that it held, both with imports.
"""

import json
import statistics
import tempfile
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from bench.data.preparation import learned, wide
from bench.data.sides import OURS, TOLERANCE, Peer, Side, running, same
from bench.results import Result

DUCKDB = Peer("duckdb", same("duckdb"))
ROWS, FEW = 10_000_000, 2_000_000
FILE_ROWS = 500_000


def measure(*, quick: bool) -> list[Result]:
    """Return the results."""
    rows = FEW if quick else ROWS
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        scratch = Path(folder)
        write(scratch, rows)
        arguments = (str(scratch / "rows"), str(scratch / "learned.json"))
        sides = [Side(OURS, "large_ours", arguments), Side("DuckDB", "peers.large_duckdb", arguments, DUCKDB)]
        taken: list[list[dict[str, float]]] = [[] for _ in sides]
        for number in range(1 if quick else 3):
            written = [scratch / f"prepared-{number}-{place}" for place in range(len(sides))]
            for side, target, found in zip(sides, written, taken, strict=True):
                target.mkdir()
                with running(side) as process:
                    found.append(process.ask(f"keep {target}"))
            agree(*written)
    results = []
    for metric, key, floor, aim in (("MB", "mb", 1 / 3, 1.0), ("CPU s", "cpu", 1 / 1.2, 1.0)):
        mine, theirs = (statistics.median(one[key] for one in side) for side in taken)
        work = f"{rows:,} x 25 to Parquet: {'memory' if key == 'mb' else 'CPU'}"
        results.append(Result(work, metric, "DuckDB", mine, theirs, theirs / mine, floor, aim))
    return results


def write(scratch: Path, rows: int) -> None:
    """Write raw rows as files, and what is learned from the first of them."""
    (scratch / "rows").mkdir()
    for number, first in enumerate(range(0, rows, FILE_ROWS)):
        part = wide(FILE_ROWS, first)
        part.write_parquet(scratch / "rows" / f"{number:04}.parquet")
        if not number:
            (scratch / "learned.json").write_text(json.dumps(learned(part)))


def agree(ours: Path, theirs: Path) -> None:
    """Return when both folders hold the same rows, in the order of their numbers. Raises SystemExit."""
    for number in pl.scan_parquet(ours / "*.parquet").select(pl.col("id") // FILE_ROWS).unique().collect().to_series():
        is_part = pl.col("id") // FILE_ROWS == number
        parts = [pl.scan_parquet(one / "*.parquet").filter(is_part).sort("id").collect() for one in (ours, theirs)]
        try:
            assert_frame_equal(*parts, check_dtypes=False, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        except AssertionError as differs:
            raise SystemExit(f"{theirs.name} is not what {ours.name} is: {differs}; nothing is told") from differs
