"""Rows as JSON has them, a list of records or an object of columns, made into a call.

No types are told, so none are checked here: the version's preparation takes or refuses each value. A cell may be `[value]`, as
tensors of the shape (n, 1) are written. The tokens `NaN` and `Infinity`, which JSON does not have but Python's own encoder
writes, are read all the same.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson

from modelyard.core import Problem
from modelyard.gateway.calls import Ask, Call
from modelyard.gateway.doors import Wishes
from modelyard.prepare.values import ValueKind
from modelyard.serving.infer import LoadedVersion

LONGEST_ID = 200
_KINDS: Mapping[str, ValueKind] = {
    "f": ValueKind.NUMBER,
    "i": ValueKind.INTEGER,
    "u": ValueKind.INTEGER,
    "b": ValueKind.BOOLEAN,
}
_decoder = msgspec.json.Decoder()


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body holds.

    Raises
    ------
    Problem
        `request.invalid`.
    """
    try:
        document = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if not isinstance(error, msgspec.DecodeError) or (b"NaN" not in body and b"Infinity" not in body):
            raise invalid("The body is no JSON", str(error)) from error
        document = _read_loosely(body, error)
    if not isinstance(document, dict):
        raise invalid("The body is no JSON object", f"it is {_kind(document)}")
    return document


def _read_loosely(body: bytes, first: Exception) -> Any:
    try:
        document = json.loads(body)
        orjson.dumps(document)  # refuses lone surrogates
    except (ValueError, TypeError, RecursionError) as error:
        raise invalid("The body is no JSON", str(first)) from error
    return document


def from_records(records: object, where: str, *, sparse: bool) -> dict[str, list[Any]]:
    """Return the columns of a list of records. A key that a record lacks is a missing value where `sparse`, else refused.

    Raises
    ------
    Problem
        `request.invalid` for what is no list of objects, and `column.missing`.
    """
    if not isinstance(records, list):
        raise invalid(f"{where} holds no list of records", f"it is {_kind(records)}")
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise invalid(f"{where} holds no list of records", f"entry {number} is {_kind(record)}")
    names = list(records[0]) if records else []
    if all(len(record) == len(names) for record in records):
        try:
            return {name: [record[name] for record in records] for name in names}
        except KeyError:
            pass
    names = list(dict.fromkeys(name for record in records for name in record))
    if not sparse:
        for number, record in enumerate(records):
            for name in names:
                if name not in record:
                    raise invalid(f"Entry {number} of {where} has no '{name[:100]}'", "every entry names the same columns")
    return {name: [record.get(name) for record in records] for name in names}


def from_columns(columns: object, where: str) -> dict[str, list[Any]]:
    """Return an object of columns, each a list of equally many values; one of bare values is one row.

    Raises
    ------
    Problem
        `request.invalid`.
    """
    if not isinstance(columns, dict):
        raise invalid(f"{where} holds no object of columns", f"it is {_kind(columns)}")
    if columns and not any(isinstance(values, list) for values in columns.values()):
        return {name: [value] for name, value in columns.items()}
    for name, values in columns.items():
        if not isinstance(values, list):
            raise invalid(f"The column '{name[:100]}' of {where} is no list", f"it is {_kind(values)}")
    return columns


def of_one_input(values: Sequence[Any], loaded: LoadedVersion, where: str) -> dict[str, list[Any]]:
    """Return bare values as the column of a version that has one input alone.

    Raises
    ------
    Problem
        `request.invalid` for a version with more inputs: nothing would say which value belongs to which.
    """
    if len(loaded.columns) != 1:
        names = ", ".join(list(loaded.columns)[:8])
        raise invalid(f"{where} holds values without names", f"this model has {len(loaded.columns)} inputs: {names}")
    [name] = loaded.columns
    return {name: list(values)}


def routed(ask: Ask, wishes: Wishes) -> tuple[LoadedVersion, str]:
    """Return the version that answers a request, and the word for why."""
    ids = wishes.ids or ()
    return ask.target.route(wishes.key or (ids[0] if len(ids) == 1 else ask.id), ask.pinned)


def call_of(
    ask: Ask,
    loaded: LoadedVersion,
    route: str,
    columns: Mapping[str, list[Any]],
    ignored: Sequence[str] = (),
    ids: Sequence[str] | None = None,
) -> Call:
    """Return the call for columns by name.

    Parameters
    ----------
    ignored
        What else of the request is passed over; unknown columns are added.
    ids
        The caller's for its predictions.

    Raises
    ------
    Problem
        `request.invalid` where there are no rows, not equally many in every column, or not as many as ids.
    """
    count = len(next(iter(columns.values()), ()))
    for name, values in columns.items():
        if len(values) != count:
            first = next(iter(columns))
            raise invalid(f"The column '{name[:100]}' has {len(values)} rows", f"'{first[:100]}' has {count}")
    if not count:
        raise invalid("The request has no rows", "there is nothing to answer")
    beside = ask.target.beside
    plain = {} if loaded.is_direct else {name: _flat(values) for name, values in columns.items()}
    known = {name: plain.get(name, columns[name]) for name in (*loaded.columns, *beside) if name in columns}
    if not loaded.columns.keys() <= known.keys():
        known = dict(columns)  # the preparation says which it misses, and what was given instead
    return Call(
        ask=ask,
        loaded=loaded,
        route=route,
        request=ask.id,
        ids=_ids(ask, ids, count),
        columns=known,
        rows=loaded.batch(known),
        ignored=[*ignored, *(name for name in columns if name not in loaded.columns and name not in beside)],
    )


def kinds_of(loaded: LoadedVersion) -> Mapping[str, ValueKind]:
    """Return what each input of a version holds, be it a raw column or a tensor."""
    return loaded.kinds or {name: _KINDS.get(cell.numpy.kind, ValueKind.TEXT) for name, cell in loaded.cells.items()}


def invalid(what: str, why: str, next_step: str = "") -> Problem:
    """Return the problem of a body that is no request."""
    return Problem("request.invalid", what, why, next_step)


def _ids(ask: Ask, ids: Sequence[str] | None, count: int) -> list[str]:
    if ids is None:
        return [f"{ask.id}-{row}" for row in range(count)]
    if len(ids) != count or len(set(ids)) != count or not all(0 < len(one) <= LONGEST_ID for one in ids):
        why = f"the header Modelyard-Prediction-Ids names one distinct text for each of the {count} rows"
        raise invalid("The prediction ids are not usable", why)
    return list(ids)


def _flat(values: list[Any]) -> list[Any]:
    if isinstance(values[0], list) and all(isinstance(value, list) and len(value) == 1 for value in values):
        return [value[0] for value in values]
    return values


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")
