"""KServe's Python server around a model of its own kind."""

# mypy: disable-error-code="import-not-found, misc"

from typing import Any

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import generate_uuid

from bench.serving.apps.predictor import load, told


class Probability(Model):
    """A model of one matrix, or of a tensor a column."""

    def __init__(self, form: str, file: str) -> None:
        super().__init__("m")
        self._form = form
        self._model = load(form, file)
        self.ready = True

    def predict(self, payload: InferRequest, *_: Any, **__: Any) -> InferResponse:
        """Answer."""
        if self._form == "matrix-onnx":
            answers = self._model.matrix(payload.inputs[0].as_numpy().astype(np.float32, copy=False))
        else:
            answers = self._model.columns({one.name: one.data for one in payload.inputs})
        output = InferOutput("probability", [len(answers)], "FP64", data=answers)
        return InferResponse(payload.id or generate_uuid(), "m", [output])


def main() -> None:
    """Serve."""
    form, file, port = told()
    ModelServer(http_port=port, workers=1, enable_grpc=False, access_log_format=None).start([Probability(form, file)])


if __name__ == "__main__":
    main()
