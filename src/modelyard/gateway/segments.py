"""The ledger's local segments: files of JSON lines that a killed process leaves whole.

The rule of safety: an answer is sent only after its line was handed to the operating system, so it outlives
the end of the process, also by `kill -9`. The disk is flushed (`fsync`) when a segment is closed, which the shipper does about
once a second while there are lines: a machine that loses its power may lose that second.

A segment is shipped as one commit to each table it has rows for, named by the segment: shipping it again after a crash
between commit and deletion writes nothing twice. A line is the requests that a version answered together; before the first line
of a version stands one that says the types of its columns, so that a segment can be read without anything else. `packed` says
how arrays stand in a line.

When the disk is full, answers are given all the same, and their rows are counted as lost.
"""

import logging
import os
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from modelyard.core import Problem
from modelyard.gateway.calls import Call
from modelyard.serving import ServedDeployment
from modelyard.wiring.statuses import status_of

log = logging.getLogger(__name__)

SUFFIX = ".jsonl"
REQUEST = ("rows", "revision", "request", "route", "answered_at", "latency_us", "caller", "trace")  # what a line tells of each


@dataclass(frozen=True, slots=True)
class Failure:
    """One request that was not answered."""

    version: int | None  # None: it was refused before a version was asked
    route: str
    at: datetime
    problem: Problem


class SegmentWriter:
    """Appends answers to the open segment. Safe to share between threads."""

    def __init__(self, folder: Path, make_id: Callable[[str], str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._make_id = make_id
        self._lock = Lock()
        self._file: int | None = None
        self._path: Path | None = None
        self._end = 0  # bytes of whole lines
        self._told: set[tuple[str, str, int]] = set()
        self.rows_open = 0  # in the open segment
        self.rows_written = 0
        self.rows_lost = 0
        self.last_loss: str | None = None

    def write(self, calls: Sequence[Call]) -> None:
        """Append calls that one version answered, by one write. What cannot be written is counted as lost; answers go out."""
        served = calls[0].ask.target.served
        key = (served.project, served.name, calls[0].loaded.served.version)
        rows = sum([call.count for call in calls])
        with self._lock:
            try:
                line = _answers_line(calls)
                if self._file is None:
                    self._open()
                self._append(line if key in self._told else _types_line(calls[0]) + line)
            except Exception as error:  # a full disk, or a value that has no form in the ledger: nobody is to wait for that
                self._lose(rows, error)
                return
            self._told.add(key)
            self.rows_open += rows
            self.rows_written += rows

    def write_failures(self, served: ServedDeployment, failures: Sequence[Failure]) -> None:
        """Append what was not answered; on a disk that does not take it, it is only counted by the metrics."""
        lines = [
            orjson.dumps(
                {
                    "p": served.project,
                    "d": served.name,
                    "failed": {
                        "at": one.at,
                        "version": one.version,
                        "route": one.route,
                        "code": one.problem.code,
                        "status": status_of(one.problem),
                    },
                },
                option=orjson.OPT_APPEND_NEWLINE,
            )
            for one in failures
        ]
        with self._lock:
            try:
                if self._file is None:
                    self._open()
                self._append(b"".join(lines))
            except OSError as error:
                self._lose(0, error)

    def rotate(self) -> Path | None:
        """Close the open segment, flush it to the disk and return it; None when there is nothing in it."""
        with self._lock:
            file, path = self._file, self._path
            self._file = self._path = None
            self._told.clear()
            self._end = self.rows_open = 0
        if file is None:
            return None
        try:
            os.fsync(file)
        except OSError as error:
            log.warning("ledger segment %s could not be flushed: %s", path, error)
        finally:
            os.close(file)
        return path

    def closed(self) -> list[Path]:
        """Return the segments that nobody writes to any more, oldest first."""
        with self._lock:
            return sorted(path for path in self._folder.glob("*" + SUFFIX) if path != self._path)

    def _open(self) -> None:
        path = self._folder / (self._make_id("seg") + SUFFIX)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._path = path
        self._end = 0

    def _append(self, line: bytes) -> None:
        assert self._file is not None  # noqa: S101 - `write` has opened it
        written = os.write(self._file, line)
        if written < len(line):
            os.ftruncate(self._file, self._end)
            raise OSError(f"only {written} of {len(line)} bytes fitted on the disk")
        self._end += written

    def _lose(self, rows: int, error: Exception) -> None:
        self.rows_lost += rows
        self.last_loss = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        log.error("the ledger lost %d rows: %s", rows, self.last_loss)
        if self._file is not None:
            with suppress(OSError):
                os.ftruncate(self._file, self._end)


def _answers_line(calls: Sequence[Call]) -> bytes:
    loaded, served = calls[0].loaded, calls[0].ask.target.served
    is_direct, width = loaded.is_direct, len(loaded.columns)
    requests: list[tuple[object, ...]] = []
    ids: list[str] = []
    times: list[Sequence[datetime] | None] = []
    inputs: list[Any] = []
    answers: list[Any] = []
    for call in calls:
        ask, trace, rows = call.ask, call.ask.trace, call.columns
        requests.append(
            (  # in the order of `REQUEST`
                call.count,
                ask.target.served.revision.number,
                call.request,
                call.route,
                call.answered_at,
                int(call.seconds * 1e6),
                f"token:{ask.caller[:12]}",
                None if trace is None else trace.trace_id,
            )
        )
        ids += call.ids
        times.append(call.instants())
        assert call.answers is not None  # noqa: S101 - only what was answered is written
        if is_direct:
            inputs.append(call.rows)
            answers.append(call.answers)
        else:
            sent = rows if len(rows) == width else {name: rows[name] for name in loaded.columns}
            inputs.append({**sent, **call.looked_up} if call.looked_up else sent)
            answers.append({name: values.tolist() for name, values in call.answers.items()})
    document = {
        "p": served.project,
        "d": served.name,
        "v": loaded.served.version,
        "requests": requests,
        "ids": ids,
        "times": times,
        "inputs": packed(inputs) if is_direct else inputs,
        "answers": packed(answers) if is_direct else answers,
    }
    return orjson.dumps(document, default=_list, option=orjson.OPT_APPEND_NEWLINE)


def packed(batches: Sequence[Mapping[str, NDArray[Any]]]) -> list[dict[str, Any]]:
    """Return arrays by name, of several batches of rows, as JSON can have them: as one batch where they are of one shape.

    An array of numbers becomes its NumPy type, its shape and its bytes in base64, which is exact and costs a tenth of what its
    digits cost; one of texts becomes a list.
    """
    try:
        return [{name: _packed([batch[name] for batch in batches]) for name in batches[0]}]
    except ValueError:  # lengths that are not fixed differ
        return [{name: _packed([values]) for name, values in batch.items()} for batch in batches]


def _packed(arrays: Sequence[NDArray[Any]]) -> list[Any] | dict[str, Any]:
    whole = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    if whole.dtype.kind not in "fiub":
        found: list[Any] = whole.tolist()
        return found
    content = b2a_base64(np.ascontiguousarray(whole).data, newline=False).decode("ascii")
    return {"dtype": whole.dtype.str, "shape": whole.shape, "base64": content}


def unpacked(values: Mapping[str, Any]) -> NDArray[Any]:
    """Return an array of numbers that `packed` was given."""
    return np.frombuffer(a2b_base64(values["base64"]), dtype=values["dtype"]).reshape(values["shape"])


def _list(value: object) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(type(value).__name__)


def _types_line(call: Call) -> bytes:
    deployment, served = call.ask.target.served, call.loaded.served
    document = {
        "p": deployment.project,
        "d": deployment.name,
        "v": served.version,
        "model": deployment.model,
        "form": served.form,
        "types": {column.name: column.dtype for column in served.row},
        "outputs": {column.name: column.dtype for column in served.signature.outputs},
    }
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
