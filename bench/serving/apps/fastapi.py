"""FastAPI by hand: a pydantic body, orjson, uvloop, httptools, and the model on the loop, since a thread costs more."""

from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from fastapi.responses import ORJSONResponse
from pydantic import BaseModel

from bench.serving.apps.columns import CATEGORIES, NUMBERS
from bench.serving.apps.predictor import load, told


class Customer(BaseModel):
    """One raw row."""

    x0: float | None
    x1: float | None
    x2: float | None
    x3: float | None
    x4: float | None
    x5: float | None
    x6: float | None
    x7: float | None
    x8: float | None
    x9: float | None
    contract: str
    payment: str
    region: str
    plan: str
    device: str


class Customers(BaseModel):
    """A request about customers."""

    rows: list[Customer]


class Matrix(BaseModel):
    """A request about plain features."""

    rows: list[list[float]]


def main() -> None:
    """Serve."""
    form, file, port = told()
    model = load(form, file)
    app = FastAPI()

    async def columns(body: Customers) -> Any:
        values = {name: [getattr(row, name) for row in body.rows] for name in (*NUMBERS, *CATEGORIES)}
        return ORJSONResponse({"probability": model.columns(values)})

    async def matrix(body: Matrix) -> Any:
        return ORJSONResponse({"probability": model.matrix(np.asarray(body.rows, dtype=np.float32))})

    app.post("/predict")(matrix if form == "matrix-onnx" else columns)
    uvicorn.run(app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
