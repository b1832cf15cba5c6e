"""What a step is given to work with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from modelyard.core import ProjectId
from modelyard.jobs import Job
from modelyard.tenancy import Actor
from modelyard.wiring import Platform


class Report(Protocol):
    """Says how far a step is."""

    def __call__(self, fraction: float, message: str = "", /) -> None:
        """Say that the step is at `fraction`, from 0 to 1, and what it does there."""
        ...


@dataclass(frozen=True)
class StepContext:
    """One try of a job, seen from within."""

    platform: Platform
    actor: Actor  # who asked for the job, with the roles they have now
    project: ProjectId
    job: Job
    scratch: Path  # an empty folder, removed after the try however it ends
    progress: Report


# Returns the job's result, which must be JSON. Raises `Problem` when it knows what is wrong.
Step = Callable[[StepContext], Mapping[str, Any]]
