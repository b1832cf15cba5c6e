"""Batch scoring by scikit-learn on two processes: each takes one file after the other, in chunks that fit a cache.

`python -m bench.serving.apps.batch_sklearn MODEL IN OUT`
"""

# mypy: disable-error-code="import-untyped"

import sys
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import joblib
import pyarrow as pa
import pyarrow.parquet as pq

from bench.serving.apps.columns import COLUMNS

CHUNK_ROWS = 50_000


@cache
def model(file: str) -> Any:
    """Return the pipeline, once a process."""
    return joblib.load(file)


def answered(told: tuple[str, Path, Path]) -> None:
    """Answer for one file."""
    pipeline, source, target = told
    with pq.ParquetFile(source) as rows:
        schema = rows.schema_arrow.append(pa.field("probability", pa.float64()))
        with pq.ParquetWriter(target, schema, compression="zstd", compression_level=1) as out:
            for batch in rows.iter_batches(CHUNK_ROWS):
                table = pa.Table.from_batches([batch])
                frame = table.select(COLUMNS).to_pandas()
                shares = model(pipeline).predict_proba(frame)[:, 1]
                out.write_table(table.append_column("probability", pa.array(shares)))


def main() -> None:
    """Answer for every file of a folder."""
    pipeline, source, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    target.mkdir()
    with get_context("spawn").Pool(2) as pool:
        pool.map(answered, [(pipeline, file, target / file.name) for file in sorted(source.glob("*.parquet"))], chunksize=1)


if __name__ == "__main__":
    main()
