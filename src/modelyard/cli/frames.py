"""Frames from files, and into files."""

from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.core import Problem, nearest

if TYPE_CHECKING:
    import polars as pl

FORMS = (".csv", ".parquet", ".ndjson", ".jsonl", ".arrow", ".ipc")


def read_frame(path: Path) -> "pl.DataFrame":
    """Return the rows of a file, by its ending.

    Raises
    ------
    Problem
        `file.missing`; `file.invalid` for another ending, or content that cannot be read.
    """
    import polars as pl

    if not path.is_file():
        raise file_missing(path)
    try:
        match form_of(path):
            case ".csv":
                return pl.read_csv(path, try_parse_dates=True, infer_schema_length=None)
            case ".parquet":
                return pl.read_parquet(path)
            case ".ndjson" | ".jsonl":
                return pl.read_ndjson(path, infer_schema_length=None)
            case _:
                return pl.read_ipc(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Problem("file.invalid", f"{path} cannot be read", str(error).splitlines()[0], "mend the file") from error


def write_frame(frame: "pl.DataFrame", path: Path) -> None:
    """Write rows to a file, by its ending. Problem `file.invalid` for another ending, `file.unavailable` where it cannot be."""
    form = form_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        match form:
            case ".csv":
                frame.write_csv(path)
            case ".parquet":
                frame.write_parquet(path)
            case ".ndjson" | ".jsonl":
                frame.write_ndjson(path)
            case _:
                frame.write_ipc(path)
    except OSError as error:
        raise Problem("file.unavailable", f"{path} cannot be written", str(error.strerror or error)) from error


def file_missing(path: Path) -> Problem:
    """Return the problem of a file that is not there, with the nearest name beside it."""
    beside = [one.name for one in path.parent.glob("*")] if path.parent.is_dir() else []
    near = nearest(path.name, beside)
    return Problem("file.missing", f"There is no file {path}", f"did you mean '{near[0]}'?" if near else "")


def form_of(path: Path) -> str:
    """Return a file's ending. Problem `file.invalid` for one that no form of rows has."""
    form = path.suffix.lower()
    if form not in FORMS:
        raise Problem(
            "file.invalid", f"{path} is of no known form", f"known endings are {', '.join(FORMS)}", "convert it first"
        )
    return form
