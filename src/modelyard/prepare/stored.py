"""Use case: a pipeline run over a dataset version on some engine, its rows stored as a version of another dataset."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import polars as pl

from modelyard.core import Digest, Problem, ProjectId, canonical_json, from_text
from modelyard.data import Column, Dataset, DatasetVersion, Parent, Profile, Split, intake, reading, split_frame
from modelyard.data.adopting import Adopted, adopt
from modelyard.data.content import joined_digest
from modelyard.data.lake_files import LakeFile, LakeFiles, LakeFolder, scan_files
from modelyard.data.profile import from_json, merge, profile, to_json
from modelyard.data.rules import batch_of, check_dataset_name, check_there, table_of
from modelyard.data.sample import sample_rows
from modelyard.data.schema import column_missing, conform, dtype_of, refuse_reserved
from modelyard.data.service import create_dataset
from modelyard.data.split import default_split
from modelyard.jobs.rules import problem_from_json
from modelyard.prepare.boundary import user_code_boundary
from modelyard.prepare.code import load
from modelyard.prepare.engine import ROWS, Done, Engine, Tables, Work, joined, pieces_of
from modelyard.prepare.fit import fit
from modelyard.prepare.transform import Transform
from modelyard.prepare.types import FittedPipeline, Pipeline, SetStep
from modelyard.tenancy import Actor, authorise
from modelyard.version import __version__

LOCAL: Final = "local"
FIT_ROWS: Final = 1_000_000
_READ_SHARE, _SETS_SHARE, _FIT_SHARE = 0.05, 0.2, 0.3  # of the way
_PROFILED: Final = 100_000  # prepared rows of which the profile's slots are made
_PATH: Final = "_content"  # one of the names that no column of a dataset may have


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    data: str  # a dataset version: `flights@3`
    pipeline: Digest  # of a `Pipeline`, as JSON in the object store
    into: str  # the dataset that the rows are stored in
    on: str = LOCAL  # the engine, by URL
    label: str | None = None
    keep: tuple[str, ...] | None = None  # columns that are stored as they are; None: key, time and label
    split: Split | None = None  # of whose first part the steps learn; None: by what the dataset has
    fit_rows: int = FIT_ROWS  # that the steps learn from at most: a sample of larger sets
    note: str = ""


class Ports(intake.Ports, Protocol):
    """What is needed of the platform."""

    @property
    def engine(self) -> Callable[[str], AbstractContextManager[Engine]]:
        """An engine by URL, connected."""
        ...


@dataclass(frozen=True)
class Trying:
    """One try of the job."""

    name: str  # of its folders in the lake: no other try has it
    scratch: Path
    progress: Callable[[float, str], None]


@dataclass(frozen=True)
class _Task:
    """What one try works on."""

    ports: Ports
    project: ProjectId
    request: Request
    trying: Trying
    version: DatasetVersion
    dataset: Dataset
    pipeline: Pipeline
    between: list[str] = field(default_factory=list)  # folders of the lake with what steps over sets made


def store_prepared(ports: Ports, actor: Actor, project: ProjectId, request: Request, trying: Trying) -> DatasetVersion:
    """Run a pipeline over a dataset version and return the version that its rows are: the same rows are the same version.

    Steps over sets are asked first. The others learn from the first part of the split, or of a sample's split where there are
    more than `fit_rows`; then every row is prepared on the engine, and all are seen at once when the last one is. The rows hold
    the columns to `keep`, then the features; what is missing is null.

    Raises
    ------
    Problem
        `dataset.missing`, `dataset_version.missing`; `dataset.conflict` where `into` is no dataset for prepared rows, or these
        do not have its key and time, each key once; `column.missing`; `column.invalid` for a name that the lake uses itself;
        `column.exists` for a feature that has the name of a column to keep; `engine.unavailable`, `engine.conflict`,
        `query.invalid`; what `fit` raises; a row's problem, with its place.
    """
    authorise(actor, "dataset.write", project)
    authorise(actor, "run.write", project)  # the functions of its steps run here and on the engine
    check_dataset_name(request.into)
    version = reading.find_version(ports, project, request.data)
    dataset = reading.find_dataset(ports, project, version.name)
    [content] = ports.objects.get(project, [request.pipeline])
    pipeline = Pipeline.from_json(msgspec.json.decode(content))
    _check_inputs(pipeline)
    task = _Task(ports, project, request, trying, version, dataset, pipeline)
    target = _target(task)
    try:
        with ports.engine(request.on) as engine:
            rows, parents = _rows(task, engine)
            keep = _kept(task, rows.schema)
            _check_kept(target, keep)
            time = dataset.time if dataset.time in keep else None
            trying.progress(_SETS_SHARE, "learn")
            fitted, slots = _learned(task, rows, keep)
            work = _work(task, rows, fitted, keep, time, slots)
            done = _all_done(task, engine, work, rows)
        _check_promises(task, target, work, done)
        [kept] = ports.objects.put(project, [canonical_json(fitted.to_json()).encode()])
        where = "here" if request.on == LOCAL else f"on {request.on.partition('?')[0]}"
        parents.append(Parent("pipeline", kept, f"{len(pipeline.sets) + len(pipeline.steps)} steps {where}"))
        if target is None:
            key = dataset.key if set(dataset.key) <= set(keep) and not pipeline.sets else ()
            target = _made(task, actor, key, time)
        return adopt(ports, actor, target, trying.name, _adopted(done, tuple(parents), request.note))
    finally:
        for name in (trying.name, *task.between):
            ports.lake.discard(project, table_of(request.into), name)


def _check_inputs(pipeline: Pipeline) -> None:
    for name in (name for step in pipeline.sets for name in step.inputs):
        if not name.isidentifier() or name == ROWS:
            why = f"the rows themselves are `{ROWS}`" if name == ROWS else "it is no name in SQL and Python alike"
            what = f"A step over a set cannot call a dataset {name[:80]!r}"
            raise Problem("pipeline.invalid", what, why, 'name it as in prep.sql("…", weather="weather@3")')


def _made(task: _Task, actor: Actor, key: Sequence[str], time: str | None) -> Dataset:
    """Return the dataset that was not there before, whoever has made it meanwhile."""
    try:
        return create_dataset(task.ports, actor, task.project, task.request.into, key=key, time=time)
    except Problem as problem:
        found = _target(task) if problem.code == "dataset.exists" else None
        if found is None:
            raise
        return found


def _target(task: _Task) -> Dataset | None:
    with task.ports.transaction() as tx:
        found = next((one for one in tx.datasets.find(task.project) if one.name == task.request.into), None)
    if found is None:
        return None
    own = "it holds the rows to prepare" if found.id == task.dataset.id else ""
    fed = "its rows come from a source" if found.source else "its checks judge rows that are appended" if found.checks else ""
    if own or fed:
        raise _unfit(found, own or fed, "name a dataset that is for prepared rows alone")
    return found


def _unfit(target: Dataset, why: str, step: str) -> Problem:
    return Problem("dataset.conflict", f"Prepared rows cannot be stored in '{target.name}'", why, step)


def _check_kept(target: Dataset | None, keep: Sequence[str]) -> None:
    """Return when the columns to keep are those that the dataset promises of its rows."""
    for name in () if target is None else _named(target):
        if name not in keep:
            assert target is not None  # noqa: S101 - it has a name
            raise _unfit(target, f"'{name}' is of its key or time, and is not kept", f'keep it: keep=["{name}", …]')


def _named(target: Dataset) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*target.key, *([target.time] if target.time else []))))


def _check_promises(task: _Task, target: Dataset | None, work: Work, done: Sequence[Done]) -> None:
    """Return when each row has the key and time that the dataset promises, and no two have one key.

    Rows that were prepared one by one, under the key and time of their own dataset, have kept both.
    """
    if target is None or not _named(target):
        return
    if not task.pipeline.sets and (target.key, target.time) == (task.dataset.key, task.dataset.time):
        return
    files = tuple(LakeFile(f"{work.folder}/{one.name}", one.rows, one.file_bytes) for one in done)
    schema = pl.Schema({column.name: dtype_of(column.dtype) for column in done[0].columns if column.name in _named(target)})
    rows = scan_files(LakeFiles(files, schema, work.writes))
    lacking = pl.any_horizontal(pl.all().is_null())
    without = int(rows.select(lacking.sum()).collect(engine="streaming").item())
    if without:
        raise _unfit(
            target, f"{without:,} rows have no {' or no '.join(_named(target))}", "leave them out in a step over the set"
        )
    if target.key:
        different = int(rows.select(target.key).unique().select(pl.len()).collect(engine="streaming").item())
        again = sum(one.rows for one in done) - different
        if again:
            step = "make one row of each in a step over the set, or name a dataset without that key"
            raise _unfit(target, f"{again:,} rows have a key ({', '.join(target.key)}) that another one has", step)


# The rows


def _rows(task: _Task, engine: Engine) -> tuple[LakeFiles, list[Parent]]:
    """Return the rows that are to be prepared one by one, and where they come from."""
    found, parents = _files_of(task, task.version), [_parent(task.version)]
    for number, step in enumerate(task.pipeline.sets, start=1):
        task.trying.progress(_READ_SHARE, f"step {number}, over all rows")
        versions = {name: reading.find_version(task.ports, task.project, ref) for name, ref in step.inputs.items()}
        parents += [_parent(one) for one in versions.values()]
        others = {name: _files_of(task, one) for name, one in versions.items()}
        first = tuple(name for name in (task.dataset.time, *task.dataset.key) if name)
        found = _asked(task, engine, step, Tables(found, others, first))
    return found, list(dict.fromkeys(parents))


def _parent(version: DatasetVersion) -> Parent:
    return Parent("dataset_version", version.id, f"{version.name} v{version.number}")


def _files_of(task: _Task, version: DatasetVersion) -> LakeFiles:
    """Return the files that hold a version's rows and no others: they are written where rows of its files were replaced."""
    batches = reading.batches_until(task.ports, task.project, version)
    check_there(version)
    if any(one.replaced for one in batches):
        return _written(task, reading.read(task.ports, task.project, version))
    commits = [batch_of(one) for one in batches]
    table = table_of(version.name)
    found = task.ports.lake.files(task.project, table, version=version.table_version, commits=commits)
    return replace(found, schema=pl.Schema({column.name: found.schema[column.name] for column in version.schema.columns}))


def _asked(task: _Task, engine: Engine, step: SetStep, tables: Tables) -> LakeFiles:
    """Return the files with what a step over sets makes of them, in an order that does not hang on chance where it can be."""
    if isinstance(step.work, str):
        folder = _folder(task)
        engine.query(step.work, tables, folder, task.trying.scratch)
        return _read_back(task, folder)
    given = {name: scan_files(files) for name, files in tables.others.items()}
    with user_code_boundary(f"The function '{step.work.entry}' over a set"):
        made: Any = load(step.work)(scan_files(tables.rows), **given)
    if not isinstance(made, pl.LazyFrame | pl.DataFrame):
        why = f"it returned a {type(made).__name__}"
        raise Problem("step.invalid", f"The function '{step.work.entry}' makes no set of rows", why, "return a LazyFrame")
    columns = made.collect_schema()
    order = [name for name in tables.order(columns.names()) if not columns[name].is_nested()]
    return _written(task, made.lazy().sort(order, nulls_last=True, maintain_order=True))


def _folder(task: _Task) -> LakeFolder:
    task.between.append(f"{task.trying.name}-{len(task.between)}")
    return task.ports.lake.folder(task.project, table_of(task.request.into), task.between[-1])


def _written(task: _Task, rows: pl.LazyFrame) -> LakeFiles:
    folder = _folder(task)
    with user_code_boundary("A step over a set"):
        rows.sink_parquet(f"{folder.path}/part-000000.parquet", storage_options=dict(folder.options))
    return _read_back(task, folder)


def _read_back(task: _Task, folder: LakeFolder) -> LakeFiles:
    """Return the Parquet files of a folder, in the order of their names. Problem `frame.invalid` where they hold no row."""
    options = dict(folder.options)
    refuse_reserved(pl.scan_parquet(f"{folder.path}/*.parquet", storage_options=options).collect_schema().names())
    found = pl.scan_parquet(f"{folder.path}/*.parquet", storage_options=options, include_file_paths=_PATH)
    schema = conform(found.drop(_PATH).head(0).collect()).schema
    counted = found.group_by(_PATH).len().sort(_PATH).collect()
    files = tuple(LakeFile(path, rows, 0) for path, rows in counted.iter_rows())
    if not files:
        raise Problem("frame.invalid", "There is nothing to prepare", "the steps over sets leave no row", "look at the query")
    return LakeFiles(files, schema, options)


# What is learned


def _kept(task: _Task, schema: pl.Schema) -> tuple[str, ...]:
    asked = task.request.keep
    label = (task.request.label,) if task.request.label else ()
    for name in (*label, *(asked or ())):
        if name not in schema:
            raise column_missing(name, schema.names())
    if asked is not None:
        return tuple(dict.fromkeys((*asked, *label)))
    named = (*task.dataset.key, *((task.dataset.time,) if task.dataset.time else ()), *label)
    return tuple(dict.fromkeys(name for name in named if name in schema))


def _learned(task: _Task, rows: LakeFiles, keep: tuple[str, ...]) -> tuple[FittedPipeline, Profile]:
    """Return the steps fitted, and the profile over whose slots the whole set is counted: that of a sample of prepared rows."""
    request, dataset = task.request, task.dataset
    count = sum(one.rows for one in rows.files)
    seen = scan_files(rows)
    sample = seen.collect() if count <= request.fit_rows else sample_rows(seen, count, request.fit_rows)
    time = dataset.time if dataset.time in sample.columns else None
    key = [name for name in dataset.key if name in sample.columns]
    split = request.split or default_split(key, time)
    learning, _ = split_frame(sample, split, key=key, time=time)
    fitted = fit(Pipeline(task.pipeline.steps), learning, request.label)
    for name in fitted.features:
        if name in keep:
            why, step = "it is kept as it is, too", f'leave it out of either: prep.drop("{name}"), or keep=[…]'
            raise Problem("column.exists", f"The pipeline makes a feature '{name}'", why, step)
    some = sample_rows(sample.lazy(), sample.height, _PROFILED)
    return fitted, profile(joined(some, Transform(fitted), keep))


# The work


def _work(
    task: _Task, rows: LakeFiles, fitted: FittedPipeline, keep: tuple[str, ...], time: str | None, slots: Profile
) -> Work:
    folder = task.ports.lake.folder(task.project, table_of(task.request.into), task.trying.name)
    held = reading.table_types(task.ports, task.project, task.request.into)
    read = dict.fromkeys((*(column.name for column in fitted.inputs), *keep))
    written = {*keep, *fitted.features}
    return Work(
        modelyard=__version__,
        polars=pl.__version__,
        fitted=fitted.to_json(),
        columns=tuple(Column(name, str(rows.schema[name])) for name in read),
        reads=rows.options,
        keep=keep,
        types=tuple(Column(name, str(dtype)) for name, dtype in held.items() if name in written),
        folder=folder.path,
        writes=folder.options,
        time=time,
        profile=to_json(slots),
    )


def _all_done(task: _Task, engine: Engine, work: Work, rows: LakeFiles) -> list[Done]:
    row_bytes = task.version.size_bytes / max(task.version.rows, 1)
    pieces = [msgspec.json.encode(piece).decode() for piece in pieces_of(rows.files, row_bytes)]
    count, done = sum(one.rows for one in rows.files), []
    ready = 0
    for answer in engine.each(msgspec.json.encode(work).decode(), pieces):
        one = msgspec.json.decode(answer, type=Done)
        if one.problem is not None:
            raise problem_from_json(one.problem)
        done.append(one)
        ready += one.rows
        task.trying.progress(_FIT_SHARE + (0.95 - _FIT_SHARE) * ready / max(count, 1), f"{ready:,} of {count:,} rows")
    if len(done) != len(pieces):
        why = f"of {len(pieces)} pieces {len(done)} came back"
        raise Problem("engine.unavailable", "The engine did not do all of the work", why, "look at its log, and run it again")
    return sorted(done, key=lambda one: one.number)


def _adopted(done: Sequence[Done], parents: tuple[Parent, ...], note: str) -> Adopted:
    columns, width = done[0].columns, range(len(done[0].columns))
    rows = sum(one.rows for one in done)
    blocks = [[digest for one in done for digest in one.blocks[place]] for place in width]
    times = [from_text(text) for one in done for text in (one.event_from, one.event_until) if text is not None]
    profiles = [from_json(dict(one.profile)) for one in done]
    return Adopted(
        files=tuple(LakeFile(one.name, one.rows, one.file_bytes) for one in done),
        columns=columns,
        digest=joined_digest(rows, columns, blocks),
        rows=rows,
        size_bytes=sum(one.size_bytes for one in done),
        profile=reduce(merge, profiles),
        event_from=min(times, default=None),
        event_until=max(times, default=None),
        parents=parents,
        note=note,
    )
