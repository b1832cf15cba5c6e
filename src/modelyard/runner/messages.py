"""What the process of a try tells its worker: lines of JSON on a pipe of their own, since users print on stdout."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from modelyard.core import Problem
from modelyard.jobs import Progress
from modelyard.jobs.rules import problem_from_json, problem_to_json

MAX_MESSAGE = 500
MAX_LINE_BYTES = 16 << 20


class Teller:
    """The end of the pipe that the step's process holds. Safe to share between threads."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = Lock()

    def progress(self, fraction: float, message: str = "", /) -> None:
        """Tell how far the step is; a fraction outside 0 to 1 is moved to its nearer end."""
        near = min(1.0, max(0.0, float(fraction)))
        self._tell({"progress": 0.0 if math.isnan(near) else near, "message": str(message)[:MAX_MESSAGE]})

    def result(self, result: Mapping[str, Any]) -> None:
        """Tell the result; nothing that is told later counts."""
        self._tell({"result": dict(result)})

    def problem(self, problem: Problem) -> None:
        """Tell why there is no result."""
        self._tell({"problem": problem_to_json(problem)})

    def _tell(self, value: Mapping[str, Any]) -> None:
        rest = memoryview(json.dumps(value, default=str).encode() + b"\n")
        with self._lock:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


@dataclass
class Told:
    """What a worker has heard of a try so far."""

    progress: Progress | None = None  # the newest
    result: Mapping[str, Any] | None = None
    problem: Problem | None = None
    _rest: bytes = field(default=b"", repr=False)

    @property
    def over(self) -> bool:
        """Whether the step has said how it ends."""
        return self.result is not None or self.problem is not None

    def hear(self, chunk: bytes) -> None:
        """Take in a part of the stream."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._hear_line(line)
        if len(self._rest) > MAX_LINE_BYTES:
            why = f"it is over {MAX_LINE_BYTES >> 20} MiB"
            self.problem = self.problem or Problem("job.invalid", "The step's result is too large", why, "keep it as an object")
            self._rest = b""

    def _hear_line(self, line: bytes) -> None:
        try:
            message = json.loads(line, parse_constant=lambda name: None)  # NaN and infinities are no JSON
            if "progress" in message:
                self.progress = Progress(message["progress"], message["message"])
            elif self.over:
                return
            elif "result" in message:
                self.result = message["result"]
            else:
                self.problem = problem_from_json(message["problem"])
        except (ValueError, KeyError, TypeError):
            return  # a process that the step forked wrote in between; what counts is what is whole
