"""What a step is given to work with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from modelyard.core import Problem, ProjectId
from modelyard.jobs import Job
from modelyard.tenancy import Actor
from modelyard.wiring import Platform

T = TypeVar("T")


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

    def asked(self, form: type[T], said: str, step: str) -> T:
        """Return the job's payload in a form. Problem `job.invalid`, told as what it does not say and what to do next."""
        try:
            return msgspec.convert(self.job.payload, form)
        except msgspec.ValidationError as error:
            raise Problem("job.invalid", f"The job does not say {said}", str(error), step) from error


# Returns the job's result, which must be JSON. Raises `Problem` when it knows what is wrong.
Step = Callable[[StepContext], Mapping[str, Any]]
