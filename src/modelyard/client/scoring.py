"""Batch scoring: many raw rows through the same steps and model as every other door, by a worker."""

import io
from typing import Final

import polars as pl

from modelyard.client.connection import Connection, part
from modelyard.client.objects import download, upload
from modelyard.client.waiting import wait_for_job
from modelyard.core import Digest
from modelyard.jobs import Job

SCORE_JOB: Final = "model.score"
BYTES_AT_ONCE: Final = 32 << 20


def score(connection: Connection, project: str, reference: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with their answers (`probability`, …) and `model_version`, all by the version that `reference` names.

    Raises
    ------
    Problem
        `column.missing`, `input.invalid` and the like, naming column and row; `column.exists` for a column that an answer
        goes to.
    """
    count = int(rows.estimated_size()) // BYTES_AT_ONCE + 1
    height = max(1, -(-rows.height // count))
    starts = range(0, max(rows.height, 1), height)
    return pl.concat([_score_part(connection, project, reference, rows.slice(start, height)) for start in starts])


def _score_part(connection: Connection, project: str, reference: str, rows: pl.DataFrame) -> pl.DataFrame:
    buffer = io.BytesIO()
    rows.write_ipc(buffer, compression="zstd")
    [source] = upload(connection, project, [buffer.getvalue()])
    body = {
        "kind": SCORE_JOB,
        "title": f"score {rows.height:,} rows with {reference}",
        "payload": {"input": source, "model": reference},
    }
    job = connection.post(f"{project}/jobs", Job, body)
    done = wait_for_job(connection, f"{project}/jobs/{part(job.id)}")
    return pl.read_ipc(io.BytesIO(download(connection, project, Digest((done.result or {})["output"]))))
