"""Where answers land on this machine: one file, or a folder of parts."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import polars as pl

from modelyard.client.pieces import scratch_beside, unwritable
from modelyard.core import Problem, first_line
from modelyard.core.files import whole_file
from modelyard.serving.batch import Report, ScoreRequest

FILE_FORMS = (".csv", ".parquet", ".ndjson", ".jsonl", ".arrow", ".ipc")
ASKED = "_SCORING.json"
SUCCESS = "_SUCCESS"
_PART = re.compile(r"part-[0-9]{6,}.*\.parquet")

Fetch = Callable[[Path], Sequence[Path]]


class Landing:
    """One file by its ending, written whole or not at all; else a folder of parts, which tells what it was begun with."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_file = path.suffix.lower() in FILE_FORMS and not path.is_dir()

    def require_free(self, *, anew: bool) -> None:
        """Return when answers may land here.

        Raises
        ------
        Problem
            `file.exists` for a file that is there, or in place of the folder; `target.exists` for a folder with other files.
        """
        if self._is_file:
            if self._path.exists() and not anew:
                raise Problem("file.exists", f"{self._path} is there already", "it is not written over", "--anew replaces it")
            return
        if self._path.exists() and not self._path.is_dir():
            raise Problem("file.exists", f"{self._path} is a file of another form", "answers go to a folder", "name another")
        if self._path.is_dir() and not (self._path / ASKED).is_file():
            others = [one.name for one in self._path.iterdir() if not one.name.startswith((".", "_"))]
            if others:
                why = f"there is {min(others)}, and it was not begun by yard score"
                raise Problem("target.exists", f"{self._path} is not empty", why, "name an empty folder, or a new one")

    def begin(self, request: ScoreRequest, *, anew: bool) -> None:
        """Write down what the folder is begun with; with `anew` the parts of an earlier run go.

        Raises
        ------
        Problem
            `target.conflict` when it was begun with other rows, or by another version.
        """
        if self._is_file:
            return
        note = self._path / ASKED
        asked = msgspec.json.format(msgspec.json.encode(replace(request, anew=False)), indent=1)
        try:
            before = note.read_bytes() if note.is_file() else None
            if before is not None and before != asked:
                if not anew:
                    raise self._conflict(before, request)
                for name in [SUCCESS, *(one.name for one in self._path.iterdir() if _PART.fullmatch(one.name)), ASKED]:
                    (self._path / name).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(self._path, error) from error
        with whole_file(note) as write:
            write(asked)

    def take(self, report: Report, fetch: Fetch) -> Report:
        """Bring the parts, and return the report as it is kept here. Problem `file.unavailable`; then no file is there."""
        kept = replace(report, target=str(self._path), listing=None)
        if self._is_file:
            with scratch_beside(self._path) as folder:
                self._write(fetch(folder), folder / "whole")
            return kept
        fetch(self._path)
        with whole_file(self._path / SUCCESS) as write:
            write(msgspec.json.format(msgspec.json.encode(kept), indent=1))
        return kept

    def _write(self, parts: Sequence[Path], whole: Path) -> None:
        rows = pl.scan_parquet(list(parts), glob=False, hive_partitioning=False)
        try:
            match self._path.suffix.lower():
                case ".csv":
                    rows.sink_csv(whole)
                case ".parquet":
                    rows.sink_parquet(whole)
                case ".ndjson" | ".jsonl":
                    rows.sink_ndjson(whole)
                case _:
                    rows.sink_ipc(whole)
            with whole.open("rb") as stream:
                os.fsync(stream.fileno())
            whole.rename(self._path)
        except OSError as error:
            raise unwritable(self._path, error) from error
        except pl.exceptions.PolarsError as error:
            step = "name another ending: .parquet and .arrow take every column"
            raise Problem("file.unavailable", f"{self._path} cannot be written", first_line(error), step) from error

    def _conflict(self, before: bytes, request: ScoreRequest) -> Problem:
        step = "name another folder, or begin again with --anew"
        try:
            was = msgspec.json.decode(before, type=ScoreRequest)
        except msgspec.DecodeError as error:
            return Problem("target.invalid", f"{self._path} was begun by something else", first_line(error), step)
        if was.model != request.model:
            what, why = f"{self._path} holds answers by {was.model}", f"{request.model} was asked for"
            return Problem("target.conflict", what, f"{why}, and answers of two versions are not mixed", step)
        what = f"The rows are not those that {self._path} was begun with"
        return Problem("source.conflict", what, "the files have changed, or are others", step)
