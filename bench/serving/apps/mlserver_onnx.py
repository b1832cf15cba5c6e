"""ONNX inside MLServer, which has no runtime of its own for it."""

# mypy: disable-error-code="import-not-found, misc"

from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from bench.serving.apps.predictor import load


class Onnx(MLModel):
    """A model of one matrix, or of a tensor a column."""

    async def load(self) -> bool:
        """Load."""
        parameters = self.settings.parameters
        self._form = parameters.extra["form"]
        self._model = load(self._form, parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer."""
        if self._form == "matrix-onnx":
            answers = self._model.matrix(NumpyCodec.decode_input(payload.inputs[0]))
        else:
            columns = {}
            for one in payload.inputs:
                columns[one.name] = (StringCodec if one.datatype == "BYTES" else NumpyCodec).decode_input(one)
            answers = self._model.columns(columns)
        output = ResponseOutput(name="probability", shape=[len(answers)], datatype="FP64", data=answers)
        return InferenceResponse(model_name=self.name, outputs=[output])
