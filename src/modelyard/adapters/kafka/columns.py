"""Columns out of the values that documents hold: which there are, of what types, and which documents do not fit.

A document is a mapping of names to values as Python has them. What is not told of a column's type is found from all documents
of a reading: a field has the kind of value that most of them have in it, the first of those that are equally many; whole and
other numbers are one kind. The same holds in objects within, and for the elements of lists. A document that has another value
somewhere does not fit; nothing is turned into text, cut off or rounded to make it fit.
"""

import reprlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from itertools import chain
from typing import Any, Final
from uuid import UUID

import polars as pl

from modelyard.data.schema import RESERVED, fitting

MOST_COLUMNS: Final = 1_000
DEEPEST: Final = 16  # objects and lists within each other
_LEAST, _MOST = -(2**63), 2**63 - 1
_MOST_DIGITS: Final = 38  # of a Decimal

Document = Mapping[str, Any]
Wrong = dict[int, str]  # why a document does not fit, by its place


class Fields:
    """The names at one place of documents, and what is found there.

    Parameters
    ----------
    known
        Names that mean something already, and are not looked at.
    depth
        How deep they are within others.
    reserved
        Names that are given away otherwise.
    only
        The names that matter; others are passed over, whatever they hold. None: all do.
    """

    def __init__(
        self,
        known: Collection[str] = (),
        depth: int = 0,
        reserved: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> None:
        self._known = set(known)
        self._only = None if only is None else set(only)
        self._folded = {name.casefold(): name for name in (*known, *reserved)}
        self._reserved = set(reserved)
        self._depth = depth
        self._seen: dict[str, Seen] = {}
        self._refused: dict[str, str] = {}

    def look(self, documents: Sequence[Document]) -> None:
        """Take note of the fields of these documents that are not known."""
        for name in dict.fromkeys(chain.from_iterable(documents)):
            if name not in self._known and self.matters(name) and self._admits(name):
                self._seen[name].look([one[name] for one in documents if name in one])

    def matters(self, name: str) -> bool:
        """Return whether anybody wants to know of a name."""
        return self._only is None or name in self._only

    def why_not(self, name: str) -> str:
        """Return why a name cannot be one of a column."""
        return self._refused.get(name) or f"there are {MOST_COLUMNS:,} fields without it"

    @property
    def types(self) -> dict[str, pl.DataType]:
        """The types of those that have a value somewhere, in the order in which they were met."""
        found = {name: seen.dtype for name, seen in self._seen.items()}
        return {name: dtype for name, dtype in found.items() if dtype is not None}

    @property
    def untold(self) -> frozenset[str]:
        """Those that were met, and have no value that tells a type."""
        return frozenset(name for name, seen in self._seen.items() if seen.dtype is None)

    def _admits(self, name: str) -> bool:
        if name in self._seen:
            return True
        if name in self._refused or len(self._known) + len(self._seen) >= MOST_COLUMNS:
            return False
        other = self._folded.get(name.casefold())
        if not name.strip() or "\0" in name or name == "*" or (name.startswith("^") and name.endswith("$")):
            self._refused[name] = "no column can have that name"  # a table, Arrow, and Polars' patterns
        elif name in RESERVED or name in self._reserved:
            self._refused[name] = "that name is taken by what is added to each row"
        elif other is not None:
            self._refused[name] = f"it differs from '{other}' only in upper and lower case"
        else:
            self._folded[name.casefold()] = name
            self._seen[name] = Seen(self._depth + 1)
            return True
        return False


class Seen:
    """What kinds of values were seen at one place of documents."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._kinds: Counter[str] = Counter()
        self._scale = 0
        self._fields: Fields | None = None
        self._elements: Seen | None = None

    def look(self, values: Sequence[object]) -> None:
        """Take note of values."""
        types = Counter(map(type, values))
        for type_, count in types.items():
            if type_ is datetime:
                naive = sum(type(value) is datetime and value.tzinfo is None for value in values)
                self._kinds["naive"] += naive
                self._kinds["moment"] += count - naive
            elif type_ in _KINDS:
                self._kinds[_KINDS[type_]] += count
        if Decimal in types:
            self._scale = max(self._scale, *(_scale(value) for value in values if type(value) is Decimal))
        if dict in types and self._depth < DEEPEST:
            self._fields = self._fields or Fields(depth=self._depth)
            self._fields.look([value for value in values if type(value) is dict])
        if list in types and self._depth < DEEPEST:
            self._elements = self._elements or Seen(self._depth + 1)
            self._elements.look(list(chain.from_iterable(value for value in values if type(value) is list)))

    @property
    def dtype(self) -> pl.DataType | None:
        """The type of a column of them; None where no value tells one."""
        counts: Counter[str] = Counter()
        for kind, count in self._kinds.items():
            counts[_SAME.get(kind, kind)] += count
        return next(filter(None, (self._type(kind) for kind, count in counts.most_common() if count)), None)

    def _type(self, kind: str) -> pl.DataType | None:
        if kind == "object":
            fields = self._fields.types if self._fields is not None else {}
            return pl.Struct(fields) if fields else None
        if kind == "list":
            return None if self._elements is None else pl.List(self._elements.dtype or pl.String())
        if kind == "decimal":
            return pl.Decimal(_MOST_DIGITS, min(self._scale, _MOST_DIGITS))
        if kind == "number":
            return _TYPES["number" if self._kinds["number"] else "whole"]
        return _TYPES[kind]


def why_not_held(dtype: pl.DataType) -> str:
    """Return why no table holds the objects within a type; "" where one does."""
    if isinstance(dtype, pl.List):
        return why_not_held(_type(dtype.inner))
    if not isinstance(dtype, pl.Struct):
        return ""
    if not dtype.fields:
        return "it holds objects without fields"
    names = Fields()
    names.look([dict.fromkeys((field.name for field in dtype.fields), True)])
    refused = [names.why_not(field.name) for field in dtype.fields if field.name not in names.types]
    within = (why_not_held(_type(field.dtype)) for field in dtype.fields)
    return next(iter(refused), "") or next(filter(None, within), "")


def frame_of(documents: Sequence[Document], types: Mapping[str, pl.DataType], names: Fields) -> tuple[pl.DataFrame, Wrong]:
    """Return documents as a frame of these columns, and why some do not fit. The rows of those are of no use."""
    if not types:
        why = "nothing in it tells a column"
        return pl.DataFrame(height=len(documents)), dict.fromkeys(range(len(documents)), why)
    wrong: Wrong = {}
    known = types.keys()
    for row, document in enumerate(documents):
        if not known >= document.keys():
            others = (name for name in document if name not in known and names.matters(name))
            name = next((name for name in others if not _tells_nothing(document[name])), None)
            if name is not None:
                wrong[row] = f"the field {_shown(name)} is not taken: {names.why_not(name)}"
    columns = []
    for name, dtype in types.items():
        column, more = cells([document.get(name) for document in documents], dtype, name)
        columns.append(column.alias(name))
        wrong = more | wrong
    return pl.DataFrame(columns), wrong


def cells(values: Sequence[Any], dtype: pl.DataType, path: str) -> tuple[pl.Series, Wrong]:
    """Return values as a column, null where they do not fit, and why they do not. `path` names them for people."""
    if isinstance(dtype, pl.Struct):
        return _objects(values, dtype, path)
    if isinstance(dtype, pl.List):
        return _lists(values, dtype, path)
    kinds = {type(value) for value in values} - {type(None)}
    if len(kinds) == 1:
        return _of_one_kind(values, kinds.pop(), dtype, path)
    wrong: Wrong = {}
    parts = [pl.DataFrame(schema={"place": pl.Int64(), "value": dtype})]
    for kind in kinds:
        places = [place for place, value in enumerate(values) if type(value) is kind]
        column, unfit = _of_one_kind([values[place] for place in places], kind, dtype, path)
        parts.append(pl.DataFrame({"place": pl.Series(places, dtype=pl.Int64), "value": column}))
        wrong |= {places[place]: why for place, why in unfit.items()}
    every = pl.DataFrame({"place": pl.int_range(len(values), eager=True)})
    return every.join(pl.concat(parts), on="place", how="left", maintain_order="left")["value"], wrong


def _of_one_kind(values: Sequence[Any], kind: type, dtype: pl.DataType, path: str) -> tuple[pl.Series, Wrong]:
    natural, wrong = _natural(values, kind, path)
    if natural is None:
        told = {place: _unfit(path, value, dtype) for place, value in enumerate(values) if value is not None}
        return _nothing(dtype, len(values)), told
    column, fits = fitting(natural, dtype)
    if not fits.all():
        wrong |= {place: _unfit(path, values[place], dtype) for place in (~fits).arg_true().to_list()}
    return column, wrong


def _natural(values: Sequence[Any], kind: type, path: str) -> tuple[pl.Series | None, Wrong]:
    """Return values of one kind, and nulls, in the type that they have by themselves; None: no column has them."""
    if kind is int:
        return _whole(values, path)
    if kind is datetime:
        return _moments(values, path)
    if kind is Decimal:
        return _decimals(values, path)
    if kind in (time, UUID):
        return pl.Series([None if value is None else str(value) for value in values], dtype=pl.String), {}
    found = _TYPES.get(_KINDS.get(kind, ""))
    return (None if found is None else pl.Series(values, dtype=found)), {}


def _whole(values: Sequence[int | None], path: str) -> tuple[pl.Series, Wrong]:
    try:
        return pl.Series(values, dtype=pl.Int64), {}
    except (TypeError, OverflowError):
        beyond = {place for place, value in enumerate(values) if value is not None and not _LEAST <= value <= _MOST}
        wrong = {place: f"the field {path} holds {_shown(values[place])}, which is beyond 64 bits" for place in beyond}
        return pl.Series([None if place in beyond else value for place, value in enumerate(values)], dtype=pl.Int64), wrong


def _moments(values: Sequence[datetime | None], path: str) -> tuple[pl.Series, Wrong]:
    """Return times; where those with and without an offset are mixed, the fewer ones do not fit."""
    known = [value for value in values if value is not None]
    zoned = 2 * sum(value.tzinfo is not None for value in known) >= len(known)
    other = {place for place, value in enumerate(values) if value is not None and (value.tzinfo is not None) != zoned}
    wrong = {place: f"the field {path} holds {values[place]}, {'without' if zoned else 'with'} an offset" for place in other}
    left = [None if place in other else value for place, value in enumerate(values)]
    return pl.Series(left, dtype=pl.Datetime("us", "UTC" if zoned else None)), wrong


def _decimals(values: Sequence[Decimal | None], path: str) -> tuple[pl.Series, Wrong]:
    scale = min(max((_scale(value) for value in values if value is not None), default=0), _MOST_DIGITS)
    wide = {
        place
        for place, value in enumerate(values)
        if value is not None and (_scale(value) > scale or value.adjusted() + 1 + scale > _MOST_DIGITS)
    }
    wrong = {place: f"the field {path} holds {_shown(values[place])}, of too many digits" for place in wide}
    left = [None if place in wide else value for place, value in enumerate(values)]
    return pl.Series(left, dtype=pl.Decimal(_MOST_DIGITS, scale)), wrong


def _objects(values: Sequence[Any], dtype: pl.Struct, path: str) -> tuple[pl.Series, Wrong]:
    wrong = {
        place: _unfit(path, value, dtype) for place, value in enumerate(values) if value is not None and type(value) is not dict
    }
    objects: list[Document | None] = [value if type(value) is dict else None for value in values]
    known = {field.name for field in dtype.fields}
    for place, one in enumerate(objects):
        if one is not None and not known >= one.keys():
            more = next((name for name in one if name not in known and not _tells_nothing(one[name])), None)
            if more is not None:
                wrong[place] = f"the field {path} holds {_shown(more)}, which is none of {', '.join(sorted(known))[:200]}"
    columns = []
    for field in dtype.fields:
        held = [None if one is None else one.get(field.name) for one in objects]
        column, unfit = cells(held, _type(field.dtype), f"{path}.{field.name}")
        columns.append(column.alias(field.name))
        wrong = unfit | wrong
    there = pl.Series([one is not None for one in objects], dtype=pl.Boolean)
    return pl.DataFrame(columns).to_struct().zip_with(there, _nothing(dtype, len(values))), wrong


def _lists(values: Sequence[Any], dtype: pl.List, path: str) -> tuple[pl.Series, Wrong]:
    wrong = {
        place: _unfit(path, value, dtype) for place, value in enumerate(values) if value is not None and type(value) is not list
    }
    lists = [value if type(value) is list else None for value in values]
    owners = [place for place, one in enumerate(lists) for _ in one or ()]
    column, unfit = cells(list(chain.from_iterable(one or () for one in lists)), _type(dtype.inner), f"{path}[]")
    elements = column.to_list()
    ends = 0
    cut: list[list[Any] | None] = []
    for one in lists:
        ends += len(one or ())
        cut.append(None if one is None else elements[ends - len(one) : ends])
    wrong = {owners[place]: why for place, why in unfit.items()} | wrong
    return pl.Series(cut, dtype=dtype), wrong


def _tells_nothing(value: Any, depth: int = 0) -> bool:
    """Return whether a value is null, or an object of nothing but such."""
    if type(value) is dict:
        return depth < DEEPEST and all(_tells_nothing(one, depth + 1) for one in value.values())
    return value is None


def _unfit(path: str, value: object, dtype: pl.DataType) -> str:
    wanted = "an object" if isinstance(dtype, pl.Struct) else "a list" if isinstance(dtype, pl.List) else f"{dtype}"
    return f"the field {path} holds {_shown(value)}, and {wanted} is expected"


def _shown(value: object) -> str:
    return _SHORT.repr(value)


def _nothing(dtype: pl.DataType, height: int) -> pl.Series:
    return pl.Series([None], dtype=dtype).new_from_index(0, height)


def _scale(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _type(dtype: object) -> pl.DataType:
    return dtype() if isinstance(dtype, type) else dtype  # type: ignore[return-value] # Polars gives either


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_KINDS: Final[Mapping[type, str]] = {
    bool: "truth", int: "whole", float: "number", str: "text", bytes: "bytes", date: "day", Decimal: "decimal", time: "text",
    UUID: "text", dict: "object", list: "list",
}  # fmt: skip
_SAME: Final = {"whole": "number"}
_TYPES: Final[Mapping[str, pl.DataType]] = {
    "truth": pl.Boolean(),
    "whole": pl.Int64(),
    "number": pl.Float64(),
    "text": pl.String(),
    "bytes": pl.Binary(),
    "day": pl.Date(),
    "moment": pl.Datetime("us", "UTC"),
    "naive": pl.Datetime("us"),
}
