"""What a process is told of the try that it is to run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelyard.core import ProjectId, TraceContext
from modelyard.jobs import JobId


@dataclass(frozen=True)
class Assignment:
    """One try of one job."""

    project: ProjectId
    job: JobId
    fence: int
    scratch: Path
    messages: int = -1  # the descriptor to tell result, problem and progress on
    secrets: int = -1  # the descriptor to read secrets from; see `runner.secrets`
    memory_mb: int | None = None
    trace: TraceContext | None = None  # to which it belongs

    def to_json(self) -> dict[str, Any]:
        """Return its JSON form."""
        return {**asdict(self), "scratch": str(self.scratch)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Assignment":
        """Return what `to_json` told."""
        trace = told["trace"]
        parsed = {"scratch": Path(told["scratch"]), "trace": None if trace is None else TraceContext(**trace)}
        return cls(**{**told, **parsed})
