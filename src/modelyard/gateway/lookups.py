"""What a version looks up for the rows of its calls: one question to the online store for each of its tables."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from modelyard.core import Problem
from modelyard.data.features import Features, Lookup, Missing
from modelyard.data.features.joining import refused_row
from modelyard.data.features.online import Entity, FeatureRow, OnlineStore, entity_of_values
from modelyard.gateway.calls import Call, in_utc
from modelyard.prepare.inputs import WrongValueError, coerce, missing_column, wrong_value
from modelyard.prepare.values import InputColumn
from modelyard.serving.infer import LoadedVersion

Key = tuple[str, Entity, datetime]  # table, entity, and the moment before which it is asked about


def look_up(online: OnlineStore, loaded: LoadedVersion, features: Features, calls: Sequence[Call], now: datetime) -> None:
    """Give calls to a version what it looks up; one that has none for a row that needs it gets the problem.

    A row's time is what is kept of it in the ledger: as the caller told it, else by the deployment's time column, else `now`.

    Raises
    ------
    Problem
        `features.unavailable`, of all calls.
    """
    asked = {}
    for call in calls:
        try:
            asked[call] = _asked(loaded, features, call, now)
        except Problem as problem:
            call.problem = problem
    found = _found(online, calls[0], [key for keys in asked.values() for one in keys for key in one if key is not None])
    for call, keys in asked.items():
        try:
            columns: dict[str, Sequence[Any]] = {}
            for lookup, one in zip(features.lookups, keys, strict=True):
                columns |= _columns(lookup, one, found)
        except Problem as problem:
            call.problem = problem
        else:
            call.looked_up = columns
            call.rows = loaded.batch({**call.columns, **columns}, call.shapes)


def _asked(loaded: LoadedVersion, features: Features, call: Call, now: datetime) -> list[list[Key | None]]:
    """Return for each lookup what each row asks for; None where it does not name an entity."""
    column = loaded.columns.get(call.ask.target.served.time or "")
    times = call.times
    if times is None:
        times = [now] * call.count if column is None else [in_utc(one) if one else now for one in _values(call, column)]
    read = {name: _values(call, loaded.columns[name]) for lookup in features.lookups for name in lookup.by}
    return [
        [
            None if None in named else (lookup.dataset, entity_of_values(named), at)
            for named, at in zip(zip(*(read[name] for name in lookup.by), strict=True), times, strict=True)
        ]
        for lookup in features.lookups
    ]


def _values(call: Call, column: InputColumn) -> list[Any]:
    """Return a column of a call as it is prepared. Problem `column.missing`, `column.invalid`."""
    if column.name not in call.columns:
        raise missing_column(column.name, 0, call.columns)
    read, values = coerce(column), []
    for row, raw in enumerate(call.columns[column.name]):
        try:
            values.append(read(raw))
        except WrongValueError:
            raise wrong_value(column, row, raw) from None
    return values


def _found(online: OnlineStore, call: Call, keys: Sequence[Key]) -> Mapping[Key, FeatureRow]:
    """Return what the store has, asked once for each table."""
    by_table: dict[str, dict[Key, None]] = {}
    for key in keys:
        by_table.setdefault(key[0], {})[key] = None
    found: dict[Key, FeatureRow] = {}
    for table, wanted in by_table.items():
        rows = online.get(call.ask.target.served.project, table, [key[1:] for key in wanted])
        found |= {key: row for key, row in zip(wanted, rows, strict=True) if row is not None}
    return found


def _columns(lookup: Lookup, keys: Sequence[Key | None], found: Mapping[Key, FeatureRow]) -> dict[str, list[Any]]:
    """Return the values of a lookup, as it declares those that are missing. Problem `row.invalid`."""
    rows = [None if key is None else _fresh(lookup, found.get(key), key[2]) for key in keys]
    columns = {}
    for place, (name, given) in enumerate(zip(lookup.columns, lookup.names, strict=True)):
        values = [None if row is None else row.values.get(name) for row in rows]
        if lookup.missing is Missing.REFUSE and None in values:
            raise refused_row(lookup, values.index(None))
        if lookup.missing is Missing.DEFAULT:
            values = [lookup.defaults[place] if value is None else value for value in values]
        columns[given] = values
    return columns


def _fresh(lookup: Lookup, row: FeatureRow | None, at: datetime) -> FeatureRow | None:
    """Return the row if it is not too old."""
    if row is None or lookup.max_age_s is None or (at - row.at).total_seconds() <= lookup.max_age_s:
        return row
    return None
