"""Batch scoring: many raw rows through the same steps and model as every other door, by a worker."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
import polars as pl

from modelyard.client.connection import Connection, part
from modelyard.client.datasets import DatasetClient, DatasetVersionClient
from modelyard.client.landing import Landing
from modelyard.client.pieces import fetch_parts, parts_of, send_files
from modelyard.client.waiting import wait_for_job
from modelyard.core import Digest, Problem, nearest
from modelyard.core.places import is_pattern, local_files
from modelyard.data import DatasetVersion
from modelyard.data.table_files import ENDINGS
from modelyard.jobs import Job
from modelyard.serving.batch import PartForm, Report, ScoreRequest, SourceKind, SourceRef, TargetKind, TargetRef

SCORE_JOB: Final = "model.score"
TO_OBJECTS: Final = TargetRef(TargetKind.OBJECTS)

Rows = str | Path | DatasetClient | DatasetVersionClient | Sequence[str | Path]


def score(connection: Connection, project: str, reference: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with their answers (`probability`, …) and `model_version`, all by the version that `reference` names.

    Raises
    ------
    Problem
        `column.missing`, `input.invalid` and the like, naming column and row; `column.exists` for a column that an answer
        goes to.
    """
    with TemporaryDirectory(prefix="yard-score-") as name:
        folder = Path(name)
        rows.write_ipc(folder / "rows.arrow", compression="zstd")
        source = SourceRef(SourceKind.UPLOAD, send_files(connection, project, [folder / "rows.arrow"]))
        request = ScoreRequest(reference, source, TargetRef(TargetKind.OBJECTS, form=PartForm.ARROW))
        report = _run(connection, project, request, f"{rows.height:,} rows")
        paths = fetch_parts(connection, project, parts_of(connection, project, _listing(report)), folder / "parts")
        return pl.concat([pl.read_ipc(path) for path in paths])


def score_source(
    connection: Connection, project: str, reference: str, source: Rows, target: str | Path, *, anew: bool = False
) -> Report:
    """Answer for all rows of a source into a target, and return what came of it; see `VersionClient.score_source`."""
    if isinstance(target, str) and "://" in target:
        _require_folder(target)
        where = TargetRef(TargetKind.URL, target)
        return _run(connection, project, _request(connection, project, reference, source, where, anew=anew), _told(source))
    landing = Landing(Path(target))
    landing.require_free(anew=anew)
    request = _request(connection, project, reference, source, TO_OBJECTS, anew=anew)
    landing.begin(request, anew=anew)
    report = _run(connection, project, request, _told(source))
    parts = parts_of(connection, project, _listing(report))
    return landing.take(report, lambda folder: fetch_parts(connection, project, parts, folder))


def _run(connection: Connection, project: str, request: ScoreRequest, told: str) -> Report:
    title = f"score {told} with {request.model}"[:400]
    body: dict[str, Any] = {"kind": SCORE_JOB, "title": title, "payload": msgspec.to_builtins(request)}
    job = connection.post(f"{project}/jobs", Job, body)
    done = wait_for_job(connection, f"{project}/jobs/{part(job.id)}")
    return msgspec.convert(done.result, Report)


def _request(
    connection: Connection, project: str, reference: str, source: Rows, target: TargetRef, *, anew: bool
) -> ScoreRequest:
    return ScoreRequest(reference, _source(connection, project, source), target, anew)


def _source(connection: Connection, project: str, source: Rows) -> SourceRef:
    """Return what the worker reads: files of this machine are sent first."""
    if isinstance(source, DatasetVersionClient):
        return SourceRef(SourceKind.DATASET, source.ref)
    if isinstance(source, DatasetClient):
        return SourceRef(SourceKind.DATASET, source.version().ref)
    if isinstance(source, str) and "://" in source:
        return SourceRef(SourceKind.URL, source)
    named = [source] if isinstance(source, str | Path) else list(source)
    found = [local_files(str(one)) for one in named]
    if all(found):
        return SourceRef(SourceKind.UPLOAD, send_files(connection, project, [path for paths in found for path in paths]))
    [absent, *_] = [str(one) for one, paths in zip(named, found, strict=True) if not paths]
    if len(named) > 1 or _is_path(absent):
        raise _missing(absent)
    name, _, number = absent.partition("@")
    path = f"{project}/datasets/{part(name)}/versions/{part(number or 'latest')}"
    version = connection.get(path, DatasetVersion)
    return SourceRef(SourceKind.DATASET, f"{version.name}@{version.number}")


def _is_path(text: str) -> bool:
    return "/" in text or is_pattern(text) or text.lower().endswith(ENDINGS)


def _missing(name: str) -> Problem:
    if "://" in name:
        return Problem("source.invalid", f"{name} is a URL among several sources", "a URL is named alone", "name a pattern")
    path = Path(name)
    beside = [one.name for one in path.parent.glob("*")] if path.parent.is_dir() and not is_pattern(name) else []
    near = nearest(path.name, beside)
    return Problem("file.missing", f"There is no file {name}", f"did you mean '{near[0]}'?" if near else "")


def _require_folder(target: str) -> None:
    if target.partition("?")[0].lower().endswith(ENDINGS):
        why, step = "answers are written there in parts", f"name a folder: {target.rpartition('/')[0]}/"
        raise Problem("target.invalid", f"{target} names a file", why, step)


def _told(source: Rows) -> str:
    if isinstance(source, DatasetClient | DatasetVersionClient):
        return source.name
    if isinstance(source, str | Path):
        return str(source).partition("?")[0].rpartition("/")[2] or str(source)
    return f"{len(source)} sources"


def _listing(report: Report) -> Digest:
    if report.listing is None:
        raise Problem("server.invalid", "The job names no parts", "it was asked to keep them", "use the server's version here")
    return report.listing
