"""Deployments: predictions through the gateway, labels, monitors, and the way from one version to the next."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import polars as pl

from modelyard.client.connection import Connection, part
from modelyard.client.datasets import read_frame
from modelyard.client.decisions import DecisionClient
from modelyard.client.monitors import MonitorClient, drift, performance
from modelyard.client.tensors import Rows, nested, tensors_of
from modelyard.core import Problem, to_text
from modelyard.core.spans import span_s
from modelyard.monitoring import Monitor, MonitorTest, QueuedRow
from modelyard.reactions import Decision
from modelyard.serving import Deployment, Revision, Rollout
from modelyard.serving.shadow import ShadowDiff

LABELS_AT_ONCE: Final = 10_000
TAKEN_UP_S: Final = 10.0  # a gateway hears of a new deployment within this
LOOK_S: Final = 0.1


@dataclass(frozen=True)
class PushedRollout:
    """A rollout past the gate, and the decision on record."""

    rollout: Rollout
    decision: Decision


@dataclass(frozen=True)
class Answers:
    """The answers to one request, all by one version."""

    ids: tuple[str, ...]  # of the predictions: what labels name
    version: int
    request: str
    outputs: Mapping[str, tuple[Any, ...]]  # by name; `probability` for a classifier of two classes

    @property
    def values(self) -> tuple[Any, ...]:
        """The answers of the first output, one a row."""
        return next(iter(self.outputs.values()))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    def __float__(self) -> float:
        """Return the answer to a single row."""
        [value] = self.values
        return float(value)


class DeploymentClient:
    """A deployment by name."""

    def __init__(self, connection: Connection, project: str, project_name: str, record: Deployment) -> None:
        self.record = record
        self._connection = connection
        self._project = project
        self._path = f"{project}/deployments/{part(record.name)}"
        self._served = f"/v2/models/{part(project_name)}/{part(record.name)}"
        self._types: Mapping[str, str] | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    def predict(
        self,
        rows: Rows,
        *,
        ids: Sequence[str] | None = None,
        times: Sequence[datetime] | datetime | None = None,
        key: str | None = None,
        version: int | None = None,
    ) -> Answers:
        """Return the answers for raw columns: one row as a mapping, several as a sequence of mappings, or a frame.

        Parameters
        ----------
        ids
            Ids of your own for the predictions, one a row: labels name them.
        times
            Event time; None: that of the deployment's time column, else now.
        key
            Requests with the same key meet the same version.
        version
            Ask this version, whatever the routes say; it must be among those that answer now.

        Raises
        ------
        Problem
            `column.missing`, `input.invalid` and the like, naming column and row; `gateway.missing`, `server.unavailable`.
        """
        pinned = "" if version is None else f"/versions/{version}"
        parameters = {"ids": list(ids) if ids is not None else None, "time": _times(times), "key": key}
        body = {
            "inputs": tensors_of(rows, self._input_types),
            "parameters": {name: value for name, value in parameters.items() if value is not None},
        }
        told = self._ask(f"{self._served}{pinned}/infer", body)
        outputs = {one["name"]: tuple(nested(one["data"], one["shape"])) for one in told["outputs"]}
        return Answers(tuple(told["parameters"]["prediction_ids"]), int(told["model_version"]), told["id"], outputs)

    def labels(self, ids: Sequence[str], values: Sequence[float], times: Sequence[datetime] | datetime | None = None) -> int:
        """Send the truth about predictions, by id: late, twice and out of order as it comes. Return how many were taken.

        `times` are when each became known; None: now.
        """
        if len(ids) != len(values) or (isinstance(times, Sequence) and len(times) != len(ids)):
            raise Problem("labels.invalid", "There is not one label for each id", f"{len(values)} values for {len(ids)} ids")
        told = [times] * len(ids) if isinstance(times, datetime) else list(times or ())
        taken = 0
        for start in range(0, len(ids), LABELS_AT_ONCE):
            here = slice(start, start + LABELS_AT_ONCE)
            body = {
                "predictions": [str(one) for one in ids[here]],
                "values": [float(value) for value in values[here]],
                "times": [to_text(at) for at in told[here]],
            }
            taken += self._connection.post(f"{self._path}/labels", dict[str, int], body)["labels"]
        return taken

    def label_queue(
        self,
        rows: int = 200,
        *,
        by: str = "uncertain",
        random_share: float = 0.2,
        since: datetime | None = None,
        hold: str = "7d",
    ) -> pl.DataFrame:
        """Return predictions whose labels teach most, and hold them: until then nobody else is given the same ones.

        Columns: `id`, `time`, `version`, `answer`, `reason`, `score` and the inputs as `input.NAME`. Send what is found out by
        `labels`, and `skip` what cannot be told.

        Parameters
        ----------
        by
            `uncertain`: the answer was a close call, or of a number a shadow's is far off; `disputed`: a shadow answered
            otherwise; `random`.
        random_share
            Of the rows, drawn from all of them: an error rate that is estimated from these is not biased by the others.
        since
            Event time; None: of all time.

        Raises
        ------
        Problem
            `queue.refused` where nothing tells which answers are uncertain or disputed; `queue.invalid`.
        """
        body = {"rows": rows, "by": by, "random_share": random_share, "hold_s": span_s(hold), **_span(since, None)}
        return pl.read_ipc(io.BytesIO(self._connection.send("POST", f"{self._path}/queue", json=body).content))

    def skip(self, ids: Sequence[str]) -> int:
        """Say that the truth about predictions cannot be told; nobody is asked again. Problem `queue.missing`."""
        body = {"predictions": [str(one) for one in ids]}
        return self._connection.post(f"{self._path}/queue/skipped", dict[str, int], body)["skipped"]

    def queued(self) -> list[QueuedRow]:
        """Return who was asked about which predictions, and what came of it."""
        return self._connection.get(f"{self._path}/queue", list[QueuedRow])

    def monitor(
        self,
        *,
        name: str | None = None,
        window: str = "1d",
        tests: Sequence[MonitorTest] | None = None,
        label_delay: str | None = None,
    ) -> MonitorClient:
        """Watch it, window by window of event time, and return the monitor; one of this name takes the new settings.

        Parameters
        ----------
        name
            None: the deployment's name.
        tests
            None: `drift()` and `performance("brier")`.
        label_delay
            A window is judged by its labels this long after its end; None: at once.
        """
        body = {
            "name": name or self.record.name,
            "deployment": self.record.name,
            "window_s": span_s(window),
            "label_delay_s": 0 if label_delay is None else span_s(label_delay),
            "tests": list((drift(), performance()) if tests is None else tests),
        }
        made = self._connection.post(f"{self._project}/monitors", Monitor, body)
        return MonitorClient(self._connection, self._project, made)

    def start_rollout(self, version: int, *, cause: str = "") -> Rollout:
        """Start the canary of a version. Problem `gate.refused` when its gate does not let it through."""
        return self._connection.post(f"{self._path}/rollouts", Rollout, {"version": version, "cause": cause})

    def push(self, version: int, reason: str) -> Rollout:
        """Break the glass: start the canary of a version past its gate, on record."""
        body = {"version": version, "reason": reason}
        return self._connection.post(f"{self._path}/push", PushedRollout, body).rollout

    def roll_back(self) -> Revision:
        """Go back: end the canary under way, else return to the version before."""
        return self._connection.post(f"{self._path}/roll-back", Revision)

    def split(self, weights: Mapping[int, int]) -> Revision:
        """Let versions share the requests, per cent by version: `split({3: 70, 5: 30})`. One with 100 ends it.

        A key meets the same version while the weights stand. Problem `gate.refused` for a version that its gate holds back.
        """
        body = {"weights": {str(version): weight for version, weight in weights.items()}}
        return self._connection.post(f"{self._path}/split", Revision, body)

    def shadow(self, version: int, share: int = 100) -> Revision:
        """Ask a version about a share of the requests besides, in per cent; callers never notice. 0 ends it."""
        return self._connection.post(f"{self._path}/shadow", Revision, {"version": version, "share": share})

    def shadows(self, *, since: datetime | None = None, until: datetime | None = None) -> list[ShadowDiff]:
        """Return what shadows answered beside what callers got in [since, until) of event time, by version."""
        return self._connection.get(f"{self._path}/shadows", list[ShadowDiff], **_span(since, until))

    def rollouts(self) -> Iterator[Rollout]:
        """Yield its rollouts, newest first."""
        return self._connection.pages(f"{self._path}/rollouts", Rollout)

    def revisions(self) -> Iterator[Revision]:
        """Yield what it answered with, newest first."""
        return self._connection.pages(f"{self._path}/revisions", Revision)

    def predictions(self, *, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
        """Return the ledger's rows of [since, until) by event time, with their labels."""
        return read_frame(self._connection, f"{self._path}/predictions", **_span(since, until))

    def decisions(self) -> Iterator[DecisionClient]:
        """Yield what was decided about it, newest first."""
        for record in self._connection.pages(f"{self._project}/decisions", Decision, deployment=self.record.name):
            yield DecisionClient(self._connection, self._project, record)

    def _ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        waited_s = 0.0
        while True:
            try:
                told: dict[str, Any] = self._connection.ask_gateway("POST", path, json=body).json()
            except Problem as problem:
                # A gateway that does not know the name yet: it hears of new deployments a moment later.
                if problem.code != "model.missing" or waited_s >= TAKEN_UP_S:
                    raise
            else:
                return told
            self._connection.sleep(LOOK_S)
            waited_s += LOOK_S

    def _input_types(self) -> Mapping[str, str]:
        if self._types is None:
            told = self._connection.ask_gateway("GET", self._served).json()
            self._types = {one["name"]: one["datatype"] for one in told["inputs"]}
        return self._types

    def __repr__(self) -> str:
        """Return its name and what it follows."""
        return f"<deployment {self.name} of {self.record.model}@{self.record.alias}>"


def _span(since: datetime | None, until: datetime | None) -> dict[str, str]:
    return {name: to_text(at) for name, at in (("since", since), ("until", until)) if at is not None}


def _times(times: Sequence[datetime] | datetime | None) -> str | list[str] | None:
    if times is None:
        return None
    return to_text(times) if isinstance(times, datetime) else [to_text(at) for at in times]
