"""Datasets and their versions."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from time import sleep
from typing import Any

import msgspec
import polars as pl

from modelyard.client.connection import Connection, part
from modelyard.client.exchange import write_croissant
from modelyard.client.resources import limits_of
from modelyard.client.waiting import wait_for_job
from modelyard.core import Problem, system_clock
from modelyard.core.spans import age_s
from modelyard.data import Admission, Check, Column, Dataset, DatasetVersion, Parent, Profile, Split, Vacuum
from modelyard.data.croissant import About
from modelyard.data.diff import EXAMPLES, VersionDiff
from modelyard.data.features import Default, Lookup, declare_lookup
from modelyard.data.features.online import FeatureRow, Published
from modelyard.data.foreign_checks import Imported, fitted, read_checks
from modelyard.data.profile import from_json
from modelyard.data.quality import Suggestion
from modelyard.data.retention import KEEP
from modelyard.data.rules import LATEST
from modelyard.data.snapshot_jobs import admission_of, batch_refused
from modelyard.jobs import Job

ARROW = "application/vnd.apache.arrow.file"


@dataclass(frozen=True)
class DatasetVersionClient:
    """One immutable version of a dataset."""

    record: DatasetVersion
    admission: Admission | None  # of the batch that made it, where this process sent that
    _connection: Connection
    _project: str

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.record.name

    @property
    def number(self) -> int:
        """Its number, from 1."""
        return self.record.number

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.record.rows

    @property
    def ref(self) -> str:
        """What names it: `flights@3`."""
        return f"{self.record.name}@{self.record.number}"

    def frame(self, limit: int | None = None) -> pl.DataFrame:
        """Return its rows, or the first `limit` of them."""
        most = max(self.record.rows if limit is None else limit, 1)
        return read_frame(self._connection, f"{self._path}/rows", limit=most)

    def sample(self, rows: int, seed: int = 0) -> pl.DataFrame:
        """Return so many of its rows, drawn uniformly, in their order: the same ones each time, others for another seed.

        A smaller sample of the same seed is part of a larger one. Problem `sample.invalid` for fewer than one.
        """
        if rows < 1:
            raise Problem("sample.invalid", f"A sample of {rows} rows cannot be drawn", "it has at least one", "ask for more")
        return read_frame(self._connection, f"{self._path}/rows", limit=rows, sample=rows, seed=seed)

    def profile(self) -> Profile:
        """Return what its columns look like."""
        return from_json(self._connection.get(f"{self._path}/profile", dict[str, Any]))

    def export_croissant(self, folder: str | Path, about: About | None = None, *, split: Split | None = None) -> Path:
        """Write its rows as Parquet and what tells of them as Croissant (MLCommons' JSON-LD); return the path of the latter.

        `about` is what only you know: licence, citation, creators. With `split` the rows lie in a file of each part.

        Raises
        ------
        Problem
            `target.exists` for a folder that is not empty; `split.invalid` as of a run; `file.unavailable`.
        """
        dataset = self._connection.get(f"{self._project}/datasets/{part(self.record.name)}", Dataset)
        return write_croissant(self.frame(), dataset, self.record, Path(folder), about or About(), split)

    @property
    def _path(self) -> str:
        return f"{self._project}/datasets/{part(self.record.name)}/versions/{self.record.number}"


class DatasetClient:
    """A dataset by name."""

    def __init__(self, connection: Connection, project: str, record: Dataset) -> None:
        self.record = record
        self._connection = connection
        self._project = project
        self._path = f"{project}/datasets/{part(record.name)}"

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    def snapshot(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        replacing: bool | None = None,
        note: str = "",
        resources: Mapping[str, Any] | None = None,
    ) -> DatasetVersionClient:
        """Read the source, those rows of [since, until) by event time, and return the version that holds what is new of them.

        A worker does it, and this waits for it. A stream, or a table with a watermark, is read on from where the one before
        ended, unless a stretch is named; a stream at most a million messages at a time: `admission.waiting` of the version
        tells how many lie beyond. With `replacing` rows of a known key stand in for those held; None: of a source that is read
        on. `resources` bounds what it may take, as in `{"time": "1h", "disk": "20GiB"}`; unless told otherwise it
        is ended after a day.

        Raises
        ------
        Problem
            `resources.invalid`; `job.timeout` and `job.too_large` where it went over a bound; `job.limited` where the
            server's disk is nearly full;
            `batch.refused` when it failed a blocking check, or too many rows failed others; all of them are in quarantine, with
            their reasons.
        """
        limits = limits_of(resources or {})
        body = {"since": since, "until": until, "replacing": replacing, "note": note, "limits": limits}
        job = self._connection.post(f"{self._path}/snapshots", Job, body)
        done = wait_for_job(self._connection, f"{self._project}/jobs/{part(job.id)}")
        number, admission = admission_of(done.result or {})
        record = self.version(number).record
        return self._client(record, replace(admission, version=record))

    def follow(self, every_s: float = 10.0) -> Iterator[DatasetVersionClient]:
        """Take snapshots for as long as they are asked for, and yield the version after each, new or not; see `snapshot`.

        What waits is read at once; when nothing does, the next look is after `every_s` seconds. Ended at any moment and begun
        again, here or elsewhere, it goes on where the last version ended. A source that reads on is looked at by the server
        itself, a portion at a time; of any other each look is a job.
        """
        take = self._read_on
        while True:
            try:
                made = take()
            except Problem as problem:
                if problem.code == "portion.refused":
                    take = self.snapshot
                    continue
                if problem.code != "batch.invalid":  # nothing came yet
                    raise
                sleep(every_s)
                continue
            yield made
            if made.admission is None or not made.admission.waiting:
                sleep(every_s)

    def append(
        self, frame: pl.DataFrame, *, parents: Sequence[Parent | DatasetVersionClient] = (), note: str = "", whole: bool = False
    ) -> DatasetVersionClient:
        """Add the rows of a frame as a new version. Raises as `snapshot`.

        `parents` say where the rows came from. With `whole` the rows are all that the version holds: a full dump, say.
        """
        buffer = io.BytesIO()
        frame.write_ipc(buffer, compression="zstd")
        told = [_parent(one) for one in parents]
        answer = self._connection.send(
            "POST",
            f"{self._path}/rows",
            params={"parent": [f"{one.kind}|{one.ref}|{one.told}" for one in told], "note": note, "whole": whole},
            content=buffer.getvalue(),
            headers={"Content-Type": ARROW},
        )
        return self._admitted(msgspec.json.decode(answer.content, type=Admission))

    def lookup(
        self,
        *columns: str,
        by: str | Sequence[str] | None = None,
        max_age: str | None = None,
        missing: str | Mapping[str, Default] | None = None,
        prefix: str = "",
    ) -> Lookup:
        """Return these columns as features for a trainer: to each row as they were last known of its entity before its time.

        Parameters
        ----------
        by
            The row's columns that name the entity, in the order of this dataset's key less its time; None: of the same names.
        max_age
            How old a value may be, as in `6h`; None: any age.
        missing
            What stands for a value that is missing or too old: None is null, `"refuse"` refuses the row, a mapping has a
            default for each column.
        prefix
            Of the names that the columns have in the row.

        Raises
        ------
        Problem
            `lookup.invalid` for a dataset without time or key, and for what says nothing clear; `span.invalid`.
        """
        return declare_lookup(self.record, columns, by=by, max_age=max_age, missing=missing, prefix=prefix)

    def publish(self) -> Published:
        """Put what the newest version knows into the online store, all of it, and keep it up to date from then on.

        A version that looks this dataset up has it published when it is registered; this is for a store that was lost.
        """
        return self._connection.post(f"{self._project}/features/{part(self.name)}/publish", Published)

    def look_up(self, *entity: object, before: datetime | None = None) -> FeatureRow | None:
        """Return what the online store knows of an entity strictly before a moment, by default now; None: nothing.

        `entity` has a value for each column of the key but the time.
        """
        query = {"entity": [str(one) for one in entity], "before": None if before is None else before.isoformat()}
        found = self._connection.get(f"{self._project}/features/{part(self.name)}/rows", list[FeatureRow], **query)
        return found[0] if found else None

    def add_checks(self, checks: Sequence[Check]) -> None:
        """Ask for these too, of the batches to come.

        Raises
        ------
        Problem
            `check.invalid`, also for one that does not fit the rows held; `column.missing` where they lack its column.
        """
        self.record = self._connection.post(f"{self._path}/checks", Dataset, list(checks))

    def change_checks(self, checks: Sequence[Check], *, stop_share: float | None = None) -> None:
        """Ask for these and no others, of the batches to come; `stop_share` stays where it is not said."""
        share = self.record.stop_share if stop_share is None else stop_share
        body = {"checks": list(checks), "stop_share": share}
        self.record = self._connection.put(f"{self._path}/checks", Dataset, body)

    def import_checks(self, text: str) -> Imported:
        """Ask also for what an expectation suite or a serialised pandera schema asks, and return what became of each part.

        What has no counterpart, or does not fit the rows held, is left out, with why.

        Raises
        ------
        Problem
            `checks.invalid` for a text that is neither of the two.
        """
        found = read_checks(text)
        newest = next(self.versions(), None)
        if newest is not None:
            found = fitted(found, newest.frame(1), system_clock())
        self.add_checks(found.checks)
        return found

    def suggest_checks(self) -> list[Suggestion]:
        """Return checks that the rows of the newest version keep, each with its reason; none for under 100 rows."""
        return self._connection.get(f"{self._path}/suggestions", list[Suggestion])

    def version(self, what: int | str = LATEST) -> DatasetVersionClient:
        """Return a version by number, or the latest."""
        return self._client(self._connection.get(f"{self._path}/versions/{part(what)}", DatasetVersion))

    def versions(self) -> Iterator[DatasetVersionClient]:
        """Yield the versions, newest first."""
        for record in self._connection.pages(f"{self._path}/versions", DatasetVersion):
            yield self._client(record)

    def diff(self, before: int | str, after: int | str = LATEST, *, examples: int = EXAMPLES) -> VersionDiff:
        """Return what differs between two versions: columns, rows (by the key where there is one), and how each column moved.

        `examples` of the added, removed and changed rows each are told. Problem `dataset_version.missing`.
        """
        return self._connection.get(f"{self._path}/diff", VersionDiff, before=before, after=after, examples=examples)

    def vacuum(self, *, keep: int = KEEP, older_than: str = "90d", dry_run: bool = False) -> Vacuum:
        """Drop versions for good that are neither among the `keep` newest nor younger, and free their bytes; return what went.

        Never dropped is what a model under an alias, in a deployment or in an open rollout was trained or measured on, what a
        run, study or job under way reads, and what all these were made from: `needs` of the answer's `versions` tells it. A
        dropped version keeps its record; asking for its rows is Problem `dataset_version.dropped`. With `dry_run` nothing is
        done.

        Raises
        ------
        Problem
            `vacuum.invalid` for keeping none, `span.invalid` for an `older_than` that is none, such as `90d` or `0d`.
        """
        asked = {"keep": keep, "older_than_s": age_s(older_than)}
        if dry_run:
            return self._connection.get(f"{self._path}/vacuum", Vacuum, **asked)
        return self._connection.post(f"{self._path}/vacuum", Vacuum, asked)

    def frame(self, limit: int | None = None) -> pl.DataFrame:
        """Return the rows of the latest version."""
        return self.version().frame(limit)

    def profile(self) -> Profile:
        """Return what the columns of the latest version look like."""
        return self.version().profile()

    def quarantined(self) -> pl.DataFrame:
        """Return the rows that were kept out, with the reasons."""
        return read_frame(self._connection, f"{self._path}/quarantine")

    def _read_on(self) -> DatasetVersionClient:
        return self._admitted(self._connection.post(f"{self._path}/portions", Admission))

    def _admitted(self, admission: Admission) -> DatasetVersionClient:
        if admission.version is None:
            raise batch_refused(self.record.name, admission)
        return self._client(admission.version, admission)

    def _client(self, record: DatasetVersion, admission: Admission | None = None) -> DatasetVersionClient:
        return DatasetVersionClient(record, admission, self._connection, self._project)


Data = DatasetVersionClient | DatasetClient | str


def ref_of(data: Data) -> str:
    """Return what names the rows: a version, a dataset's latest, or `NAME@NUMBER` as it is written."""
    if isinstance(data, DatasetVersionClient):
        return data.ref
    if isinstance(data, DatasetClient):
        return f"{data.name}@latest"
    return data if "@" in data else f"{data}@latest"


def open_dataset(
    connection: Connection,
    project: str,
    name: str,
    *,
    source: str | Path | None = None,
    key: str | Sequence[str] = (),
    time: str | None = None,
    checks: Sequence[Check] = (),
    stop_share: float | None = None,
    columns: Mapping[str, str] | None = None,
) -> DatasetClient:
    """Return the dataset of this name: made when anything is said of it and it is not there.

    Raises
    ------
    Problem
        `dataset.missing` when it is not there and nothing else was said of it; `dataset.conflict` when it was declared
        otherwise.
    """
    said: dict[str, Any] = {
        "source": _source(source),
        "key": (key,) if isinstance(key, str) else tuple(key),
        "time": time,
        "checks": tuple(checks),
        "stop_share": stop_share,
        "columns": tuple(Column(name, dtype) for name, dtype in (columns or {}).items()),
    }
    said = {name: value for name, value in said.items() if value not in (None, ())}
    try:
        record = connection.get(f"{project}/datasets/{part(name)}", Dataset)
    except Problem as problem:
        if problem.code != "dataset.missing" or not said:
            raise
        record = connection.post(f"{project}/datasets", Dataset, {"name": name, **said})
    _check_same(record, said)
    return DatasetClient(connection, project, record)


def read_frame(connection: Connection, path: str, **query: Any) -> pl.DataFrame:
    """Return the frame that a GET answers with."""
    return pl.read_ipc(io.BytesIO(connection.send("GET", path, params=query).content))


def _source(source: str | Path | None) -> str | None:
    """Return the source as the server finds it: a path that is not absolute is meant from the working folder."""
    if source is None or "://" in str(source):
        return None if source is None else str(source)
    return str(Path.cwd() / Path(source).expanduser())


def _parent(told: Parent | DatasetVersionClient) -> Parent:
    if isinstance(told, Parent):
        return told
    return Parent("dataset_version", told.record.id, f"{told.record.name} v{told.record.number}")


def _check_same(record: Dataset, said: Mapping[str, Any]) -> None:
    for name, value in said.items():
        kept = getattr(record, name)
        if msgspec.to_builtins(kept) != msgspec.to_builtins(value):
            raise Problem(
                "dataset.conflict",
                f"The dataset '{record.name}' is there already with another {name}",
                f"it has {_short(kept)}, and {_short(value)} was asked for",
                f"ask for it by its name alone, or take another name: yard dataset show {record.name}",
            )


def _short(value: Any) -> str:
    text = str(msgspec.to_builtins(value))
    return text if len(text) <= 200 else text[:200] + "…"  # noqa: PLR2004 - what a line holds
