"""A BentoML service, one worker."""

# mypy: disable-error-code="import-not-found, untyped-decorator"

import os
import sys
from pathlib import Path
from typing import Any

import bentoml
import numpy as np

from bench.serving.apps.predictor import load, told

FORM, FILE = "BENCH_FORM", "BENCH_FILE"


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Probability:
    """A model of one matrix, or of raw columns."""

    def __init__(self) -> None:
        self._model = load(os.environ[FORM], os.environ[FILE])

    @bentoml.api
    async def predict(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Answer rows of features under `x`, or raw columns."""
        if "x" in columns:
            return {"probability": self._model.matrix(np.asarray(columns["x"], dtype=np.float32))}
        return {"probability": self._model.columns(columns)}


def main() -> None:
    """Become `bentoml serve`."""
    form, file, port = told()
    program = str(Path(sys.executable).with_name("bentoml"))
    service = "bench.serving.apps.bentoml:Probability"
    surroundings = {**os.environ, FORM: form, FILE: file, "BENTOML_DO_NOT_TRACK": "True"}
    command = [program, "serve", service, "--host", "127.0.0.1", "--port", str(port)]
    os.execve(program, command, surroundings)  # noqa: S606 - a program of its environment


if __name__ == "__main__":
    main()
