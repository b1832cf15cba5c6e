"""Versions written for others: a folder of Parquet files with Croissant's metadata."""

import hashlib
import io
import json
from pathlib import Path

import polars as pl

from modelyard.core import Problem
from modelyard.core.files import whole_file
from modelyard.data import Dataset, DatasetVersion, Split, split_frame
from modelyard.data.croissant import METADATA, SPLITS, About, ExportedFile, croissant_metadata


def write_croissant(
    rows: pl.DataFrame, dataset: Dataset, version: DatasetVersion, folder: Path, about: About, split: Split | None
) -> Path:
    """Write the rows of a version, then what tells of them, and return the latter's path. Raises as `export_croissant`."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Problem(
            "target.exists", f"{folder} is not empty", "nothing is written over", "name an empty folder, or a new one"
        )
    if split is None:
        files = [_written(rows, folder, f"{version.name}.parquet")]
    else:
        if "split" in rows.columns:
            why = "a column of that name is in the rows"
            raise Problem(
                "split.invalid", f"The parts of {version.name} cannot be named by a field 'split'", why, "export it whole"
            )
        parts = split_frame(rows, split, key=dataset.key, time=dataset.time)
        files = [_written(part, folder, f"data/{name}.parquet") for name, part in zip(SPLITS, parts, strict=True)]
    told = croissant_metadata(dataset, version, rows.schema, files, about, split=split is not None)
    with whole_file(folder / METADATA) as write:
        write((json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode())
    return folder / METADATA


def _written(rows: pl.DataFrame, folder: Path, name: str) -> ExportedFile:
    buffer = io.BytesIO()
    rows.write_parquet(buffer)
    content = buffer.getvalue()
    with whole_file(folder / name) as write:
        write(content)
    return ExportedFile(name, hashlib.sha256(content).hexdigest(), len(content))
