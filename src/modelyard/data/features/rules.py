"""Pure decisions about lookups: which dataset can be a feature table, what can be asked of it, what names a row gets."""

from collections.abc import Mapping, Sequence

import polars as pl

from modelyard.core import Problem
from modelyard.core.spans import span_s
from modelyard.data.features.types import Default, Lookup, Missing
from modelyard.data.schema import column_missing, dtype_of, fitting, refuse_reserved
from modelyard.data.types import Dataset, Schema

NAMING = (pl.Boolean, pl.Date, pl.String)  # beside whole numbers: types whose values name an entity
_REFUSE = Missing.REFUSE.value


def entity_of(dataset: Dataset) -> tuple[str, ...]:
    """Return the columns that name the entity of a feature table: its key, but for the time.

    Raises
    ------
    Problem
        `lookup.invalid` for a dataset that has no time, or no other column in its key.
    """
    entity = tuple(name for name in dataset.key if name != dataset.time)
    if dataset.time is None or not entity:
        why = "it has no time column" if dataset.time is None else "no column but the time is in its key"
        step = f'declare it: project.dataset("{dataset.name}", key=("origin", "at"), time="at")'
        raise Problem("lookup.invalid", f"Nothing can be looked up in '{dataset.name}'", why, step)
    return entity


def declare_lookup(
    dataset: Dataset,
    columns: Sequence[str],
    *,
    by: str | Sequence[str] | None = None,
    max_age: str | None = None,
    missing: str | Mapping[str, Default] | None = None,
    prefix: str = "",
) -> Lookup:
    """Return the lookup of some columns of a dataset.

    Parameters
    ----------
    by
        The row's columns that name the entity, in the order of the dataset's key; None: of the same names.
    max_age
        A span such as `6h`; None: a value may be of any age.
    missing
        None: null; `refuse`; or a default for each column.

    Raises
    ------
    Problem
        `lookup.invalid`, `span.invalid`.
    """
    entity = entity_of(dataset)
    keys = entity if by is None else (by,) if isinstance(by, str) else tuple(by)
    if len(keys) != len(entity) or len(set(keys)) < len(keys):
        why = f"its rows are named by {', '.join(entity)}, and the lookup by {', '.join(keys) or 'nothing'}"
        raise _invalid(dataset.name, why, "name one column of the row for each: by=…")
    if not columns or len(set(columns)) < len(columns):
        raise _invalid(dataset.name, "it names no column, or one twice", f'{dataset.name}.lookup("wind_speed", …)')
    taken = [name for name in columns if name in (*entity, dataset.time)]
    if taken:
        raise _invalid(dataset.name, f"'{taken[0]}' is of its key or time", "look up the others")
    if isinstance(missing, str) and missing != _REFUSE:
        raise _invalid(dataset.name, f"missing={missing[:40]!r} is not known", "missing=None, 'refuse' or {column: default}")
    defaults: Mapping[str, Default] = missing if isinstance(missing, Mapping) else {}
    if isinstance(missing, Mapping) and set(defaults) != set(columns):
        why = f"it has defaults for {', '.join(sorted(defaults)) or 'nothing'}"
        raise _invalid(dataset.name, why, f"give one for each of {', '.join(columns)}")
    return Lookup(
        dataset=dataset.name,
        columns=tuple(columns),
        by=keys,
        entity=entity,
        time=dataset.time or "",
        max_age_s=None if max_age is None else float(span_s(max_age)),
        missing=Missing.DEFAULT if defaults else Missing.REFUSE if missing == _REFUSE else Missing.NULL,
        defaults=tuple(defaults[name] for name in columns) if defaults else (),
        prefix=prefix,
    )


def check_lookups(lookups: Sequence[Lookup], tables: Sequence[tuple[Dataset, Schema]], rows: Mapping[str, object]) -> None:
    """Return when lookups fit their tables, and the names that they bring are free in rows of these columns.

    Raises
    ------
    Problem
        `lookup.invalid` where key or time of a table are others than when the lookup was declared, for a type that names no
        entity or is no feature, and for a default that is no value of its column; `column.missing` for a column that a table
        or the rows lack; `column.exists` for a name that the rows have, or that two lookups bring.
    """
    taken = dict.fromkeys(map(str.casefold, rows), "the rows have it")
    for lookup, (dataset, schema) in zip(lookups, tables, strict=True):
        known = {column.name: column.dtype for column in schema.columns}
        if (entity_of(dataset), dataset.time) != (lookup.entity, lookup.time):
            why = f"its key is {', '.join(dataset.key)} and its time {dataset.time}"
            raise _invalid(dataset.name, why, "declare the lookup anew")
        _check_lengths(lookup)
        for name in lookup.by:
            if name not in rows:
                raise column_missing(name, list(rows))
        for name in lookup.entity:
            dtype = _dtype(known[name])
            if dtype is None or not (dtype.is_integer() or isinstance(dtype, NAMING)):
                step = "an entity is named by whole numbers, texts, truth values or dates"
                raise _invalid(dataset.name, f"'{name}' is {known[name]}", step)
        refuse_reserved(list(lookup.names))
        for place, (name, given) in enumerate(zip(lookup.columns, lookup.names, strict=True)):
            if name not in known:
                raise column_missing(name, list(known))
            _check_value(lookup, place, known[name])
            if given.casefold() in taken:
                why, step = taken[given.casefold()], 'give it another name: lookup(…, prefix="weather_")'
                raise Problem("column.exists", f"'{given}' of {lookup.dataset} cannot be joined", why, step)
            taken[given.casefold()] = f"a lookup in {lookup.dataset} brings it too"


def _check_lengths(lookup: Lookup) -> None:
    """Return when a lookup that came from elsewhere says one thing for each of what it names."""
    wanted = len(lookup.columns) if lookup.missing is Missing.DEFAULT else 0
    if not lookup.columns or len(lookup.by) != len(lookup.entity) or len(lookup.defaults) != wanted:
        raise _invalid(lookup.dataset, "it does not say one thing for each column", "make it by dataset.lookup(…)")


def _check_value(lookup: Lookup, place: int, word: str) -> None:
    name, dtype = lookup.columns[place], _dtype(word)
    if dtype is None or dtype == pl.Binary:
        raise _invalid(lookup.dataset, f"'{name}' is {word}", "a feature is a number, a truth value, a text or a time")
    if lookup.missing is Missing.DEFAULT and not default_of(lookup, place, dtype)[1]:
        why = f"the default {lookup.defaults[place]!r} is no value of '{name}', which is {dtype}"
        raise _invalid(lookup.dataset, why, "give one of its type")


def default_of(lookup: Lookup, place: int, dtype: pl.DataType) -> tuple[pl.Series, bool]:
    """Return the default of a column as its type has it, one value long, and whether the type has it."""
    wanted = pl.Float64() if dtype.is_float() else dtype  # 0.1 is no Float32 exactly, and means the nearest
    default, fits = fitting(pl.Series([lookup.defaults[place]]), wanted)
    return default.cast(dtype), bool(fits.all())


def _dtype(word: str) -> pl.DataType | None:
    """Return the type that a word names; None for one of several values, such as a list."""
    try:
        return dtype_of(word)
    except Problem:
        return None


def _invalid(dataset: str, why: str, step: str) -> Problem:
    return Problem("lookup.invalid", f"The lookup in '{dataset}' cannot be", why, step)
