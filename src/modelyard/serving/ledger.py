"""The ledger: every answer that was given, as a table of the lake, one row a prediction.

Columns: those of `META`; each raw input of the model as `input.NAME`; of a model with several outputs each one as
`output.NAME`. Inputs keep one type for all time: whole numbers are `Int64`, numbers `Float64` (missing, NaN: null), texts
`String`, instants datetimes in UTC, wall-clock times datetimes without a zone. When a later version of the model takes a column
in another type, its values stand in a column of their own, `input.NAME:TYPE`; none is lost and none is bent.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.core import Problem, ProjectId
from modelyard.data import Stretch, TableStore
from modelyard.data.cell import Cell
from modelyard.prepare.inputs import coerce
from modelyard.prepare.values import DTYPES, InputColumn, ValueKind

LEDGER = "ledger/"
INPUT_PREFIX = "input."
OUTPUT_PREFIX = "output."
STAMP = pl.Datetime("us", "UTC")

META: Mapping[str, pl.DataType] = MappingProxyType(
    {
        "id": pl.String(),  # of the prediction: what labels name
        "request": pl.String(),
        "deployment": pl.String(),
        "revision": pl.Int64(),
        "model": pl.String(),
        "version": pl.Int64(),
        "form": pl.String(),
        "route": pl.String(),  # live, canary; pinned: the caller named the version; fallback: in place of a canary that failed
        "time": STAMP,  # event time
        "answered_at": STAMP,
        "latency_us": pl.Int64(),  # of the whole request
        "caller": pl.String(),
        "trace": pl.String(),  # its id (W3C Trace Context); null: nobody traced the request
        "answer": pl.Float64(),  # null for a model with several outputs, and for what is no finite number
    }
)


_NONE = type(None)
_PLAIN: Mapping[ValueKind, frozenset[type]] = MappingProxyType(
    {
        ValueKind.NUMBER: frozenset({float, _NONE}),
        ValueKind.INTEGER: frozenset({int, _NONE}),
        ValueKind.BOOLEAN: frozenset({bool, _NONE}),
        ValueKind.TEXT: frozenset({str, _NONE}),
    }
)


FAILURE: Mapping[str, pl.DataType] = MappingProxyType(
    {
        "time": STAMP,  # of answering, by the second
        "version": pl.Int64(),  # null: refused before a version was asked
        "route": pl.String(),
        "code": pl.String(),  # of the problem
        "status": pl.Int64(),  # of HTTP
        "requests": pl.Int64(),
    }
)


class Ports(Protocol):
    """What the ledger needs of the platform."""

    @property
    def lake(self) -> TableStore:
        """The lake."""
        ...


def ledger_table(deployment: str) -> str:
    """Return the name of a deployment's ledger in the lake."""
    return f"{LEDGER}{deployment}"


def shadow_table(deployment: str) -> str:
    """Return the name of the table of what a deployment's shadows answered: the ledger's columns, under the callers' ids."""
    return f"shadow/{deployment}"


def failure_table(deployment: str) -> str:
    """Return the name of the table of requests that were not answered, a row a second, version, route and code."""
    return f"failures/{deployment}"


def failure_rows(failures: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return failures, each with `at` (ISO 8601), `version`, `route`, `code` and `status`, as rows of their table."""
    dtypes = {"at": pl.String(), "version": pl.Int64(), "route": pl.String(), "code": pl.String(), "status": pl.Int64()}
    rows = pl.DataFrame({name: [one[name] for one in failures] for name in dtypes}, schema=dtypes)
    at = pl.col("at").str.to_datetime(time_unit="us", time_zone="UTC").dt.truncate("1s").alias("time")
    by = ["time", "version", "route", "code", "status"]
    return rows.with_columns(at).group_by(by, maintain_order=True).agg(requests=pl.len().cast(pl.Int64)).select(*by, "requests")


def read_failures(
    ports: Ports, project: ProjectId, deployment: str, since: datetime | None = None, until: datetime | None = None
) -> pl.LazyFrame:
    """Return how many requests were not answered in [since, until), with the columns of `FAILURE`."""
    return _read(ports, project, failure_table(deployment), FAILURE, since, until)


def read_ledger(
    ports: Ports, project: ProjectId, deployment: str, since: datetime | None = None, until: datetime | None = None
) -> pl.LazyFrame:
    """Return the predictions with event time in [since, until), lazily; none, when nothing was answered yet.

    The order of rows is that of shipping, not of time. A caller that sends a request twice has its predictions here twice,
    under one id.
    """
    return _read(ports, project, ledger_table(deployment), META, since, until)


def read_shadows(
    ports: Ports, project: ProjectId, deployment: str, since: datetime | None = None, until: datetime | None = None
) -> pl.LazyFrame:
    """Return what shadows answered with event time in [since, until), as `read_ledger` does."""
    return _read(ports, project, shadow_table(deployment), META, since, until)


def _read(
    ports: Ports,
    project: ProjectId,
    table: str,
    schema: Mapping[str, pl.DataType],
    since: datetime | None,
    until: datetime | None,
) -> pl.LazyFrame:
    try:
        rows = ports.lake.scan(project, table, within=Stretch("time", since, until))
    except Problem as problem:
        if problem.code != "table.missing":
            raise
        return pl.LazyFrame(schema=dict(schema))
    if since is not None:
        rows = rows.filter(pl.col("time") >= since)
    return rows if until is None else rows.filter(pl.col("time") < until)


def kept_dtype(column: InputColumn) -> pl.DataType:
    """Return the type in which the ledger keeps an input.

    >>> kept_dtype(InputColumn("at", "Datetime[Europe/Paris]"))
    Datetime(time_unit='us', time_zone='UTC')
    """
    return STAMP if column.kind is ValueKind.DATETIME and column.zone else DTYPES[column.kind]


def input_series(column: InputColumn, values: Sequence[Any] | NDArray[Any]) -> pl.Series:
    """Return what a version took as the ledger's column: raw values as a caller sent them, cells as tensors.

    It was answered for, so it is well-formed.
    """
    if not column.is_known:
        return _cells(INPUT_PREFIX + column.name, column.dtype, values)
    series = _as_they_stand(column, values)
    if series is None:
        series = pl.Series(INPUT_PREFIX + column.name, map(coerce(column), values), dtype=DTYPES[column.kind])
    if column.kind is ValueKind.NUMBER:
        return series.fill_nan(None)
    return series.dt.replace_time_zone("UTC") if kept_dtype(column) == STAMP else series


def output_series(name: str, dtype: str, values: Sequence[Any] | NDArray[Any]) -> pl.Series:
    """Return the answers of one output as the ledger's column."""
    return _cells(OUTPUT_PREFIX + name, dtype, values)


def answer_series(values: Sequence[Any] | NDArray[Any]) -> pl.Series:
    """Return the answers of the only output as the ledger's column."""
    if isinstance(values, np.ndarray) and not np.isfinite(values).all():
        values = as_list(np.where(np.isfinite(values), values, np.nan))
    return pl.Series("answer", values, dtype=META["answer"])


def as_list(values: NDArray[Any]) -> list[Any]:
    """Return an array of cells as Python has them, NaN as None."""
    found = values
    if _has_gaps(values):
        found = values.astype(object)
        found[np.isnan(values)] = None
    listed: list[Any] = found.tolist()
    return listed


def _has_gaps(values: NDArray[Any]) -> bool:
    return values.dtype.kind == "f" and bool(np.isnan(values).any())


def _cells(name: str, dtype: str, values: Sequence[Any] | NDArray[Any]) -> pl.Series:
    return Cell.parse(dtype).series(name, as_list(values) if isinstance(values, np.ndarray) and _has_gaps(values) else values)


def _as_they_stand(column: InputColumn, values: Sequence[Any] | NDArray[Any]) -> pl.Series | None:
    """Return values that are of the column's own type already, by far the most, at a tenth of the cost; None otherwise."""
    plain = _PLAIN.get(column.kind)
    if plain is None or column.is_single or not set(map(type, values)) <= plain:
        return None
    try:
        return pl.Series(INPUT_PREFIX + column.name, values, dtype=DTYPES[column.kind])
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return None


def fit_to_table(frame: pl.DataFrame, table: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return the frame with those inputs that the table holds in another type under names of their own.

    >>> fit_to_table(pl.DataFrame({"input.hour": ["5"]}), {"input.hour": pl.Int64()}).columns
    ['input.hour:String']
    """
    moved = {
        name: f"{name}:{type(dtype).__name__}"
        for name, dtype in frame.schema.items()
        if name.startswith(INPUT_PREFIX) and name in table and table[name] != dtype
    }
    return frame.rename(moved)
