"""Ray Serve on one node of this machine, one replica."""

# mypy: disable-error-code="import-not-found, attr-defined"

import threading
from typing import Any

import numpy as np
import ray
from ray import serve

from bench.serving.apps.predictor import load, told


@serve.deployment(num_replicas=1, max_ongoing_requests=64, logging_config={"enable_access_log": False})
class Probability:
    """A model of one matrix, or of raw columns."""

    def __init__(self, form: str, file: str) -> None:
        self._model = load(form, file)

    async def __call__(self, request: Any) -> dict[str, Any]:
        """Answer rows of features under `x`, or raw columns."""
        columns = await request.json()
        if "x" in columns:
            return {"probability": self._model.matrix(np.asarray(columns["x"], dtype=np.float32))}
        return {"probability": self._model.columns(columns)}


def main() -> None:
    """Serve."""
    form, file, port = told()
    ray.init(include_dashboard=False, object_store_memory=80 << 20, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Probability.bind(form, file))
    threading.Event().wait()


if __name__ == "__main__":
    main()
