"""`mlflow models serve` on a model saved with its own flavour."""

# mypy: disable-error-code="import-not-found, import-untyped"

import os
import sys
from pathlib import Path

from bench.serving.apps.predictor import told


def main() -> None:
    """Save the model into this folder and become the server."""
    import mlflow  # noqa: PLC0415 - not needed by the server that this becomes

    form, file, port = told()
    if form == "columns-sklearn":
        import joblib  # noqa: PLC0415

        model = joblib.load(file)
        mlflow.sklearn.save_model(model, "model", pyfunc_predict_fn="predict_proba", serialization_format="cloudpickle")
    else:
        import onnx  # noqa: PLC0415

        mlflow.onnx.save_model(onnx.load(file), "model")
    program = str(Path(sys.executable).with_name("mlflow"))
    command = [program, "models", "serve", "-m", "model", "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.execve(program, [*command, "-w", "1"], {**os.environ, "PATH": path})  # noqa: S606 - a program of its environment


if __name__ == "__main__":
    main()
