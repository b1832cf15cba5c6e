"""NVIDIA's Triton with a Python function behind it, by pytriton."""

# mypy: disable-error-code="import-not-found, untyped-decorator"

import os
import sysconfig
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from bench.serving.apps.columns import CATEGORIES, NUMBERS
from bench.serving.apps.predictor import load, told

LARGEST = 256


def main() -> None:
    """Serve."""
    form, file, port = told()
    model = load(form, file)
    # Triton's stub is to load the library of the Python whose modules it reads, not that of the system's Python.
    os.environ["LD_LIBRARY_PATH"] = str(sysconfig.get_config_var("LIBDIR"))

    @batch
    def infer(**inputs: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        if form == "matrix-onnx":
            answers = model.matrix(inputs["x"])
        else:
            columns = {name: inputs[name].ravel().tolist() for name in NUMBERS}
            columns |= {name: [text.decode() for text in inputs[name].ravel()] for name in CATEGORIES}
            answers = model.columns(columns)
        return {"probability": np.asarray(answers).reshape(-1, 1)}

    if form == "matrix-onnx":
        tensors = [Tensor(name="x", dtype=np.float32, shape=(4,))]
    else:
        tensors = [Tensor(name=name, dtype=np.float64, shape=(1,)) for name in NUMBERS]
        tensors += [Tensor(name=name, dtype=bytes, shape=(1,)) for name in CATEGORIES]
    config = TritonConfig(http_address="127.0.0.1", http_port=port, grpc_port=port + 1, metrics_port=port + 2, log_verbose=0)
    with Triton(config=config) as triton:
        triton.bind(
            model_name="m",
            infer_func=infer,
            inputs=tensors,
            outputs=[Tensor(name="probability", dtype=np.float64, shape=(1,))],
            config=ModelConfig(max_batch_size=LARGEST, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()


if __name__ == "__main__":
    main()
