"""Models, their versions, and the gates before their aliases."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from modelyard.client.connection import Connection, part
from modelyard.client.datasets import Data, ref_of
from modelyard.client.gate import direction_of
from modelyard.client.objects import download, upload
from modelyard.client.runs import RunClient
from modelyard.client.scoring import Rows, score, score_source
from modelyard.client.studies import StudyClient
from modelyard.client.waiting import wait_for_job
from modelyard.core import Problem
from modelyard.core.spans import span_s
from modelyard.jobs import Job
from modelyard.registry import Alias, Approval, Best, Condition, Evaluation, Gate, GateResult, ModelVersion
from modelyard.serving.batch import Report


class VersionClient:
    """One immutable version of a model."""

    def __init__(self, connection: Connection, project: str, record: ModelVersion) -> None:
        self.record = record
        self._connection = connection
        self._project = project
        self._path = f"{project}/models/{part(record.model)}"

    @property
    def number(self) -> int:
        """Its number, from 1."""
        return self.record.number

    @property
    def ref(self) -> str:
        """What names it: `churn@7`."""
        return f"{self.record.model}@{self.record.number}"

    def card(self) -> str:
        """Return its card, as Markdown."""
        return download(self._connection, self._project, self.record.card).decode()

    def score(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return raw rows with their answers and `model_version`, answered by a worker; it is waited for."""
        return score(self._connection, self._project, self.ref, rows)

    def score_source(self, source: Rows, target: str | Path, *, anew: bool = False) -> Report:
        """Answer for every row of a source once, whatever its size; wait for it and return what came of it.

        What was answered before a kill, of a worker or of this process, is not answered again: ask for the same once more.

        Parameters
        ----------
        source
            Files, folders or patterns of this machine; a URL as a worker sees it, `file:///data/*.parquet` or
            `s3://lake/in/`; a dataset or a version of one, or its name, `customers@3`.
        target
            A `.csv`, `.parquet`, `.ndjson` or `.arrow` file of this machine, written whole or not at all; a folder of it for
            parts; or the URL of a folder, which the worker writes parts into. Parts in the order of their names are the rows in
            their order, and `_SUCCESS` is there when all of them are.
        anew
            Replace what is in the target from an earlier time.

        Raises
        ------
        Problem
            `source.missing` and `source.invalid`, naming the file; `file.exists` and `target.exists`; `target.conflict` and
            `source.conflict` where the target was begun by another version, or with other rows; for a row that the version
            refuses its own, with file and row.
        """
        return score_source(self._connection, self._project, self.ref, source, target, anew=anew)

    def promote(self, alias: str = "champion") -> "VersionClient":
        """Move an alias to this version. Problem `gate.refused`, naming each demand that failed."""
        self._connection.put(f"{self._path}/aliases/{part(alias)}", Alias, {"version": self.record.number})
        return self

    def check(self, alias: str = "champion") -> GateResult:
        """Return what the gate of an alias comes to for this version, and change nothing."""
        return self._connection.get(f"{self._path}/aliases/{part(alias)}/gate/{self.record.number}", GateResult)

    def evaluate(
        self,
        against: str | int = "champion",
        *,
        data: Data | None = None,
        newest: str | None = None,
        timeout_s: float | None = None,
    ) -> Evaluation:
        """Measure this version beside another on the same labelled rows; wait for the figures, which stay with it.

        Rows that this version was fitted on are left out. A gate's demand to be better goes by the newest such figures.

        Parameters
        ----------
        against
            An alias or a number.
        data
            A dataset version, a dataset (its latest), or `NAME@NUMBER`; None: the one that this version was trained on.
        newest
            Only the newest stretch of the rows, as in `7d`; None: all.

        Raises
        ------
        Problem
            `evaluation.refused` when too few rows are left to judge on, or they are all of one class.
        """
        body = {
            "against": str(against),
            "data": None if data is None else ref_of(data),
            "newest_s": None if newest is None else span_s(newest),
        }
        job = self._connection.post(f"{self._path}/versions/{self.record.number}/evaluations", Job, body)
        done = wait_for_job(self._connection, f"{self._project}/jobs/{part(job.id)}", timeout_s=timeout_s)
        self.record = self._connection.get(f"{self._path}/versions/{self.record.number}", ModelVersion)
        return msgspec.convert((done.result or {})["evaluation"], Evaluation)

    def approve(self, alias: str = "champion", *, reason: str) -> Approval:
        """Record a yes to this version under an alias."""
        return self._approve({"alias": alias, "reason": reason})

    def break_glass(self, alias: str = "champion", *, reason: str) -> Approval:
        """Let this version pass the gate of an alias although it fails: for admins, on record."""
        return self._approve({"alias": alias, "reason": reason, "break_glass": True})

    def _approve(self, body: dict[str, Any]) -> Approval:
        return self._connection.post(f"{self._path}/versions/{self.record.number}/approvals", Approval, body)

    def __repr__(self) -> str:
        """Return its name and number."""
        return f"<{self.ref}>"


class ModelClient:
    """A model by name; it comes to be with its first version or gate."""

    def __init__(self, connection: Connection, project: str, name: str) -> None:
        self.name = name
        self._connection = connection
        self._project = project
        self._path = f"{project}/models/{part(name)}"

    def register(
        self,
        candidate: RunClient | StudyClient | str | int,
        *,
        alias: str | None = None,
        note: str = "",
        timeout_s: float | None = None,
    ) -> VersionClient:
        """Make a version of a finished run, or of a study's best; wait until it is measured and return it.

        Parameters
        ----------
        candidate
            A run (waited for), a study, or a run's number or id.
        alias
            Moved to the version when its gate lets it through.

        Raises
        ------
        Problem
            What the registration failed with; `gate.refused` when the version is there but the alias did not move.
        """
        run = candidate.best if isinstance(candidate, StudyClient) else candidate
        if isinstance(run, RunClient):
            run = run.wait().record.id
        job = self._connection.post(f"{self._path}/versions", Job, {"run": str(run), "alias": alias, "note": note})
        done = wait_for_job(self._connection, f"{self._project}/jobs/{part(job.id)}", timeout_s=timeout_s)
        return self.version((done.result or {})["version"])

    def add(
        self,
        path: str | Path,
        *,
        inputs: Mapping[str, str] | None = None,
        alias: str | None = None,
        note: str = "",
        allow_code: bool = False,
        timeout_s: float | None = None,
    ) -> VersionClient:
        """Make a version of a model that was made elsewhere; wait until a worker has proved it and return it.

        Parameters
        ----------
        path
            An ONNX file; a folder that MLflow saved, of the flavour onnx, xgboost, lightgbm or sklearn (by skops); a `.ubj`
            or `.json` of XGBoost, a `.lgb` of LightGBM, a `.skops`. Pickles are refused. With `allow_code` a folder with
            `model.py`, whose `load(folder)` returns an object with `inputs`, `outputs` and `predict(**arrays)`.
        inputs
            Types of inputs whose lengths the model leaves open, as in `{"pixels": "Array[Float32, 3x224x224]"}`.
        alias
            Moved to the version when its gate lets it through.

        allow_code
            Run what the folder's maker wrote, when it is imported and whenever it answers: for admins, on record.

        Raises
        ------
        Problem
            `file.missing`; `model.invalid` and `import.refused` for what cannot be served, saying why; `gate.refused` when the
            version is there but the alias did not move; `action.forbidden` for who may not allow code.
        """
        found = files_of(Path(path))
        digests = upload(self._connection, self._project, list(found.values()))
        body = {
            "name": Path(path).resolve().name,
            "files": dict(zip(found, digests, strict=True)),
            "inputs": dict(inputs or {}),
            "alias": alias,
            "note": note,
            "allow_code": allow_code,
        }
        job = self._connection.post(f"{self._path}/imports", Job, body)
        done = wait_for_job(self._connection, f"{self._project}/jobs/{part(job.id)}", timeout_s=timeout_s)
        return self.version((done.result or {})["version"])

    def combine(
        self,
        *members: str | VersionClient,
        by: str = "mean",
        weights: Sequence[float] = (),
        threshold: float = 0.5,
        last: str | VersionClient | None = None,
        router: str | VersionClient | None = None,
        limits: Sequence[float] = (),
        alias: str | None = None,
        note: str = "",
        timeout_s: float | None = None,
    ) -> VersionClient:
        """Make a version out of others; wait until a worker has proved and measured it and return it.

        Parameters
        ----------
        members
            Versions of this project: `small@3`, `small@champion`; for a stack also `NAME=small@3`.
        by
            `mean` of their numbers; `weighted`, by `weights`; `vote`, the share of those that choose a class, of a single
            probability from `threshold` on; `stack`, where `last` answers from the raw columns and the members' answers, each
            under its member's name; `route`, where `router` gives a number and `limits` say who answers: the first member below
            the first limit, and so on, the last member the rest.
        alias
            Moved to the version when its gate lets it through.

        Raises
        ------
        Problem
            `composition.invalid`, saying which member does not fit; `gate.refused` when the version is there but the alias did
            not move.
        """
        if last is not None and router is not None:
            raise Problem("composition.invalid", "It has a last one and a router", "a stack has the one, a route the other")
        head = last if last is not None else router
        body = {
            "by": by,
            "members": [_reference(one) for one in members],
            "last": None if head is None else _reference(head),
            "weights": list(weights),
            "limits": list(limits),
            "threshold": threshold,
            "alias": alias,
            "note": note,
        }
        job = self._connection.post(f"{self._path}/combinations", Job, body)
        done = wait_for_job(self._connection, f"{self._project}/jobs/{part(job.id)}", timeout_s=timeout_s)
        return self.version((done.result or {})["version"])

    def version(self, what: int | str = "latest") -> VersionClient:
        """Return a version by number, alias or `latest`."""
        record = self._connection.get(f"{self._path}/versions/{part(what)}", ModelVersion)
        return VersionClient(self._connection, self._project, record)

    def versions(self) -> Iterator[VersionClient]:
        """Yield the versions, newest first."""
        for record in self._connection.pages(f"{self._path}/versions", ModelVersion):
            yield VersionClient(self._connection, self._project, record)

    def aliases(self) -> list[Alias]:
        """Return the aliases with their gates."""
        return self._connection.get(f"{self._path}/aliases", list[Alias])

    def gate(self, alias: str, *conditions: Condition) -> Alias:
        """Put a gate before an alias, of these demands; none takes it away. It holds for everybody from now on."""
        return self._connection.put(f"{self._path}/aliases/{part(alias)}/gate", Alias, msgspec.to_builtins(Gate(conditions)))

    def best(
        self,
        metric: str | None,
        *,
        alias: str = "best",
        direction: str | None = None,
        latency_us: float | None = None,
        size_bytes: int | None = None,
    ) -> Alias:
        """Have an alias move by itself to the best version that its gate lets through; return it as it stands now.

        It moves whenever a version is registered or measured, and says why. A version that was rolled back from is not chosen
        again until the rule is set anew.

        Parameters
        ----------
        metric
            Two versions that were measured beside each other are compared by that, others by each one's newest figure. None:
            the alias stays where it is, and is moved by hand again.
        direction
            `maximise` or `minimise`; known for the usual metrics.
        latency_us
            A row takes at most so long by the form that serves.
        size_bytes
            And that form is at most so large.
        """
        path = f"{self._path}/aliases/{part(alias)}/best"
        if metric is None:
            return self._connection.delete(path, Alias)
        rule = Best(metric, direction_of(metric, direction), latency_us, size_bytes)
        return self._connection.put(path, Alias, msgspec.to_builtins(rule))

    def __repr__(self) -> str:
        """Return its name."""
        return f"<model {self.name}>"


def _reference(version: str | VersionClient) -> str:
    return version if isinstance(version, str) else version.ref


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


def files_of(path: Path) -> dict[str, bytes]:
    """Return the contents of a file, or of a folder's files by their paths in it; hidden and compiled ones are left out."""
    try:
        if not path.is_dir():
            return {path.name: path.read_bytes()}
        inside = sorted(one for one in path.rglob("*") if one.is_file())
        names = {one.relative_to(path).as_posix(): one for one in inside}
        return {name: one.read_bytes() for name, one in names.items() if not any(_is_left_out(p) for p in name.split("/"))}
    except OSError as error:
        raise Problem(
            "file.missing", f"{path} cannot be read", error.strerror or str(error), "name a file or a folder"
        ) from error
