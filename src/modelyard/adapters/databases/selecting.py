"""One SELECT by SQLAlchemy, and its rows as frames: what SQLite and the dialects share."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modelyard.adapters.databases.address import Address
from modelyard.adapters.databases.values import ValueColumn
from modelyard.core import Problem, nearest
from modelyard.data.schema import column_missing, conform
from modelyard.data.sources import Ask, lies_within, moment
from modelyard.data.store import Stretch

Statement = sa.Select[*tuple[Any, ...]]
Batches = Generator[tuple[pl.DataFrame, object]]  # rows in their types, and the watermark of the last one that has one
_VALUES: Final = 1_000_000  # of all columns, in one batch
_MOST_ROWS: Final = 50_000


@dataclass(frozen=True)
class Selected:
    """The wanted columns first, then those that only the reading needs: time and watermark."""

    address: Address
    columns: Sequence[ValueColumn]
    wanted: list[str]
    ask: Ask

    def rows(self, connection: Connection, statement: Statement) -> Batches:
        """Yield the rows in the columns' types, each batch with the last watermark in it; an empty one where there is none."""
        most = max(1, min(_MOST_ROWS, _VALUES // max(1, len(self.columns))))
        row, told = 0, self.address.told
        mark = [column.name for column in self.columns].index(self.address.watermark) if self.address.watermark else None
        options = connection.execution_options(stream_results=True, max_row_buffer=most)
        with options.execute(statement) as result:
            for rows in result.partitions(most):
                values = list(zip(*rows, strict=True))
                frame = pl.DataFrame([one.series(told, of_one, row) for one, of_one in zip(self.columns, values, strict=True)])
                yield self._passed(frame), None if mark is None else _last(values[mark])
                row += frame.height
        if row == 0:
            yield self._passed(pl.DataFrame(schema={one.name: one.dtype for one in self.columns})), None

    def _passed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of the stretch, of the wanted columns."""
        if self.ask.within is not None:
            frame = frame.filter(_lies(frame[self.ask.within.column], self.ask.within, self.ask.types))
        return frame.select(self.wanted)


def _lies(values: pl.Series, within: Stretch, types: Mapping[str, pl.DataType]) -> pl.Series:
    """Return which values lie in a stretch, or are none. Text is read as the times that the dataset has there."""
    known = types.get(within.column)
    if values.dtype == pl.String and isinstance(known, pl.Date | pl.Datetime):
        values = conform(values.to_frame(), pl.Schema({within.column: known})).to_series()
    moment(within.column, values.dtype)  # raises where it holds no times
    times = values.alias("at").to_frame()
    return times.with_columns(lies=lies_within(replace(within, column="at"), values.dtype))["lies"]


def _last(values: Sequence[Any]) -> Any:
    return next((value for value in reversed(values) if value is not None), None)


def needed(names: Sequence[str], ask: Ask, watermark: str) -> tuple[list[str], list[str]]:
    """Return the wanted columns, and all that are to be read. Problem `column.missing`."""
    wanted = list(names) if ask.columns is None else list(ask.columns)
    further = [ask.within.column] if ask.within else []
    further += [watermark] if watermark else []
    for name in (*wanted, *further):
        if name not in names:
            raise column_missing(name, list(names))
    return wanted, list(dict.fromkeys((*wanted, *further)))


def no_table(address: Address, connection: Connection, schema: str | None) -> Problem:
    """Return the problem of a table that is not there, with the nearest names."""
    look = sa.inspect(connection)
    schemas = look.get_schema_names()
    if schema is None or schema in schemas:
        known, wanted = sorted({*look.get_table_names(schema), *look.get_view_names(schema)}), address.table[-1]
    else:
        known, wanted = sorted(schemas), schema
    near = nearest(wanted, known)
    why = f"did you mean {' or '.join(near)}?" if near else f"there is {', '.join(known[:10]) or 'nothing'}"
    what = f"There is no table {'.'.join(address.table)} in {address.url.place}"
    return Problem("source.missing", what, why, "write its name as it is", {"nearest": [*near]})
