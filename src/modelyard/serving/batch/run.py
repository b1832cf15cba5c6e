"""The run of a batch: read ahead, answer parts side by side, write each whole, go on after a kill.

One thread reads; as many as there are cores prepare, ask the model and write, which all run past the interpreter's lock. At
most one part a thread and two more are in memory.
"""

import io
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol

import polars as pl

from modelyard.core import Place, Problem, ProjectId
from modelyard.data.csv_types import not_a_number
from modelyard.prepare.values import ValueKind
from modelyard.serving.batch.rules import content_of, key_of, parts_of, rows_of_part
from modelyard.serving.batch.sources import Source, open_source
from modelyard.serving.batch.targets import ObjectTarget, PlaceTarget, Target, read_plan
from modelyard.serving.batch.types import Part, PartForm, Plan, Report, ScoreRequest, TargetKind
from modelyard.serving.score import Ports as ScorePorts
from modelyard.serving.score import Scorer, open_scorer
from modelyard.serving.store import ServingTransaction
from modelyard.tenancy import Actor

MOST_THREADS = 8
STRETCH_ROWS = 50_000

Progress = Callable[[float, str], None]


class Ports(ScorePorts, Protocol):
    """What a batch needs of the platform."""

    @property
    def place(self) -> Callable[[str], Place]:
        """A place of files by URL."""
        ...

    def transaction(self) -> AbstractContextManager[ServingTransaction]:
        """Open or join a transaction."""
        ...


@dataclass(frozen=True)
class Work:
    """Where a run works, and how."""

    job: str  # whose tries are one run
    folder: Path  # for copies, and the version's content
    receipts: Callable[[str], Place]  # by the key of a plan: what tells the parts in the object store
    progress: Progress = lambda fraction, message: None
    clock: Callable[[], float] = time.monotonic
    threads: int = 0  # 0: one for each core


def score_all(ports: Ports, actor: Actor, project: ProjectId, request: ScoreRequest, work: Work) -> Report:
    """Answer for all rows of a source, each once, by one version, and return the report that the target keeps.

    A part that is there is not answered again: neither after a kill, nor by another job that asks for the same. The version is
    that of the beginning, whatever an alias names meanwhile.

    Raises
    ------
    Problem
        What sources, targets and the version raise, before a row is answered as far as that can be; for a row that the version
        refuses its own, with file and row. Parts that were written stay, and `_SUCCESS` is not.
    """
    began = work.clock()
    place = ports.place(request.target.ref) if request.target.kind is TargetKind.URL else None
    before = read_plan(place) if place is not None else None
    mine = before if before is not None and before.job == work.job else None
    source = open_source(ports, actor, project, mine.source if mine else request.source, work.folder)
    reference = f"{mine.model}@{mine.version}" if mine else request.model
    scorer = open_scorer(ports, actor, project, reference, work.folder, mine.features if mine else ())
    scorer.require_free(source.schema)
    _require_numbers(source, scorer)
    now = _plan(source, scorer, request, work.job)
    target: Target = (
        PlaceTarget(place) if place is not None else ObjectTarget(ports.objects, project, work.receipts(key_of(now)))
    )
    plan = target.begin(now, anew=request.anew)
    present = target.present()
    missing = [part for part in parts_of(plan) if part.name not in present]
    done = target.report()
    if done is not None and not missing:
        return done
    rows = sum(one.rows for one in plan.inputs)
    progress = _Told(work, rows, rows - sum(part.rows for part in missing))
    for part in _answered(source, scorer, plan, missing, target, work.threads or cores()):
        progress.add(part.rows)
    seconds = work.clock() - began
    rate = round(sum(part.rows for part in missing) / max(seconds, 1e-9))
    told = str(place) if place is not None else "the object store"
    parts = len(parts_of(plan))
    return target.finish(plan, Report(plan.model, plan.version, plan.form, rows, parts, round(seconds, 3), rate, told))


def cores() -> int:
    """Return how many threads are worth their while here."""
    return min(len(os.sched_getaffinity(0)), MOST_THREADS)


class _Told:
    """Tells how far the rows are."""

    def __init__(self, work: Work, rows: int, done: int) -> None:
        self._work, self._rows, self._done, self._new = work, rows, done, 0
        self._began = work.clock()

    def add(self, rows: int) -> None:
        self._done += rows
        self._new += rows
        rate = self._new / max(self._work.clock() - self._began, 1e-9)
        told = f"{self._done:,} of {self._rows:,} rows, {rate:,.0f} rows/s"
        self._work.progress(self._done / max(self._rows, 1), told)


def _plan(source: Source, scorer: Scorer, request: ScoreRequest, job: str) -> Plan:
    served = scorer.loaded.served
    return Plan(
        job=job,
        model=scorer.model,
        version=served.version,
        form=served.form,
        content=content_of(served.contents),
        source=source.ref,
        inputs=source.inputs,
        part_rows=rows_of_part(source.row_bytes),
        part_form=request.target.form,
        features=scorer.join.versions if scorer.join else (),
    )


def _require_numbers(source: Source, scorer: Scorer) -> None:
    """Return when texts are where the version takes texts.

    One text among the numbers of a CSV file makes its whole column texts; the version would refuse the first row, and not say
    which one it is.

    Raises
    ------
    Problem
        `column.invalid`, with file and row of the first text in place of a number.
    """
    numbers = {name for name, kind in scorer.loaded.kinds.items() if kind in (ValueKind.NUMBER, ValueKind.INTEGER)}
    for name in (name for name, dtype in source.schema.items() if dtype == pl.String and name in numbers):
        for number, one in enumerate(source.inputs):
            with source.peek(number) as rows:
                found = rows.select(name).with_row_index("row").filter(not_a_number(name)).head(1).collect(engine="streaming")
            if found.height:
                row, value = found.row(0)
                what, step = f"Column '{name}' has a text in row {row} of {one.name}", "mend it, or leave it empty"
                detail = {"column": name, "row": row, "input": one.name, "value": value[:80]}
                raise Problem("column.invalid", what, f"a number is expected, and it is {value[:80]!r}", step, detail)


def _answered(
    source: Source, scorer: Scorer, plan: Plan, missing: Sequence[Part], target: Target, threads: int
) -> Iterator[Part]:
    """Answer and write the missing parts, and give each when it is there, in order."""

    def work(part: Part, rows: pl.DataFrame) -> Part:
        answers = scorer.answered(rows, first_row=part.first_row, within=plan.inputs[part.input].name)
        target.write(part.name, _content(answers, plan.part_form))
        return part

    pending: deque[Future[Part]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="score") as pool:
        try:
            for part, rows in _frames(source, plan, missing):
                pending.append(pool.submit(work, part, rows))
                while len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for one in pending:
                one.cancel()


def _frames(source: Source, plan: Plan, missing: Sequence[Part]) -> Iterator[tuple[Part, pl.DataFrame]]:
    """Give the rows of the missing parts, in order; of a file that was begun nothing is read before the first one."""
    for number, group in groupby(missing, key=lambda part: part.input):
        parts = {part.first_row: part for part in group}
        one = plan.inputs[number]
        first, last = min(parts), max(parts)
        until = last + parts[last].rows
        with source.rows(number) as lazy:
            if not one.rows:
                yield parts[0], lazy.head(0).collect()
                continue
            at = first
            for rows in _cut(lazy.slice(first, until - first), plan.part_rows):
                part = parts.get(at)
                if part is not None and part.rows == rows.height:
                    yield part, rows
                elif part is not None:
                    break
                at += rows.height
            if at != until:
                why = f"{until:,} rows were counted, and {at:,} could be read"
                raise Problem("source.conflict", f"{one.name} has changed while it was read", why, "begin again with --anew")


def _cut(rows: pl.LazyFrame, height: int) -> Iterator[pl.DataFrame]:
    """Give rows in frames of one height; the last may be lower."""
    held: list[pl.DataFrame] = []
    count = 0
    for stretch in rows.collect_batches(chunk_size=min(height, STRETCH_ROWS), maintain_order=True):
        at = 0
        while count + stretch.height - at >= height:
            held.append(stretch.slice(at, height - count))
            at += height - count
            yield pl.concat(held)
            held, count = [], 0
        if at < stretch.height:
            held.append(stretch.slice(at))
            count += stretch.height - at
    if held:
        yield pl.concat(held)


def _content(rows: pl.DataFrame, form: PartForm) -> bytes:
    buffer = io.BytesIO()
    if form is PartForm.PARQUET:
        rows.write_parquet(buffer, compression="zstd", compression_level=1)
    else:
        rows.write_ipc(buffer, compression="zstd")
    return buffer.getvalue()
