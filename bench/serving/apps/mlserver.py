"""MLServer: its scikit-learn runtime, or a custom one for ONNX; in one process, without its debug log."""

import json
import os
import sys
from pathlib import Path

from bench.serving.apps.predictor import told


def main() -> None:
    """Write its settings into this folder and become `mlserver start`."""
    form, file, port = told()
    runtime = "mlserver_sklearn.SKLearnModel" if form == "columns-sklearn" else "bench.serving.apps.mlserver_onnx.Onnx"
    settings = {
        "host": "127.0.0.1", "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2, "parallel_workers": 0,
        "debug": False,
    }  # fmt: skip
    model = {"name": "m", "implementation": runtime, "parameters": {"uri": file, "extra": {"form": form}}}
    Path("settings.json").write_text(json.dumps(settings))
    Path("model-settings.json").write_text(json.dumps(model))
    program = str(Path(sys.executable).with_name("mlserver"))
    os.execv(program, [program, "start", "."])  # noqa: S606 - a program of its environment


if __name__ == "__main__":
    main()
