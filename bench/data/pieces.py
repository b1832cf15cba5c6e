"""The work on a set of files, as `pipeline.run` gives it to an engine."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import polars as pl

from bench.data.preparation import CATEGORIES, FITTED_ROWS, NUMBERS, fitted
from modelyard.data.lake_files import LakeFile
from modelyard.data.profile import profile, to_json
from modelyard.data.schema import schema_of
from modelyard.prepare import Transform
from modelyard.prepare.engine import Done, Engine, Work, joined, pieces_of
from modelyard.version import __version__


def work(files: Sequence[Path], target: str) -> str:
    """Return the work, as a text; its steps have learned from the first file."""
    known = pl.scan_parquet(files[0]).head(FITTED_ROWS).collect()
    steps = fitted(known.select(*NUMBERS, *CATEGORIES))
    keep = tuple(name for name in known.columns if name not in {*NUMBERS, *CATEGORIES})
    told = Work(
        modelyard=__version__,
        polars=pl.__version__,
        fitted=steps.to_json(),
        columns=schema_of(known).columns,
        reads={},
        keep=keep,
        types=(),
        folder=target,
        writes={},
        profile=to_json(profile(joined(known, Transform(steps), keep))),
        time="at" if "at" in keep else None,
    )
    return msgspec.json.encode(told).decode()


def pieces(files: Sequence[Path]) -> list[str]:
    """Return the pieces, as texts."""
    counts = [pl.scan_parquet(file).select(pl.len()).collect().item() for file in files]
    row_bytes = pl.scan_parquet(files[0]).head(FITTED_ROWS).collect().estimated_size() / FITTED_ROWS
    found = pieces_of([LakeFile(str(file), count, 0) for file, count in zip(files, counts, strict=True)], row_bytes)
    return [msgspec.json.encode(piece).decode() for piece in found]


def answers(engine: Engine, asked: str, some: Sequence[str]) -> int:
    """Have all pieces done, and return how many rows there are. Raises SystemExit where one could not be."""
    rows = 0
    for answer in engine.each(asked, some):
        done = msgspec.json.decode(answer, type=Done)
        if done.problem is not None:
            raise SystemExit(f"a piece failed: {done.problem}")
        rows += done.rows
    return rows
