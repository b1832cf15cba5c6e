"""Studies: searches over a trainer's parameters."""

from dataclasses import dataclass

from modelyard.client.connection import Connection, part
from modelyard.client.runs import RunClient
from modelyard.client.waiting import Look, wait_until
from modelyard.core import Problem
from modelyard.training import Run, Study, StudyState
from modelyard.training.rules import ENDED


@dataclass(frozen=True)
class StudyWithTrials:
    """A study and its trials in order, as the server tells them."""

    study: Study
    trials: tuple[Run, ...]


class StudyClient:
    """A study; `record` is what was known of it when it was last read."""

    def __init__(self, connection: Connection, project: str, record: Study) -> None:
        self.record = record
        self._connection = connection
        self._project = project
        self._path = f"{project}/studies/{part(record.id)}"

    @property
    def state(self) -> StudyState:
        """Where it stood when it was last read."""
        return self.record.state

    @property
    def trials(self) -> list[RunClient]:
        """Its trials so far, in order."""
        return [RunClient(self._connection, self._project, run) for run in self._read().trials]

    @property
    def best(self) -> RunClient:
        """The best trial, once the study has ended; it is waited for.

        Raises
        ------
        Problem
            `study.failed` when no trial ended well.
        """
        if self.record.best is None:
            self.wait()
        return RunClient(
            self._connection, self._project, self._connection.get(f"{self._project}/runs/{part(self.record.best or '')}", Run)
        )

    def wait(self, timeout_s: float | None = None) -> "StudyClient":
        """Wait until it has ended. Problem `study.failed` when no trial ended well; `wait.timeout`, and the study goes on."""
        record = self.record
        title = f"study of {record.experiment}, {record.trials} trials"
        where = f"yard study show {record.id}"
        found = wait_until(self._connection, self._read, _look, title=title, where=where, timeout_s=timeout_s)
        if found.study.state is not StudyState.FINISHED:
            why = next(
                (f"the first one: {run.problem['what']}: {run.problem['why']}" for run in found.trials if run.problem), ""
            )
            raise Problem("study.failed", f"The {title} ended {found.study.state.value}", why or "no trial ended well", where)
        return self

    def _read(self) -> StudyWithTrials:
        found = self._connection.get(self._path, StudyWithTrials)
        self.record = found.study
        return found

    def __repr__(self) -> str:
        """Return what it searches and its state."""
        return f"<study of {self.record.experiment}, {self.record.trials} trials: {self.record.state.value}>"


def _look(found: StudyWithTrials) -> Look:
    ended = sum(run.state in ENDED for run in found.trials)
    values = [run.metrics[found.study.metric] for run in found.trials if found.study.metric in run.metrics]
    maximise = found.study.direction.value == "maximise"
    told = f"{ended} of {found.study.trials} trials"
    if values:
        told += f", best {found.study.metric} {max(values) if maximise else min(values):.4f}"
    return Look(found.study.state is not StudyState.RUNNING, ended / found.study.trials, told)
