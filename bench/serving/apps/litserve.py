"""LitServe, one worker."""

# mypy: disable-error-code="import-not-found, misc"

from typing import Any

import litserve
import numpy as np

from bench.serving.apps.predictor import load, told


class Probability(litserve.LitAPI):
    """A model of one matrix, or of raw columns."""

    def __init__(self, form: str, file: str) -> None:
        super().__init__()
        self._form, self._file = form, file

    def setup(self, device: str) -> None:
        """Load."""
        self._model = load(self._form, self._file)

    def predict(self, x: dict[str, Any]) -> dict[str, Any]:
        """Answer rows of features under `x`, or raw columns."""
        if "x" in x:
            return {"probability": self._model.matrix(np.asarray(x["x"], dtype=np.float32))}
        return {"probability": self._model.columns(x)}


def main() -> None:
    """Serve."""
    form, file, port = told()
    server = litserve.LitServer(Probability(form, file), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
