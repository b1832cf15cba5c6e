"""Brings closed ledger segments to the lake, each exactly once, and takes them off the disk."""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from time import time
from typing import Any, Protocol

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from modelyard.core import Problem, ProjectId
from modelyard.data import TableStore
from modelyard.gateway.segments import REQUEST, SegmentWriter, unpacked
from modelyard.prepare.values import InputColumn
from modelyard.serving import RouteKind
from modelyard.serving.ledger import (
    LEDGER,
    META,
    STAMP,
    answer_series,
    as_list,
    failure_rows,
    failure_table,
    fit_to_table,
    input_series,
    ledger_table,
    output_series,
    shadow_table,
)

log = logging.getLogger(__name__)

UNREADABLE = "unreadable.txt"
PAUSE_AFTER_FAILURE_S = 5.0
_ROUTE = REQUEST.index("route")


@dataclass(frozen=True)
class Shipment:
    """What one round brought to the lake."""

    rows: int = 0
    segments: int = 0
    problems: tuple[str, ...] = ()


@dataclass
class _Stretch:
    """The answers of one version in one segment."""

    types: Mapping[str, str]
    outputs: Mapping[str, str]
    fixed: Mapping[str, object]
    requests: tuple[list[Any], ...] = field(default_factory=lambda: tuple([] for _ in REQUEST))  # its columns
    ids: list[str] = field(default_factory=list)  # by row
    times: list[Sequence[str] | None] = field(default_factory=list)  # by request; None: when it was answered
    inputs: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))  # see `_take`
    answers: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> "_Stretch":
        """Begin with the line that says a version's types."""
        fixed = {"deployment": line["d"], "model": line["model"], "version": line["v"], "form": line["form"]}
        return cls(line["types"], line["outputs"], fixed)

    def add(self, line: Mapping[str, Any]) -> None:
        """Take a line in."""
        requests, ids, times, inputs, answers = [line[key] for key in ("requests", "ids", "times", "inputs", "answers")]
        for kept, told in zip(self.requests, zip(*requests, strict=True), strict=True):
            kept.extend(told)
        self.ids += ids
        self.times += times
        _take(inputs, self.inputs)
        _take(answers, self.answers)

    def frame(self) -> pl.DataFrame:
        """Return the rows as the ledger has them."""
        rows, *others = self.requests
        columns = {name: _meta(name, values) for name, values in zip(REQUEST[1:], others, strict=True)}
        if len(self.ids) > len(rows):
            request = np.repeat(np.arange(len(rows)), rows)
            columns = {name: values.gather(request) for name, values in columns.items()}
        columns |= {"id": _meta("id", self.ids), "time": columns["answered_at"].alias("time")}
        if any(times is not None for times in self.times):
            nothing: Sequence[str | None] = [None] * max(rows)
            told = _meta("time", [time for own, count in zip(self.times, rows, strict=True) for time in own or nothing[:count]])
            columns["time"] = told.zip_with(told.is_not_null(), columns["time"])
        columns |= {name: _meta(name, [value]).new_from_index(0, len(self.ids)) for name, value in self.fixed.items()}
        outputs = {name: _whole(self.answers[name]) for name in self.outputs}
        single = list(self.outputs.values()) in (["Float64"], ["Float32"])
        columns["answer"] = answer_series(outputs[next(iter(outputs))] if single else [None] * len(self.ids))
        given = [] if single else [output_series(name, self.outputs[name], values) for name, values in outputs.items()]
        taken = [input_series(InputColumn(name, dtype), _whole(self.inputs[name])) for name, dtype in self.types.items()]
        return pl.DataFrame([*(columns[name] for name in META), *taken, *given])


def _meta(name: str, values: Sequence[Any]) -> pl.Series:
    dtype = META[name]
    if dtype == STAMP:
        return pl.Series(name, values, dtype=pl.String()).str.to_datetime(time_unit="us", time_zone="UTC")
    return pl.Series(name, values, dtype=dtype)


def _take(parts: Sequence[Mapping[str, Any]], kept: Mapping[str, list[Any]]) -> None:
    """Add what parts have by name: a list's values, and an array as one of several."""
    for part in parts:
        for name, values in part.items():
            if type(values) is list:
                kept[name] += values
            else:
                kept[name].append(unpacked(values))


def _whole(kept: list[Any]) -> Sequence[Any] | NDArray[Any]:
    """Return what `_take` has kept under one name, one entry a row."""
    if not kept or not isinstance(kept[0], np.ndarray):
        return kept
    if len({values.shape[1:] for values in kept}) == 1:
        return np.concatenate(kept)
    return [row for values in kept for row in as_list(values)]


def read_segment(path: Path) -> tuple[dict[tuple[ProjectId, str], pl.DataFrame], list[bytes]]:
    """Return a segment's rows by project and table, and the whole lines that cannot be read.

    A last line without its end was cut off by a kill: its answer was never sent, and it is passed over.
    """
    types: dict[tuple[ProjectId, str, int], Mapping[str, Any]] = {}
    stretches: dict[tuple[ProjectId, str, int], _Stretch] = {}
    failures: dict[tuple[ProjectId, str], list[Mapping[str, Any]]] = defaultdict(list)
    unreadable = []
    for raw in path.read_bytes().splitlines(keepends=True):
        if not raw.endswith(b"\n"):
            break
        try:
            line = orjson.loads(raw)
            if "failed" in line:
                failures[line["p"], line["d"]].append(line["failed"])
                continue
            key = (line["p"], line["d"], line["v"])
            if "types" in line:
                types[key] = line
                continue
            place = line["p"], _table_of(line), line["v"]
            stretch = stretches.get(place) or _Stretch.of(types[key])
            stretch.add(line)
            stretches[place] = stretch
        except (ValueError, KeyError, TypeError, IndexError):
            unreadable.append(raw)
    frames: dict[tuple[ProjectId, str], pl.DataFrame] = {}
    for (project, table, _), stretch in stretches.items():
        frame = stretch.frame()
        before = frames.get((project, table))
        if before is not None:
            frame = pl.concat([before, fit_to_table(frame, before.schema)], how="diagonal")
        frames[project, table] = frame
    for (project, deployment), told in failures.items():
        frames[project, failure_table(deployment)] = failure_rows(told)
    return frames, unreadable


def _table_of(line: Mapping[str, Any]) -> str:
    deployment: str = line["d"]
    is_shadow = line["requests"][0][_ROUTE] == RouteKind.SHADOW.value  # then all are
    return shadow_table(deployment) if is_shadow else ledger_table(deployment)


class Carrier(Protocol):
    """What brings closed segments to the lake and takes them off the disk."""

    def carry(self, paths: Sequence[Path]) -> Sequence[int | str]:
        """Return for each segment its rows in the ledger, or why it stays. Never raises."""
        ...

    def close(self) -> None:
        """Give back what is held."""
        ...


class LakeCarrier:
    """Carries segments in this process."""

    def __init__(self, lake: TableStore, folder: Path) -> None:
        self._lake = lake
        self._folder = folder

    def carry(self, paths: Sequence[Path]) -> Sequence[int | str]:
        """Return for each segment its rows in the ledger, or why it stays."""
        return [self._carry(path) for path in paths]

    def close(self) -> None:
        """Hold nothing."""

    def _carry(self, path: Path) -> int | str:
        try:
            return self._ship(path)
        except FileNotFoundError:
            return 0  # one that was still at it when its gateway was killed has carried it
        except Exception as error:  # a lake fails in the ways of its vendors
            told = str(error) if isinstance(error, Problem) else f"{type(error).__name__}: {error}"
            log.warning("ledger segment %s stays here for now: %s", path.name, told)
            return told[:500]

    def _ship(self, path: Path) -> int:
        frames, unreadable = read_segment(path)
        for (project, table), frame in frames.items():
            self._append(project, table, frame, path.stem)
        if unreadable:
            log.error("%d lines of ledger segment %s cannot be read; they are kept in %s", len(unreadable), path, UNREADABLE)
            with (self._folder / UNREADABLE).open("ab") as stream:
                stream.writelines(unreadable)
        path.unlink()
        return sum(frame.height for (_, table), frame in frames.items() if table.startswith(LEDGER))

    def _append(self, project: ProjectId, table: str, frame: pl.DataFrame, commit: str) -> None:
        if self._lake.version(project, table) is not None:
            frame = fit_to_table(frame, self._lake.scan(project, table).collect_schema())
        self._lake.append(project, table, frame, commit=commit)


class Shipper:
    """The background thread that ships about once a second, and whatever is asked for at once.

    Parameters
    ----------
    writer
        The local segments.
    carrier
        What brings them to the lake.
    interval_s
        How long a row waits at most while everything is well.
    gather
        Brings in closed segments that others left, before each shipment.
    """

    def __init__(
        self,
        writer: SegmentWriter,
        carrier: Carrier,
        interval_s: float = 1.0,
        gather: Callable[[], object] = lambda: None,
    ) -> None:
        self._writer = writer
        self._carrier = carrier
        self._interval_s = interval_s
        self._gather = gather
        self._one_at_a_time = Lock()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="ledger", daemon=True)
        self.rows_shipped = 0
        self.last_problem: str | None = None

    def start(self) -> None:
        """Begin to ship, first of all what an earlier process left."""
        self._thread.start()

    def stop(self) -> Shipment:
        """End the thread and ship what is there; what the lake does not take stays on the disk for the next start."""
        self._stop.set()
        self._thread.join()
        shipment = self.ship()
        self._carrier.close()
        return shipment

    def ship(self) -> Shipment:
        """Close the open segment and ship everything, now."""
        with self._one_at_a_time:
            self._writer.rotate()
            self._gather()
            waiting = self._writer.closed()
            told = self._carrier.carry(waiting) if waiting else []
            shipped = [one for one in told if isinstance(one, int)]
            problems = tuple(one for one in told if isinstance(one, str))
            self.rows_shipped += sum(shipped)
            self.last_problem = problems[-1] if problems else None
            return Shipment(sum(shipped), len(shipped), problems)

    def backlog(self) -> dict[str, float]:
        """Return how much waits on the disk: segments, bytes, and the age of the oldest in seconds."""
        sizes, oldest = [], time()
        for path in self._writer.closed():
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue  # shipped meanwhile
            sizes.append(stat.st_size)
            oldest = min(oldest, stat.st_mtime)
        return {"segments": len(sizes), "bytes": sum(sizes), "oldest_s": max(0.0, time() - oldest) if sizes else 0.0}

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            shipment = self.ship()
            pause = PAUSE_AFTER_FAILURE_S if shipment.problems else self._interval_s


def ledger_figures(writer: SegmentWriter, shipper: Shipper) -> dict[str, float]:
    """Return how a process's ledger stands, for its metrics."""
    backlog = shipper.backlog()
    return {
        "modelyard_ledger_rows_written_total": writer.rows_written,
        "modelyard_ledger_rows_shipped_total": shipper.rows_shipped,
        "modelyard_ledger_rows_lost_total": writer.rows_lost,
        "modelyard_ledger_backlog_segments": backlog["segments"],
        "modelyard_ledger_backlog_bytes": backlog["bytes"],
        "modelyard_ledger_backlog_oldest_seconds": backlog["oldest_s"],
    }
